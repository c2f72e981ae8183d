"""Audit heads: the signed end of a party's audit chain, as it is sent, kept and compared."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .chain import head_statement, signed

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
