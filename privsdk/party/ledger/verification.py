"""Whether a ledger is what its party signed: its chain, and its tables against the chain."""

from __future__ import annotations

from pathlib import Path

from ...errors import LedgerError
from ...governance import chain
from .queries import Queries
from .reconcile import reconcile
from .snapshot import Snapshot, read_ledger


def refuse_changed(ledger: Queries, public_key: bytes) -> None:
    """Raise LedgerError for a ledger whose tables or chain were changed by hand since it was last open."""
    verdict = verify(ledger.snapshot(), public_key, every_signature=False)
    if verdict.first_bad >= 0 or verdict.reason:
        raise LedgerError(
            f"{ledger.party}'s ledger {ledger.path} was changed by hand: {verdict.reason}",
            hint="restore the file from a backup; `python -m privsdk audit verify` shows what differs",
        )


def verify_ledger(path: Path, public_key: bytes | None = None) -> chain.Verdict:
    """Check the audit chain in a ledger file, and its tables against the chain, without its party.

    By this key if it is given, and by the file's if not.
    """
    snapshot = read_ledger(path)
    return verify(snapshot, public_key or snapshot.public_key)


def verify(snapshot: Snapshot, public_key: bytes, *, every_signature: bool = True) -> chain.Verdict:
    """Check the chain of a ledger read before, then its tables against the chain."""
    verdict = chain.verify(snapshot.rows, public_key, every_signature=every_signature)
    if verdict.first_bad >= 0:
        return verdict
    difference = reconcile(snapshot.tables, snapshot.rows)
    return verdict._replace(first_bad=0, reason=difference) if difference else verdict
