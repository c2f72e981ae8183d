"""Linear algebra of encrypted columns: weighted sums, products with plain matrices, dot products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InvalidArgument
from .column import Column, folded
from .operands import Number, Vector


def weighted_sum(columns: Sequence[Column], weights: Sequence[Number], *, intercept: Number = 0.0) -> Column:
    """The sum of columns, each times its weight, plus the intercept: a linear score of every row."""
    return matmul(columns, np.asarray(weights, dtype=np.float64).reshape(-1, 1), intercepts=[intercept])[0]


def matmul(
    columns: Sequence[Column], weights: npt.NDArray[Any], *, intercepts: Sequence[Number] | None = None
) -> list[Column]:
    """Encrypted columns, as a matrix of rows by d, times a plain matrix of shape (d, k): k encrypted columns.

    A column of weight zero does not enter a result, nor do its nulls.
    """
    matrix = np.asarray(weights)
    if matrix.ndim != 2 or len(matrix) != len(columns) or not columns:
        raise InvalidArgument(
            f"{len(columns)} columns and weights of shape {matrix.shape}", hint="give a row of weights for each column"
        )
    if intercepts is not None and len(intercepts) != matrix.shape[1]:
        raise InvalidArgument(f"{len(intercepts)} intercepts for {matrix.shape[1]} results")
    made = []
    for i in range(matrix.shape[1]):
        total: Column | None = None
        for column, weight in zip(columns, matrix[:, i].tolist(), strict=True):
            if weight:
                total = column * weight if total is None else total + column * weight
        if total is None:
            raise InvalidArgument("all weights are zero: the answer is not secret")
        made.append(total if intercepts is None or not intercepts[i] else total + intercepts[i])
    return made


def dot(column: Column, other: Column | Vector) -> Column | list[Column]:
    """The sum of products row by row; of a matrix of shape (rows, d), a list of d sums: its transpose times the column.

    Computes.
    """
    if isinstance(other, np.ndarray) and other.ndim == 2:
        return folded([(column * other[:, j])._clean() for j in range(other.shape[1])])
    return column.dot(other)
