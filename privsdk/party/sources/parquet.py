"""Parquet files, in the Arrow types that they were written with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from .dataset import DatasetTable
from .source import existing, unreadable


class ParquetFile(DatasetTable):
    """One file, by its very name and with its own columns only, read anew at each use."""

    def __init__(self, where: str, given: str | Path) -> None:
        self._where, self._path = where, existing(given, where)
        super().__init__(where, self.scan(), [self._path])

    def scan(self) -> Any:
        import pyarrow.dataset

        try:
            return pyarrow.dataset.dataset(str(self._path), format="parquet", partitioning=None)
        except (pa.ArrowException, OSError):  # its message may quote a line of the file
            raise unreadable(self._path, self._where) from None
