"""The seam: what a party asks of wherever a table is. One kind of source is one file beside this, entered in
`party.tables`."""

from __future__ import annotations

from typing import Any, Protocol

import pyarrow as pa


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
