"""The ledger: charges and audit rows of one party in one SQLite file, written together or not at all.

Rollback journal, `synchronous=EXTRA`, every write in a `BEGIN IMMEDIATE` transaction: threads and processes take turns,
and what was committed survives a crash. A run's state goes reserved -> started -> finished or failed, or reserved ->
released. All but released runs count as spent, whoever crashed; only the process that reserved may release, and only
what never started.

Not an accountant: charges are stored as typed events and priced by whoever reads them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import psutil

from ..charges import Charge
from ..errors import InvalidArgument, LedgerError, PrivsdkError
from ..failpoints import FailPoint, reach
from . import disclosed
from .audit import GENESIS, Row, Signer, chain_hash

SCHEMA_VERSION = 1
APPLICATION_ID = 0x50524956  # "PRIV"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE run (run_id TEXT PRIMARY KEY, digest TEXT NOT NULL, caller TEXT NOT NULL, state TEXT NOT NULL,
                  instance TEXT NOT NULL, answer BLOB) STRICT;
CREATE TABLE charge (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES run, dataset TEXT NOT NULL,
                     at TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX charge_dataset ON charge (dataset);
CREATE TABLE audit (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL, signature BLOB NOT NULL)
STRICT;
"""
_NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb",
    "smb3",
    "smbfs",
    "afs",
    "afpfs",
    "ncpfs",
    "9p",
    "fuse.sshfs",
    "webdav",
    "fuse.glusterfs",
)
_CHARGE = msgspec.json.Decoder(Charge)


T = TypeVar("T")


class RunRecord(NamedTuple):
    digest: str
    caller: str
    state: str
    answer: bytes | None


class Entry(NamedTuple):
    """A charge to be written: the dataset it is debited to and the event."""

    dataset: str
    charge: Charge


Check = Callable[[str, Sequence[Charge], Sequence[Charge]], None]


class Ledger:
    """One party's ledger file; `path=None` keeps it in memory only.

    Raises
    ------
    LedgerError
        The file is unreadable, damaged, another party's, of a newer version, or on a network mount.
    """

    def __init__(self, party: str, path: Path | None, signer: Signer) -> None:
        self.party = party
        self.path = path
        self._signer = signer
        self._lock = threading.Lock()
        self._instance = secrets.token_hex(8)
        if path is not None:
            _refuse_network_mount(party, path)
            _touch_private(party, path)
        with self._explained():
            self._db = sqlite3.connect(path or ":memory:", timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:  # whatever it was goes on; the file must not stay open
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.execute("PRAGMA synchronous=EXTRA")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        try:
            if version == 0 and tables == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                facts = {"party": self.party, "public_key": self._signer.public_key.hex()}
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
                self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                self._append({"event": "opened"})
            elif version > SCHEMA_VERSION:
                raise LedgerError(
                    f"{self.party}'s ledger {self.path} has version {version}; this privsdk knows {SCHEMA_VERSION}",
                    hint="upgrade privsdk at this party",
                )
            elif version < SCHEMA_VERSION:
                raise LedgerError(f"{self.path} is not a privsdk ledger", hint=f"give {self.party} another store path")
            else:
                self._check_owner()
            for statement in disclosed.SCHEMA.split(";"):  # only what is not there: they are newer than version 1
                self._db.execute(statement)
            self._db.execute("COMMIT")
        except BaseException:  # whatever it was goes on; nothing half-made is kept
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _check_owner(self) -> None:
        facts = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        if facts.get("party") != self.party:
            raise LedgerError(
                f"{self.path} is the ledger of {facts.get('party')}, not of {self.party}",
                hint="give each party a store of its own",
            )
        if facts.get("public_key") != self._signer.public_key.hex():
            raise LedgerError(
                f"{self.party}'s ledger {self.path} was signed with another key than the one beside it",
                hint="restore the ledger and its .ed25519 file together",
            )
        problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise LedgerError(f"{self.party}'s ledger {self.path} is damaged ({problem})", hint=_RESTORE)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # Writes: each is one transaction that changes the run and appends the audit row.

    def reserve(
        self, run_id: str, *, digest: str, caller: str, charges: Sequence[Entry], check: Check, event: Mapping[str, Any]
    ) -> None:
        """Reserve charges if `check(dataset, existing, new)` raises for none of the datasets."""

        def change() -> None:
            for dataset in dict.fromkeys(entry.dataset for entry in charges):
                new = [entry.charge for entry in charges if entry.dataset == dataset]
                check(dataset, self._charges(dataset), new)
            self._db.execute(
                "INSERT INTO run VALUES (?, ?, ?, 'reserved', ?, NULL)", (run_id, digest, caller, self._instance)
            )
            at = _now()
            rows = [(run_id, e.dataset, at, msgspec.json.encode(e.charge).decode()) for e in charges]
            self._db.executemany("INSERT INTO charge (run_id, dataset, at, body) VALUES (?, ?, ?, ?)", rows)

        self._write(change, event, FailPoint.RESERVE_BEFORE, FailPoint.RESERVE_INSIDE, FailPoint.RESERVE_AFTER)

    def release(self, run_id: str, *, event: Mapping[str, Any]) -> bool:
        """Give an unstarted reservation of this process back; False where there is none."""

        def change() -> bool:
            return self._move(run_id, "reserved", "released", own=True)

        return self._write(change, event, FailPoint.RELEASE_BEFORE, FailPoint.RELEASE_INSIDE, FailPoint.RELEASE_AFTER)

    def start(self, run_id: str, *, event: Mapping[str, Any]) -> bool:
        """Mark a reservation as started: from here it is spent. False where it was not reserved by this process."""

        def change() -> bool:
            return self._move(run_id, "reserved", "started", own=True)

        return self._write(change, event, FailPoint.START_BEFORE, FailPoint.START_INSIDE, FailPoint.START_AFTER)

    def finish(self, run_id: str, *, answer: bytes | None, event: Mapping[str, Any]) -> bool:
        """Record the end of a started run: its answer, or None where it failed. False where it was not started."""

        def change() -> bool:
            ended = self._move(run_id, "started", "failed" if answer is None else "finished", own=True)
            if ended:
                self._db.execute("UPDATE run SET answer = ? WHERE run_id = ?", (answer, run_id))
            return ended

        return self._write(change, event, FailPoint.FINISH_BEFORE, FailPoint.FINISH_INSIDE, FailPoint.FINISH_AFTER)

    def note(self, event: Mapping[str, Any]) -> None:
        """An audit row that changes no charge, such as a refusal."""
        self._write(lambda: None, event, FailPoint.NOTE_BEFORE, FailPoint.NOTE_INSIDE, FailPoint.NOTE_AFTER)

    def disclose(self, change: Callable[[disclosed.Tables], T], event: Mapping[str, Any]) -> T:
        """Change the tables of what was disclosed, in one transaction with the audit row; False changes nothing."""
        tables = disclosed.Tables(self._db)
        points = (FailPoint.DISCLOSE_BEFORE, FailPoint.DISCLOSE_INSIDE, FailPoint.DISCLOSE_AFTER)
        return self._write(lambda: change(tables), event, *points)

    # Reads

    def run(self, run_id: str) -> RunRecord | None:
        row = self._read("SELECT digest, caller, state, answer FROM run WHERE run_id = ?", (run_id,))
        return RunRecord(*row[0]) if row else None

    def charges(self, dataset: str) -> list[Charge]:
        """All charges of a dataset that count as spent."""
        with self._lock, self._explained():
            return self._charges(dataset)

    def head(self) -> Row:
        """The last audit row."""
        return Row(*self._read("SELECT * FROM audit ORDER BY sequence DESC LIMIT 1")[0])

    def audit(self) -> list[Row]:
        return [Row(*row) for row in self._read("SELECT sequence, body, hash, signature FROM audit ORDER BY sequence")]

    # Inside

    def _write(
        self, change: Callable[[], T], event: Mapping[str, Any], before: FailPoint, inside: FailPoint, after: FailPoint
    ) -> T:
        with self._lock, self._explained():
            reach(before)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = change()
                if result is not False:
                    self._append(event)
                reach(inside)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            reach(after)
            return result

    def _append(self, event: Mapping[str, Any]) -> None:
        last = self._db.execute("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
        sequence, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
        body = msgspec.json.encode({"at": _now(), **event}, order="sorted")
        digest = chain_hash(previous, sequence, body)
        self._db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (sequence, body, digest, self._signer.sign(digest)))

    def _move(self, run_id: str, before: str, after: str, *, own: bool) -> bool:
        changed = self._db.execute(
            "UPDATE run SET state = ? WHERE run_id = ? AND state = ? AND instance = ?",
            (after, run_id, before, self._instance),
        )
        return changed.rowcount == 1

    def _charges(self, dataset: str) -> list[Charge]:
        rows = self._db.execute(
            "SELECT body FROM charge JOIN run USING (run_id) WHERE dataset = ? AND state != 'released' ORDER BY id",
            (dataset,),
        )
        return [_CHARGE.decode(body) for (body,) in rows]

    def _read(self, query: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock, self._explained():
            return self._db.execute(query, arguments).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as LedgerErrors that say whose ledger it is and what to do."""
        try:
            yield
        except PrivsdkError:
            raise
        except sqlite3.IntegrityError as error:
            raise InvalidArgument(f"{self.party} has this run id already ({error})") from None
        except sqlite3.OperationalError as error:
            raise LedgerError(
                f"{self.party}'s ledger {self.path or 'in memory'} cannot be used: {error}",
                hint="check that its folder exists and is writable, the disk has space, no other program holds it",
            ) from None
        except sqlite3.ProgrammingError as error:
            raise LedgerError(f"{self.party}'s ledger is closed ({error})", hint="open the federation again") from None
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise LedgerError(f"{self.party}'s ledger {self.path} is unreadable: {error}", hint=_RESTORE) from None


_RESTORE = "restore the file from a backup; do not delete it, or what was spent is forgotten"


def read_audit(path: Path) -> tuple[bytes, list[Row]]:
    """Public key and audit rows of a ledger file, read-only, while its party runs or not."""
    try:
        try:
            return _read_audit(path, "ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
        # Its party was killed within a commit and has not rolled it back since: roll back in a copy, the file stays.
        with tempfile.TemporaryDirectory() as folder:
            for file in (path.with_name(f"{path.name}-journal"), path):
                shutil.copy(file, folder)
            return _read_audit(Path(folder) / path.name, "rw")
    except (sqlite3.Error, OSError, TypeError, ValueError) as error:
        raise LedgerError(
            f"{path} cannot be read as a ledger: {error}", hint="give the path of a .sqlite ledger"
        ) from None


def _read_audit(path: Path, mode: str) -> tuple[bytes, list[Row]]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)) as db:
        key = db.execute("SELECT value FROM meta WHERE key = 'public_key'").fetchone()
        rows = db.execute("SELECT sequence, body, hash, signature FROM audit ORDER BY sequence").fetchall()
    return bytes.fromhex(key[0]), [Row(*row) for row in rows]


def _touch_private(party: str, path: Path) -> None:
    """Make a new ledger readable by its owner alone: it holds answers."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise LedgerError(
            f"{party}'s ledger {path} cannot be opened: {error.strerror}",
            hint="check that its folder exists and is writable, or give another store",
        ) from None


def _refuse_network_mount(party: str, path: Path) -> None:
    """SQLite's locks cannot be relied on over a network file system."""
    folder = path.resolve().parent
    mounts = [
        (Path(p.mountpoint), p.fstype.lower(), p.opts)
        for p in psutil.disk_partitions(all=True)
        if folder.is_relative_to(p.mountpoint)
    ]
    if not mounts:
        return
    mount, kind, options = max(mounts, key=lambda m: len(m[0].parts))
    if kind in _NETWORK or "remote" in options.split(","):
        raise LedgerError(
            f"{party}'s ledger {path} would be on a network mount ({kind} at {mount}), where locks cannot be relied on",
            hint="keep the ledger on a local disk: store=..., or `ledger` in party.toml",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
