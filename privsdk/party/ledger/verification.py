"""Whether a ledger is what its party signed: read whole at one moment, its chain checked, its tables against the chain.

A changed, removed or added row of the tables is named with the chain's row that says otherwise, and so is a row of the
chain that no run's state allows. Rows' hashes and signatures are checked in `governance.chain`. Reading never changes
the file, whether its party runs or not.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...errors import InternalError, LedgerError
from ...governance import chain
from ...governance.chain import Row
from ...governance.charges import Charge
from ...governance.events import (
    AnswerRepeated,
    Entry,
    FiguresDisclosed,
    OwnerActed,
    RunEvent,
    RunFinished,
    RunPaid,
    RunReserved,
    RunState,
    UnknownEvent,
    after,
    answer_hash,
    decode,
    name_of,
)
from ..budget_status import BudgetStatus, status_after
from . import row_sets


class LedgerTables(NamedTuple):
    """What the ledger's tables say.

    Attributes
    ----------
    runs : mapping of run id to (caller, purpose or None where version 1 held none, state, SHA-256 of the stored answer)
    charges : mapping of run id to its (dataset, charge), in their order
    placed : mapping of run id to the numbers and times of its charges, in the same order
    statuses : mapping of dataset to BudgetStatus
    told : mapping of run id to a hash over the sets and figures of exact answers that it added
    pooled : mapping of run id to a hash over what is kept of its pooled exact result
    """

    runs: dict[str, tuple[str, str | None, str, str]]
    charges: dict[str, list[tuple[str, Charge]]]
    placed: dict[str, list[tuple[int, str]]]
    statuses: dict[str, BudgetStatus]
    told: dict[str, str]
    pooled: dict[str, str]


class _Said(NamedTuple):
    """What the chain says of a run, and in which row it said it last."""

    caller: str
    purpose: str
    state: RunState
    answer: str | None  # None where the row is of a version that did not say
    charges: list[tuple[str | None, Charge]]
    row: int
    after: list[tuple[int, str]]  # each charge is later than this one, and not earlier than this time
    pooled: str


def reconcile(tables: LedgerTables, chain: Iterable[Row]) -> str:
    """The first difference in words; "" where there is none.

    Raises
    ------
    LedgerError
        The chain holds an event that this version does not know, so that it cannot say what was spent.
    """
    try:
        said, statuses, told = _read(chain)
    except _IllegalTransition as error:
        return str(error)
    for run_id, run in said.items():
        if difference := _difference(run_id, run, tables):
            return difference
    for run_id in (*tables.runs, *tables.charges, *tables.pooled):
        if run_id not in said:
            return f"run {run_id} is among the runs, charges or pooled results and not in the chain"
    for dataset in {*tables.statuses, *statuses}:
        if tables.statuses.get(dataset) != statuses.get(dataset):
            return f"the budget of dataset {dataset} is not the one that the chain's rows lead to"
    for run_id in {*tables.told, *told}:
        if tables.told.get(run_id) != told.get(run_id):
            return f"what run {run_id} let out of exact answers is not what the chain says"
    return ""


def _difference(run_id: str, run: _Said, tables: LedgerTables) -> str:
    held, charged = tables.runs.get(run_id), tables.charges.get(run_id, [])
    if held is None:
        return f"run {run_id} is in row {run.row} of the chain and not among the runs"
    for name, ours, theirs in zip(("caller", "purpose", "state"), held, run, strict=False):
        if ours not in (theirs, None):
            return f"run {run_id} has the {name} {ours!r}; row {run.row} of the chain says {theirs!r}"
    if run.answer is not None and held[3] != run.answer:
        return f"the stored answer of run {run_id} is not the one of row {run.row} of the chain"
    if any(dataset is None for dataset, _ in run.charges):  # a row of version 1: it told the table, not the dataset
        same = Counter(charge for _, charge in charged) == Counter(charge for _, charge in run.charges)
    else:
        same = charged == run.charges
    kept = tables.pooled.get(run_id, "") == run.pooled
    if not same or not kept:
        return f"the {'contributors' if same else 'charges'} of run {run_id} are not those of the chain"
    for (number, at), (least, since) in zip(tables.placed.get(run_id, []), run.after, strict=True):
        if number <= least or at < since:  # it would be out of a window, or before a reset
            return f"the charges of run {run_id} are of before its rows in the chain"
    return ""


class _IllegalTransition(Exception):
    """The chain moves a run as no run may move."""


def _read(chain: Iterable[Row]) -> tuple[dict[str, _Said], dict[str, BudgetStatus], dict[str, str]]:
    said: dict[str, _Said] = {}
    statuses: dict[str, BudgetStatus] = {}
    told: dict[str, str] = {}
    since, before_at = 0, ""
    for row in chain:
        event, place = decode(row.body), (since, before_at)
        match event:
            case UnknownEvent():
                raise LedgerError(
                    f"row {row.sequence} of the chain is an event {event.event!r}, which this privsdk does not know",
                    hint="upgrade privsdk: what was spent cannot be told without it",
                )
            case RunReserved() | AnswerRepeated():
                run_id = event.facts.run_id
                said[run_id] = _begun(said.get(run_id), run_id, event, row, place)
            case FiguresDisclosed():
                told |= {event.run: event.told} if event.told else {}
            case RunEvent():
                said[event.run] = _moved(said.get(event.run), event, row, place)
            case OwnerActed(action=action):
                # that the unit stays under charges was checked when the row was written
                before = statuses.get(action.dataset)
                statuses[action.dataset] = status_after(before, action, last_charge=event.since, private=False)
                since = max(since, event.since)
        before_at = event.at
    return said, statuses, told


def _begun(
    before: _Said | None, run_id: str, event: RunReserved | AnswerRepeated, row: Row, place: tuple[int, str]
) -> _Said:
    state, charges, answer = _state(before, run_id, event, row), list[tuple[str | None, Charge]](), ""
    pooled = (event.pooled or "") if isinstance(event, RunReserved) else ""
    if isinstance(event, AnswerRepeated):
        answer = event.answer
    elif event.entries:
        charges = _charges(event.entries)
    elif event.charges:  # of version 1, where time could run backwards
        charges, place = [(None, debit.charge) for debit in event.charges], (0, "")
    # a large request is summed up there: it names its run and purpose, which are short, and not its caller
    purpose = event.facts.purpose
    return _Said(event.caller, purpose, state, answer, charges, row.sequence, [place] * len(charges), pooled)


def _moved(run: _Said | None, event: RunEvent, row: Row, place: tuple[int, str]) -> _Said:
    state = _state(run, event.run, event, row)
    if run is None:
        raise _IllegalTransition(f"row {row.sequence} of the chain is of run {event.run}, which was never reserved")
    if isinstance(event, RunPaid):
        charges = _charges(event.entries)
        return run._replace(state=state, charges=run.charges + charges, after=run.after + [place] * len(charges))
    answer: str | None = ""
    if isinstance(event, RunFinished):
        answer = event.answer or None
    return run._replace(state=state, answer=answer, row=row.sequence)


def _state(run: _Said | None, run_id: str, event: RunReserved | AnswerRepeated | RunEvent, row: Row) -> RunState:
    before = None if run is None else run.state
    try:
        return after(before, type(event))
    except InternalError:
        raise _IllegalTransition(
            f"row {row.sequence} of the chain says {name_of(event)!r} of run {run_id}, then {before or 'unknown'}"
        ) from None


def _charges(entries: Iterable[Entry]) -> list[tuple[str | None, Charge]]:
    return [(entry.dataset, entry.charge) for entry in entries]


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
        pooled = db.execute("SELECT run_id, body FROM pooled_run").fetchall() if version > 2 else []
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
        pooled={run_id: answer_hash(body.encode()) for run_id, body in pooled},
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
