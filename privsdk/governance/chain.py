"""Audit chains: rows that hash over the row before and are signed, heads that stand for them, and checks of both.

Values and checks only; a party's key and ledger file are in `party`. A changed, removed or inserted row breaks the
chain at the first such row. A shortened chain, or one that went on from an older copy, is found by heads that others
hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GENESIS = bytes(32)
_HEAD = b"privsdk audit head\n"


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

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if self.first_bad == 0:  # the tables, which are computed from the chain
            return f"{self.reason}; the chain itself is sound, {self.rows} rows"
        if self.first_bad > 0:
            return f"{self.reason}; the {self.rows} rows before it are sound"
        return f"{self.rows} rows, chain and signatures sound"


def chain_hash(previous: bytes, sequence: int, body: bytes) -> bytes:
    """SHA-256(previous hash || sequence number, 8 bytes big-endian || body)."""
    return hashlib.sha256(previous + sequence.to_bytes(8, "big") + body).digest()


def head_statement(rows: int, branch: int, digest: bytes) -> bytes:
    """What a party signs to state its head: a tag, the number of rows, the branch, the hash of the last row.

    A row's own signature is over its hash alone, which names no number: shown with a larger one it would make a sound
    chain look short.
    """
    return _HEAD + rows.to_bytes(8, "big") + branch.to_bytes(8, "big") + digest


def signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether this Ed25519 key made this signature of the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify(rows: Sequence[Row], public_key: bytes, *, every_signature: bool = True) -> Verdict:
    """Check a chain from its first row; stops at the first row that is not what was signed.

    The last signature covers all rows before it, so that it is enough to find a change (`every_signature=False`, some
    thirty times faster); the others tell where.
    """
    previous, count = GENESIS, 0
    for row in rows:
        due = count + 1
        if row.sequence != due:
            return Verdict(count, due, f"row {due} is missing; row {row.sequence} follows row {count}")
        if chain_hash(previous, row.sequence, row.body) != row.hash:
            return Verdict(count, due, f"row {due} or the link to the row before it was changed")
        if (every_signature or due == len(rows)) and not signed(public_key, row.signature, row.hash):
            return Verdict(count, due, f"row {due} is not signed by this party's key")
        previous, count = row.hash, due
    return Verdict(count, -1, "")


Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a party's audit chain, signed: its number of rows and the hash over all of them.

    `branch` counts the losses that the party's owner has acknowledged: an older ledger file that goes on after one
    begins a new branch, and of two heads the later one has the larger branch, then more rows.
    """

    rows: Count
    hash: str
    signature: str
    public_key: str
    branch: Count = 0

    @property
    def order(self) -> tuple[int, int]:
        """Of two heads of one party, the later one's is larger."""
        return self.branch, self.rows

    def is_signed(self) -> bool:
        """Whether the key that it names signed this hash for this number of rows and this branch."""
        try:
            statement = head_statement(self.rows, self.branch, bytes.fromhex(self.hash))
            return signed(bytes.fromhex(self.public_key), bytes.fromhex(self.signature), statement)
        except ValueError:  # no hexadecimal
            return False
