"""Models by name and parameters. Parties never run code that a notebook sends; they run these.

A model is a value: its features with public ranges. Its weights travel apart from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, InvalidArgument

Reals = npt.NDArray[np.float64]


class Logistic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logistic regression: P(label) = sigmoid(w . x + b) with features scaled from a public range to [-1, 1].

    Parameters
    ----------
    features : mapping of column to (low, high)
        Numeric or boolean columns with their publicly known ranges; values outside are clipped. Ranges that were
        measured on the data would themselves be a disclosure.
    """

    features: dict[str, tuple[float, float]]

    def __post_init__(self) -> None:
        if not self.features:
            raise InvalidArgument(
                "a model needs features", hint='for example fl.Logistic(features={"distance": (0, 5000)})'
            )
        for name, (low, high) in self.features.items():
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InvalidArgument(f"feature {name!r} has the range ({low}, {high})", hint="give low < high, finite")

    @property
    def size(self) -> int:
        """Number of weights, the intercept (last) included."""
        return len(self.features) + 1

    def design(self, table: pa.Table, *, party: str) -> Reals:
        """The rows as a matrix of shape (rows, size), the last column ones."""
        columns = [
            np.clip(2 * (_numbers(table.column(name), party, name) - low) / (high - low) - 1, -1, 1)
            for name, (low, high) in self.features.items()
        ]
        return np.column_stack([*columns, np.ones(table.num_rows)])


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """A design matrix of shape (rows, size) and its labels, 0.0 or 1.0, of shape (rows,)."""

    x: Reals
    y: Reals

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        return Rows(x=self.x[index], y=self.y[index])


def complete_rows(model: Logistic, table: pa.Table, label: str, *, party: str) -> Rows:
    """The rows in which no feature and no label is null or NaN.

    Raises
    ------
    DataError
        A feature is not numeric or boolean, or the label is not boolean or 0 and 1. Names party and column, no value.
    """
    for name in (*model.features, label):
        column = table.column(name)
        if pa.types.is_floating(column.type):
            table = table.set_column(
                table.column_names.index(name),
                name,
                pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column),
            )
    table = table.drop_null()
    y = _numbers(table.column(label), party, label)
    if not np.isin(y, (0.0, 1.0)).all():
        raise DataError(f"{party}'s label {label} holds other values than 0 and 1", hint="use a boolean column")
    return Rows(x=model.design(table, party=party), y=y)


def _numbers(column: pa.ChunkedArray, party: str, name: str) -> Reals:
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(f"{party}'s {name} is {column.type}", hint="use a numeric or boolean column")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    numbers: Reals = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def probabilities(weights: Reals, x: Reals) -> Reals:
    """sigmoid(x w), computed without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * (x @ weights)))


def mean_loss(weights: Reals, rows: Rows) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    margins = rows.x @ weights
    return float(np.mean(np.logaddexp(0, margins) - rows.y * margins))


def mean_gradient(weights: Reals, rows: Rows) -> Reals:
    gradient: Reals = rows.x.T @ (probabilities(weights, rows.x) - rows.y) / len(rows)
    return gradient


def evaluate(weights: Reals, rows: Rows) -> Mapping[str, float]:
    """Share of correct predictions, of the majority label, mean loss in nats, and area under the ROC curve."""
    p = probabilities(weights, rows.x)
    positives = float(rows.y.mean())
    return {
        "accuracy": float(np.mean((p >= 0.5) == (rows.y == 1))),
        "majority": max(positives, 1 - positives),
        "log_loss": mean_loss(weights, rows),
        "auc": _auc(p, rows.y),
    }


def _auc(scores: Reals, y: Reals) -> float:
    """P(score of a positive > score of a negative), ties counting half; NaN where a class is missing."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    positives = float(y.sum())
    negatives = len(y) - positives
    if positives == 0 or negatives == 0:
        return math.nan
    rank_sum = float(midranks[inverse][y == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
