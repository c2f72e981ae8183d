"""The ways of privsdk: the training alone, all roles in one thread, and through gate and link of embedded parties."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pyarrow as pa
from encrypted.meter import cpu_s

import privsdk as ps
from privsdk import fl
from privsdk.crypto.sums.base import Integers, PlainSum, Sum
from privsdk.crypto.sums.encrypted import EncryptedSum
from privsdk.crypto.sums.masked import MaskedSum
from privsdk.fl.averages import Averages, Each, OnGrid
from privsdk.fl.fedavg import FedAvg
from privsdk.fl.loops.course import ClientInput, CoordinatorInput, Course
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models import training as stacking
from privsdk.fl.models.network import Network, Output, Rows, Vector
from privsdk.fl.models.training import Schedule, Trainer, descend
from privsdk.fl.models.training import Task as Local
from privsdk.governance.policy import ANY, Disclosure, Grant, Policy
from privsdk.protocol.roles import Role, SystemEntropy
from privsdk.testing import Members, Sent, together

from .task import Floats, Task

pa.array(np.zeros(1))  # here and not in the figures: it imports pandas where that is installed

LEADER = "leader"
PATIENCE_S = 600.0
TRAINING = (Disclosure.TRAINING_FEATURE, Disclosure.TRAINING_LABEL, Disclosure.MODEL_UPDATE)
POLICY = Policy(
    operations=("fl.fit",), grants=(Grant(table=ANY, columns={ANY: TRAINING}, min_count=10),), min_parties=2
)  # fmt: skip
BUDGET = ps.Budget(exact=1_000_000)
HELD_OUT = 0.2


def trained_alone(task: Task) -> Floats:
    """The training of all clients one after the other and the mean of what they end with; no roles, no messages."""
    course, rows = course_of(task), rows_of(task)
    weights = task.initial
    for number in range(task.rounds):
        ended = []
        for index, mine in enumerate(rows):
            rng = np.random.default_rng([task.seed, index, number])
            local = Local(course.network, weights, mine, course.schedule, rng)
            ended.append(descend(local, weights, list(course.schedule.batches(len(mine), rng))))
        weights = np.mean(ended, axis=0, dtype=np.float32)
    return weights


def in_one_thread(task: Task, kind: str) -> Floats:
    """All roles of the protocol in one thread, each message encoded and decoded."""
    final: Floats = together(roles_of(rows_of(task), course_of(task), kind, at_once))[LEADER].weights
    return final


@contextmanager
def fit_of(task: Task, aggregation: str) -> Iterator[Callable[[], Floats]]:
    """`fl.fit` over embedded parties and a leader without rows, through gates, budgets, ledgers in memory and links.

    fl.fit holds out a part of each party's rows by its seed. They are laid out so that these are the task's own: it
    then trains on the same rows, in the same order, as all others do. Checked by the accuracy that it reports.
    """
    model = fl.MLP(
        features={"pixels": fl.Vector(task.widths[0])},
        hidden=task.widths[1:-1],
        classes=list(range(task.widths[-1])),
    )
    tables = {f"client{c}": laid_out(task, c) for c in range(task.clients)}
    with embedded(tables) as fed:
        plan = fl.fit(
            model,
            [fed[name]["table"] for name in tables],
            label="digit",
            rounds=task.rounds,
            learning_rate=task.rate,
            local_epochs=task.epochs,
            batch_size=task.batch,
            aggregation=aggregation,  # type: ignore[arg-type]
            held_out=HELD_OUT,
            seed=task.seed,
            coordinator=LEADER,
            deadline_s=PATIENCE_S,
        )

        def run() -> Floats:
            fitted = plan.release().value
            scores = fitted.evaluation.column("accuracy").to_numpy()
            if not np.isclose(scores.mean(), task.accuracy(fitted.weights), atol=1e-6):
                raise RuntimeError("fl.fit held out other rows than the task's: laid_out no longer follows its split")
            weights: Floats = fitted.weights
            return weights

        yield run


@contextmanager
def calls_of(aggregation: str, rounds: int) -> Iterator[Callable[[], dict[str, float]]]:
    """Milliseconds of one client in one round, with three weights and one step: of gate, link and protocol alone.

    The difference of a long and a short run of `fl.fit`, so that opening sessions and evaluating are not in it.
    """
    rng = np.random.default_rng(0)
    tables = {
        f"client{c}": pa.table({"a": rng.random(50), "b": rng.random(50), "label": rng.integers(0, 2, 50)})
        for c in range(10)
    }
    model = fl.Logistic(features={"a": (0, 1), "b": (0, 1)})
    short = max(1, rounds // 10)
    with embedded(tables) as fed:

        def fit(rounds: int) -> None:
            group = [fed[name]["table"] for name in tables]
            fl.fit(
                model, group, label="label", rounds=rounds, aggregation=aggregation, coordinator=LEADER  # type: ignore[arg-type]
            ).release()  # fmt: skip

        def run() -> dict[str, float]:
            fit(1)  # what is built once is built
            less, more = (taken(lambda n=n: fit(n)) for n in (short, rounds))
            count = (rounds - short) * len(tables)
            return {name: 1000 * (more[name] - less[name]) / count for name in more}

        yield run


def aggregated(kind: str, clients: int, length: int) -> dict[str, Any]:
    """A round without training: the model to all, updates summed, the mean. Figures of one round of so many weights.

    The difference of several rounds and one, so that keys that are made once are not in it.
    """
    further = 2 if kind == "encrypted" else 6
    network = Network((length - 1, 1), Output.IDENTITY)
    rng = np.random.default_rng(0)
    rows = [Rows(x=rng.random((1, length - 1), np.float32), y=np.zeros(1, np.float32)) for _ in range(clients)]
    update = rng.normal(0, 0.01, length).astype(np.float32)

    def pretend(task: Local) -> Role[Vector]:
        yield from ()
        return task.start + update

    def play(rounds: int, transcript: list[Sent] | None = None) -> None:
        course = Course(network, FedAvg(), Schedule(learning_rate=0.1), rounds, 0, clients)
        weights = together(roles_of(rows, course, kind, pretend), transcript)[LEADER].weights
        if np.abs(weights - rounds * update).max() > rounds * clients * 2.0**-25:
            raise RuntimeError(f"the sum of {kind} updates is wrong")

    play(1)  # what is built once is built
    less, more = (taken(lambda n=n: play(n)) for n in (1, 1 + further))
    sizes = []
    for rounds in (1, 2):
        transcript: list[Sent] = []
        play(rounds, transcript)
        sizes.append(sum(sent.size for sent in transcript))
    return {**{name: (more[name] - less[name]) / further for name in more}, "bytes": sizes[1] - sizes[0]}


def simulated(clients: int, *, stacked: bool) -> dict[str, float]:
    """A round of logistic models at so many clients of 40 to 60 training rows by `fl.simulate`, five epochs in batches
    of ten; all at once, or one after the other.

    The difference of four rounds and one, so that preparing and evaluating are not in it.
    """
    rng, names = np.random.default_rng(0), [f"x{n}" for n in range(20)]
    tables = []
    for size in rng.integers(50, 76, clients):
        x = rng.uniform(-1, 1, (size, len(names)))
        columns = dict(zip(names, x.T, strict=True))
        tables.append(pa.table({**columns, "label": x.sum(axis=1) > rng.normal(size=size)}))
    model = fl.Logistic(features=dict.fromkeys(names, (-1.0, 1.0)))

    def play(rounds: int) -> None:
        fl.simulate(
            model, tables, label="label", rounds=rounds, learning_rate=0.1, local_epochs=5, batch_size=10,
            held_out=HELD_OUT,
        )  # fmt: skip

    with nullcontext() if stacked else patch.object(stacking, "MOST_STACKED", 0):
        play(1)  # what is built once is built
        less, more = (taken(lambda n=n: play(n)) for n in (1, 4))
    return {name: (more[name] - less[name]) / 3 for name in more}


class Held(NamedTuple):
    """Rows that need no preparation."""

    training: Rows

    def statistics(self) -> Integers:
        return np.array([len(self.training)], np.int64)

    def rows(self, statistics: Integers) -> Rows:
        return self.training


def at_once(local: Local) -> Role[Vector]:
    """Train in this thread."""
    yield from ()
    return descend(local, local.start, list(local.schedule.batches(len(local.rows), local.rng)))


def course_of(task: Task) -> Course:
    network = Network(task.widths, Output.SOFTMAX)
    schedule = Schedule(epochs=task.epochs, batch_size=task.batch, learning_rate=task.rate)
    return Course(network, FedAvg(), schedule, task.rounds, task.seed, task.clients)


def rows_of(task: Task) -> list[Rows]:
    return [Rows(x=x, y=y) for x, y in zip(task.x, task.y, strict=True)]


def roles_of(parties: Sequence[Rows], course: Course, kind: str, train: Trainer) -> dict[str, Role[Any]]:
    """All clients' roles and the leader's, with sums of this kind."""
    names = tuple(f"client{i}" for i in range(len(parties)))
    provider = providers(kind, names)
    roles: dict[str, Role[Any]] = {}
    for name, rows in zip(names, parties, strict=True):
        sum_, averages = provider(name)
        given = ClientInput(
            prepared=Held(rows),
            me=name,
            clients=names,
            coordinator=LEADER,
            sum_=sum_,
            averages=averages,
            train=train,
        )
        roles[name] = Synchronous().client(course, given)
    sum_, averages = provider(LEADER)
    leading = CoordinatorInput(clients=names, statistics=1, sum_=sum_, averages=averages)
    roles[LEADER] = Synchronous().coordinator(course, leading)
    return roles


def providers(kind: str, names: tuple[str, ...]) -> Callable[[str], tuple[Sum, Averages]]:
    """Sums and averages for each role: "each" update in the clear, or on the grid "clear", "masked", "encrypted"."""
    members, session = Members((*names, LEADER)), secrets.token_bytes(32)

    def provider(me: str) -> tuple[Sum, Averages]:
        clear = PlainSum(coordinator=LEADER, within_s=PATIENCE_S)
        if kind == "each":
            return clear, Each(coordinator=LEADER, within_s=PATIENCE_S)
        sum_: Sum = clear
        if kind == "encrypted":
            sum_ = EncryptedSum(me=me, clients=names, coordinator=LEADER)
        elif kind == "masked":
            sum_ = MaskedSum(
                me=me,
                coordinator=LEADER,
                session=session,
                entropy=SystemEntropy(),
                identity=members.of(me),
                within_s=PATIENCE_S,
            )
        return sum_, OnGrid(sum_)

    return provider


def laid_out(task: Task, index: int) -> pa.Table:
    """A client's training and held-out rows in such an order that `fl.fit` splits them as the task does."""
    x = np.concatenate([task.test_x[index], task.x[index]])
    y = np.concatenate([task.test_y[index], task.y[index]])
    order = np.random.default_rng([task.seed, index]).permutation(len(y))
    pixels, digits = np.empty(x.shape, np.uint8), np.empty(y.shape, np.int64)
    pixels[order], digits[order] = np.rint(x * 255), y
    return pa.table({"pixels": pa.FixedSizeListArray.from_arrays(pixels.ravel(), x.shape[1]), "digit": digits})


@contextmanager
def embedded(tables: dict[str, pa.Table]) -> Iterator[Any]:
    given = {**tables, LEADER: {}}
    with ps.embedded(given, store=None, quiet=True, policy=POLICY, budget=BUDGET) as fed:
        yield fed


def taken(work: Callable[[], object]) -> dict[str, float]:
    """CPU seconds, with the workers', and wall seconds."""
    wall, cpu = time.perf_counter(), cpu_s()
    work()
    return {"cpu": cpu_s() - cpu, "wall": time.perf_counter() - wall}
