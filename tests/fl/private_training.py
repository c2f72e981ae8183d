"""Small private trainings: rows, a course of them, and all roles together in one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from privsdk.crypto.sums.base import Integers, PlainSum, Sum
from privsdk.fl.averages import Averages, OnGrid
from privsdk.fl.fedavg import FedAvg
from privsdk.fl.loops.course import (
    STATISTICS,
    ClientInput,
    CoordinatorInput,
    Course,
    TrainingResult,
    TrainingStatistics,
)
from privsdk.fl.loops.resuming import Kept
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models.network import Network, Output, Rows
from privsdk.fl.models.training import Schedule, Trainer, in_threads
from privsdk.fl.preparation import LARGEST_STATISTIC
from privsdk.protocol.roles import Role, hear, tell
from privsdk.testing import Sent, together

LOGISTIC = Network((2, 1), Output.SIGMOID)
WITHIN_S = 30.0


class Ready:
    """Rows that need no statistics."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def statistics(self) -> Integers:
        return np.array([1], np.int64)

    def rows(self, statistics: Integers) -> Rows:
        return self._rows


def random_rows(rng: np.random.Generator, count: int, inputs: int = 2) -> Rows:
    x = rng.uniform(-1, 1, (count, inputs)).astype(np.float32)
    return Rows(x=x, y=(x.sum(axis=1) > rng.normal(0, 0.5, count)).astype(np.float32))


def train(
    parties: Sequence[Rows],
    schedule: Schedule,
    *,
    averages: Callable[[str, Sum], Averages] = lambda name, sum_: OnGrid(sum_),
    trainer: Callable[[str], Trainer] = lambda name: in_threads,
    rounds: int = 1,
    network: Network = LOGISTIC,
    lost: Sequence[str] = (),
    transcript: list[Sent] | None = None,
) -> TrainingResult:
    """Train through a sum in the clear, which shows what is in it; clients that are `lost` leave in the first round."""
    names = tuple(f"p{i}" for i in range(len(parties)))
    course = Course(network, FedAvg(), schedule, rounds, 0, len(parties) - len(lost), private=True)
    sums = {name: PlainSum(coordinator="c", within_s=WITHIN_S) for name in (*names, "c")}
    roles: dict[str, Role[Any]] = {
        name: leaving(name, names, sums[name])
        if name in lost
        else Synchronous().client(
            course,
            ClientInput(
                prepared=Ready(rows),
                me=name,
                clients=names,
                coordinator="c",
                sum_=sums[name],
                averages=averages(name, sums[name]),
                train=trainer(name),
            ),
        )
        for name, rows in zip(names, parties, strict=True)
    }
    leading = CoordinatorInput(clients=names, statistics=1, sum_=sums["c"], averages=averages("c", sums["c"]))
    roles["c"] = Synchronous().coordinator(course, leading)
    trained: TrainingResult = together(roles, transcript)["c"]
    return trained


def leaving(name: str, names: tuple[str, ...], sum_: Sum) -> Role[None]:
    """A client that is there before the first round, and gone in it."""
    yield from sum_.contribute(STATISTICS, names, np.array([1], np.int64), LARGEST_STATISTIC)
    yield from tell("c", Kept(numbers=()))
    yield from hear("c", TrainingStatistics)


def table(rng: np.random.Generator, count: int) -> pa.Table:
    """Columns a, b and a label, and whose each row is: three rows of one id."""
    rows = random_rows(rng, count)
    return pa.table({"id": np.arange(count) // 3, "a": rows.x[:, 0], "b": rows.x[:, 1], "label": rows.y > 0.5})
