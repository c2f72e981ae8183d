"""Files that are written whole or not at all: a draft beside the place, on disk before it gets the name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600  # readable by its owner alone
SHARED = 0o666  # less the process's umask


def atomic_write(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Replace or make a file; after a crash at any moment it holds the old content or the new, never a part."""
    with replacing(path, mode=mode) as draft:
        draft.write_bytes(content)


@contextmanager
def replacing(path: Path, *, mode: int = PRIVATE, exclusive: bool = False) -> Iterator[Path]:
    """An empty draft to be filled, which takes the place of `path` where the block ends without an error.

    Parameters
    ----------
    mode : int
        Permissions of a new file.
    exclusive : bool
        Never replace a file: of several writers the first one wins.

    Raises
    ------
    FileExistsError
        `exclusive` is set and there is a file.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        if exclusive:
            os.link(draft, path)
        else:
            os.replace(draft, path)
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(path: Path) -> None:
    """Remove what writers of this file left behind when they were killed; for whoever is its only writer."""
    for draft in path.parent.glob(f"{path.name}.*.draft"):
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """The new name, too, is on disk only then."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
