"""Connections to DuckDB, of which nothing is shown: in a notebook it would draw a progress bar of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_SEALED = {"enable_external_access": False}


@cache
def _memory(process: int, *, closed: bool) -> duckdb.DuckDBPyConnection:
    """A database in memory. One serves a process: to make one takes as long as to read many files. A forked process has
    not the threads of its parent's, and cannot even end it."""
    import duckdb

    return duckdb.connect(config=dict(_SEALED) if closed else {})


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own, for one query of ours."""
    with _memory(os.getpid(), closed=False).cursor() as connection:
        connection.execute("SET enable_progress_bar = false")
        yield connection


@contextmanager
def sealed(database: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own for a query of the owner, to a file, read only, or in memory.

    It reads no file, network or variable of the process, and takes the zone of times to be UTC on every machine.
    """
    import duckdb

    opened = (
        _memory(os.getpid(), closed=True).cursor()
        if database is None
        else duckdb.connect(str(database), read_only=True, config=dict(_SEALED))
    )
    with opened as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def identifier(path: Iterable[str]) -> str:
    """A name of SQL, of these parts."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in path)
