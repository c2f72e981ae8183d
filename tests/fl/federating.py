"""Whole trainings in one thread by the real roles: small problems, slow, lost and poisoned clients."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from privsdk.crypto.sums.base import Integers, PlainSum
from privsdk.errors import PeerGone
from privsdk.fl.averages import Averages, Each, OnGrid
from privsdk.fl.compression.base import Compression
from privsdk.fl.fedavg import FedAvg, LocalInput, LocalUpdate
from privsdk.fl.loops.course import ClientInput, CoordinatorInput, Course, TrainingResult
from privsdk.fl.models.network import Network, Output, Rows, Vector
from privsdk.fl.models.training import Schedule, Task, descend
from privsdk.fl.parameters import loop_of
from privsdk.protocol.messages import End
from privsdk.protocol.roles import Heard, Role, Step, checkpoint, colocated
from privsdk.testing import Sent, together

Reals = npt.NDArray[np.float64]


class Held:
    """A client's rows, as they are."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def statistics(self) -> Integers:
        return np.array([len(self._rows)], np.int64)

    def rows(self, statistics: Integers) -> Rows:
        return self._rows


def here(task: Task) -> Role[Vector]:
    """Train in this thread."""
    yield from checkpoint("local training", 0, 1)
    return descend(task, task.start, list(task.schedule.batches(len(task.rows), task.rng)))


def grid(number: int) -> Averages:
    return OnGrid(PlainSum(coordinator="k", within_s=1))


def each(compression: Compression | None = None, host: str = "k") -> Callable[[int], Averages]:
    return lambda number: Each(coordinator=host, within_s=1, compression=compression, seed=(5, number))


class Run(NamedTuple):
    """What came of a training: the coordinator's end, each client's final weights, and all that was sent."""

    trained: TrainingResult
    weights: Mapping[str, Any]
    transcript: list[Sent]

    def chosen(self) -> list[list[str]]:
        """Who was sent each round's model."""
        told: dict[int, list[str]] = {}
        for sent in self.transcript:
            if sent.tag == "fl.rounds.Round" and sent.table is not None and len(sent.table):
                body = json.loads(sent.header)["body"]
                if not body["last"]:
                    told.setdefault(body["number"], []).append(sent.receiver)
        return [told[number] for number in sorted(told)]


def federate(
    clients: list[Rows],
    course: Course,
    averages: Callable[[int], Averages] = grid,
    *,
    leaving: Mapping[str, int] | None = None,
    slow: Mapping[str, int] | None = None,
    poisoned: Mapping[str, Callable[[Vector], Vector]] | None = None,
    stalled: Collection[str] = (),
    compression: Compression | None = None,
    host: str = "k",
) -> Run:
    """Train over clients p0, p1, ...: `leaving` end before they send their update of that round (from 1 on), `slow`
    take so many turns more for each of theirs, `stalled` send none and do not end, `poisoned` send something made of
    theirs; `host` coordinates, and may be a client."""
    names = tuple(f"p{i}" for i in range(len(clients)))
    course = course._replace(compression=compression)
    sum_ = PlainSum(coordinator=host, within_s=1)
    roles: dict[str, Role[Any]] = {}
    strategy: Any = course.strategy
    loop = loop_of(strategy)
    for i, (name, rows) in enumerate(zip(names, clients, strict=True)):
        own = course
        if poisoned and name in poisoned:
            own = course._replace(strategy=Poisoned(course.strategy, poisoned[name]))
        given = ClientInput(
            prepared=Held(rows),
            me=name,
            clients=names,
            coordinator=host,
            sum_=sum_,
            averages=averages(i),
            train=here,
        )
        role: Role[Any] = loop.client(own, given)
        if poisoned and name in poisoned:
            role = left_out(role)
        if leaving and name in leaving:
            role = ended(role, leaving[name])
        if name in stalled:
            role = silent(role)
        roles[name] = delayed(role, slow[name]) if slow and name in slow else role
    leading = CoordinatorInput(clients=names, statistics=1, sum_=sum_, averages=averages(len(clients)))
    leads = loop.coordinator(course, leading)
    transcript: list[Sent] = []
    if host in names:
        outputs = together({**roles, host: colocated(host, leads, roles[host])}, transcript)
        trained, outputs[host] = outputs[host]
        return Run(trained, outputs, transcript)
    outputs = together({**roles, host: leads}, transcript)
    return Run(outputs.pop(host), outputs, transcript)


def ended(role: Role[Any], round_: int) -> Role[Any]:
    """A role that ends where it would send its update of that round."""
    names, heard = (f"round {round_}", f"update {round_}"), None
    while True:
        step = role.send(heard) if heard is not None else next(role)
        if any(getattr(message, "name", "") in names for message in step.send.values()):
            return None
        heard = yield step


def silent(role: Role[Any]) -> Role[Any]:
    """A role that is asked for its first update, and waits for something else."""
    sent, heard = -1, None
    while True:
        step = role.send(heard) if heard is not None else next(role)
        sent += bool(step.send)
        if sent == 1:
            yield Step({}, {"nobody": End})
        heard = yield step


def left_out(role: Role[Any]) -> Role[Any]:
    """A role that ends where the coordinator has gone on without it."""
    try:
        return (yield from role)
    except PeerGone:
        return None


def delayed(role: Role[Any], turns: int) -> Role[Any]:
    """A role that takes so many turns more before each message it sends."""
    heard: Heard | None = None
    while True:
        try:
            step = role.send(heard) if heard is not None else next(role)
        except StopIteration as stop:
            return stop.value
        if step.send:
            for _ in range(turns):
                yield Step({}, {})
        heard = yield step


class Poisoned:
    """A client's half that makes something else of every update."""

    def __init__(self, strategy: FedAvg, made: Callable[[Vector], Vector]) -> None:
        self._strategy = strategy
        self._made = made
        self.parts, self.by_rows, self.each = strategy.parts, strategy.by_rows, strategy.each
        self.begin, self.broadcast = strategy.begin, strategy.broadcast
        self.combine, self.step = strategy.combine, strategy.step

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        local = yield from self._strategy.local(given)
        return local._replace(update=self._made(local.update))


def course_of(strategy: FedAvg, features: int, **changes: Any) -> Course:
    """A course of full-batch steps on least squares, but for the changes."""
    schedule = Schedule(
        **{"learning_rate": 0.1, "steps": 5}
        | {name: changes.pop(name) for name in ("learning_rate", "steps", "epochs", "batch_size") if name in changes}
    )
    output = changes.pop("output", Output.IDENTITY)
    given = {"rounds": 5, "seed": 5, "fewest": 1} | changes
    return Course(Network((features, 1), output), strategy, schedule, **given)


def skewed(seed: int, sizes: list[int], features: int, *, output: Output = Output.IDENTITY) -> list[Rows]:
    """Clients whose rows differ in number, spread, place and labels."""
    rng = np.random.default_rng([seed, features, *sizes])
    clients = []
    for size in sizes:
        x = rng.normal(rng.normal(0, 0.5, features), rng.uniform(0.3, 1.2, features), (size, features))
        sums = x @ rng.normal(0, 1, features) + rng.normal()
        y = sums + rng.normal(0, 0.1, size) if output is Output.IDENTITY else rng.random(size) < 1 / (1 + np.exp(-sums))
        clients.append(Rows(x=x.astype(np.float32), y=np.asarray(y, np.float32)))
    return clients
