"""Numeric columns as NumPy arrays: decimals by their digits, or as the nearest floats."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_WORD = 64
_EXACT = 2**53  # floats hold whole numbers up to here, and powers of ten up to the next
_EXACT_DIGITS = 22


def places(types: Iterable[str]) -> int | None:
    """The most decimal places of columns of these Arrow types, as text; None where one is of floats, or no number."""
    most = 0
    for type_ in types:
        decimal = re.fullmatch(r"decimal\d+\(\d+, (-?\d+)\)", type_)
        if decimal is None and not re.fullmatch(r"u?int\d+|bool|null", type_):
            return None
        most = max(most, int(decimal[1]) if decimal else 0)
    return most


def unscaled(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Decimals without nulls as whole multiples of 10**-scale: int64, or Python integers where 64 bits do not do."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    words = whole.type.bit_width // _WORD
    held = np.frombuffer(whole.buffers()[1] or b"", np.int64)[words * whole.offset :][: words * len(whole)]
    parts = held.reshape(len(whole), words)
    if (parts[:, 1:] == parts[:, :1] >> _WORD - 1).all():
        return np.ascontiguousarray(parts[:, 0])
    total = parts[:, -1].astype(object)
    for place in reversed(range(words - 1)):
        total = (total << _WORD) + parts[:, place].view(np.uint64).astype(object)
    return np.asarray(total)


def reals(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A numeric or boolean column as the nearest floats, NaN for null."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not pa.types.is_decimal(column.type):
        plain: npt.NDArray[np.float64] = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy()
        return plain
    found = np.full(len(column), np.nan)
    found[column.is_valid().to_numpy(zero_copy_only=False)] = _nearest(unscaled(column.drop_null()), column.type.scale)
    return found


def _nearest(whole: npt.NDArray[Any], scale: int) -> npt.NDArray[np.float64]:
    """Rounded once: the quotient of two exact floats, else of two Python integers."""
    if whole.dtype == np.int64 and 0 <= scale <= _EXACT_DIGITS and ((whole >= -_EXACT) & (whole <= _EXACT)).all():
        quotient: npt.NDArray[np.float64] = whole / 10.0**scale
        return quotient
    up, down = 10 ** max(-scale, 0), 10 ** max(scale, 0)
    return np.asarray(whole.astype(object) * up / down, np.float64)
