"""Join keys: from an Arrow column to distinct byte strings, and back from matched keys to rows.

Null keys never match. Duplicates stay local: a key that occurs in many rows is one element of the set. Strings are
compared by their code points as they stand; no case folding, trimming or Unicode normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class DistinctKeys:
    """The distinct non-null keys of a column.

    Attributes
    ----------
    kind : "string", "integer" or "binary"
    values : Arrow array of the n distinct keys
    encoded : list of n byte strings, equal where the keys are
    codes : int64 array, for each row the number of its key, -1 where it is null
    """

    kind: str
    values: pa.Array
    encoded: list[bytes]
    codes: npt.NDArray[np.int64]

    def rows_of(self, positions: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows holding the keys at `positions`, and for each row the index into `positions`; by key, then by row."""
        joint = np.full(len(self.encoded) + 1, -1, dtype=np.int64)  # one more, for the null code -1
        joint[positions] = np.arange(len(positions), dtype=np.int64)
        by_row = joint[self.codes]
        rows = np.flatnonzero(by_row >= 0)
        order = np.argsort(by_row[rows], kind="stable")
        return rows[order].astype(np.int64), by_row[rows][order]


def key_kind(type_: pa.DataType) -> str:
    """The family of a key type; types of one family compare equal by value whatever their width."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "string"
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return "binary"
    raise InvalidArgument(f"a join key of type {type_} is not supported", hint="use a string, integer or binary column")


def distinct_keys(column: pa.Array | pa.ChunkedArray) -> DistinctKeys:
    kind = key_kind(column.type)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    encoded_column = column.dictionary_encode()
    values = encoded_column.dictionary
    codes = pc.fill_null(encoded_column.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    if kind == "string":
        encoded = [value.encode() for value in values.to_pylist()]
    elif kind == "integer":
        encoded = [b"%d" % value for value in values.to_pylist()]
    else:
        encoded = values.to_pylist()
    return DistinctKeys(kind=kind, values=values, encoded=encoded, codes=codes)
