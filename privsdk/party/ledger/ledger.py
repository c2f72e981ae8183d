"""The ledger: charges, standings and audit rows of one party in one SQLite file, written together or not at all.

Rollback journal, `synchronous=EXTRA`, every write in a `BEGIN IMMEDIATE` transaction: threads and processes take turns,
and what was committed survives a crash. A run's state goes reserved -> started -> finished or failed, or reserved ->
released. All but released runs count as spent, whoever crashed; only the process that reserved may release, and only
what never started. A started run may be charged for more.

Time never runs backwards in it: a row's time is the clock's or the last row's, whichever is later.

Not an accountant: charges are stored as typed events and priced by whoever reads them.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from ...errors import BudgetExceeded, DatasetFrozen, InvalidArgument, LedgerError, PrivsdkError
from ...errors.details import BudgetReset, Frozen
from ...governance.chain import GENESIS, Row, chain_hash
from ...governance.charges import Charge, Exact
from ...protocol.failpoints import FailPoint, reach
from ..budget.actions import Action, Standing, after
from ..differencing import row_sets
from . import schema
from .disk import refuse_network_mount, touch_private
from .signing import Signer
from .snapshot import Snapshot, snapshot

_CHARGE = msgspec.json.Decoder(Charge)
_STANDING = msgspec.json.Decoder(Standing)
_CLOCK_SLACK = timedelta(seconds=1)  # clocks are set back by less when they are disciplined

T = TypeVar("T")


class _Stamp(msgspec.Struct, frozen=True):
    """The time in an audit row's body."""

    at: str


_STAMP = msgspec.json.Decoder(_Stamp)


class RunRecord(NamedTuple):
    digest: str
    caller: str
    state: str
    answer: bytes | None


class Entry(msgspec.Struct, frozen=True):
    """A charge to be written: the dataset it is debited to and the event."""

    dataset: str
    charge: Charge


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
        self._lock = threading.RLock()  # a check within a write reads
        self._instance = secrets.token_hex(8)
        if path is not None:
            refuse_network_mount(party, path)
            touch_private(party, path)
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
                schema.create(self._db)
                facts = {"party": self.party, "public_key": self._signer.public_key.hex()}
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
                self._append({"event": "opened"})
            elif version > schema.VERSION:
                raise LedgerError(
                    f"{self.party}'s ledger {self.path} has version {version}; this privsdk knows {schema.VERSION}",
                    hint="upgrade privsdk at this party",
                )
            elif version < 1:
                raise LedgerError(f"{self.path} is not a privsdk ledger", hint=f"give {self.party} another store path")
            else:
                self._check_owner()
                if version < schema.VERSION and self.path is not None:
                    copy = schema.back_up(self.path, version)
                    schema.migrate(self._db, version)
                    event = {"event": "migrated", "from": version, "to": schema.VERSION, "copy": copy.name}
                    self._append(event)
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
        self,
        run_id: str,
        *,
        digest: str,
        caller: str,
        purpose: str,
        charges: Sequence[Entry],
        check: Callable[[], None],
        event: Mapping[str, Any],
    ) -> None:
        """Reserve charges unless `check`, which may read the ledger as it is now, raises."""

        def change() -> None:
            check()
            self._db.execute(
                "INSERT INTO run VALUES (?, ?, ?, 'reserved', ?, NULL, ?)",
                (run_id, digest, caller, self._instance, purpose),
            )
            self._charge(run_id, charges)

        self._write(change, event, FailPoint.RESERVE_BEFORE, FailPoint.RESERVE_INSIDE, FailPoint.RESERVE_AFTER)

    def release(self, run_id: str, *, event: Mapping[str, Any]) -> bool:
        """Give an unstarted reservation of this process back; False where there is none."""

        def change() -> bool:
            return self._move(run_id, "reserved", "released", own=True)

        return self._write(change, event, FailPoint.RELEASE_BEFORE, FailPoint.RELEASE_INSIDE, FailPoint.RELEASE_AFTER)

    def start(self, run_id: str, *, event: Mapping[str, Any]) -> bool:
        """Mark a reservation as started: from here it is spent. False where it was not reserved by this process.

        Raises
        ------
        DatasetFrozen, BudgetExceeded
            The owner has frozen a dataset of it since, or reset its budget, which this would not count against.
        """

        def change() -> bool:
            self._refuse_since(run_id)
            return self._move(run_id, "reserved", "started", own=True)

        return self._write(change, event, FailPoint.START_BEFORE, FailPoint.START_INSIDE, FailPoint.START_AFTER)

    def pay(
        self, run_id: str, *, charges: Sequence[Entry], check: Callable[[], None], event: Mapping[str, Any]
    ) -> bool:
        """Charge a started run for more, unless `check` raises. It is spent at once and never given back.

        False where the run was not started by this process, or has ended.
        """

        def change() -> bool:
            if not self._move(run_id, "started", "started", own=True):
                return False
            check()
            self._charge(run_id, charges)
            return True

        return self._write(change, event, FailPoint.PAY_BEFORE, FailPoint.PAY_INSIDE, FailPoint.PAY_AFTER)

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

    def act(self, action: Action) -> Standing:
        """Carry out an owner's action on a dataset; returns the standing it leads to."""

        def change() -> Standing:
            (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM charge").fetchone()
            before = self.standing(action.dataset)
            spent = self.spent(action.dataset, since=before.since if before else 0)
            private = any(not isinstance(charge, Exact) for tally in spent.values() for charge in tally)
            standing = after(before, action, last_charge=last, private=private)
            body = msgspec.json.encode(standing).decode()
            self._db.execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (action.dataset, body))
            event.update(since=standing.since)
            return standing

        event: dict[str, Any] = {"event": "owner", "action": action}
        return self._write(change, event, FailPoint.OWNER_BEFORE, FailPoint.OWNER_INSIDE, FailPoint.OWNER_AFTER)

    def disclose(self, change: Callable[[row_sets.Tables], T], event: Mapping[str, Any]) -> T:
        """Change the tables of what was disclosed, in one transaction with the audit row; False changes nothing."""
        tables = row_sets.Tables(self._db)
        points = (FailPoint.DISCLOSE_BEFORE, FailPoint.DISCLOSE_INSIDE, FailPoint.DISCLOSE_AFTER)
        return self._write(lambda: change(tables), event, *points)

    # Reads

    def run(self, run_id: str) -> RunRecord | None:
        row = self._read("SELECT digest, caller, state, answer FROM run WHERE run_id = ?", (run_id,))
        return RunRecord(*row[0]) if row else None

    def spent(self, dataset: str, *, since: int = 0, days: float = 0.0) -> dict[tuple[str, str], Counter[Charge]]:
        """The dataset's charges that count as spent, equal ones together, by analyst and purpose.

        Only those after the charge numbered `since`, and of the last `days` unless that is 0.
        """
        start = ""
        if days:
            with self._lock, self._explained():
                start = (self._now() - timedelta(days=days)).isoformat(timespec="microseconds")
        rows = self._read(
            "SELECT caller, purpose, body, count(*) FROM charge JOIN run USING (run_id) "
            "WHERE dataset = ? AND id > ? AND at > ? AND state != 'released' "
            "GROUP BY body, caller, purpose ORDER BY min(id)",
            (dataset, since, start),
        )
        found: dict[tuple[str, str], Counter[Charge]] = {}
        for caller, purpose, body, count in rows:
            found.setdefault((caller, purpose), Counter())[_CHARGE.decode(body)] += count
        return found

    def charged(self, run_id: str, dataset: str) -> Counter[Charge]:
        """What a run was charged so far on a dataset."""
        query = "SELECT body, count(*) FROM charge WHERE run_id = ? AND dataset = ? GROUP BY body"
        return Counter({_CHARGE.decode(body): count for body, count in self._read(query, (run_id, dataset))})

    def reserved(self, dataset: str) -> int:
        """Runs that have reserved charges of a dataset and not ended."""
        query = (
            "SELECT count(*) FROM run WHERE state IN ('reserved', 'started') "
            "AND EXISTS (SELECT 1 FROM charge WHERE charge.run_id = run.run_id AND dataset = ?)"
        )
        return int(self._read(query, (dataset,))[0][0])

    def held(self, dataset: str, *, since: int = 0) -> Counter[Charge]:
        """What those runs were charged, after the charge numbered `since`."""
        rows = self._read(
            "SELECT body FROM charge JOIN run USING (run_id) "
            "WHERE run.state IN ('reserved', 'started') AND dataset = ? AND id > ?",
            (dataset, since),
        )
        return Counter(_CHARGE.decode(body) for (body,) in rows)

    def spenders(self, dataset: str) -> list[tuple[str, str, int, datetime, datetime]]:
        """Analyst, purpose, runs and times of the first and last charge since the last reset, for each pair."""
        standing = self.standing(dataset)
        rows = self._read(
            "SELECT caller, purpose, count(DISTINCT run_id), min(at), max(at) FROM charge JOIN run USING (run_id) "
            "WHERE dataset = ? AND id > ? AND state != 'released' GROUP BY caller, purpose ORDER BY min(id)",
            (dataset, standing.since if standing else 0),
        )
        parse = datetime.fromisoformat
        return [(caller, purpose, runs, parse(first), parse(last)) for caller, purpose, runs, first, last in rows]

    def standing(self, dataset: str) -> Standing | None:
        """The dataset's standing; None where it never had a budget."""
        rows = self._read("SELECT body FROM standing WHERE dataset = ?", (dataset,))
        return _STANDING.decode(rows[0][0]) if rows else None

    def datasets(self) -> list[str]:
        """Every dataset that ever had a budget."""
        return [name for (name,) in self._read("SELECT dataset FROM standing ORDER BY dataset")]

    def head(self) -> Row:
        """The last audit row."""
        return Row(*self._read("SELECT * FROM audit ORDER BY sequence DESC LIMIT 1")[0])

    def snapshot(self) -> Snapshot:
        """The audit chain and the tables at this moment."""
        with self._lock, self._explained():
            return snapshot(self._db)

    def row(self, sequence: int) -> Row | None:
        """The audit row of this number, if there is one."""
        found = self._read("SELECT sequence, body, hash, signature FROM audit WHERE sequence = ?", (sequence,))
        return Row(*found[0]) if found else None

    def bodies(self, events: Sequence[str], after: int, until: int) -> list[bytes]:
        """Bodies of these events in the rows after one and up to another; a request may hold the same words inside."""
        found = " OR ".join(["instr(body, ?)"] * len(events))
        query = f"SELECT body FROM audit WHERE sequence > ? AND sequence <= ? AND ({found}) ORDER BY sequence"  # noqa: S608
        return [body for (body,) in self._read(query, (after, until, *(f'"event":"{e}"'.encode() for e in events)))]

    def before(self, sequence: int | None, count: int) -> list[Row]:
        """So many audit rows before this one, or of the end, latest first."""
        where, arguments = ("", ()) if sequence is None else ("WHERE sequence < ? ", (sequence,))
        query = f"SELECT sequence, body, hash, signature FROM audit {where}ORDER BY sequence DESC LIMIT ?"  # noqa: S608
        return [Row(*row) for row in self._read(query, (*arguments, count))]

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
            except BaseException:  # whatever it was goes on; a change without its audit row is not kept
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            reach(after)
            return result

    def _append(self, event: Mapping[str, Any]) -> None:
        last = self._db.execute("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
        sequence, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
        at, clock = self._now(), _clock()
        facts = {"at": at.isoformat(timespec="microseconds"), **event}
        if at - clock > _CLOCK_SLACK:
            facts["clock_set_back_to"] = clock.isoformat(timespec="microseconds")
        body = msgspec.json.encode(facts, order="sorted")
        digest = chain_hash(previous, sequence, body)
        self._db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (sequence, body, digest, self._signer.sign(digest)))

    def _charge(self, run_id: str, charges: Sequence[Entry]) -> None:
        at = self._now().isoformat(timespec="microseconds")
        rows = [(run_id, e.dataset, at, msgspec.json.encode(e.charge).decode()) for e in charges]
        self._db.executemany("INSERT INTO charge (run_id, dataset, at, body) VALUES (?, ?, ?, ?)", rows)

    def _refuse_since(self, run_id: str) -> None:
        """Owner's actions hold at once: for what is reserved and not started too."""
        query = "SELECT dataset, max(id) FROM charge WHERE run_id = ? GROUP BY dataset"
        for dataset, last in self._db.execute(query, (run_id,)).fetchall():
            standing = self.standing(dataset)
            if standing is not None and standing.frozen:
                raise DatasetFrozen(Frozen(dataset=f"{self.party}/{dataset}", why=standing.frozen))
            if standing is not None and last <= standing.since:
                raise BudgetExceeded(BudgetReset(dataset=f"{self.party}/{dataset}"))

    def _move(self, run_id: str, before: str, after: str, *, own: bool) -> bool:
        changed = self._db.execute(
            "UPDATE run SET state = ? WHERE run_id = ? AND state = ? AND instance = ?",
            (after, run_id, before, self._instance),
        )
        return changed.rowcount == 1

    def _now(self) -> datetime:
        """The clock's time, or that of the last audit row where the clock was set back since."""
        last = self._db.execute("SELECT body FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
        return max(_clock(), datetime.fromisoformat(_STAMP.decode(last[0]).at)) if last else _clock()

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


def _clock() -> datetime:
    return datetime.now(UTC)
