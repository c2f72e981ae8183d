"""Join keys: from Arrow columns to distinct byte strings, and back from matched keys to rows.

A row with a null in any of its key columns has no key. Duplicates stay local: a key that occurs in many rows is one
element of the set. Strings are compared by their code points, after the normalisation that their key declares. Values
are encoded as one byte string, equal where they are, whatever their width, scale or Arrow type:

    string, binary   their bytes
    integer, date    8 bytes of two's complement, big-endian; 9 from 2^63 up. A date is its days since 1970-01-01
    decimal          text: the digits without trailing zeros, "e", the exponent of ten; "0" for zero
    several columns  each column's bytes behind their length in 8 bytes

Equal bytes mean equal keys only among keys of one declaration. Nothing here hides a value: the protocols hash them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .declaration import Normalise, declared, key
from .normalise import normalised

Column: TypeAlias = pa.Array | pa.ChunkedArray

_DAY_MS = 86_400_000
_TEXT, _BYTES = pa.large_string(), pa.large_binary()  # 64-bit offsets: a column may hold more than 2 GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class DistinctKeys:
    """The distinct keys of a table's rows, in the order of their first rows.

    Attributes
    ----------
    kind : str
        The declaration, such as "string (nfc) + date".
    values : Arrow table of n rows
        The key columns of each key's first row, as they stand there; views in the large types.
    encoded : Arrow array of n large_binary
        Byte strings, equal where the keys are.
    codes : int64 array
        For each row the number of its key, -1 where it has none.
    """

    kind: str
    values: pa.Table
    encoded: pa.Array
    codes: npt.NDArray[np.int64]

    @property
    def size(self) -> int:
        """The number of distinct keys."""
        return len(self.encoded)

    def rows_of(self, positions: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows holding the keys at `positions`, and for each row the index into `positions`; by key, then by row."""
        joint = np.full(self.size + 1, -1, dtype=np.int64)  # one more, for the code -1
        joint[positions] = np.arange(len(positions), dtype=np.int64)
        by_row = joint[self.codes]
        rows = np.flatnonzero(by_row >= 0)
        order = np.argsort(by_row[rows], kind="stable")
        return rows[order].astype(np.int64), by_row[rows][order]


def distinct_keys(columns: pa.Table | Column | Sequence[Column], *, normalise: Normalise = ()) -> DistinctKeys:
    """The distinct keys of rows.

    Parameters
    ----------
    columns : Arrow table, or one or several Arrow columns of one length
        The columns of the key, in order: string, integer, binary, date or decimal, or dictionaries of these.
    normalise : names of normalisations
        As in `key`.

    Raises
    ------
    InvalidArgument, DataError
        The columns make no key; see `declared`.
    """
    if isinstance(columns, pa.Table):
        table = columns
    else:
        listed = [columns] if isinstance(columns, Column) else list(columns)
        table = pa.table(listed, names=[f"key column {n}" for n in range(1, len(listed) + 1)])
    declaration = key(*table.column_names, normalise=normalise)
    kind = declared([str(type_) for type_ in table.schema.types], declaration)
    table = pa.table([_without_views(column) for column in table.columns], names=table.column_names)
    parts = [_comparable(table.column(name), declaration.of(name)) for name in table.column_names]
    codes = _numbered(parts[0]) if len(parts) == 1 else _jointly_numbered([_numbered(part) for part in parts])
    new = np.diff(np.maximum.accumulate(codes), prepend=-1) > 0  # rows whose key none before them has
    if not new.all():
        first = pa.array(np.flatnonzero(new))
        table, parts = table.filter(pa.array(new)), [part.take(first) for part in parts]
    return DistinctKeys(kind=kind, values=table, encoded=_encoded(parts), codes=codes)


def _without_views(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Views as the large types: Arrow cannot filter views."""
    large = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return column.cast(large[column.type]) if column.type in large else column


def _numbered(part: pa.Array) -> npt.NDArray[np.int64]:
    """For each row the number of its value, counted from 0 in the order of first rows; -1 for null."""
    if part.null_count:
        codes = np.full(len(part), -1, dtype=np.int64)
        codes[part.is_valid().to_numpy(zero_copy_only=False)] = _numbered(part.drop_null())
        return codes
    if pa.types.is_integer(part.type) and _all_differ(part.to_numpy()):
        return np.arange(len(part), dtype=np.int64)
    numbers: npt.NDArray[np.int64] = part.dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers


def _jointly_numbered(columns: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """The same for rows of several columns that are numbered already; -1 where any is."""
    known = np.logical_and.reduce([column >= 0 for column in columns])
    joint, bound = np.zeros(int(known.sum()), dtype=np.int64), 1
    for column in columns:
        size = int(column.max(initial=0)) + 1
        if bound * size > 1 << 63:
            joint = _numbered(pa.array(joint))
            bound = len(joint)
        joint, bound = joint * size + column[known], bound * size
    codes = np.full(len(known), -1, dtype=np.int64)
    codes[known] = _numbered(pa.array(joint))
    return codes


def _all_differ(values: npt.NDArray[np.int64 | np.uint64]) -> bool:
    """Whether no integer occurs twice, as in a column of ids: found by sorting, at a quarter of what hashing takes."""
    for some in (values[:: 1 + len(values) // 65536], values):  # a sample first: repeats mostly show in it
        ordered = np.sort(some)
        if (ordered[1:] == ordered[:-1]).any():
            return False
    return True


def _comparable(column: pa.ChunkedArray, normalise: Sequence[str]) -> pa.Array:
    """A key column as one int64, uint64 or large_binary array, equal where the keys are; null where there is none."""
    if pa.types.is_dictionary(column.type):
        return _comparable(pa.chunked_array(map(_decoded, column.chunks), _wide(column.type.value_type)), normalise)
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


def _encoded(parts: Sequence[pa.Array]) -> pa.Array:
    """The byte strings of keys without nulls, given as equally long arrays from `_comparable`, one for each column."""
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
