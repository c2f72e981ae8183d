"""The audit chain: each row's hash covers its body and the row before, and is signed by the party's Ed25519 key.

Not a log of data: bodies hold requests, decisions, charges and outcomes, never row values. A changed, removed or
inserted row breaks the chain at the first such row; a shortened chain is found by heads that others hold (receipts).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..errors import LedgerError

GENESIS = bytes(32)


class Row(NamedTuple):
    sequence: int
    body: bytes
    hash: bytes
    signature: bytes


class Verdict(NamedTuple):
    """Rows checked, and the sequence number of the first that fails (-1: none) with the reason."""

    rows: int
    first_bad: int
    reason: str


def chain_hash(previous: bytes, sequence: int, body: bytes) -> bytes:
    """SHA-256(previous hash || sequence number, 8 bytes big-endian || body)."""
    return hashlib.sha256(previous + sequence.to_bytes(8, "big") + body).digest()


def verify(rows: Sequence[Row], public_key: bytes, *, every_signature: bool = True) -> Verdict:
    """Check a chain from its first row; stops at the first row that is not what was signed.

    The last signature covers all rows before it, so that it is enough to find a change (`every_signature=False`, some
    thirty times faster); the others tell where.
    """
    key = Ed25519PublicKey.from_public_bytes(public_key)
    previous, count = GENESIS, 0
    for row in rows:
        due = count + 1
        if row.sequence != due:
            return Verdict(count, due, f"row {due} is missing; row {row.sequence} follows row {count}")
        if chain_hash(previous, row.sequence, row.body) != row.hash:
            return Verdict(count, due, f"row {due} or the link to the row before it was changed")
        try:
            if every_signature or due == len(rows):
                key.verify(row.signature, row.hash)
        except InvalidSignature:
            return Verdict(count, due, f"row {due} is not signed by this party's key")
        previous, count = row.hash, due
    return Verdict(count, -1, "")


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
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:  # another process of this party made it first
        pass
    finally:
        draft.unlink()
