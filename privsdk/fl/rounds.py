"""Rounds of training: a coordinator, its clients, and a strategy between them.

    coordinator                                   client k
    <== sum over the clients of their facts: numbers of rows, sums of features
    <-- Kept: which rounds it could go on from ---
    --- Facts: the sums, the first round ---->    prepares its rows by them
    for each round t:
    --- Round: w_t, who is drawn for it ----->    pays for the round; then its strategy's half: trains from w_t
    <-- Ready: trained, or its budget has ended --
    --- Go: whose updates are averaged ------>    keeps its own state
    <== mean of the updates, by `averages`
    w_{t+1} = the strategy's step; the coordinator keeps its state
    --- Round: the final model -------------->    evaluates it on its held-out rows

Clients that are lost, stay away past the deadline or send what does not fit are named, stay out until the run ends, and
the round goes on if enough are left. Where the budget of one ends, or the caller would have what there is, all end with
the model of the last round that was paid and held.

A training with a name goes on from the last round that all have in common: every party keeps its own states, nothing of
them travels but their numbers, and keys, masks and noise are made anew in each run. What is drawn in a round comes from
the seed, the client and the round, so that the model is that of a training which was not interrupted, bit for bit
on the same machines, unless noise is added. A round that is held again is paid again: its first release may have left.

Learns: everyone the model after each round, and the facts: the number of training rows in all, and for standardised
features their mean and standard deviation; the coordinator and the caller also the mean loss before each round, and
whose budget ended the training. Whether anyone sees a single client's update is up to `averages` and the sum below it.
A model that is seen tells something about the rows it was trained on; without noise this is not differential privacy.
Collusion: all clients of a round but one, together, know the last one's update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from ..crypto.sums.base import UNITS, Integers, Sum, within
from ..errors import BudgetExceeded, DataError, DatasetFrozen, ErrorRecord, PeerGone, PrivsdkError, ProtocolViolation
from ..protocol.checkpoints import Checkpoints
from ..protocol.checkpoints import State as Saved
from ..protocol.messages import Message
from ..protocol.role_input import UNGUARDED
from ..protocol.roles import Role, checkpoint, collect, during, hear, tell, tell_present
from .averages import VALUES, Averages, Mean, Update
from .models.network import Network, Rows, Vector
from .models.training import Pull, Schedule, Task, Trainer
from .strategies.base import Given, State, Strategy

FACTS = "facts"
LARGEST_FACT = 1 << 61
LARGEST_WEIGHT = float(np.finfo(np.float32).max)  # any that is finite
NOTHING = np.zeros(0, np.float32)
STOPPED = "stopped"  # by its caller, in place of the code of a refusal


class Kept(Message, frozen=True, kw_only=True, tag="fl.rounds.Kept"):
    """The rounds before which a client has a state of its own; `copies`, where it coordinates by itself, too."""

    numbers: tuple[int, ...]
    copies: tuple[int, ...] | None = None


class Facts(Message, frozen=True, kw_only=True, tag="fl.rounds.Facts"):
    """What all clients' rows add up to, and the round that training begins or goes on with."""

    SCHEMA = UNITS
    MAX_BYTES = 16 << 20
    first: int
    table: pa.Table


class Round(Message, frozen=True, kw_only=True, tag="fl.rounds.Round"):
    """The model before a round, and what the strategy sends beside it; or, `last`, the final model.

    A client that was not drawn for it gets no model: it hears that the training goes on.
    """

    SCHEMA = VALUES
    MAX_BYTES = 1 << 30
    number: int
    parties: tuple[str, ...]
    last: bool
    table: pa.Table


class Ready(Message, frozen=True, kw_only=True, tag="fl.rounds.Ready"):
    """The client has paid and trained; or `ended` is the code of why it does not. `keeps`: it has a state to keep."""

    number: int
    ended: str = ""
    keeps: bool = False


class Go(Message, frozen=True, kw_only=True, tag="fl.rounds.Go"):
    """Whose updates this round averages; nobody's where it is not held."""

    number: int
    parties: tuple[str, ...]


class Course(NamedTuple):
    """What all parties of a training have in common.

    `fewest` is the number of clients a round needs; `participation` the share of those present that is drawn for each;
    `deadline_s` how long the coordinator waits for the clients of a round. In a `private` one clients count equally,
    and tell neither losses nor numbers of rows: their facts are constants.
    """

    network: Network
    strategy: Strategy
    schedule: Schedule
    rounds: int
    seed: int
    fewest: int
    participation: float = 1.0
    deadline_s: float = math.inf
    private: bool = False

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


@dataclass(slots=True)
class Trained:
    """What the coordinator ends with.

    Attributes
    ----------
    weights : the final ones
    rounds : what each round told
    lost : who was lost in which round (0: before the first) and why
    facts : what all clients' training rows add up to
    ended : why it has fewer rounds than it was asked for; "" where it has not
    resumed : the round after which this run went on
    """

    weights: Vector
    rounds: list[dict[str, Any]] = field(default_factory=list)
    lost: dict[str, tuple[int, PrivsdkError]] = field(default_factory=dict)
    facts: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    ended: str = ""
    resumed: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """Of the last round, for those who watch."""
        loss = self.rounds[-1]["loss"] if self.rounds else None
        return {} if loss is None else {"loss": loss}


class Prepared(Protocol):
    """A client's rows before and after the facts are known."""

    def facts(self) -> Integers:
        """What its rows add up to: first their number."""

    def rows(self, facts: Integers) -> Rows:
        """Its training rows, prepared by what all add up to."""


def coordinator(
    course: Course,
    *,
    clients: Sequence[str],
    facts: int,
    sum_: Sum,
    averages: Averages,
    checkpoints: Checkpoints,
    stopping: Callable[[], bool] = UNGUARDED.stop_requested,
) -> Role[Trained]:
    """The coordinator's role; `facts` is how many of them there are."""
    yield from sum_.set_up()
    sums, present, lost = yield from sum_.collect(FACTS, tuple(clients), facts, LARGEST_FACT)
    kept, gone = yield from collect(present, Kept, within_s=course.deadline_s)
    going = _going_on(course, checkpoints, kept, sums, present)
    going.lose(0, {**lost, **gone})
    going.require(going.present)
    if sums[0] < 1:
        raise ProtocolViolation("the clients' numbers of rows do not add up to a positive number")
    trained, first, sums = going.trained, going.trained.resumed, going.trained.facts
    message = Facts(first=first, table=pa.table([pa.array(sums)], schema=UNITS))
    yield from tell_present(dict.fromkeys(going.present, message))
    for number in range(first, course.rounds):
        name = f"round {number + 1}"
        yield from checkpoint(name, number, course.rounds, trained.figures)
        if stopping():
            trained.ended = f"stopped by its caller after round {number}"
            break
        taking = yield from _agreed(going, number)
        if trained.ended:
            break
        length = course.strategy.parts * course.network.size
        mean = yield from during(name, averages.collect(name, taking, length, course.strategy.combine))
        going.lose(number + 1, mean.lost)
        going.require(mean.parties)
        going.state = course.strategy.step(going.state, mean.vector, len(mean.parties) / len(clients))
        whole = course.whole(int(sums[0]), len(clients))
        trained.rounds.append(_told(course, number, mean, whole))
        checkpoints.save(number + 1, going.saved())
    yield from checkpoint("the final model", len(trained.rounds), course.rounds, trained.figures)
    yield from tell_present(going.messages(len(trained.rounds), going.present, last=True))
    trained.weights = going.state["weights"]
    return trained


@dataclass(slots=True)
class _Going:
    """A training as the coordinator has it: who is there, the strategy's state, and which states clients went by."""

    course: Course
    state: State
    trained: Trained
    present: tuple[str, ...]
    keeping: dict[str, int]  # by client, the number of the last state of its own
    counted: tuple[str, ...]  # whose rows are in the facts

    def lose(self, number: int, lost: Mapping[str, PrivsdkError]) -> None:
        """Leave these out from now on."""
        self.trained.lost |= {party: (number, error) for party, error in lost.items()}
        self.present = tuple(party for party in self.present if party not in lost)

    def require(self, taking: Sequence[str]) -> None:
        """Raise unless a round has enough clients."""
        if len(taking) < self.course.fewest:
            lost = {party: error for party, (_, error) in self.trained.lost.items() if party not in self.present}
            why = "; ".join(f"{party}: {error.message}" for party, error in lost.items())
            raise PeerGone(
                f"{len(taking)} clients are left in round {len(self.trained.rounds) + 1}, and {self.course.fewest} "
                f"are asked for{f' ({why})' if why else ''}",
                hint="fit again without those that were lost, or allow fewer clients",
            )

    def messages(self, number: int, chosen: Sequence[str], *, last: bool = False) -> dict[str, Message]:
        """The model for those who are chosen; to the others, that it goes on."""
        beside = self.course.strategy.beside(self.state)
        weights = self.state["weights"]
        values = weights if last or not len(beside) else np.concatenate([weights, beside])
        drawn, others = (
            Round(number=number, parties=tuple(chosen), last=last, table=pa.table([pa.array(each)], schema=VALUES))
            for each in (values, NOTHING)
        )
        return {party: drawn if party in chosen else others for party in self.present}

    def saved(self) -> Saved:
        """For a run that goes on from here."""
        lost = {party: [number, error.to_record()] for party, (number, error) in self.trained.lost.items()}
        facts = {"rounds": self.trained.rounds, "lost": lost, "keeping": self.keeping}
        facts |= {"facts": self.trained.facts.tolist(), "counted": self.counted}
        return Saved(dict(self.state), msgspec.to_builtins(facts))


def _going_on(
    course: Course, checkpoints: Checkpoints, kept: Mapping[str, Kept], sums: Integers, counted: Sequence[str]
) -> _Going:
    """From the last state that goes with one of every client's; from the beginning where the coordinator has none.

    A client whose strategy keeps nothing goes with any. One that was lost in an earlier run takes part again,
    if it was there when that added up the facts: they stay as they were, or the weights would be of rows prepared in
    another way. Where every client coordinates by itself, from the last state that all have: they were not interrupted
    at one moment.
    """
    lacking = ""
    copies = [set(message.copies) for message in kept.values() if message.copies is not None]
    for number in reversed(checkpoints.numbers()):
        if not all(number in copy for copy in copies):
            continue
        saved = checkpoints.load(number)
        keeping = {party: int(at) for party, at in saved.facts["keeping"].items()}
        lacks = [party for party in kept if party in keeping and keeping[party] not in kept[party].numbers]
        if not lacks:
            checkpoints.rewind(number)
            lost = {
                party: (int(at), PrivsdkError.from_record(msgspec.convert(record, ErrorRecord)))
                for party, (at, record) in saved.facts["lost"].items()
            }
            facts, whose = np.array(saved.facts["facts"], np.int64), tuple(saved.facts["counted"])
            trained = Trained(NOTHING, list(saved.facts["rounds"]), lost, facts, resumed=number)
            going = _Going(course, dict(saved.arrays), trained, tuple(kept), keeping, whose)
            away = "was away when this training began, and its rows are not in what all are prepared by"
            going.lose(0, {party: PeerGone(f"{party} {away}") for party in kept if party not in whose})
            return going
        lacking = lacking or ", ".join(lacks)
    if lacking:
        raise DataError(
            f"{lacking} no longer has what it kept of this training, which cannot go on without it",
            hint="fit under another name: it begins anew",
        )
    checkpoints.rewind(0)
    state = course.strategy.begin(course.network.initial(course.seed))
    return _Going(course, state, Trained(NOTHING, facts=sums), tuple(kept), {}, tuple(counted))


def _agreed(going: _Going, number: int) -> Role[tuple[str, ...]]:
    """Draw the clients of a round, send them the model, and agree on whose updates are averaged: who paid and trained.

    Nobody's where the budget of one has ended, which ends the training.
    """
    chosen = _drawn(going.course, number, going.present)
    told = yield from tell_present(going.messages(number, chosen))
    going.lose(number + 1, told)
    asked = [party for party in chosen if party not in told]
    ready, late = yield from collect(asked, Ready, within_s=going.course.deadline_s)
    unfit = {
        party: ProtocolViolation(f"{party} is ready for round {message.number + 1} in round {number + 1}")
        for party, message in ready.items()
        if message.number != number
    }
    going.lose(number + 1, {**late, **unfit})
    taking = tuple(party for party in chosen if party in going.present)
    ended = [party for party in taking if ready[party].ended]
    if any(ready[party].ended == STOPPED for party in ended):
        going.trained.ended = f"stopped by its caller after round {number}"
        taking = ()
    elif ended:
        going.trained.ended = f"the budget of {' and '.join(ended)} ended before round {number + 1}"
        taking = ()
    else:
        going.require(taking)
    going.keeping |= {party: number + 1 for party in taking if ready[party].keeps}
    going.lose(number + 1, (yield from tell_present(dict.fromkeys(asked, Go(number=number, parties=taking)))))
    return taking


def client(
    course: Course,
    prepared: Prepared,
    *,
    me: str,
    clients: Sequence[str],
    coordinator: str,
    sum_: Sum,
    averages: Averages,
    train: Trainer,
    checkpoints: Checkpoints,
    pay: Callable[[], None] = UNGUARDED.pay,
    look: Callable[[int, Vector], None] = lambda number, weights: None,
    copy: Checkpoints | None = None,
    stopping: Callable[[], bool] = UNGUARDED.stop_requested,
) -> Role[tuple[Vector, Rows]]:
    """A client's role; returns the final model and the rows it trained on.

    `look` is called with every global model that the client gets and the number of rounds behind it. `copy` and
    `stopping` are of a client that coordinates by itself: what its coordinator's half kept, and whether its caller
    would have what there is. All such halves have to go the same way: they learn of both from what clients tell all.
    """
    yield from sum_.set_up()
    yield from sum_.contribute(FACTS, clients, prepared.facts(), LARGEST_FACT)
    yield from tell(coordinator, Kept(numbers=checkpoints.numbers(), copies=None if copy is None else copy.numbers()))
    told = yield from hear(coordinator, Facts)
    facts: Integers = told.table.column("units").to_numpy()
    rows = prepared.rows(facts)
    checkpoints.rewind(told.first)
    if not checkpoints.numbers():  # also where nothing else will be kept: this name is of these rows from now on
        checkpoints.save(0, Saved({"kept": NOTHING}))
    kept = _kept(checkpoints)
    expected = told.first
    while True:
        message = yield from hear(coordinator, Round)
        if message.number < expected:
            raise ProtocolViolation(f"{coordinator} sent round {message.number + 1} after round {expected}")
        expected = message.number if message.last else message.number + 1
        name = f"round {message.number + 1}"
        if me not in message.parties:
            yield from checkpoint(name, message.number, course.rounds, {})
            continue
        start, beside = _weights(message, course, coordinator)
        look(message.number, start)
        if message.last:
            return start, rows
        yield from checkpoint(name, message.number, course.rounds, {})
        ended = STOPPED if stopping() else _paid(pay)
        if ended:
            yield from tell(coordinator, Ready(number=message.number, ended=ended))
            yield from hear(coordinator, Go)
            expected = message.number  # it is not held
            continue
        loss = 0.0 if course.private else course.network.loss(start, rows)

        def trained(pull: Pull, start: Vector = start, number: int = message.number) -> Role[Vector]:
            rng = np.random.default_rng([course.seed, clients.index(me), number])
            return (yield from train(Task(course.network, start, rows, course.schedule, rng, pull)))

        schedule = course.schedule
        given = Given(start, beside, trained, schedule.count(len(rows)), schedule.learning_rate, kept)
        local = yield from during(name, course.strategy.local(given))
        yield from tell(coordinator, Ready(number=message.number, keeps=bool(len(local.kept))))
        go = yield from hear(coordinator, Go)
        if go.number != message.number or not set(go.parties) <= set(message.parties) <= set(clients):
            raise ProtocolViolation(f"{coordinator} sent no end to {name}, or one of others than it was begun with")
        if me not in go.parties:
            expected = message.number  # it is not held
            continue
        kept = local.kept
        if len(kept):  # before anything of it leaves: the coordinator may go on from what comes of it
            checkpoints.save(message.number + 1, Saved({"kept": kept}))
        weight = course.counted(len(rows)) / course.whole(int(facts[0]), len(clients))
        yield from during(name, averages.contribute(name, go.parties, Update(local.update, weight, loss)))


def _paid(pay: Callable[[], None]) -> str:
    """Pay for a round; the code of why it cannot be paid, else ""."""
    try:
        pay()
    except (BudgetExceeded, DatasetFrozen) as refusal:
        return refusal.code
    return ""


def _kept(checkpoints: Checkpoints) -> Vector:
    numbers = checkpoints.numbers()
    return checkpoints.load(numbers[-1]).arrays["kept"] if numbers else NOTHING


def _drawn(course: Course, number: int, present: tuple[str, ...]) -> tuple[str, ...]:
    """The clients of a round, by the public seed: max(fewest, share of those present), as in FedAvg's algorithm 1."""
    if course.participation >= 1:
        return present
    count = min(len(present), max(course.fewest, round(course.participation * len(present))))
    rng = np.random.default_rng([course.seed, 1 << 32, number])
    return tuple(present[i] for i in sorted(rng.choice(len(present), count, replace=False)))


def _told(course: Course, number: int, mean: Mean, whole: float) -> dict[str, Any]:
    """A line of the history."""
    told: dict[str, Any] = {"round": number + 1, "clients": len(mean.parties)}
    told["loss"] = None if course.private else mean.loss
    rows = {"rows": round(mean.weight * whole)} if course.by_rows else {}
    return told | rows | ({"update_bytes": dict(mean.sizes)} if mean.sizes else {})


def _weights(message: Round, course: Course, coordinator: str) -> tuple[Vector, Vector]:
    values: Vector = message.table.column("value").to_numpy()
    size = course.network.size
    if len(values) < size or not within(values, LARGEST_WEIGHT):
        raise ProtocolViolation(f"{coordinator} sent a model that does not fit round {message.number + 1}")
    return values[:size], values[size:]
