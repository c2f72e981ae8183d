"""Going on with a training that was interrupted: what each half keeps, and the round that all can go on from.

Every party keeps its own states; nothing of them travels but their numbers. Keys, masks and noise are made anew in each
run. The training statistics stay as they were, or the weights would be of rows prepared in another way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from ...crypto.sums.base import Integers
from ...errors import DataError, PeerGone, PrivsdkError
from ...errors.record import ErrorRecord
from ...protocol.messages import Message
from ...protocol.services import Checkpoints
from ...protocol.services import State as Saved
from ..fedavg import NOTHING, State
from ..models.network import Vector
from .best import BestModel
from .course import Course, TrainingResult

BEST = "best model"  # among a state's arrays


class Kept(Message, frozen=True, kw_only=True, tag="fl.rounds.Kept"):
    """The rounds before which a client has a state of its own; `copies`, where it coordinates by itself, too."""

    numbers: tuple[int, ...]
    copies: tuple[int, ...] | None = None


@dataclass(slots=True)
class CoordinatorState:
    """Where a training is, as its coordinator keeps it.

    Attributes
    ----------
    state : the strategy's
    keeping : by client, the number of the last state of its own
    counted : whose rows are in the training statistics
    best : the best model so far
    """

    state: State
    trained: TrainingResult
    keeping: dict[str, int]
    counted: tuple[str, ...]
    best: BestModel = field(default_factory=BestModel)

    def saved(self) -> Saved:
        """For a run that goes on from here."""
        lost = {party: [number, error.to_record()] for party, (number, error) in self.trained.lost.items()}
        kept = {"rounds": self.trained.rounds, "lost": lost, "keeping": self.keeping}
        kept |= {"facts": self.trained.statistics.tolist(), "counted": self.counted, "best": self.best.saved()}
        return Saved({**self.state, BEST: self.best.weights}, msgspec.to_builtins(kept))

    @classmethod
    def loaded(cls, saved: Saved, number: int) -> CoordinatorState:
        """What `saved` kept after so many rounds."""
        lost = {
            party: (int(at), PrivsdkError.from_record(msgspec.convert(record, ErrorRecord)))
            for party, (at, record) in saved.facts["lost"].items()
        }
        statistics = np.array(saved.facts["facts"], np.int64)
        rounds = list(saved.facts["rounds"])
        trained = TrainingResult(NOTHING, rounds=rounds, lost=lost, statistics=statistics, resumed=number)
        keeping = {party: int(at) for party, at in saved.facts["keeping"].items()}
        state = dict(saved.arrays)
        best = BestModel.loaded(saved.facts.get("best", {}), state.pop(BEST, NOTHING))
        return cls(state, trained, keeping, tuple(saved.facts["counted"]), best)

    def away(self, clients: Sequence[str]) -> dict[str, PrivsdkError]:
        """Those of them that were not there when the statistics were summed: they cannot take part any more."""
        why = "was away when this training began, and its rows are not in what all are prepared by"
        return {party: PeerGone(f"{party} {why}") for party in clients if party not in self.counted}


def latest_state(
    course: Course,
    checkpoints: Checkpoints,
    kept: Mapping[str, Kept],
    statistics: Integers,
    counted: Sequence[str],
) -> CoordinatorState:
    """The last state that goes with one of every client's; the beginning where the coordinator has none.

    A client whose strategy keeps nothing goes with any. One that was lost in an earlier run takes part again, if it was
    there when the statistics were summed. Where every client coordinates by itself, the last state that all have: they
    were not interrupted at one moment.
    """
    lacking = ""
    copies = [set(message.copies) for message in kept.values() if message.copies is not None]
    for number in reversed(checkpoints.numbers()):
        if not all(number in copy for copy in copies):
            continue
        found = CoordinatorState.loaded(checkpoints.load(number), number)
        lacks = [party for party in kept if party in found.keeping and found.keeping[party] not in kept[party].numbers]
        if not lacks:
            checkpoints.rewind(number)
            return found
        lacking = lacking or ", ".join(lacks)
    if lacking:
        raise DataError(
            f"{lacking} no longer has what it kept of this training, which cannot go on without it",
            hint="fit under another name: it begins anew",
        )
    checkpoints.rewind(0)
    state = course.strategy.begin(course.network.initial(course.seed))
    return CoordinatorState(state, TrainingResult(NOTHING, statistics=statistics), {}, tuple(counted))


def client_state(checkpoints: Checkpoints, first: int) -> Vector:
    """What a client's half kept before that round; its later states are dropped."""
    checkpoints.rewind(first)
    if not checkpoints.numbers():  # also where nothing else will be kept: this name is of these rows from now on
        keep(checkpoints, 0, NOTHING)
    numbers = checkpoints.numbers()
    kept: Vector = checkpoints.load(numbers[-1]).arrays["kept"] if numbers else NOTHING
    return kept


def keep(checkpoints: Checkpoints, number: int, kept: Vector) -> None:
    """Keep what a client's half goes on with in that round."""
    checkpoints.save(number, Saved({"kept": kept}))
