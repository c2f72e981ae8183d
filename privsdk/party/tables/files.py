"""A Parquet or CSV file, read anew at each use through DuckDB."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ...errors import InvalidArgument, UnknownName
from .memory import plain


class TableFile:
    """One file; `reader` is DuckDB's table function for its kind.

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
        """Of its size and time of writing."""
        try:
            status = self._path.stat()
        except OSError:
            raise self._unreadable() from None
        return f"{status.st_size}-{status.st_mtime_ns}"

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        """These columns, or the first one where none is asked for: the rows can still be counted."""
        names = columns or (self._schema.names[0],)
        return self._query(", ".join('"' + name.replace('"', '""') + '"' for name in names))

    def _query(self, wanted: str, more: str = "") -> pa.Table:
        import duckdb

        # the names are quoted identifiers of the table's own schema; the path is a bound parameter
        query = f"SELECT {wanted} FROM {self._reader}(?){more}"  # noqa: S608
        try:
            with duckdb.connect() as connection:
                table: pa.Table = connection.sql(query, params=[str(self._path)]).to_arrow_table()
        except duckdb.Error:  # its message may quote a line of the file
            raise self._unreadable() from None
        return plain(table)

    def _unreadable(self) -> InvalidArgument:
        return InvalidArgument(f"{self._party} cannot read {self._path.name}", hint="check that the file is intact")
