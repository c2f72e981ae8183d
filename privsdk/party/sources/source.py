"""The seam: what a party asks of wherever a table is. One kind of source is one file beside this, entered in
`party.tables`."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ...errors import InvalidArgument, UnknownName
from ...errors.sources import FileMisread, SourceUnusable, Unusable


class Source(Protocol):
    """One table, wherever it is. Names and types of its columns are those of when it was opened."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns."""

    def version(self) -> str:
        """Changes whenever its rows may have changed, or come in another order."""

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        """These columns, rows in their own order; with none of them the rows can still be counted."""

    def scan(self) -> Any:
        """All of it, for DuckDB: an Arrow table, or an Arrow dataset, of which it takes what it needs."""


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
