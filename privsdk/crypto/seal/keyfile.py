"""The file that a key is kept in: replaced in one step, by one process at a time, and never over another's changes."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...atomic import atomic_write
from ...errors import InvalidArgument

SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}  # 128 MiB and about half a second, as OWASP asks of passwords at rest


class KeyFile:
    """Where a key is kept, what it is sealed with, and a digest of what was last there."""

    def __init__(self, path: Path, salt: bytes, key: bytes, content: bytes = b"") -> None:
        self.path = path
        self.salt = salt
        self.key = key
        self._seen = hashlib.sha256(content).digest()

    def replace(self, content: bytes) -> None:
        """Write anew, unless another process has done so since: its count of reveals would be lost."""
        with _alone(self.path.parent):
            try:
                found = hashlib.sha256(self.path.read_bytes()).digest()
            except FileNotFoundError:
                found = b""
            if found != self._seen:
                raise InvalidArgument(
                    f"{self.path} was changed or removed since this key was loaded",
                    hint="load it again: another session may have revealed with it, and every reveal counts",
                )
            self.write(content)

    def write(self, content: bytes) -> None:
        """Replace the file in one step, on disk before it returns."""
        atomic_write(self.path, content)
        self._seen = hashlib.sha256(content).digest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process is here for the same folder, where the file system has locks for it: its own, not a file's that
    is replaced."""
    if os.name != "posix":  # pragma: no cover
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def derived(passphrase: str, salt: bytes) -> bytes:
    """The key that a passphrase stands for, by scrypt (RFC 7914)."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    if not isinstance(passphrase, str) or not passphrase:
        raise InvalidArgument("an empty passphrase, or none", hint="a key at rest is encrypted under one: give text")
    try:
        encoded = unicodedata.normalize("NFC", passphrase).encode()  # systems type one letter in several ways
    except UnicodeEncodeError:
        raise InvalidArgument("a passphrase that is no Unicode text", hint="type it anew") from None
    return Scrypt(salt=salt, length=32, **SCRYPT).derive(encoded)
