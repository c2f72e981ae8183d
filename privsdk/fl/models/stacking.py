"""Many small clients trained at once: their weights and rows stacked along one more axis.

For simulations, where all clients are in one process. A matrix product over a thousand clients of fifty rows takes a
fraction of a thousand products; models above some thousand weights gain nothing and are trained one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

from ...protocol.roles import Role, checkpoint
from .blas import one_thread
from .network import Rows, Vector
from .training import Pull, Task, descend, stepped

MOST_WEIGHTS = 3000
MOST_ENTRIES = 1 << 24  # of stacked inputs: 64 MB

Batch = npt.NDArray[np.int64] | None


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
        small = task.network.size <= MOST_WEIGHTS
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
