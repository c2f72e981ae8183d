"""What the caller puts together: sums and products of all columns, in their own units, each with a bound on its error.

Three errors add up: of rounding a figure to its grid, which is below the grid; of rounding values to 2^-f of a step,
which for n keys has a standard deviation of at most sqrt(n / 12) times the other column's root mean square, six of
which are taken; and of floating-point arithmetic, which is far smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ProtocolViolation
from ...errors.inputs import JointMismatch
from ...protocol.control import Finished
from .grids import Grids, opened
from .parameters import JointColumn, MomentsParameters

Reals = npt.NDArray[np.float64]
_DEVIATIONS = 6


class ToldSums:
    """Of one answer.

    Attributes
    ----------
    names : tuple of str
        Of the encoded columns: "party.column", and for categories their label too.
    columns : list of list of int
        For each column that was asked for, in the question's order, the numbers of its encoded columns, from 1.
    facts : list of dict
        For each of them; see `Encoded`.
    count : int
        Complete joint keys.
    sums, errors : float64 arrays of shape (columns + 1, columns + 1)
        Sums of products of encoded numbers in steps, the constant first, NaN where none is told; and bounds on their
        errors.
    """

    def __init__(self, parameters: MomentsParameters, parties: Sequence[str], answers: Mapping[str, Finished]) -> None:
        first = answers[parties[0]].value
        self.count: int = first["complete"]
        self.keys: int = first["keys"]
        self.min_count: int = first["min_count"]
        grids = Grids(
            keys=self.keys,
            min_count=self.min_count,
            numbers=tuple(first["numbers"]),
            lacking=first["lacking"],
        )
        self.columns, self.facts = _placed(parameters, parties, answers)
        self.numbers = grids.numbers
        size = len(grids.numbers) + 1
        units, self.errors = np.full((size, size), np.nan), np.full((size, size), np.nan)
        units[0, 0], self.errors[0, 0] = self.count, 0.0
        for (i, j), parts in _parts(parties, answers).items():
            grid = grids.grid(i, j)
            units[i, j] = units[j, i] = opened(parts, grid, grids.prime)
            self.errors[i, j] = self.errors[j, i] = 0 if grid == 1 else grid
        scale = np.array([1.0, *(2.0**-grids.fraction if number else 1.0 for number in grids.numbers)])
        self.sums = units * np.outer(scale, scale)
        self.errors = self.errors * np.outer(scale, scale) + self._of_values(scale)

    def _of_values(self, scale: Reals) -> Reals:
        """Bounds on what rounding values moves sums of their products by."""
        rounded = np.where(scale < 1, scale, 0.0)
        size = np.sqrt(np.maximum(np.where(np.isnan(np.diag(self.sums)), self.count, np.diag(self.sums)), 0))
        both = np.hypot(np.outer(rounded, size), np.outer(size, rounded))
        return np.asarray(_DEVIATIONS * both / math.sqrt(12))

    def index(self, column: int) -> int:
        """The number of the encoded column of a number that was asked for."""
        (found,) = self.columns[column]
        return found

    @property
    def means(self) -> Reals:
        """Of the encoded columns in steps, the constant first."""
        return np.asarray(self.sums[0] / self.count)

    def covariance(self) -> tuple[Reals, Reals]:
        """Of the encoded columns in steps, divided by the number of keys less 1, and bounds on the errors."""
        n, means = self.count, self.means[1:]
        centred = (self.sums[1:, 1:] - n * np.outer(means, means)) / (n - 1)
        of_means = self.errors[0, 1:] / n
        spread = np.outer(np.abs(means), of_means)
        errors = (self.errors[1:, 1:] + n * (spread + spread.T + np.outer(of_means, of_means))) / (n - 1)
        return centred, errors

    def step(self, column: int) -> float:
        """How much of its unit a step of a number is."""
        return float(self.facts[column]["step"])

    def centre(self, column: int) -> float:
        """Where a number's steps begin, in its unit."""
        return float(self.facts[column]["centre"])

    def capped(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of these names, in the question's order, whose owners capped the most extreme values."""
        return tuple(name for name, fact in zip(names, self.facts, strict=True) if fact.get("capped"))

    def labels(self, column: int) -> list[str | None]:
        """The values of a category that are told, in the order of its encoded columns."""
        return list(self.facts[column]["labels"])

    def withheld(self, column: int) -> int:
        """How many are not."""
        return int(self.facts[column]["withheld"])


def _placed(
    parameters: MomentsParameters, parties: Sequence[str], answers: Mapping[str, Finished]
) -> tuple[list[list[int]], list[dict[str, Any]]]:
    """For each column that was asked for its encoded columns and its facts."""
    at: dict[JointColumn, tuple[list[int], dict[str, Any]]] = {}
    start = 1
    for party in parties:
        for column, fact in zip(parameters.of(party), answers[party].value["facts"], strict=True):
            width = 1 if column.kind == "number" else len(fact["labels"])
            at[column] = list(range(start, start + width)), fact
            start += width
    return [at[column][0] for column in parameters.columns], [at[column][1] for column in parameters.columns]


def _parts(parties: Sequence[str], answers: Mapping[str, Finished]) -> dict[tuple[int, int], list[int]]:
    found: dict[tuple[int, int], list[int]] = {}
    for party in parties:
        table = answers[party].table
        if table is None:
            raise ProtocolViolation(JointMismatch(party=party, wrong="figures"))
        for i, j, part in zip(*(table.column(name).to_pylist() for name in ("left", "right", "part")), strict=True):
            found.setdefault((i, j), []).append(part)
    return found
