"""Where a party's tables come from: the seam, and which source opens what. A new source is one entry of `SOURCES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ...errors import InvalidArgument, UnknownName
from .files import TableFile
from .memory import InMemoryTable


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
