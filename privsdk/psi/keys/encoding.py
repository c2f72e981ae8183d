"""One byte string for each value of a key: equal where values are, whatever their width, scale or Arrow type.

    string, binary   their bytes
    integer, date    8 bytes of two's complement, big-endian; 9 from 2^63 up. A date is its days since 1970-01-01
    decimal          text: the digits without trailing zeros, "e", the exponent of ten; "0" for zero
    several columns  each column's bytes behind their length in 8 bytes

Equal bytes mean equal keys only among keys of one declaration. Nothing here hides a value: the protocols hash them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .normalise import normalised

_DAY_MS = 86_400_000
_TEXT, _BYTES = pa.large_string(), pa.large_binary()  # 64-bit offsets: a column may hold more than 2 GiB


def comparable(column: pa.ChunkedArray, normalise: Sequence[str]) -> pa.Array:
    """A key column as one int64, uint64 or large_binary array, equal where the keys are; null where there is none."""
    if pa.types.is_dictionary(column.type):
        return comparable(pa.chunked_array(map(_decoded, column.chunks), _wide(column.type.value_type)), normalise)
    type_ = column.type
    array = column.cast(_wide(type_)).combine_chunks()
    if array.type == _TEXT:
        return normalised(array, normalise).cast(_BYTES)
    if pa.types.is_decimal(type_):
        return _decimal_text(array).cast(_BYTES)
    if pa.types.is_date64(type_):
        return _days(array.cast(pa.int64()))
    if pa.types.is_date32(type_):
        return array.cast(pa.int32()).cast(pa.int64())
    return array


def encoded(parts: Sequence[pa.Array]) -> pa.Array:
    """The byte strings of keys without nulls, given as equally long arrays from `comparable`, one for each column."""
    columns = [part if part.type == _BYTES else _big_endian(part) for part in parts]
    if len(columns) == 1:
        return columns[0]
    prefixed = [each for column in columns for each in (_big_endian(pc.binary_length(column)), column)]
    return pc.binary_join_element_wise(*prefixed, pa.scalar(b"", _BYTES))


def _wide(type_: pa.DataType) -> pa.DataType:
    """The type to hold a column in: the widest of those that differ in width only."""
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return _TEXT
    if pa.types.is_integer(type_):
        return pa.uint64() if pa.types.is_uint64(type_) else pa.int64()
    if pa.types.is_date(type_) or pa.types.is_decimal(type_):
        return type_
    return _BYTES


def _decoded(chunk: pa.DictionaryArray) -> pa.Array:
    """The values of a dictionary's rows: an entry may be null, there twice, or of no row."""
    return chunk.dictionary.cast(_wide(chunk.dictionary.type)).take(chunk.indices)


def _days(milliseconds: pa.Array) -> pa.Array:
    """Days since the epoch, rounded down, in 64 bits: Arrow's own cast to date32 wraps around."""
    days = pc.divide(milliseconds, _DAY_MS)  # towards zero
    below = pc.less(pc.subtract(milliseconds, pc.multiply(days, _DAY_MS)), 0)
    return pc.subtract(days, below.cast(pa.int64()))


def _decimal_text(decimals: pa.Array) -> pa.Array:
    """15e-1 for 1.5, 1.50 and 1.500: by value, whatever the scale."""
    whole = {32: pa.decimal32(9, 0), 64: pa.decimal64(18, 0), 128: pa.decimal128(38, 0), 256: pa.decimal256(76, 0)}
    digits = decimals.view(whole[decimals.type.bit_width]).cast(_TEXT)  # no point and no exponent at scale 0
    significant = pc.ascii_rtrim(digits, "0")
    zeros = pc.subtract(pc.binary_length(digits), pc.binary_length(significant))
    exponent = pc.subtract(zeros, decimals.type.scale).cast(_TEXT)
    text = pc.binary_join_element_wise(significant, exponent, pa.scalar("e", _TEXT))
    return pc.if_else(pc.equal(significant, ""), pa.scalar("0", _TEXT), text)


def _big_endian(integers: pa.Array) -> pa.Array:
    """Integers without nulls as byte strings."""
    values: npt.NDArray[np.int64 | np.uint64] = integers.to_numpy()
    count = len(values)
    eight = pa.Array.from_buffers(
        _BYTES,
        count,
        [None, pa.py_buffer(np.arange(0, 8 * count + 1, 8, dtype=np.int64)), pa.py_buffer(values.astype(">u8"))],
    )
    if values.dtype == np.uint64 and (large := values >= np.uint64(1 << 63)).any():
        sign = pc.if_else(pa.array(large), pa.scalar(b"\0", _BYTES), pa.scalar(b"", _BYTES))
        return pc.binary_join_element_wise(sign, eight, pa.scalar(b"", _BYTES))
    return eight
