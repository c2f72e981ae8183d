"""A whole ledger at one moment, read while its party runs or not, never changed, and whether it is what was signed."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...errors import LedgerError
from ...governance import chain
from ...governance.chain import Row
from ...governance.charges import Charge
from ...governance.events import answer_hash
from ..budget_status import BudgetStatus
from . import row_sets
from .reconcile import LedgerTables, reconcile

KEY_BYTES = 32  # of an Ed25519 public key
_CHARGE = msgspec.json.Decoder(Charge)
_STATUS = msgspec.json.Decoder(BudgetStatus)


class Snapshot(NamedTuple):
    """A whole ledger at one moment."""

    party: str
    public_key: bytes
    rows: list[Row]
    tables: LedgerTables


def read_ledger(path: Path) -> Snapshot:
    """A ledger file, read-only, while its party runs or not."""
    try:
        try:
            return _read_ledger(path, "ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
        # Its party was killed within a commit and has not rolled it back since: roll back in a copy, the file stays.
        with tempfile.TemporaryDirectory() as folder:
            for file in (path.with_name(f"{path.name}-journal"), path):
                shutil.copy(file, folder)
            return _read_ledger(Path(folder) / path.name, "rw")
    except (sqlite3.Error, OSError, KeyError, ValueError) as error:
        raise LedgerError(
            f"{path} cannot be read as a ledger: {error}", hint="give the path of a .sqlite ledger"
        ) from None


def _read_ledger(path: Path, mode: str) -> Snapshot:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)) as db:
        return snapshot(db)


def snapshot(db: sqlite3.Connection) -> Snapshot:
    """All of it in one transaction, so that the tables and the chain are of the same moment."""
    db.execute("BEGIN")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        facts = dict(db.execute("SELECT key, value FROM meta").fetchall())
        if len(bytes.fromhex(facts.get("public_key", ""))) != KEY_BYTES or "party" not in facts:
            raise ValueError("it names no party or no signing key")
        rows = db.execute("SELECT sequence, body, hash, signature FROM audit ORDER BY sequence").fetchall()
        purpose = "purpose" if version > 1 else "NULL"  # version 1 had it in the audit alone
        runs = db.execute(f"SELECT run_id, caller, {purpose}, state, answer FROM run").fetchall()  # noqa: S608
        charges = db.execute("SELECT run_id, id, at, dataset, body FROM charge ORDER BY id").fetchall()
        statuses = db.execute("SELECT dataset, body FROM standing").fetchall() if version > 1 else []
        told = row_sets.told(db) if version > 1 else {}
    finally:
        db.execute("ROLLBACK")
    charged: dict[str, list[tuple[str, Charge]]] = {}
    placed: dict[str, list[tuple[int, str]]] = {}
    for run_id, number, at, dataset, body in charges:
        charged.setdefault(run_id, []).append((dataset, _CHARGE.decode(body)))
        placed.setdefault(run_id, []).append((number, at))
    tables = LedgerTables(
        runs={run_id: (caller, purpose, state, answer_hash(answer)) for run_id, caller, purpose, state, answer in runs},
        charges=charged,
        placed=placed,
        statuses={dataset: _STATUS.decode(body) for dataset, body in statuses},
        told=told,
    )
    return Snapshot(facts["party"], bytes.fromhex(facts["public_key"]), [Row(*row) for row in rows], tables)


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
