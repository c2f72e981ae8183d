"""Local training: mini-batch gradient descent at one client, in pieces, one BLAS thread for each core.

A strategy changes it by a `Pull` on every step. Where it runs is the driver's matter: see `Trainer`. In a simulation
(`Stack`), whose clients are all in one process, many small ones are trained at once, their weights and rows stacked
along one more axis: a matrix product over a thousand clients of fifty rows takes a fraction of a thousand products.
Models above some thousand weights gain nothing and are trained one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import InvalidArgument
from ...protocol.roles import Role, checkpoint
from ...protocol.workers.pool import Pipeline, threads
from .network import Network, Rows, Vector, one_thread

FLOPS_A_PIECE = 1e10  # about 0.2 s on one core, between two looks at whether to stop
FLOPS_A_STEP = 5e6  # are computed in the time that any step takes, however small
MOST_STACKED = 3000  # weights of a model
MOST_ENTRIES = 1 << 24  # of stacked inputs: 64 MB

Batch = npt.NDArray[np.int64] | None
"""A step's rows; None for all."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a client trains in one round.

    Parameters
    ----------
    epochs : int
        Passes over its rows, in a new order each time; 0: `steps` instead.
    steps : int
        Gradient steps, each on a batch drawn anew.
    batch_size : int
        Rows of a step; 0 for all.
    learning_rate : float
    """

    epochs: int = 0
    steps: int = 1
    batch_size: int = 0
    learning_rate: float

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 0 or (not self.epochs and self.steps < 1):
            raise InvalidArgument(
                f"{self.epochs} local epochs, {self.steps} local steps, batches of {self.batch_size}",
                hint="give local_steps or local_epochs of 1 or more, and batch_size of 1 or more or none",
            )
        if not 0 < self.learning_rate < float("inf"):
            raise InvalidArgument(f"learning_rate is {self.learning_rate}", hint="give a positive number, such as 0.5")

    def batch(self, rows: int) -> int:
        """Rows of a step at a client that has so many."""
        return min(self.batch_size, rows) if self.batch_size else rows

    def count(self, rows: int) -> int:
        """Steps in a round at a client of so many rows; at one of none, which does not move, 1."""
        return self.epochs * -(-rows // self.batch(rows)) if self.epochs and rows else max(1, self.steps)

    def batches(self, rows: int, rng: np.random.Generator) -> Iterator[Batch]:
        """The rows of each step of a round; None for all."""
        size = self.batch(rows)
        if not rows:
            return
        if self.epochs:
            for _ in range(self.epochs):
                order = rng.permutation(rows)
                yield from (order[at : at + size] for at in range(0, rows, size))
        else:
            for _ in range(self.steps):
                yield None if size == rows else rng.choice(rows, size, replace=False)


class Pull(NamedTuple):
    """What a strategy adds to the gradient at weights w: offset + strength * (w - start)."""

    offset: Vector | None = None
    strength: float = 0.0


class Task(NamedTuple):
    """One client's training in one round."""

    network: Network
    start: Vector
    rows: Rows
    schedule: Schedule
    rng: np.random.Generator
    pull: Pull = Pull()


Trainer = Callable[[Task], Role[Vector]]
"""Trains a task, with checkpoints, and returns the weights it ends with."""


def in_threads(task: Task) -> Role[Vector]:
    """Train by the process's threads, of which there is one for each core, each with one BLAS thread."""
    batches = task.schedule.batches(len(task.rows), task.rng)
    flops = FLOPS_A_STEP + 6.0 * task.network.size * max(1, task.schedule.batch(len(task.rows)))
    size = max(1, int(FLOPS_A_PIECE / flops))
    total, weights = -(-task.schedule.count(len(task.rows)) // size), task.start
    with Pipeline(descend, "local training", total=total, pool=threads()) as pipeline:
        while piece := list(islice(batches, size)):  # drawn as they are due: of many steps they would fill the memory
            pipeline.submit(task, weights, piece)
            weights = yield from pipeline.next()
    return weights


def descend(task: Task, weights: Vector, batches: list[Batch]) -> Vector:
    """A piece of a task: a gradient step on each of these batches."""
    with one_thread(), np.errstate(over="ignore", invalid="ignore"):  # diverging is found by whoever looks at the end
        narrow = task.rows.narrow
        if narrow is None or task.pull.offset is not None:  # which moves weights of inputs that are zero, too
            return _descended(task, weights, batches)
        network, start = task.network.narrowed(narrow.inputs, task.start)
        _, part = task.network.narrowed(narrow.inputs, weights)
        thinner = task._replace(network=network, start=start, rows=narrow.rows)
        return task.network.widened(narrow.inputs, _descended(thinner, part, batches), weights)


def _descended(task: Task, weights: Vector, batches: list[Batch]) -> Vector:
    taken = (task.rows if batch is None else task.rows.take(batch) for batch in batches)
    counted = ((rows, np.float32(len(rows))) for rows in taken)
    return stepped(task.network, task.start, weights, counted, task.schedule.learning_rate, task.pull)


def stepped(
    network: Network,
    start: Vector,
    weights: Vector,
    batches: Iterable[tuple[Rows, np.float32 | Vector]],
    learning_rate: float,
    pull: Pull,
) -> Vector:
    """Gradient steps in place, each over rows and the number of them that count.

    Each layer's matrix product is scaled by way of its smaller factor. With one more axis in front, of weights, rows,
    numbers and offsets, for several clients at once.
    """
    rate = np.float32(learning_rate)
    weights, gradient = weights.copy(), np.empty(weights.shape, np.float32)
    layers, products = network.layers(weights), network.layers(gradient)
    offset = None if pull.offset is None else rate * pull.offset
    for rows, counted in batches:
        pulled = rate * np.float32(pull.strength) * (weights - start) if pull.strength else None
        scale = np.asarray(rate / counted)[..., None, None]
        for layer, product, part in zip(layers, products, network.backward(weights, rows), strict=True):
            errors = part.errors * scale
            np.matmul(part.inputs.swapaxes(-1, -2), errors, out=product.matrix)
            np.subtract(layer.matrix, product.matrix, out=layer.matrix)
            np.subtract(layer.bias, errors.sum(axis=-2), out=layer.bias)
        for further in (offset, pulled):
            if further is not None:
                weights -= further
    return weights


class Stack:
    """The trainer of all clients that are driven in one thread: those that wait together are trained together."""

    def __init__(self) -> None:
        self._tickets = count()
        self._waiting: dict[int, Task] = {}
        self._trained: dict[int, Vector] = {}

    def train(self, task: Task) -> Role[Vector]:
        """Wait until everyone who trains now has come this far; whoever goes on first trains all."""
        ticket = next(self._tickets)
        self._waiting[ticket] = task
        yield from checkpoint("local training", 0, 1)
        if ticket in self._waiting:
            self._trained |= zip(self._waiting, trained(list(self._waiting.values())), strict=True)
            self._waiting.clear()
        return self._trained.pop(ticket)


def trained(tasks: Sequence[Task]) -> list[Vector]:
    """What each task ends with, in order."""
    planned = [list(task.schedule.batches(len(task.rows), task.rng)) for task in tasks]
    groups: dict[object, list[int]] = {}
    for at, (task, batches) in enumerate(zip(tasks, planned, strict=True)):
        small = task.network.size <= MOST_STACKED
        alike = (task.network, task.schedule, len(batches), task.pull.strength, task.pull.offset is None)
        groups.setdefault((alike, len(task.rows).bit_length()) if small else at, []).append(at)
    ended: dict[int, Vector] = {}
    for group in groups.values():
        largest = max(tasks[at].rows.x.size for at in group)
        size = max(1, MOST_ENTRIES // largest)
        for first in range(0, len(group), size):
            part = group[first : first + size]
            if len(part) == 1:
                (at,) = part
                ended[at] = descend(tasks[at], tasks[at].start, planned[at])
            else:
                ended |= zip(part, _together([tasks[at] for at in part], [planned[at] for at in part]), strict=True)
    return [ended[at] for at in range(len(tasks))]


def _together(tasks: Sequence[Task], batches: Sequence[list[Batch]]) -> Vector:
    """The weights that tasks alike end with, of shape (tasks, weights)."""
    first = tasks[0]
    offsets = [task.pull.offset for task in tasks if task.pull.offset is not None]
    pull = Pull(np.stack(offsets) if offsets else None, first.pull.strength)
    start = np.stack([task.start for task in tasks])
    with one_thread(), np.errstate(over="ignore", invalid="ignore"):
        return stepped(first.network, start, start, _batches(tasks, batches), first.schedule.learning_rate, pull)


def _batches(tasks: Sequence[Task], batches: Sequence[list[Batch]]) -> Iterator[tuple[Rows, Vector]]:
    """Each step's rows of all tasks, filled up to the same number with rows of weight 0, and how many there are."""
    most = max(len(task.rows) for task in tasks)
    x = np.zeros((len(tasks), most, tasks[0].rows.x.shape[1]), np.float32)
    y = np.zeros((len(tasks), most), tasks[0].rows.y.dtype)
    weights = np.zeros((len(tasks), most), np.float32)
    for number, task in enumerate(tasks):
        n = len(task.rows)
        x[number, :n], y[number, :n] = task.rows.x, task.rows.y
        weights[number, :n] = 1 if task.rows.weights is None else task.rows.weights
    everyone = np.arange(len(tasks))[:, None]
    for step in range(len(batches[0])):
        taken = [each[step] for each in batches]
        if all(batch is None for batch in taken):
            counts = np.array([len(task.rows) for task in tasks], np.float32)
            yield Rows(x=x, y=y, weights=weights), counts
            continue
        chosen = [np.arange(len(task.rows)) if b is None else b for b, task in zip(taken, tasks, strict=True)]
        counts = np.array([len(batch) for batch in chosen], np.float32)
        index = np.zeros((len(tasks), int(counts.max())), np.int64)
        for number, batch in enumerate(chosen):
            index[number, : len(batch)] = batch
        there = np.arange(index.shape[1]) < counts[:, None]
        yield Rows(x=x[everyone, index], y=y[everyone, index], weights=weights[everyone, index] * there), counts
