"""Small training problems and whole trainings over them in one thread, with any provider of averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from rounding import descent as descent_rounding
from rounding import gradient_terms

from privsdk.crypto.sums.base import Integers, PlainSum, Sum
from privsdk.crypto.sums.encrypted import EncryptedSum
from privsdk.fl.averages import Averages, Each, OnGrid
from privsdk.fl.fedavg import FedAvg
from privsdk.fl.loops.course import ClientInput, CoordinatorInput, Course, TrainingResult
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models.network import Network, Output, Rows, Vector
from privsdk.fl.models.training import Schedule, Task, descend
from privsdk.protocol.roles import Role
from privsdk.testing import Sent, together

DEADLINE_S = 60.0

Talk = Callable[[Course, ClientInput], Role[Any]]
TALK = Synchronous().client
Provider = Callable[[str, tuple[str, ...]], tuple[Sum, Averages]]


def clear(me: str, clients: tuple[str, ...]) -> tuple[Sum, Averages]:
    """Sums of integers in the clear."""
    sum_ = PlainSum(coordinator="k", within_s=DEADLINE_S)
    return sum_, OnGrid(sum_)


def each(me: str, clients: tuple[str, ...]) -> tuple[Sum, Averages]:
    """Every update in the clear."""
    return PlainSum(coordinator="k", within_s=DEADLINE_S), Each(coordinator="k", within_s=DEADLINE_S)


def encrypted(me: str, clients: tuple[str, ...]) -> tuple[Sum, Averages]:
    """Sums under encryption."""
    sum_ = EncryptedSum(me=me, clients=clients, coordinator="k")
    return sum_, OnGrid(sum_)


def at_once(task: Task) -> Role[Vector]:
    """Train in this thread."""
    yield from ()
    return descend(task, task.start, list(task.schedule.batches(len(task.rows), task.rng)))


class Held(NamedTuple):
    """Rows that need no preparation."""

    training: Rows

    def statistics(self) -> Integers:
        return np.array([len(self.training)], np.int64)

    def rows(self, statistics: Integers) -> Rows:
        return self.training


def make_rows(rng: np.random.Generator, count: int, size: int) -> Rows:
    """Rows of `size` weights: features within [-1, 1], labels by a logistic model of weights from -3 to 3."""
    x = rng.uniform(-1, 1, (count, size - 1))
    margins = np.column_stack([x, np.ones(count)]) @ np.linspace(-3, 3, size)
    labels = rng.random(count) < 1 / (1 + np.exp(-margins))
    return Rows(x=x.astype(np.float32), y=labels.astype(np.float32))


def problem(sizes: list[int], size: int) -> list[Rows]:
    rng = np.random.default_rng([*sizes, size])
    return [make_rows(rng, count, size) for count in sizes]


def course_of(parties: list[Rows], schedule: Schedule, rounds: int, **changes: Any) -> Course:
    """A logistic model for these rows."""
    given = {
        "network": Network((parties[0].x.shape[1], 1), Output.SIGMOID),
        "strategy": FedAvg(),
        "schedule": schedule,
        "rounds": rounds,
        "seed": 0,
        "fewest": len(parties),
    }
    return Course(**(given | changes))


def roles_of(parties: list[Rows], course: Course, provider: Provider, talk: Talk = TALK) -> dict[str, Role[Any]]:
    """Clients p0, p1, ... and the coordinator k."""
    names = tuple(f"p{i}" for i in range(len(parties)))
    roles: dict[str, Role[Any]] = {}
    for name, rows in zip(names, parties, strict=True):
        sum_, averages = provider(name, names)
        given = ClientInput(
            prepared=Held(rows),
            me=name,
            clients=names,
            coordinator="k",
            sum_=sum_,
            averages=averages,
            train=at_once,
        )
        roles[name] = talk(course, given)
    sum_, averages = provider("k", names)
    leading = CoordinatorInput(clients=names, statistics=1, sum_=sum_, averages=averages)
    roles["k"] = Synchronous().coordinator(course, leading)
    return roles


def rounding(task: Task, weights: Vector) -> float:
    """How far apart two ways to compute a task's steps may end, in norm: from its start and the weights one ended with.

    Hidden layers make the loss no longer convex; over the few small steps of a round that is far from amplifying as
    much as magnitudes exceed what they are the magnitudes of.
    """
    largest = np.maximum(np.abs(task.start), np.abs(weights))
    offset = 0 if task.pull.offset is None else np.abs(task.pull.offset)
    return descent_rounding(
        steps=task.schedule.count(len(task.rows)),
        rows=len(task.rows),
        inputs=sum(task.network.widths),
        rate=task.schedule.learning_rate,
        gradient=float(np.linalg.norm(gradient_terms(task.network, largest, task.rows) + offset)),
        weights=float(np.linalg.norm(largest)),
    )


def train(
    parties: list[Rows],
    schedule: Schedule,
    provider: Provider,
    transcript: list[Sent] | None = None,
    *,
    rounds: int,
    **changes: Any,
) -> tuple[TrainingResult, Mapping[str, Any]]:
    """The coordinator's output and those of the clients: the final weights."""
    outputs = together(roles_of(parties, course_of(parties, schedule, rounds, **changes), provider), transcript)
    return outputs.pop("k"), outputs


__all__ = [
    "at_once",
    "clear",
    "course_of",
    "each",
    "encrypted",
    "make_rows",
    "problem",
    "roles_of",
    "train",
]
