"""DuckDB files: one table, view or query of one. What it reads beyond the file is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import InvalidArgument
from ...errors.calls import verb
from ...errors.sources import SourceUnusable
from .connection import sealed
from .query import Query, select_of
from .source import existing, unreadable, version_of

if TYPE_CHECKING:
    import duckdb


class DuckDBFile(NamedTuple):
    """A DuckDB file, and which table of it, or which query."""

    path: str | Path
    table: str = ""
    query: str = ""


@verb
def declared(path: str | Path, *, table: str = "", query: str = "") -> DuckDBFile:
    """A table of a DuckDB file for `ps.embedded`, or a query over its tables.

    Parameters
    ----------
    path : str or path
    table : str
        A table or view, such as "cards" or "house.cards".
    query : str
        In place of a table: one SELECT.

    Examples
    --------
    >>> fed = ps.embedded(north=ps.duckdb("house.duckdb", table="cards"))
    """
    return DuckDBFile(path, table, query)


class DuckDBTable(Query):
    """Read anew at each use, from the file as it is then, or kept where `Query` says so."""

    def __init__(self, where: str, given: DuckDBFile) -> None:
        self._of = where
        self._path = existing(given.path, self._of)
        sql = select_of(self._of, given.table, given.query)
        with self._connected() as connection:
            tables = "SELECT lower(schema_name), lower(table_name) FROM duckdb_tables()"
            named = connection.sql(tables).fetchall()
        own = {(table,) for schema, table in named if schema == "main"}
        super().__init__(
            self._of, sql, connect=self._connected, version=self._version_of_file, relations={*named, *own}
        )

    def _version_of_file(self) -> str:
        """Of the file, and of what was written last, which DuckDB keeps beside it until the next checkpoint."""
        beside = self._path.with_name(f"{self._path.name}.wal")
        return version_of(self._path, self._of) + (version_of(beside, self._of) if beside.exists() else "")

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        with ExitStack() as stack:
            try:
                connection = stack.enter_context(sealed(self._path))
            except duckdb.Error as error:
                if "lock" in str(error) or "different configuration" in str(error):
                    problem = SourceUnusable(where=self._of, problem="locked", name=self._path.name)
                    raise InvalidArgument(problem) from None
                raise unreadable(self._path, self._of) from None
            yield connection
