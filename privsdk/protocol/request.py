"""A question in the canonical form in which every party gets it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ..governance.charges import Unit

VERSION = 1
LONGEST_NAME = 100  # letters of a run id or purpose: ledgers keep them whole, also of requests that cost nothing


class Operand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a party brings: columns of one of its tables, or of the rows it matched in a join.

    `unit` bounds how many rows of one id there are in it: the party hands its role no more than that.
    """

    table: str
    columns: tuple[str, ...]
    alignment: str = ""
    unit: Unit = Unit()


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question, sent in the same canonical form to every party named in it.

    Parameters
    ----------
    run_id : str
        Chosen by the caller; a request repeated under it returns the stored answer and is not charged again.
    parties : tuple of str
        Everyone who takes part, in dialling order: of any two, the earlier opens the stream to the later.
    operands : mapping of party to Operand
        Parties that bring data; the others only help.
    parameters : mapping
        The operation's own parameters, public to all.
    """

    version: int = VERSION
    run_id: str
    operation: str
    caller: str
    purpose: str
    parties: tuple[str, ...]
    operands: dict[str, Operand]
    parameters: dict[str, Any]

    def canonical(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> str:
        return hashlib.sha256(self.canonical()).hexdigest()

    def question(self) -> str:
        """The digest of what is asked, whichever run asks it."""
        return msgspec.structs.replace(self, run_id="").digest()
