"""Clients stacked along one more axis train as they would one by one, whatever their sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training import course_of, each, problem, roles_of, rounding

from privsdk.fl.loops.course import ClientInput, Course
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models import training as stacking
from privsdk.fl.models.network import Network, Output, Rows
from privsdk.fl.models.training import Pull, Schedule, Stack, Task, descend, trained
from privsdk.protocol.roles import Role
from privsdk.testing import together

SCHEDULES = [{"steps": 4}, {"steps": 3, "batch_size": 5}, {"epochs": 2, "batch_size": 4}, {"epochs": 1}]

pytestmark = pytest.mark.rounding


def tasks_of(seed: int, schedule: Schedule, pulls: list[Pull], output: Output, widths: tuple[int, ...]) -> list[Task]:
    network, tasks = Network(widths, output), []
    for number, pull in enumerate(pulls):
        rng = np.random.default_rng([seed, number])
        rows = int(rng.integers(1, 20))
        labels = rng.integers(0, widths[-1] if output is Output.SOFTMAX else 2, rows)
        weights = rng.uniform(0.5, 2, rows).astype(np.float32) if rng.random() < 0.5 else None
        y = labels if output is Output.SOFTMAX else labels.astype(np.float32)
        held = Rows(x=rng.normal(size=(rows, widths[0])).astype(np.float32), y=y, weights=weights)
        start = rng.normal(scale=0.3, size=network.size).astype(np.float32)
        tasks.append(Task(network, start, held, schedule, np.random.default_rng(number), pull))
    return tasks


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(SCHEDULES),
    st.sampled_from([(Output.SIGMOID, (7, 1)), (Output.SOFTMAX, (5, 6, 4, 3)), (Output.IDENTITY, (4, 1))]),
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.5])), min_size=1, max_size=12),
)
def test_stacked_clients_train_as_they_would_alone(
    seed: int, schedule: dict[str, int], shape: tuple[Output, tuple[int, ...]], pulls: list[tuple[bool, float]]
) -> None:
    size, rng = Network(shape[1], shape[0]).size, np.random.default_rng(seed)
    offsets = [rng.normal(size=size).astype(np.float32) if offset else None for offset, _ in pulls]
    each_pull = [Pull(offset, strength) for offset, (_, strength) in zip(offsets, pulls, strict=True)]
    plan = Schedule(learning_rate=0.1, **schedule)
    stacked = trained(tasks_of(seed, plan, each_pull, *shape))
    for task, weights in zip(tasks_of(seed, plan, each_pull, *shape), stacked, strict=True):
        alone = descend(task, task.start, list(task.schedule.batches(len(task.rows), task.rng)))
        assert np.linalg.norm(weights - alone) < rounding(task, alone)


@pytest.mark.parametrize(("name", "value"), [("MOST_STACKED", 2), ("MOST_ENTRIES", 200)])
def test_large_models_and_large_stacks_are_split(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def tasks() -> list[Task]:
        return tasks_of(1, Schedule(steps=3, learning_rate=0.1), [Pull()] * 30, Output.SIGMOID, (7, 1))

    stacked = []
    whole = stacking._together
    monkeypatch.setattr(stacking, "_together", lambda given, *rest: stacked.append(len(given)) or whole(given, *rest))
    before = trained(tasks())
    assert sum(stacked) > 20
    assert max(stacked) > 5
    stacked.clear()
    monkeypatch.setattr(stacking, name, value)
    after = trained(tasks())
    assert max(stacked, default=0) < 5
    for task, a, b in zip(tasks(), before, after, strict=True):
        assert np.linalg.norm(a - b) < rounding(task, a)


def test_a_simulation_trains_all_clients_of_a_round_in_one_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    parties = problem([8, 9, 10, 11], 3)
    course = course_of(parties, Schedule(epochs=2, batch_size=4, learning_rate=0.5), 3)
    alone = together(roles_of(parties, course, each))["k"]
    stack, sizes = Stack(), []
    once = stacking.trained
    monkeypatch.setattr(stacking, "trained", lambda tasks: sizes.append(len(tasks)) or once(tasks))

    def stacking_client(course: Course, given: ClientInput) -> Role[Any]:
        return Synchronous().client(course, replace(given, train=stack.train))

    roles = roles_of(parties, course, each, stacking_client)
    stacked = together(roles)["k"]
    assert sizes == [4] * 3
    schedule = course.schedule
    task = Task(course.network, alone.weights, parties[3], schedule, np.random.default_rng(0))
    assert np.linalg.norm(stacked.weights - alone.weights) < 3 * rounding(task, alone.weights)
