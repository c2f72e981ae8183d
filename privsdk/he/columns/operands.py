"""Plain operands of encrypted columns: numbers and vectors as the schemes take them, or a clear refusal."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from numbers import Number as AnyNumber
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InvalidArgument
from ...protocol.columns.numbers import reals

Number = int | float
Vector: TypeAlias = npt.NDArray[Any] | pa.Array | pa.ChunkedArray


def positive(number: Any) -> bool:
    """Whether it is a positive, finite number."""
    return isinstance(number, int | float | np.integer | np.floating) and bool(0 < number < math.inf)


def to_units(values: npt.NDArray[Any], resolution: float) -> npt.NDArray[Any]:
    """Finite values as the nearest whole number of units, a power of two: int64, or Python integers beyond 2^62.

    Nothing is rounded but to the grid: integers beyond 2^53 are no float64 numbers.
    """
    most = largest(values)
    if values.dtype.kind in "iub" and max(most, most / resolution) >= 2.0**53:
        whole = values.astype(object)
        if resolution <= 1.0:
            return np.asarray(whole * int(1 / resolution))
        return np.asarray((whole + int(resolution) // 2) // int(resolution))
    units = values.astype(np.float64, copy=False) / resolution
    np.rint(units, out=units)
    if most / resolution < 2.0**62:
        return units.astype(np.int64)
    return np.array([int(unit) for unit in units.tolist()], object)


def largest(values: npt.NDArray[Any]) -> float:
    """The largest absolute value, without a copy; nan where one is."""
    return max(float(values.max(initial=0)), -float(values.min(initial=0)))


def on_grid(values: npt.NDArray[Any], resolution: float) -> bool:
    """Whether all are whole numbers of units."""
    whole = values.dtype.kind in "iub"
    if whole and (resolution <= 1.0 or largest(values) >= 2.0**53):
        return resolution <= 1.0 or not (values.astype(object) % int(resolution)).any()
    return not np.fmod(values.astype(np.float64), resolution).any()


def to_numpy(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """An Arrow column without nulls, in NumPy; booleans and chunks are copied."""
    return np.asarray(column.to_numpy(zero_copy_only=False))


def is_number(type_: pa.DataType) -> bool:
    """Whether columns of it are numbers, booleans among them."""
    is_ = pa.types
    return bool(is_.is_integer(type_) or is_.is_floating(type_) or is_.is_boolean(type_) or is_.is_decimal(type_))


def numbers(vector: Vector | Sequence[Any]) -> npt.NDArray[Any]:
    if isinstance(vector, pa.Array | pa.ChunkedArray):
        if not is_number(vector.type):
            raise InvalidArgument(f"an operand of {vector.type}", hint="use a number or a vector of numbers")
        if pa.types.is_decimal(vector.type):
            return np.nan_to_num(reals(vector))
        vector = to_numpy(pc.fill_null(vector, False if pa.types.is_boolean(vector.type) else 0))
    if isinstance(vector, np.ma.MaskedArray):
        raise InvalidArgument("an operand with a mask", hint="give an Arrow array with nulls")
    try:
        values = np.asarray(vector)
    except ValueError:
        raise InvalidArgument("an operand of uneven shape", hint="use a number or a vector of numbers") from None
    if values.ndim != 1 or values.dtype.kind not in "iubf":
        what = f"shape {values.shape}" if values.ndim != 1 else type(values.tolist()[0]).__name__
        raise InvalidArgument(f"an operand of {what}", hint="use a number or a vector of numbers")
    if not np.isfinite(values).all():
        raise InvalidArgument("NaN or infinity in an operand", hint="encrypted arithmetic has no such values")
    if values.dtype.kind in "bf":  # in fewer bits, products with a divisor would be rounded to them
        return values.astype(np.int64 if values.dtype.kind == "b" else np.float64)
    return values


def is_vector(other: Any) -> bool:
    """Whether an operand has a value for each row, or at least is no single number."""
    return isinstance(other, list | tuple) or np.ndim(other) > 0


def valid_of(vector: Any) -> npt.NDArray[np.bool_] | None:
    if isinstance(vector, pa.Array | pa.ChunkedArray) and vector.null_count:
        return to_numpy(vector.is_valid())
    return None


def same(one: npt.NDArray[np.bool_] | None, other: npt.NDArray[np.bool_] | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def kinds(labels: Iterable[Any]) -> set[str]:
    """The types of labels, but for None; those are one whose values may equal each other."""
    named = {str: "text", AnyNumber: "numbers", np.bool_: "numbers", datetime.datetime: "times"}
    return {
        next((name for kind, name in named.items() if isinstance(label, kind)), type(label).__name__)
        for label in labels
        if label is not None
    }
