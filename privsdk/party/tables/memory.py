"""A table in memory: what a notebook gives, as Arrow, in the types that operations know."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ...errors import InvalidArgument


class InMemoryTable:
    """An Arrow table or record batch, anything with the Arrow PyCapsule interface, or a DuckDB relation.

    Raises
    ------
    InvalidArgument
        It is none of these.
    """

    def __init__(self, party: str, name: str, given: Any) -> None:
        self._table = plain(_arrow(f"{party}/{name}", given))

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns."""
        return self._table.schema

    def version(self) -> str:
        """It never changes."""
        return "memory"

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        """These columns; none still have the number of rows."""
        return self._table.select(list(columns))


def _arrow(name: str, given: Any) -> pa.Table:
    if isinstance(given, pa.Table):
        return given
    if hasattr(given, "to_arrow_table"):  # a DuckDB relation: materialised now, its connection is the notebook's
        return given.to_arrow_table()
    if isinstance(given, pa.RecordBatch):
        return pa.Table.from_batches([given])
    if hasattr(given, "__arrow_c_stream__"):
        try:
            return pa.table(given)
        except pa.ArrowException as error:  # its message may quote a value
            raise InvalidArgument(
                f"{name}, a {type(given).__name__}, is no Arrow table ({type(error).__name__})",
                hint="give a table whose columns have one type each",
            ) from None
    raise InvalidArgument(
        f"{name} is a {type(given).__name__}, which is not a table",
        hint="give an Arrow table, a pandas or polars frame, a DuckDB relation, or a path of Parquet or CSV",
    )


def plain(table: pa.Table) -> pa.Table:
    """In the types that operations know, without the metadata that frames bring along: it may hold index values."""
    columns = [
        pa.chunked_array([_plain_array(chunk) for chunk in column.chunks or [pa.nulls(0, column.type)]])
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _plain_array(array: pa.Array) -> pa.Array:
    """Views and dictionaries as the values they stand for: Arrow cannot take, group or sort them."""
    if pa.types.is_dictionary(array.type):
        return _plain_array(array.dictionary).take(array.indices)
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    return array.cast(pa.large_binary()) if pa.types.is_binary_view(array.type) else array
