"""FedBuff: clients train without waiting for each other, the model moves whenever K of their updates have come.

Paper: J. Nguyen, K. Malik, H. Zhan, A. Yousefpour, M. Rabbat, M. Malek, D. Huba, "Federated Learning with Buffered
Asynchronous Aggregation", AISTATS 2022, algorithms 1 and 2; staleness as in C. Xie, S. Koyejo, I. Gupta, "Asynchronous
Federated Optimization", 2019, with exponent 1/2.

    coordinator                                   client i
    <== sum over the clients of their facts, as in `rounds`
    --- Facts: the sums --------------------->    prepares its rows by them
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
final one, and of those how long the others took; an onlooker who is how fast. Updates are seen one by one, because no
sum can be agreed on by clients when nobody knows who will be in it (the paper leaves that to an enclave). Collusion:
the coordinator alone sees all of it. Cost: K times `rounds` updates and as many models, in the worst case all of them
one client's: so many are paid for, and no client sends more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
import pyarrow as pa

from ...crypto.sums.base import UNITS, Integers, Sum
from ...errors import InvalidArgument, PeerGone, PrivsdkError, ProtocolViolation
from ...protocol.role_input import UNGUARDED
from ...protocol.roles import Role, checkpoint, hear, tell_present
from ..averages import VALUES, Each, Update
from ..models.network import Vector
from ..models.training import Pull, Task, Trainer
from ..rounds import FACTS, LARGEST_FACT, Course, Facts, Prepared, Round, Trained
from .base import Averaging, Given, Local, State


class FedBuff(Averaging, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedBuff"):
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

    def local(self, given: Given) -> Role[Local]:
        """Train, and send what it changed."""
        weights = yield from given.train(Pull())
        return Local(weights - given.start)

    def step(self, state: State, average: Vector, share: float) -> State:
        """Move by the buffer's mean."""
        return {"weights": state["weights"] + np.float32(self.eta_g) * average}

    def scale(self, tau: int) -> float:
        """What an update counts for that many steps after its start."""
        return 1 / math.sqrt(1 + tau)


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

    def told(self, number: int, rows: int) -> dict[str, Any]:
        """The step's line of the history."""
        shares = {party: update.weight for party, update, _ in self.taken}
        return {
            "round": number,
            "clients": len(shares),
            "rows": round(sum(shares.values()) * rows),
            "loss": float(np.mean([update.loss for _, update, _ in self.taken])),
            "staleness": float(np.mean([tau for _, _, tau in self.taken])),
            "update_bytes": self.sizes,
        }


def coordinator(
    course: Course,
    algorithm: FedBuff,
    *,
    clients: Sequence[str],
    facts: int,
    sum_: Sum,
    averages: Each,
    stopping: Callable[[], bool] = UNGUARDED.stop_requested,
) -> Role[Trained]:
    """The coordinator's role; `facts` is how many of them there are."""
    yield from sum_.set_up()
    sums, present, lost = yield from sum_.collect(FACTS, tuple(clients), facts, LARGEST_FACT)
    trained = Trained(np.zeros(0, np.float32), lost={party: (0, error) for party, error in lost.items()})
    trained.facts = sums
    waiting = _Waiting(course, trained, list(present))
    if sums[0] < 1:
        raise ProtocolViolation("the clients' numbers of rows do not add up to a positive number")
    waiting.without((yield from tell_present(dict.fromkeys(present, Facts(first=0, table=_units(sums))))))
    t, state = 0, course.strategy.begin(course.network.initial(course.seed))
    yield from waiting.train(tuple(waiting.present), t, state["weights"])
    buffer = _Buffer(course.network.size)
    while t < course.rounds:
        yield from checkpoint(f"step {t + 1}", t, course.rounds, trained.figures)
        if stopping():
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
            buffer.add(party, update, tau, algorithm.scale(tau), arrived.sizes[party])
        if len(buffer.taken) == algorithm.K:
            average = (buffer.total / algorithm.K).astype(np.float32)
            state = course.strategy.step(state, average, len(buffer.sizes) / len(clients))
            t += 1
            trained.rounds.append(buffer.told(t, int(sums[0])))
            buffer = _Buffer(course.network.size)
        if t < course.rounds:
            yield from waiting.train(tuple(arrived.updates), t, state["weights"])
    yield from waiting.finish(state["weights"], averages)
    trained.weights = state["weights"]
    return trained


class _Waiting:
    """Whom the coordinator waits for: who is present, and who trains from which step's model, the longest first."""

    def __init__(self, course: Course, trained: Trained, present: list[str]) -> None:
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
        if len(self.present) < self._course.fewest:
            why = "; ".join(f"{party}: {error.message}" for party, (_, error) in self._trained.lost.items())
            raise PeerGone(
                f"{len(self.present)} clients are left in step {len(self._trained.rounds) + 1}, and "
                f"{self._course.fewest} are asked for ({why})",
                hint="fit again without those that were lost, or allow fewer clients",
            )

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


def client(
    course: Course,
    algorithm: FedBuff,
    prepared: Prepared,
    *,
    me: str,
    clients: Sequence[str],
    coordinator: str,
    sum_: Sum,
    averages: Each,
    train: Trainer,
    pay: Callable[[], None] = UNGUARDED.pay,
    look: Callable[[int, Vector], None] = lambda number, weights: None,
) -> Role[Vector]:
    """A client's role; returns the final model. Every update is paid for before it is made."""
    yield from sum_.set_up()
    yield from sum_.contribute(FACTS, clients, prepared.facts(), LARGEST_FACT)
    facts: Integers = (yield from hear(coordinator, Facts)).table.column("units").to_numpy()
    rows = prepared.rows(facts)
    schedule, kept = course.schedule, np.zeros(0, np.float32)
    t, count, most = 0, 0, course.rounds * algorithm.K  # what is paid for
    while True:
        message = yield from hear(coordinator, Round)
        start: Vector = message.table.column("value").to_numpy()
        if message.number < t or len(start) != course.network.size or not np.isfinite(start).all():
            raise ProtocolViolation(f"{coordinator} sent a model that does not fit step {message.number}")
        look(message.number, start)
        if message.last:
            return start
        count += 1
        if count > most:
            raise ProtocolViolation(f"{coordinator} asked for more than the {most} updates of all steps together")
        t = message.number
        yield from checkpoint(f"update {count}", t, course.rounds, {})
        pay()
        loss = course.network.loss(start, rows)

        def trained(pull: Pull, start: Vector = start, count: int = count) -> Role[Vector]:
            rng = np.random.default_rng([course.seed, clients.index(me), count])
            return (yield from train(Task(course.network, start, rows, schedule, rng, pull)))

        nothing = np.zeros(0, np.float32)
        given = Given(start, nothing, trained, schedule.count(len(rows)), schedule.learning_rate, kept)
        local = yield from course.strategy.local(given)
        kept = local.kept
        weight = len(rows) / float(facts[0])
        yield from averages.contribute(f"update {count}", clients, Update(local.update, weight, loss))


def _units(sums: Integers) -> pa.Table:
    return pa.table([pa.array(sums)], schema=UNITS)
