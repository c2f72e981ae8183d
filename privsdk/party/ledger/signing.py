"""A party's signing key, beside the audit chain that it signs (`chain`). Only the books and the ledger use it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ...errors import LedgerError
from ...files import replacing


class Signer:
    """A party's Ed25519 key; signs chain hashes."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def sign(self, digest: bytes) -> bytes:
        return self._key.sign(digest)

    @classmethod
    def fresh(cls) -> Signer:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def at(cls, path: Path, *, create: bool) -> Signer:
        """The key in this PEM file; made, readable by its owner alone, where there is none and `create` is set."""
        if not path.exists():
            if not create:
                raise LedgerError(
                    f"the signing key {path} is missing, and the ledger beside it was signed with it",
                    hint="restore the key file from a backup; if the file beside it is no ledger, give another path",
                )
            try:
                _write_key(path, cls.fresh()._key)
            except OSError as error:
                raise LedgerError(
                    f"the signing key {path} cannot be made: {error.strerror}",
                    hint="check that its folder is writable and the disk has space, or give another store",
                ) from None
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, OSError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise LedgerError(f"{path} is not an Ed25519 private key", hint="restore the key file from a backup")
        return cls(key)


def _write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Put the whole key on disk before it has its name, so that a crash leaves none or all of it."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with suppress(FileExistsError), replacing(path, exclusive=True) as draft:  # another process may have made it first
        draft.write_bytes(pem)
