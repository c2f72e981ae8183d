"""A training that goes on keeps the facts that it began with, whoever is there in the later run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from training import Held, at_once, course_of, problem

from privsdk.crypto.sums.base import PlainSum
from privsdk.fl.averages import OnGrid
from privsdk.fl.loops.course import ClientInput, CoordinatorInput, TrainingResult, TrainingStatistics
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models.training import Schedule
from privsdk.protocol.roles import Role
from privsdk.protocol.services import State
from privsdk.testing import Sent, together

SIZES = [30, 40, 50, 60]
PARTIES = problem(SIZES, 3)
NAMES = tuple(f"p{i}" for i in range(len(SIZES)))
COURSE = course_of(PARTIES, Schedule(steps=2, learning_rate=0.5), 4, fewest=3)


class Kept(dict[int, State]):
    """Checkpoints in memory."""

    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted(self))

    def load(self, number: int) -> State:
        return self[number]

    def save(self, number: int, state: State) -> None:
        self[number] = state

    def rewind(self, number: int) -> None:
        for at in self.numbers():
            if at > number:
                del self[at]


def run(kept: Mapping[str, Kept], away: str, rounds: int, sent: list[Sent]) -> TrainingResult:
    """A run in which one client is away from the beginning, stopped after so many rounds."""
    asked = iter(range(100))

    def sum_() -> PlainSum:
        return PlainSum(coordinator="k", within_s=1)

    def absent() -> Role[None]:
        yield from ()

    leading = CoordinatorInput(
        clients=NAMES,
        statistics=1,
        sum_=sum_(),
        averages=OnGrid(sum_()),
        checkpoints=kept["k"],
        stop_requested=lambda: next(asked) >= rounds,
    )
    roles: dict[str, Role[Any]] = {"k": Synchronous().coordinator(COURSE, leading)}
    for name, rows in zip(NAMES, PARTIES, strict=True):
        given = ClientInput(
            prepared=Held(rows),
            me=name,
            clients=NAMES,
            coordinator="k",
            sum_=sum_(),
            averages=OnGrid(sum_()),
            train=at_once,
            checkpoints=kept[name],
        )
        roles[name] = absent() if name == away else left(Synchronous().client(COURSE, given))
    trained: TrainingResult = together(roles, sent)["k"]
    return trained


def left(role: Role[Any]) -> Role[Any]:
    try:
        return (yield from role)
    except Exception:
        return None


@pytest.mark.parametrize(("first", "second"), [("", "p3"), ("p3", "")])
def test_what_rows_are_prepared_by_stays(first: str, second: str) -> None:
    """Rows that are prepared by other means than those the weights were trained on are silently other rows."""
    kept = {name: Kept() for name in (*NAMES, "k")}
    began, resumed = list[Sent](), list[Sent]()
    before = run(kept, first, 2, began)
    after = run(kept, second, 4, resumed)
    assert (after.resumed, len(after.rounds)) == (2, 4)
    assert after.statistics.tolist() == before.statistics.tolist() == [sum(SIZES) - 60 * (first == "p3")]
    told = [
        each.table["units"].to_pylist()
        for each in (*began, *resumed)
        if each.tag == TrainingStatistics.__struct_config__.tag
    ]
    assert {tuple(each) for each in told} == {tuple(before.statistics.tolist())}
    assert "p3" in after.lost
    assert [round_["rows"] for round_ in after.rounds[2:]] == [120, 120]
    alone = run({name: Kept() for name in kept}, first, 4, [])
    if first:  # and the later run differs in nothing but whom it lost
        assert np.array_equal(after.weights, alone.weights)
