"""Arrow datasets of a notebook: read anew at each use where they are files of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.sources import FileMisread
from ...protocol.columns.arrow import plain
from .source import version_of


def local_files(dataset: Any) -> list[Path] | None:
    """What a dataset reads; None where that is not files of this machine alone, so that a change could not be seen."""
    import pyarrow.dataset
    from pyarrow.fs import LocalFileSystem

    if isinstance(dataset, pyarrow.dataset.UnionDataset):
        parts = [local_files(child) for child in dataset.children]
        return None if None in parts else [file for part in parts for file in part or ()]
    local = isinstance(dataset, pyarrow.dataset.FileSystemDataset) and isinstance(dataset.filesystem, LocalFileSystem)
    return [Path(file) for file in dataset.files] if local else None


class DatasetTable:
    """Of the files that the dataset had when it was given."""

    def __init__(self, where: str, given: Any, files: list[Path]) -> None:
        self._where, self._dataset, self._files = where, given, files
        self.schema: pa.Schema = plain(given.schema.empty_table()).schema

    def version(self) -> str:
        return " ".join(version_of(file, self._where) for file in self._files)

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        names = columns or (self.schema.names[0],)  # so that the rows can still be counted
        try:
            return plain(self.scan().to_table(columns=list(names)))
        except (pa.ArrowException, OSError):  # its message may quote a line
            of = self._files[0].name if len(self._files) == 1 else f"{len(self._files)} files"
            raise InvalidArgument(FileMisread(where=self._where, file=of, problem="unreadable")) from None

    def scan(self) -> Any:
        return self._dataset
