"""Where a party's tables come from: the seam, and its sources. A new source is one entry of `SOURCES`."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ...errors import InvalidArgument, UnknownName


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


class TableFile:
    """One file, by its very name and with its own columns only; `reader` is DuckDB's table function for its kind.

    Raises
    ------
    UnknownName, InvalidArgument
        There is no such file, or it cannot be read.
    """

    def __init__(self, party: str, name: str, given: str, *, reader: str) -> None:
        path = Path(given)
        if not path.exists():
            raise UnknownName(f"{party}/{name}: there is no file {path}", hint="check the path")
        self._party = party
        self._path = path.resolve()
        self._reader = reader
        self._schema = self._query("*", " LIMIT 0").schema

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns, when it was opened."""
        return self._schema

    def version(self) -> str:
        """Of what the file system says of it: which file, how long, when written and when changed in any way, which
        nobody can set back."""
        try:
            status = self._path.stat()
        except OSError:
            raise self._unreadable() from None
        return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        """These columns, or the first one where none is asked for: the rows can still be counted."""
        names = columns or (self._schema.names[0],)
        return self._query(", ".join('"' + name.replace('"', '""') + '"' for name in names))

    def _query(self, wanted: str, more: str = "") -> pa.Table:
        import duckdb

        # The names are quoted identifiers of the table's own schema; the path is a bound parameter. DuckDB takes it as
        # a pattern, and a folder named a=b as a column.
        query = f"SELECT {wanted} FROM {self._reader}(?, hive_partitioning = false){more}"  # noqa: S608
        try:
            with duckdb.connect() as connection:
                table: pa.Table = connection.sql(query, params=[glob.escape(str(self._path))]).to_arrow_table()
        except duckdb.Error:  # its message may quote a line of the file
            raise self._unreadable() from None
        return plain(table)

    def _unreadable(self) -> InvalidArgument:
        return InvalidArgument(f"{self._party} cannot read {self._path.name}", hint="check that the file is intact")


class Source(Protocol):
    """One table, wherever it is."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns."""

    def version(self) -> str:
        """Changes whenever its rows may have changed."""

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        """These columns, rows in their own order; with none of them the rows can still be counted."""


# By the end of a path, or by the scheme of an address with its "://"; opened with a party, a table's name and the path.
SOURCES: Mapping[str, Callable[[str, str, str], Source]] = {
    ".parquet": partial(TableFile, reader="read_parquet"),
    ".csv": partial(TableFile, reader="read_csv"),
    ".csv.gz": partial(TableFile, reader="read_csv"),
}


def open_source(party: str, name: str, given: Any) -> Source:
    """The source of a table that was given as a path or address, or as a table in memory.

    Raises
    ------
    UnknownName, InvalidArgument
        There is no such file, or it is of no known kind.
    """
    if not isinstance(given, str | Path):
        return InMemoryTable(party, name, given)
    text = str(given)
    for kind, source in SOURCES.items():
        if text.startswith(kind) if kind.endswith("://") else text.endswith(kind):
            return source(party, name, text)
    if not Path(text).exists():
        raise UnknownName(f"{party}/{name}: there is no file {text}", hint="check the path")
    raise InvalidArgument(f"{party}/{name}: {Path(text).name} is of no known kind", hint=f"known: {', '.join(SOURCES)}")
