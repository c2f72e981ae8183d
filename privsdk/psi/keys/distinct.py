"""Join keys: from Arrow columns to distinct byte strings, and back from matched keys to rows.

A row with a null in any of its key columns has no key. Duplicates stay local: a key that occurs in many rows is one
element of the set. Strings are compared by their code points, after the normalisation that their key declares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .declaration import Normalise, declared, key
from .encoding import comparable, encoded

Column: TypeAlias = pa.Array | pa.ChunkedArray


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
    parts = [comparable(table.column(name), declaration.of(name)) for name in table.column_names]
    codes = _numbered(parts[0]) if len(parts) == 1 else _jointly_numbered([_numbered(part) for part in parts])
    new = np.diff(np.maximum.accumulate(codes), prepend=-1) > 0  # rows whose key none before them has
    if not new.all():
        first = pa.array(np.flatnonzero(new))
        table, parts = table.filter(pa.array(new)), [part.take(first) for part in parts]
    return DistinctKeys(kind=kind, values=table, encoded=encoded(parts), codes=codes)


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
