"""Tables as people have them, as Arrow tables in the types that operations know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InvalidArgument


def table_of(name: str, given: Any) -> pa.Table:
    """An Arrow table of what was given, called so in errors.

    Parameters
    ----------
    given : table
        An Arrow table or record batch, anything with the Arrow PyCapsule interface (pandas and polars frames), a polars
        lazy frame, a DuckDB relation, an Arrow dataset, or a mapping of column to list.

    Raises
    ------
    InvalidArgument
        It is none of these, or a column is not of one type.
    """
    return plain(_arrow(name, given))


def _arrow(name: str, given: Any) -> pa.Table:
    if isinstance(given, pa.Table):
        return given
    if hasattr(given, "to_arrow_table"):  # a DuckDB relation: materialised now, its connection is the notebook's
        return given.to_arrow_table()
    if hasattr(given, "scanner"):  # an Arrow dataset
        return given.to_table()
    if isinstance(given, pa.RecordBatch):
        return pa.Table.from_batches([given])
    if hasattr(given, "collect") and hasattr(given, "lazy"):  # of polars
        given = given.collect()
    if hasattr(given, "__arrow_c_stream__") or isinstance(given, Mapping):
        try:
            return pa.table(given)
        except (pa.ArrowException, TypeError) as error:  # its message may quote a value
            raise InvalidArgument(
                f"{name}, a {type(given).__name__}, is no Arrow table ({type(error).__name__})",
                hint="give a table whose columns have one type each",
            ) from None
    raise InvalidArgument(
        f"{name} is a {type(given).__name__}, which is not a table",
        hint="give an Arrow table, a pandas or polars frame, a DuckDB relation, or a mapping of column to list",
    )


def taken(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """These rows of a table; of one without columns, which Arrow would take none of, as many."""
    return table.take(pa.array(rows)) if table.column_names else table.slice(0, len(rows))


def plain(table: pa.Table) -> pa.Table:
    """In the types that operations know, without the metadata that frames bring along: it may hold index values."""
    columns = [
        pa.chunked_array([_plain_array(chunk) for chunk in column.chunks or [pa.nulls(0, column.type)]])
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _plain_array(array: pa.Array) -> pa.Array:
    """As what operations know: views, dictionaries and run ends as the values they stand for, UUIDs and JSON as text,
    booleans of 8 bits as booleans, small decimals as those of 128 bits, and what else extends Arrow as what it is
    stored as."""
    for is_kind, plain_form in _PLAIN:
        if is_kind(array.type):
            return plain_form(array)
    return array


_HEX = np.array([list(f"{n:02x}".encode()) for n in range(256)], np.uint8)
_DIGITS = [n for n in range(36) if n not in (8, 13, 18, 23)]  # of a UUID's 36 letters, those that are no hyphens


def _uuid_text(array: pa.Array) -> pa.Array:
    """In the form of RFC 9562, section 4: lower case, with hyphens."""
    stored = array.storage.fill_null(b"\0" * 16)
    octets = np.frombuffer(stored.buffers()[1], np.uint8)[16 * stored.offset :][: 16 * len(stored)]
    letters = np.full((len(stored), 36), ord("-"), np.uint8)
    letters[:, _DIGITS] = _HEX[octets].reshape(len(stored), 32)
    ends = np.arange(0, 36 * len(stored) + 1, 36, dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(letters)]
    text = pa.Array.from_buffers(pa.large_string(), len(stored), buffers)
    return pc.if_else(array.is_valid(), text, pa.scalar(None, text.type))


def _listed(array: pa.Array) -> pa.Array:
    """A view of lists as lists: Arrow's own cast of one leaves offsets out."""
    ends = np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy())
    type_ = pa.large_list(array.type.value_field)
    return pa.LargeListArray.from_arrays(pa.array([0, *ends]), array.flatten(), type=type_, mask=array.is_null())


def _is_small_decimal(type_: pa.DataType) -> bool:
    return bool(pa.types.is_decimal32(type_) or pa.types.is_decimal64(type_))


_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pa.types.is_dictionary, lambda array: _plain_array(array.dictionary).take(array.indices)),
    (pa.types.is_run_end_encoded, lambda array: _plain_array(pc.run_end_decode(array))),
    (pa.types.is_string_view, lambda array: array.cast(pa.large_string())),
    (pa.types.is_binary_view, lambda array: array.cast(pa.large_binary())),
    (_is_small_decimal, lambda array: array.cast(pa.decimal128(array.type.precision, array.type.scale))),
    (lambda type_: isinstance(type_, pa.UuidType), _uuid_text),
    (lambda type_: isinstance(type_, pa.Bool8Type), lambda array: array.storage.cast(pa.bool_())),
    (lambda type_: isinstance(type_, pa.BaseExtensionType), lambda array: _plain_array(array.storage)),
    (lambda type_: pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_), _listed),
)
