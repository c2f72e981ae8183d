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
    parts = _words(column, np.int64)
    words = parts.shape[1]
    if (parts[:, 1:] == parts[:, :1] >> _WORD - 1).all():
        return np.ascontiguousarray(parts[:, 0])
    total = parts[:, -1].astype(object)
    for place in reversed(range(words - 1)):
        total = (total << _WORD) + parts[:, place].view(np.uint64).astype(object)
    return np.asarray(total)


def whole_sums(column: pa.Array | pa.ChunkedArray, starts: npt.NDArray[np.int64]) -> list[int]:
    """Sums of whole numbers or unscaled decimals without nulls, of groups that begin at `starts`; none is empty.

    Added in words of 32 bits, the last with the sign, so that none overflows.
    """
    if column.type.bit_width < _WORD:
        column = column.cast(pa.int64())
    parts = _words(column, np.uint32)
    sums, last = [0] * len(starts), parts.shape[1] - 1
    for place in range(last + 1):
        signed = place == last and not pa.types.is_uint64(column.type)
        word = parts[:, place].view(np.int32) if signed else parts[:, place]
        added = np.add.reduceat(word.astype(np.int64), starts).tolist()
        sums = [total + (part << 32 * place) for total, part in zip(sums, added, strict=True)]
    return sums


def _words(column: pa.Array | pa.ChunkedArray, word: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """Whole numbers or decimals without nulls as Arrow holds them: a row of words for each, the lowest first."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    words = whole.type.bit_width // (8 * np.dtype(word).itemsize)
    held = np.frombuffer(whole.buffers()[1] or b"", word)[words * whole.offset :][: words * len(whole)]
    return held.reshape(len(whole), words)


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
