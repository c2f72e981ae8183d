"""Parquet files."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import InvalidArgument, UnknownName
from ...errors.sources import FileMisread, SourceUnusable, Unusable
from ...protocol.columns.arrow import plain
from .connection import connected, identifier


class ParquetFile:
    """One file, by its very name and with its own columns only, read anew at each use through DuckDB."""

    def __init__(self, party: str, name: str, given: str | Path) -> None:
        self._where = f"{party}/{name}"
        self._path = existing(given, self._where)
        self._schema = self._query("*", " LIMIT 0").schema

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def version(self) -> str:
        return version_of(self._path, self._where)

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        names = columns or (self._schema.names[0],)  # so that the rows can still be counted
        return self._query(", ".join(identifier([name]) for name in names))

    def scan(self) -> Any:
        import pyarrow.dataset

        return pyarrow.dataset.dataset(str(self._path), format="parquet", partitioning=None)

    def _query(self, wanted: str, more: str = "") -> pa.Table:
        import duckdb

        # The names are quoted identifiers of the table's own schema; the path is a bound parameter. DuckDB takes it as
        # a pattern, and a folder named a=b as a column.
        query = f"SELECT {wanted} FROM read_parquet(?, hive_partitioning = false){more}"  # noqa: S608
        try:
            with connected() as connection:
                table: pa.Table = connection.sql(query, params=[glob.escape(str(self._path))]).to_arrow_table()
        except duckdb.Error:  # its message may quote a line of the file
            raise unreadable(self._path, self._where) from None
        return plain(table)


def existing(path: str | Path, where: str) -> Path:
    """Its one name; raises UnknownName where it is not there, and InvalidArgument where it is no file."""
    problem: Unusable | None = "folder" if Path(path).is_dir() else None
    if not Path(path).exists() and glob.has_magic(str(path)):
        problem = "pattern"
    if problem:
        raise InvalidArgument(SourceUnusable(where=where, problem=problem, name=str(path)))
    if not Path(path).exists():
        raise UnknownName(f"{where}: there is no file {path}", hint="check the path")
    return Path(path).resolve()


def version_of(path: Path, where: str) -> str:
    """Of what the file system says of a file: which one, how long, when written and when changed in any way, which
    nobody can set back."""
    try:
        status = path.stat()
    except OSError:
        raise unreadable(path, where) from None
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def unreadable(path: Path, where: str) -> InvalidArgument:
    return InvalidArgument(FileMisread(where=where, file=path.name, problem="unreadable"))
