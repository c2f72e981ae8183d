"""Where a party's states lie: files of a folder, replaced as a whole, or in memory."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from ..protocol.failpoints import FailPoint, reach

NAMED = re.compile(r"([0-9a-f]{32})\.([a-z]+)\.([0-9]{9})")


class Shelf(Protocol):
    """Where files lie."""

    def sizes(self) -> dict[str, int]:
        """Of all files, the one written longest ago first."""

    def read(self, name: str) -> bytes:
        """A whole file."""

    def write(self, name: str, data: bytes) -> None:
        """Replace or make a file; it is there when this returns."""

    def remove(self, name: str) -> None:
        """A file that may be gone already."""


class Memory:
    """Forgotten with the process."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def sizes(self) -> dict[str, int]:
        """In the order of writing."""
        return {name: len(data) for name, data in self._files.items()}

    def read(self, name: str) -> bytes:
        """As it was written."""
        return self._files[name]

    def write(self, name: str, data: bytes) -> None:
        """At the end."""
        self._files.pop(name, None)
        self._files[name] = data

    def remove(self, name: str) -> None:
        """If it is there."""
        self._files.pop(name, None)


class Folder:
    """On disk: readable by their owner alone, as they are made of its rows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> dict[str, int]:
        """By the times of writing; what is no state is not ours."""
        if not self._path.is_dir():
            return {}
        found = [(file.stat(), file.name) for file in self._path.iterdir() if NAMED.fullmatch(file.name)]
        return {name: stat.st_size for stat, name in sorted(found, key=lambda pair: (pair[0].st_mtime_ns, pair[1]))}

    def read(self, name: str) -> bytes:
        """As it lies there."""
        return (self._path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Beside it first, so that a crash leaves the old file or the new one."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path / f"{name}.draft"
        reach(FailPoint.CHECKPOINT_BEFORE)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        reach(FailPoint.CHECKPOINT_INSIDE)
        draft.replace(self._path / name)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            folder = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        reach(FailPoint.CHECKPOINT_AFTER)

    def remove(self, name: str) -> None:
        """If it is there."""
        (self._path / name).unlink(missing_ok=True)
