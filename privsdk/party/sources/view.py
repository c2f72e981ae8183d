"""Views: an owner's SELECT over sources of its own that are not served themselves: casts, renames, derived columns,
filters, joins. Whatever else there is, it cannot read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors.calls import verb
from .connection import sealed
from .query import Query
from .source import Source

if TYPE_CHECKING:
    import duckdb


class SqlView(NamedTuple):
    """A SELECT, and what it may read, by name."""

    sql: str
    sources: Mapping[str, Any]


@verb
def declared(sql: str, /, **sources: Any) -> SqlView:
    """A view for `ps.embedded`: the owner's own SELECT, in DuckDB's SQL, over sources that are not tables themselves.

    Parameters
    ----------
    sql : str
        One SELECT. It reads these sources and nothing else: no file, no other table.
    **sources : table
        By the names that the SELECT has for them, each anything that `ps.embedded` takes as a table.

    Examples
    --------
    >>> paid = ps.view("SELECT id, amount::DECIMAL(12, 2) AS amount FROM raw WHERE paid", raw="raw.csv")
    >>> fed = ps.embedded(north={"paid": paid})
    """
    return SqlView(sql, sources)


class ViewTable(Query):
    """The result of a view, read anew at each use, or kept where `Query` says so."""

    def __init__(self, where: str, given: SqlView, *, opened: Callable[[str, Any], Source]) -> None:
        self._sources = {each: opened(f"{where}.{each}", source) for each, source in given.sources.items()}
        super().__init__(
            where,
            given.sql,
            connect=self._connected,
            version=lambda: " ".join(source.version() for source in self._sources.values()),
            relations={(each.lower(),) for each in given.sources},
        )

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with sealed() as connection:
            for name, source in self._sources.items():
                connection.register(name, source.scan())
            yield connection
