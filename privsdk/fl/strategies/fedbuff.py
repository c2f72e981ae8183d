"""FedBuff: clients train without waiting for each other, the model moves whenever K of their updates have come.

Paper: J. Nguyen, K. Malik, H. Zhan, A. Yousefpour, M. Rabbat, M. Malek, D. Huba, "Federated Learning with Buffered
Asynchronous Aggregation", AISTATS 2022, algorithms 1 and 2; staleness as in C. Xie, S. Koyejo, I. Gupta, "Asynchronous
Federated Optimization", 2019, with exponent 1/2.

    coordinator                                   client i
    <== sum over the clients of their training statistics
    --- TrainingStatistics ------------------>    prepares its rows by them
    --- Round t: w_t ------------------------>    y = local gradient descent from w_t
    <-- Delta_i = y - w_t ------------------------
    buffer = buffer + Delta_i / sqrt(1 + tau),  tau = steps since w_t
    after every K: w = w + eta_g buffer / K, buffer = 0
    --- Round t': w_t' ---------------------->    and so on, until the last step:
    --- Round: the final model -------------->    evaluates it; what it was training is sent and dropped

A round is one step of the coordinator. In the history it tells how many clients were in its buffer, their rows, the
mean of the losses before their training, and the mean staleness. A client may be in a buffer more than once. Over links
the order of updates is the real one, so a run cannot be repeated; in one thread it can.

A client that is slow is waited for by nobody; one that is lost or sends what does not fit is named, and the others go
on if enough are left. Only where nobody sends anything until the deadline does the run end, and clients that have not
sent their last update by then are named as lost too.

Learns: the coordinator every client's update, and when it came; the clients the models that they train from and the
final one, and of those how long the others took; an eavesdropper how fast each client is. Updates are seen one by one,
because no sum can be agreed on by clients when nobody knows who will be in it (the paper leaves that to an enclave).
Collusion: the coordinator alone sees all of it. Cost: K times `rounds` updates and as many models, in the worst case
all of them one client's: so many are paid for, and no client sends more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ...crypto.sums.base import UNITS
from ...errors import InvalidArgument, PeerGone, PrivsdkError, ProtocolViolation
from ...governance.learns import Knowledge
from ...protocol.roles import Role, checkpoint, hear, tell_present
from ..averages import VALUES, Each, Update
from ..fedavg import NOTHING, FedAvg, State
from ..loops.course import (
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
from ..models.network import Vector


class FedBuff(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedBuff"):
    """Buffered asynchronous averaging.

    Parameters
    ----------
    K : int
        Updates that a step is made of; of few clients, fewer than all, or nobody is ahead of the slowest.
    eta_g : float
        The server's rate.
    """

    K: int = 2
    eta_g: float = 1.0
    by_rows: ClassVar[bool] = False
    each: ClassVar[str] = "each update is scaled by its own age, and nobody knows beforehand who will be in a sum"

    def __post_init__(self) -> None:
        if self.K < 1:
            raise InvalidArgument(f"a buffer of {self.K} updates", hint="give K of 1 or more")
        if not 0 < self.eta_g < math.inf:
            raise InvalidArgument(f"eta_g is {self.eta_g}", hint="give a positive number; 1 is usual")

    @property
    def loop(self) -> Asynchronous:
        """A step with every K updates."""
        return Asynchronous(updates=self.K, scale=self.scale)

    def step(self, state: State, average: Vector, share: float) -> State:
        """Move by the buffer's mean."""
        return {"weights": state["weights"] + np.float32(self.eta_g) * average}

    def scale(self, tau: int) -> float:
        """What an update counts for that many steps after its start."""
        return 1 / math.sqrt(1 + tau)


class ClientSpeeds(Knowledge, frozen=True):
    template = "how fast each client is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asynchronous(Loop):
    """A step with every so many `updates`, each of which counts for what `scale` makes of its staleness."""

    updates: int
    scale: Callable[[int], float]
    models = RoundModels(asynchronous=True)
    timing = (ClientSpeeds(),)
    draw_refused = "has no rounds to draw clients for: all of them train all the time, and nobody waits"
    name_refused = "cannot go on where it was interrupted: who trained from which model is not kept"
    privacy_refused = "tells how fast each client is and what its losses are: it has no private form here"

    def coordinator(self, course: Course, given: CoordinatorInput) -> Role[TrainingResult]:
        averages = given.averages
        if not isinstance(averages, Each):
            raise InvalidArgument(
                "asynchronous training takes updates one by one, and not through a sum", hint='use aggregation="clear"'
            )
        sums, present, lost = yield from given.collect_statistics()
        trained = TrainingResult(NOTHING, lost={party: (0, error) for party, error in lost.items()}, statistics=sums)
        waiting = _Waiting(course, trained, list(present))
        rows = total_rows(sums)
        statistics = TrainingStatistics(first=0, table=pa.table([pa.array(sums)], schema=UNITS))
        waiting.without((yield from tell_present(dict.fromkeys(present, statistics))))
        t, state = 0, course.strategy.begin(course.network.initial(course.seed))
        yield from waiting.train(tuple(waiting.present), t, state["weights"])
        buffer = _Buffer(course.network.size)
        while t < course.rounds:
            yield from checkpoint(f"step {t + 1}", t, course.rounds, trained.figures)
            if given.stop_requested():
                trained.ended = f"stopped by its caller after step {t}"
                break
            arrived = yield from averages.first(waiting.names(), course.network.size)
            if not (arrived.updates or arrived.lost):
                raise PeerGone(
                    f"no client sent an update in time (waited for {', '.join(waiting.since)})",
                    hint="allow a longer deadline_s, or shorter local training",
                )
            waiting.without(arrived.lost)
            for party, update in arrived.updates.items():
                tau = t - waiting.since.pop(party)
                buffer.add(party, update, tau, self.scale(tau), arrived.sizes[party])
            if len(buffer.taken) == self.updates:
                average = (buffer.total / self.updates).astype(np.float32)
                state = course.strategy.step(state, average, len(buffer.sizes) / len(given.clients))
                t += 1
                trained.rounds.append(buffer.line(t, rows))
                buffer = _Buffer(course.network.size)
            if t < course.rounds:
                yield from waiting.train(tuple(arrived.updates), t, state["weights"])
        yield from waiting.finish(state["weights"], averages)
        trained.best, trained.weights = t, state["weights"]
        return trained

    def client(self, course: Course, given: ClientInput) -> Role[Vector]:
        """A client's half; returns the final model. Every update is paid for before it is made."""
        yield from given.add_statistics()
        statistics = (yield from hear(given.coordinator, TrainingStatistics)).table.column("units").to_numpy()
        rows = given.prepared.rows(statistics)
        kept, t, count, most = NOTHING, 0, 0, course.rounds * self.updates  # that are paid for
        while True:
            message = yield from hear(given.coordinator, Round)
            start: Vector = message.table.column("value").to_numpy()
            if message.number < t or len(start) != course.network.size or not np.isfinite(start).all():
                raise ProtocolViolation(f"{given.coordinator} sent a model that does not fit step {message.number}")
            given.look(message.number, start)
            if message.last:
                return start
            count += 1
            if count > most:
                raise ProtocolViolation(
                    f"{given.coordinator} asked for more than the {most} updates of all steps together"
                )
            t = message.number
            name = f"update {count}"
            yield from checkpoint(name, t, course.rounds, {})
            given.pay()
            loss = course.network.loss(start, rows)
            local = yield from given.local(course, rows, (start, NOTHING), count, kept)
            kept = local.kept
            update = Update(local.update, len(rows) / float(statistics[0]), loss)
            yield from given.averages.contribute(name, given.clients, update)


class _Buffer:
    """Updates since the last step."""

    def __init__(self, length: int) -> None:
        self.total = np.zeros(length)
        self.taken: list[tuple[str, Update, int]] = []
        self.sizes: dict[str, int] = {}

    def add(self, party: str, update: Update, tau: int, scale: float, size: int) -> None:
        """Take in one."""
        self.total += scale * update.vector.astype(np.float64)
        self.taken.append((party, update, tau))
        self.sizes[party] = self.sizes.get(party, 0) + size

    def line(self, number: int, rows: int) -> dict[str, Any]:
        """A step's line of the history."""
        shares = {party: update.weight for party, update, _ in self.taken}
        return {
            "round": number,
            "clients": len(shares),
            "rows": round(sum(shares.values()) * rows),
            "loss": float(np.mean([update.loss for _, update, _ in self.taken])),
            "staleness": float(np.mean([tau for _, _, tau in self.taken])),
            "update_bytes": self.sizes,
        }


class _Waiting:
    """Whom the coordinator waits for: who is present, and who trains from which step's model, the longest first."""

    def __init__(self, course: Course, trained: TrainingResult, present: list[str]) -> None:
        self.present = present
        self.since: dict[str, int] = {}
        self._course = course
        self._trained = trained
        self._sent: dict[str, int] = dict.fromkeys(present, 0)
        self.without({})

    def names(self) -> dict[str, str]:
        """Of the update that is due from each that trains."""
        return {party: f"update {self._sent[party]}" for party in self.since}

    def without(self, lost: dict[str, PrivsdkError]) -> None:
        """Go on without these; raises PeerGone where too few are left."""
        for party, error in lost.items():
            self._trained.lost[party] = (len(self._trained.rounds) + 1, error)
            self.since.pop(party, None)
        self.present = [party for party in self.present if party not in lost]
        why = {party: error for party, (_, error) in self._trained.lost.items()}
        self._course.require(self.present, f"step {len(self._trained.rounds) + 1}", why)

    def train(self, parties: Sequence[str], t: int, weights: Vector) -> Role[None]:
        """Have these train from the model of step t, behind all who train already."""
        table = pa.table([pa.array(weights)], schema=VALUES)
        for party in parties:
            self.since[party] = t
            self._sent[party] += 1
        messages = {party: Round(number=t, parties=(party,), last=False, table=table) for party in parties}
        self.without((yield from tell_present(messages)))

    def finish(self, weights: Vector, averages: Each) -> Role[None]:
        """Tell everyone the final model, and hear those out who still train."""
        final = Round(
            number=len(self._trained.rounds),  # of which there are fewer where it was stopped
            parties=tuple(self.present),
            last=True,
            table=pa.table([pa.array(weights)], schema=VALUES),
        )
        self.without((yield from tell_present(dict.fromkeys(self.present, final))))
        self.without((yield from averages.drop(tuple(self.since))))
