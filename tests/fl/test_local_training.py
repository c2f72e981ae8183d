"""Local training: gradient descent as it is written in books, with every pull, whatever inputs are left out."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import gradient_of
from threadpoolctl import threadpool_info
from training import rounding

from privsdk.errors import InvalidArgument
from privsdk.fl.models.network import Network, Output, Rows, Vector, one_thread
from privsdk.fl.models.training import Pull, Schedule, Task, descend, in_threads
from privsdk.testing import together


@pytest.fixture(autouse=True, scope="module")
def narrow() -> Iterator[None]:
    """Small problems leave inputs out as large ones do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("privsdk.fl.models.network.FEW_INPUTS", 1)
        yield


def plainly(task: Task, batches: list[np.ndarray | None]) -> Vector:
    """One gradient after the other, all inputs in."""
    weights = task.start.copy()
    for batch in batches:
        rows = task.rows if batch is None else task.rows.take(batch)
        gradient = gradient_of(task.network, weights, rows)
        if task.pull.offset is not None:
            gradient = gradient + task.pull.offset
        gradient = gradient + np.float32(task.pull.strength) * (weights - task.start)
        weights = weights - np.float32(task.schedule.learning_rate) * gradient
    return weights


def task_of(seed: int, output: Output, widths: tuple[int, ...], pull: Pull, **schedule: int) -> Task:
    rng = np.random.default_rng(seed)
    network = Network(widths, output)
    x = rng.normal(size=(30, widths[0])).astype(np.float32)
    x[:, rng.random(widths[0]) < rng.random()] = 0
    labels = rng.integers(0, widths[-1] if output is Output.SOFTMAX else 2, 30)
    y = labels if output is Output.SOFTMAX else labels.astype(np.float32)
    rows = Rows(x=x, y=y, weights=rng.uniform(0.5, 2, 30).astype(np.float32))
    start = rng.normal(scale=0.3, size=network.size).astype(np.float32)
    return Task(network, start, rows, Schedule(learning_rate=0.05, **schedule), np.random.default_rng(seed), pull)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(Output.SIGMOID, (7, 1)), (Output.SOFTMAX, (12, 6, 5, 3)), (Output.IDENTITY, (9, 4, 1))]),
    st.sampled_from([{"steps": 6}, {"steps": 5, "batch_size": 8}, {"epochs": 2, "batch_size": 7}]),
    st.booleans(),
    st.sampled_from([0.0, 0.5]),
)
@pytest.mark.rounding
def test_training_is_gradient_descent(
    seed: int, shape: tuple[Output, tuple[int, ...]], schedule: dict[str, int], pulled: bool, strength: float
) -> None:
    size = Network(shape[1], shape[0]).size
    offset = np.random.default_rng(seed).normal(size=size).astype(np.float32) if pulled else None
    task = task_of(seed, *shape, Pull(offset, strength), **schedule)
    batches = list(task.schedule.batches(30, np.random.default_rng(1)))
    trained = descend(task, task.start, batches)
    assert np.linalg.norm(trained - plainly(task, batches)) < rounding(task, trained)
    assert not np.array_equal(trained, task.start)


def test_weights_of_inputs_that_are_zero_everywhere_do_not_move() -> None:
    task = task_of(0, Output.SOFTMAX, (12, 4, 3), Pull(strength=0.3), steps=5)
    task.rows.x[:, [2, 5, 11]] = 0
    (before, _), (after, _) = (
        task.network.layers(weights)[0] for weights in (task.start, descend(task, task.start, [None] * 5))
    )
    assert task.rows.narrow is not None
    unused = ~task.rows.x.any(axis=0)
    assert unused.sum() >= 3
    assert np.array_equal(before[unused], after[unused])
    assert not np.isclose(before[~unused], after[~unused]).all(axis=1).any()


@pytest.mark.rounding
def test_pieces_in_threads_train_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(3, Output.SOFTMAX, (12, 6, 3), Pull(), epochs=3, batch_size=4)
    whole = descend(task, task.start, list(task.schedule.batches(30, np.random.default_rng(3))))
    monkeypatch.setattr("privsdk.fl.models.training.FLOPS_A_PIECE", 3 * 6.0 * task.network.size * 4)  # three steps each
    monkeypatch.setattr("privsdk.fl.models.training.FLOPS_A_STEP", 0)
    steps = []

    def counting() -> object:
        heard = None
        role = in_threads(task._replace(rng=np.random.default_rng(3)))
        while True:
            try:
                step = role.send(heard) if heard is not None else next(role)
            except StopIteration as stop:
                return stop.value
            steps.append(step.progress)
            heard = yield step

    outputs = together({"p": counting()})
    assert np.array_equal(outputs["p"], whole)
    assert {step.total for step in steps} == {8}


def test_training_of_a_small_model_can_be_stopped_on_the_way() -> None:
    task = task_of(4, Output.SIGMOID, (2, 1), Pull(), steps=20_000, batch_size=1)
    role = in_threads(task)
    try:
        assert next(role).progress.total >= 5  # pieces, and a checkpoint before each
    finally:
        role.close()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"epochs": -1}, {"batch_size": -1}])
def test_schedules_that_train_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=r"local_steps or local_epochs"):
        Schedule(learning_rate=0.1, **wrong)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_learning_rates_are_positive_numbers(rate: float) -> None:
    with pytest.raises(InvalidArgument, match="learning_rate"):
        Schedule(learning_rate=rate)


def blas_threads() -> set[int]:
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_blas_has_one_thread_while_anyone_trains_and_its_own_afterwards() -> None:
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(60)
    with one_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {1}  # the other is still within
    leave.set()
    thread.join()
    assert blas_threads() == before
