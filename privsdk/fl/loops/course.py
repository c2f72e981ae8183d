"""A training as all of its parties know it, what each half of it is given, and the seam to its loop.

A loop is when clients train and when the model moves: in rounds (`rounds`), or whenever enough updates have come
(`strategies.fedbuff`). Both halves of a loop are roles; what they share with other loops is
here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from ...crypto.sums.base import UNITS, Integers, Sum, Totals, within
from ...errors import PeerGone, PrivsdkError, ProtocolViolation
from ...governance.learns import Knowledge
from ...protocol.messages import Message
from ...protocol.roles import Role
from ...protocol.services import UNGUARDED, Checkpoints, NoCheckpoints
from ..averages import VALUES, Averages
from ..compression.base import Compression, with_feedback
from ..fedavg import FedAvg, LocalInput, LocalUpdate
from ..models.network import Network, Rows, Vector
from ..models.training import Pull, Schedule, Task, Trainer
from ..preparation import LARGEST_STATISTIC, Preparation

STATISTICS = "facts"  # the name of their sum, which travels and enters its masks
LARGEST_WEIGHT = float(np.finfo(np.float32).max)  # any that is finite


class TrainingStatistics(Message, frozen=True, kw_only=True, tag="fl.rounds.Facts"):
    """What all clients' rows add up to, and the round that training begins or goes on with."""

    SCHEMA = UNITS
    MAX_BYTES = 16 << 20
    first: int
    table: pa.Table


class Round(Message, frozen=True, kw_only=True, tag="fl.rounds.Round"):
    """The model before a round, and what the strategy sends with it; or, `last`, the final model; or one to be
    `measured` on held-out rows.

    A client that was not drawn for it gets no model: it hears that the training goes on.
    """

    SCHEMA = VALUES
    MAX_BYTES = 1 << 30
    number: int
    parties: tuple[str, ...]
    last: bool
    measured: bool = False
    table: pa.Table


class FinalModel(Knowledge, frozen=True):
    noisy: bool = False

    def __str__(self) -> str:
        return f"the final {'noisy ' if self.noisy else ''}model"


class RoundModels(Knowledge, frozen=True):
    """The models that clients train from."""

    noisy: bool = False
    asynchronous: bool = False

    def implies(self, other: Knowledge) -> bool:
        return other == FinalModel(noisy=self.noisy)

    def __str__(self) -> str:
        if self.asynchronous:
            return "the models that they train from and the final one"
        return f"the {'noisy' if self.noisy else 'averaged'} model of each round and who is in it"


class Course(NamedTuple):
    """What all parties of a training have in common.

    `fewest` is the number of clients a round needs; `participation` the share of those present that is drawn for each;
    `deadline_s` how long the coordinator waits for the clients of a round. In a `private` one clients count equally,
    and tell neither losses nor numbers of rows: their statistics are constants. Of `compression` the half is here that
    keeps what is left out of updates. `measured` is after how many rounds the loss on held-out rows is; 0 for never.
    """

    network: Network
    strategy: FedAvg
    schedule: Schedule
    rounds: int
    seed: int
    fewest: int
    participation: float = 1.0
    deadline_s: float = math.inf
    private: bool = False
    compression: Compression | None = None
    measured: int = 0

    @property
    def by_rows(self) -> bool:
        """Whether clients count by their rows."""
        return self.strategy.by_rows and not self.private

    def counted(self, rows: int) -> float:
        """For how much a client of so many rows counts: the rows it goes through in epochs, or those of one step.

        A step's update is a mean over its rows, so for one local step the sum over clients is that of all these rows'
        gradients, whatever the clients' shares; other weights would let a solver take the shares apart.
        """
        if not self.by_rows:
            return 1.0
        return float(rows if self.schedule.epochs else self.schedule.batch(rows))

    def whole(self, total: int, clients: int) -> float:
        """The most that all clients' counts add up to, from what everyone knows."""
        if not self.by_rows:
            return float(clients)
        stepwise = self.schedule.batch_size and not self.schedule.epochs
        return float(min(total, self.schedule.batch_size * clients) if stepwise else total)

    def drawn(self, number: int, present: tuple[str, ...]) -> tuple[str, ...]:
        """A round's clients, by the public seed: max(fewest, share of those present), as in FedAvg's algorithm 1."""
        if self.participation >= 1:
            return present
        count = min(len(present), max(self.fewest, round(self.participation * len(present))))
        rng = np.random.default_rng([self.seed, 1 << 32, number])
        return tuple(present[i] for i in sorted(rng.choice(len(present), count, replace=False)))

    def require(self, taking: Sequence[str], where: str, lost: Mapping[str, PrivsdkError]) -> None:
        """Raise PeerGone unless a round, or whatever is named, has enough clients left."""
        if len(taking) < self.fewest:
            why = "; ".join(f"{party}: {error.message}" for party, error in lost.items())
            named = f" ({why})" if why else ""
            raise PeerGone(
                f"{len(taking)} clients are left in {where}, and {self.fewest} are asked for{named}",
                hint="fit again without those that were lost, or allow fewer clients",
            )

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        """A client's half of a round, in which compression has its part where it keeps what it leaves out."""
        if self.compression is None or not self.compression.feedback:
            return self.strategy.local(given)
        return with_feedback(self.strategy.local, self.compression, given, self.strategy.parts * len(given.start))

    def model_in(self, message: Round, sender: str) -> tuple[Vector, Vector]:
        """The weights, and what the strategy sent with them."""
        values: Vector = message.table.column("value").to_numpy()
        size = self.network.size
        if len(values) < size or not within(values, LARGEST_WEIGHT):
            raise ProtocolViolation(f"{sender} sent a model that does not fit round {message.number + 1}")
        return values[:size], values[size:]


@dataclass(slots=True)
class TrainingResult:
    """What the coordinator ends with.

    Attributes
    ----------
    weights : those that it ends with
    best : the rounds behind them
    rounds : a line of the history for each
    lost : who was lost in which round (0: before the first) and why
    statistics : what all clients' training rows add up to
    ended : why it has fewer rounds than it was asked for; "" where it has not
    resumed : the round after which this run went on
    """

    weights: Vector
    best: int = 0
    rounds: list[dict[str, Any]] = field(default_factory=list)
    lost: dict[str, tuple[int, PrivsdkError]] = field(default_factory=dict)
    statistics: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    ended: str = ""
    resumed: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """Of the last round, for those who watch."""
        loss = self.rounds[-1]["loss"] if self.rounds else None
        return {} if loss is None else {"loss": loss}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorInput:
    """What a coordinator's half works with.

    Attributes
    ----------
    statistics : how many numbers the training statistics are
    stop_requested : whether its caller asks for the model that there is
    """

    clients: tuple[str, ...]
    statistics: int
    sum_: Sum
    averages: Averages
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    stop_requested: Callable[[], bool] = UNGUARDED.stop_requested

    def collect_statistics(self) -> Role[Totals]:
        """What all clients' rows add up to, after keys are agreed on."""
        yield from self.sum_.set_up()
        return (yield from self.sum_.collect(STATISTICS, self.clients, self.statistics, LARGEST_STATISTIC))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInput:
    """What a client's half works with.

    Attributes
    ----------
    look : called with the number of rounds behind it and every global model but the final one that the client gets
    held_out_loss : that of a model on its held-out rows; None where these are too few to tell
    copy, stop_requested : of a client that coordinates by itself: what its coordinator's half kept, and whether its
        caller asks for the model that there is. All such halves have to go the same way: they learn of both from what
        clients tell all
    """

    prepared: Preparation
    me: str
    clients: tuple[str, ...]
    coordinator: str
    sum_: Sum
    averages: Averages
    train: Trainer
    pay: Callable[[], None] = UNGUARDED.pay
    look: Callable[[int, Vector], None] = lambda number, weights: None
    held_out_loss: Callable[[Vector], float | None] = lambda weights: None
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    copy: Checkpoints | None = None
    stop_requested: Callable[[], bool] = UNGUARDED.stop_requested

    def add_statistics(self) -> Role[None]:
        """Agree on keys, and add what its rows add up to."""
        yield from self.sum_.set_up()
        yield from self.sum_.contribute(STATISTICS, self.clients, self.prepared.statistics(), LARGEST_STATISTIC)

    def local(
        self, course: Course, rows: Rows, model: tuple[Vector, Vector], number: int, kept: Vector
    ) -> Role[LocalUpdate]:
        """The client's half of a round: batches are drawn by the seed, the client and the round."""

        def train(pull: Pull) -> Role[Vector]:
            rng = np.random.default_rng([course.seed, self.clients.index(self.me), number])
            return (yield from self.train(Task(course.network, model[0], rows, course.schedule, rng, pull)))

        schedule = course.schedule
        given = LocalInput(*model, train, schedule.count(len(rows)), schedule.learning_rate, kept)
        return course.local(given)


class Loop(ABC):
    """When clients train and when the model moves, for both halves of a training.

    Attributes
    ----------
    updates : the most updates of one client that a round takes: so many are paid for
    models : which models clients see, and whether they see who is in them
    timing : what the times of messages tell of each client
    measures : whether it measures the loss on held-out rows, where models on the way are evaluated
    draw_refused, name_refused, privacy_refused : why it cannot draw clients, go on under a name where it was
        interrupted, or be private; "" where it can
    """

    updates: int = 1
    models: ClassVar[Knowledge]
    timing: ClassVar[tuple[Knowledge, ...]] = ()
    measures: ClassVar[bool] = False
    draw_refused: ClassVar[str] = ""
    name_refused: ClassVar[str] = ""
    privacy_refused: ClassVar[str] = ""

    @abstractmethod
    def coordinator(self, course: Course, given: CoordinatorInput) -> Role[TrainingResult]:
        """The coordinator's half."""

    @abstractmethod
    def client(self, course: Course, given: ClientInput) -> Role[Vector]:
        """A client's half; returns the final model."""


def total_rows(statistics: Integers) -> int:
    """Of all clients; raises ProtocolViolation where there are none."""
    if statistics[0] < 1:
        raise ProtocolViolation("the clients' numbers of rows do not add up to a positive number")
    return int(statistics[0])
