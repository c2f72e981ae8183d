"""Connections to DuckDB, of which nothing is shown: in a notebook it would draw a progress bar of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_SEALED: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": False}


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory, for one query of ours."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        yield connection


@contextmanager
def sealed(database: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory, or a file's, read only, for a query of the owner.

    It reads no file, network or variable of the process, and takes the zone of times to be UTC on every machine.
    """
    import duckdb

    where = ":memory:" if database is None else str(database)
    with duckdb.connect(where, read_only=database is not None, config=_SEALED) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def identifier(path: Iterable[str]) -> str:
    """A name of SQL, of these parts."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in path)
