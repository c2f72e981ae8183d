"""Rounds of training: a coordinator, its clients, and a strategy between them.

    coordinator                                   client k
    <== sum over the clients of their training statistics: numbers of rows, sums of features
    <-- Kept: which rounds it could go on from ---
    --- TrainingStatistics, the first round ->    prepares its rows by them
    for each round t:
    --- Round: w_t, who is drawn for it ----->    pays for the round; then its strategy's half: trains from w_t
    <-- Ready: trained, or its budget has ended --
    --- Go: whose updates are averaged ------>    keeps its own state
    <== mean of the updates, by `averages`
    w_{t+1} = the strategy's step; the coordinator keeps its state
    --- Round: the final model -------------->    evaluates it on its held-out rows

Where models on the way are evaluated, those and the last are measured before:

    --- Round: a model to be measured ------->    its loss on held-out rows
    <== mean of these losses, by `averages`

Which model is the final one, is in `best`.

Clients that are lost, stay away past the deadline or send what does not fit are named, stay out until the run ends, and
the round goes on if enough are left. Where the budget of one ends, or the caller asks for the model that there is, all
end with the model of the last round that was paid and held.

A training with a name goes on from the last round that all have in common (`resuming`). What is drawn in a round comes
from the seed, the client and the round, so that the model is that of a training which was not interrupted, bit for bit
on the same machines, unless noise is added. A round that is held again is paid again: its first release may have left.

Learns: everyone the model after each round, the number of training rows in all, and for standardised features their
mean and standard deviation; the coordinator and the caller also the mean loss before each round, and of models that are
measured, and whose budget ended the training. Whether anyone sees a single client's update is up to `averages` and the
sum below it.
A model that is seen tells something about the rows it was trained on; without noise this is not differential privacy.
Collusion: all clients of a round but one, together, know the last one's update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ...crypto.sums.base import UNITS
from ...errors import BudgetExceeded, DatasetFrozen, PolicyRefused, PrivsdkError, ProtocolViolation
from ...errors.refusals import TooFewLeft
from ...protocol.messages import Message
from ...protocol.roles import Role, checkpoint, collect, during, hear, tell, tell_present
from ..averages import VALUES, Mean, Update
from ..fedavg import NOTHING
from ..models.network import Rows, Vector
from .course import (
    ClientInput,
    CoordinatorInput,
    Course,
    Loop,
    Round,
    RoundModels,
    TrainingResult,
    TrainingStatistics,
    total_rows,
)
from .resuming import CoordinatorState, Kept, client_state, keep, latest_state

STOPPED = "stopped"  # by its caller, in place of the code of a refusal


class Ready(Message, frozen=True, kw_only=True, tag="fl.rounds.Ready"):
    """The client has paid and trained; or `ended` is the code of why it does not. `keeps`: it has a state to keep."""

    number: int
    ended: str = ""
    keeps: bool = False


class Go(Message, frozen=True, kw_only=True, tag="fl.rounds.Go"):
    """Whose updates this round averages; nobody's where it is not held."""

    number: int
    parties: tuple[str, ...]


class Synchronous(Loop):
    """Training in rounds: the loop of most strategies."""

    models = RoundModels()
    measures = True

    def coordinator(self, course: Course, given: CoordinatorInput) -> Role[TrainingResult]:
        return _Coordinator(course, given).role()

    def client(self, course: Course, given: ClientInput) -> Role[Vector]:
        return _Client(course, given).role()


class _Coordinator:
    """The coordinator's half: who is present, and where the training is."""

    def __init__(self, course: Course, given: CoordinatorInput) -> None:
        self._course = course
        self._given = given
        self._present: tuple[str, ...] = ()
        self._at = CoordinatorState({}, TrainingResult(NOTHING), {}, ())

    def role(self) -> Role[TrainingResult]:
        """All of it."""
        yield from self._begin()
        trained, rounds = self._at.trained, self._course.rounds
        for number in range(trained.resumed, rounds):
            yield from checkpoint(f"round {number + 1}", number, rounds, trained.figures)
            if self._given.stop_requested():
                trained.ended = f"stopped by its caller after round {number}"
                break
            if number and self._course.measured and number % self._course.measured == 0:
                yield from self._measure(number)
            taking = yield from self._agree(number)
            if trained.ended:
                break
            yield from self._hold(number, taking)
        number = len(trained.rounds)
        yield from checkpoint("the final model", number, rounds, trained.figures)
        if self._course.measured:
            yield from self._measure(number)
        last, known = self._at.state["weights"], bool(self._course.measured)
        trained.best, trained.weights = self._at.best.instead_of(number, last, known=known)
        yield from tell_present(self._messages(number, self._present, trained.weights, last=True))
        return trained

    def _begin(self) -> Role[None]:
        """Sum the training statistics, and tell everyone them and the round that all can go on from."""
        course = self._course
        sums, present, lost = yield from self._given.collect_statistics()
        kept, gone = yield from collect(present, Kept, within_s=course.deadline_s)
        self._present = tuple(kept)
        self._at = latest_state(course, self._given.checkpoints, kept, sums, present)
        self._lose(0, self._at.away(self._present))
        self._lose(0, {**lost, **gone})
        self._require(self._present)
        total_rows(sums)
        table = pa.table([pa.array(self._at.trained.statistics)], schema=UNITS)
        statistics = TrainingStatistics(first=self._at.trained.resumed, table=table)
        yield from tell_present(dict.fromkeys(self._present, statistics))

    def _agree(self, number: int) -> Role[tuple[str, ...]]:
        """Draw a round's clients, send them the model, and agree on whose updates are averaged: who paid and trained.

        Nobody's where the budget of one has ended, which ends the training.
        """
        trained, chosen = self._at.trained, self._course.drawn(number, self._present)
        weights, extra = self._at.state["weights"], self._course.strategy.broadcast(self._at.state)
        values = np.concatenate([weights, extra]) if len(extra) else weights
        gone = yield from tell_present(self._messages(number, chosen, values))
        self._lose(number + 1, gone)
        asked = [party for party in chosen if party not in gone]
        ready, late = yield from collect(asked, Ready, within_s=self._course.deadline_s)
        unfit = {
            party: ProtocolViolation(f"{party} is ready for round {message.number + 1} in round {number + 1}")
            for party, message in ready.items()
            if message.number != number
        }
        self._lose(number + 1, {**late, **unfit})
        taking = tuple(party for party in chosen if party in self._present)
        ended = [party for party in taking if ready[party].ended]
        if any(ready[party].ended == STOPPED for party in ended):
            trained.ended = f"stopped by its caller after round {number}"
            taking = ()
        elif ended:
            trained.ended = f"the budget of {' and '.join(ended)} ended before round {number + 1}"
            taking = ()
        else:
            self._require(taking)
        self._at.keeping |= {party: number + 1 for party in taking if ready[party].keeps}
        go = Go(number=number, parties=taking)
        self._lose(number + 1, (yield from tell_present(dict.fromkeys(asked, go))))
        return taking

    def _hold(self, number: int, taking: Sequence[str]) -> Role[None]:
        """Average the updates of a round, let the strategy step, and keep what came of it."""
        course, clients, name = self._course, len(self._given.clients), f"round {number + 1}"
        length = course.strategy.parts * course.network.size
        averages = self._given.averages.collect(name, taking, length, course.strategy.combine)
        mean = yield from during(name, averages)
        self._lose(number + 1, mean.lost)
        self._require(mean.parties)
        if not course.private and not course.measured:
            self._at.best.offer(number, mean.loss, mean.parties, self._at.state["weights"])
        self._at.state = course.strategy.step(self._at.state, mean.vector, len(mean.parties) / clients)
        whole = course.whole(int(self._at.trained.statistics[0]), clients)
        self._at.trained.rounds.append(_line(course, number, mean, whole))
        self._given.checkpoints.save(number + 1, self._at.saved())

    def _measure(self, number: int) -> Role[None]:
        """The mean loss of the model on all held-out rows, after so many rounds."""
        weights, name = self._at.state["weights"], f"the held-out loss after round {number}"
        asked = self._present
        self._lose(number, (yield from tell_present(self._messages(number, asked, weights, measured=True))))
        taken = self._given.averages.collect(name, asked, 0, self._course.strategy.combine)
        mean = yield from during(name, taken)
        self._lose(number, mean.lost)
        self._require(mean.parties)
        if math.isfinite(mean.loss):
            self._at.best.offer(number, mean.loss, mean.parties, weights)
            if number:
                self._at.trained.rounds[number - 1]["held_out_loss"] = mean.loss

    def _lose(self, number: int, lost: Mapping[str, PrivsdkError]) -> None:
        """Leave these out from now on."""
        self._at.trained.lost |= {party: (number, error) for party, error in lost.items()}
        self._present = tuple(party for party in self._present if party not in lost)

    def _require(self, taking: Sequence[str]) -> None:
        """Raise unless a round has enough clients."""
        trained = self._at.trained
        lost = {party: error for party, (_, error) in trained.lost.items() if party not in self._present}
        self._course.require(taking, f"round {len(trained.rounds) + 1}", lost)

    def _messages(
        self, number: int, chosen: Sequence[str], values: Vector, *, last: bool = False, measured: bool = False
    ) -> dict[str, Message]:
        """These values for those who are chosen; to the others, that it goes on."""
        parties, tables = tuple(chosen), (pa.table([pa.array(each)], schema=VALUES) for each in (values, NOTHING))
        drawn, others = (
            Round(number=number, parties=parties, last=last, measured=measured, table=table) for table in tables
        )
        return {party: drawn if party in chosen else others for party in self._present}


class _Client:
    """A client's half: its rows, and what its strategy keeps."""

    def __init__(self, course: Course, given: ClientInput) -> None:
        self._course = course
        self._given = given
        self._total = 0  # rows of all clients
        self._kept = NOTHING
        self._expected = 0  # the round that comes next
        self._measured = 0  # models

    def role(self) -> Role[Vector]:
        """All of it."""
        course, given = self._course, self._given
        rows = yield from self._begin()
        while True:
            message = yield from hear(given.coordinator, Round)
            self._check_order(message)
            name = f"round {message.number + 1}"
            if given.me not in message.parties:
                yield from checkpoint(name, message.number, course.rounds, {})
                continue
            model = course.model_in(message, given.coordinator)
            if message.last:
                return model[0]
            given.look(message.number, model[0])
            if message.measured:
                yield from self._measure(message, model[0], rows)
                continue
            yield from checkpoint(name, message.number, course.rounds, {})
            ended = STOPPED if given.stop_requested() else _paid(given.pay)
            if ended:
                yield from tell(given.coordinator, Ready(number=message.number, ended=ended))
                yield from hear(given.coordinator, Go)
                self._expected = message.number  # it is not held
            else:
                yield from self._take_part(message, model, rows)

    def _begin(self) -> Role[Rows]:
        """Add to the training statistics, and prepare the rows by their sums; then go on where the coordinator does."""
        given = self._given
        yield from given.add_statistics()
        copies = None if given.copy is None else given.copy.numbers()
        yield from tell(given.coordinator, Kept(numbers=given.checkpoints.numbers(), copies=copies))
        heard = yield from hear(given.coordinator, TrainingStatistics)
        statistics = heard.table.column("units").to_numpy()
        rows = given.prepared.rows(statistics)
        self._kept = client_state(given.checkpoints, heard.first)
        self._expected, self._total = heard.first, int(statistics[0])
        return rows

    def _check_order(self, message: Round) -> None:
        """Raise ProtocolViolation for a round that was held already."""
        if message.number < self._expected:
            raise ProtocolViolation(
                f"{self._given.coordinator} sent round {message.number + 1} after round {self._expected}"
            )
        self._expected = message.number if message.last or message.measured else message.number + 1

    def _measure(self, message: Round, weights: Vector, rows: Rows) -> Role[None]:
        """Contribute a model's loss on its held-out rows, counted by its training rows: all hold out the same share."""
        course, given, name = self._course, self._given, f"the held-out loss after round {message.number}"
        self._measured += 1
        if not course.measured or self._measured > course.rounds // course.measured + 1:
            raise ProtocolViolation(f"{given.coordinator} asked for {name}, which is one more than was agreed")
        loss = given.held_out_loss(weights)
        weight = 0.0 if loss is None else self._weight(rows)
        update = Update(NOTHING, weight, loss or 0.0)
        yield from during(name, given.averages.contribute(name, message.parties, update))

    def _weight(self, rows: Rows) -> float:
        """Its share of all clients."""
        return self._course.counted(len(rows)) / self._course.whole(self._total, len(self._given.clients))

    def _take_part(self, message: Round, model: tuple[Vector, Vector], rows: Rows) -> Role[None]:
        """Train, and contribute the update unless the round goes on without it."""
        course, given, number = self._course, self._given, message.number
        name = f"round {number + 1}"
        loss = 0.0 if course.private else course.network.loss(model[0], rows)
        local = yield from during(name, given.local(course, rows, model, number, self._kept))
        yield from tell(given.coordinator, Ready(number=number, keeps=bool(len(local.kept))))
        go = yield from hear(given.coordinator, Go)
        if go.number != number or not set(go.parties) <= set(message.parties) <= set(given.clients):
            raise ProtocolViolation(
                f"{given.coordinator} sent no end to {name}, or one of others than it was begun with"
            )
        if given.me not in go.parties:
            self._expected = number  # it is not held
            return
        self._kept = local.kept
        if len(self._kept):  # before anything of it leaves: the coordinator may go on from what comes of it
            keep(given.checkpoints, number + 1, self._kept)
        update = Update(local.update, self._weight(rows), loss)
        try:
            yield from during(name, given.averages.contribute(name, go.parties, update))
        except PolicyRefused as refused:
            if isinstance(refused.detail, TooFewLeft):  # also those that were lost before this sum began
                missing = (party for party in given.clients if party not in go.parties)
                named = tuple(dict.fromkeys((*missing, *refused.detail.missing)))
                raise PolicyRefused(msgspec.structs.replace(refused.detail, missing=named)) from None
            raise


def _paid(pay: Callable[[], None]) -> str:
    """Pay for a round; the code of why it cannot be paid, else ""."""
    try:
        pay()
    except (BudgetExceeded, DatasetFrozen) as refusal:
        return refusal.code
    return ""


def _line(course: Course, number: int, mean: Mean, whole: float) -> dict[str, Any]:
    """Of the history."""
    line: dict[str, Any] = {"round": number + 1, "clients": len(mean.parties)}
    line["loss"] = None if course.private else mean.loss
    rows = {"rows": round(mean.weight * whole)} if course.by_rows else {}
    return line | rows | ({"update_bytes": dict(mean.sizes)} if mean.sizes else {})
