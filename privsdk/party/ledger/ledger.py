"""The ledger: charges, budget statuses and audit rows of one party in one SQLite file, written together or not at all.

A run's state moves as `governance.events.NEXT` says. All but released runs count as spent, whoever crashed; only the
process that reserved may release, and only what never started. A started run may be charged for more.

Not an accountant: charges are stored as typed events and priced by whoever reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from ...errors import BudgetExceeded, DatasetFrozen, LedgerError
from ...errors.refusals import BudgetReset, Frozen
from ...governance.chain import Row
from ...governance.charges import NOISELESS, Charge
from ...governance.events import (
    OPEN,
    UNCHARGED,
    Action,
    Entry,
    LedgerEvent,
    OwnerActed,
    RunEvent,
    RunFailed,
    RunFinished,
    RunPaid,
    RunReleased,
    RunReserved,
    RunStarted,
    RunState,
    after,
    answer_hash,
    moves,
)
from ..budget_status import BudgetStatus, status_after
from ..row_hashes import RowHash
from . import instances, row_sets
from .database import Database, Signer
from .pooled_runs import PooledRun
from .verification import Snapshot, verify

T = TypeVar("T")

_CHARGE = msgspec.json.Decoder(Charge)
_POOLED = msgspec.json.Decoder(PooledRun)
_STATUS = msgspec.json.Decoder(BudgetStatus)


def _listed(states: Sequence[RunState]) -> str:
    return ", ".join(f"'{state}'" for state in states)


_SPENT = f"state NOT IN ({_listed(UNCHARGED)})"  # a state that this version does not know counts as spent
_OPEN = f"state IN ({_listed(OPEN)})"


class RunRecord(NamedTuple):
    """A run as the ledger knows it."""

    digest: str
    caller: str
    state: RunState
    answer: bytes | None


class Ledger:
    """One party's ledger file; `path=None` keeps it in memory only. Every write is one transaction with its audit row.

    Raises
    ------
    LedgerError
        The file is unreadable, damaged, another party's, of a newer version, or on a network mount.
    """

    def __init__(self, party: str, path: Path | None, signer: Signer) -> None:
        self.party = party
        self.path = path
        self._database = Database(party, path, signer)
        self._instance = instances.enter()

    def close(self) -> None:
        instances.leave(self._instance)
        self._database.close()

    def reserve(
        self,
        event: RunReserved,
        *,
        run_id: str,
        digest: str,
        purpose: str,
        check: Callable[[], None],
        pooled: PooledRun | None = None,
    ) -> None:
        """Reserve the event's charges unless `check`, which may read the ledger as it is now, raises."""

        def change() -> tuple[None, LedgerEvent]:
            check()
            self._execute(
                "INSERT INTO run VALUES (?, ?, ?, ?, ?, NULL, ?)",
                (run_id, digest, event.caller, after(None, RunReserved), self._instance, purpose),
            )
            self._charge(run_id, event.entries or ())
            if pooled is None:
                return None, event
            body = msgspec.json.encode(pooled)
            self._execute("INSERT INTO pooled_run VALUES (?, ?, ?)", (run_id, pooled.table, body.decode()))
            return None, msgspec.structs.replace(event, pooled=answer_hash(body))

        self._database.write(change, "reserve")

    def release(self, event: RunReleased) -> bool:
        """Give an unstarted reservation of this process back; False where there is none."""
        return self._database.write(lambda: self._moved(event), "release")

    def start(self, event: RunStarted) -> bool:
        """Mark a reservation as started: from here it is spent. False where it was not reserved by this process.

        Raises
        ------
        DatasetFrozen, BudgetExceeded
            The owner has frozen a dataset of it since, or reset its budget, which this would not count against.
        """

        def change() -> tuple[bool, LedgerEvent | None]:
            self._refuse_since(event.run)
            return self._moved(event)

        return self._database.write(change, "start")

    def pay(self, event: RunPaid, check: Callable[[], None]) -> bool:
        """Charge a started run for more, unless `check` raises. It is spent at once and never given back.

        False where the run was not started by this process, or has ended.
        """

        def change() -> tuple[bool, LedgerEvent | None]:
            moved = self._moved(event)
            if moved[0]:
                check()
                self._charge(event.run, event.entries)
            return moved

        return self._database.write(change, "pay")

    def finish(self, event: RunFinished | RunFailed, answer: bytes | None = None) -> bool:
        """Record the end of a started run, and its answer. False where it was not started by this process."""

        def change() -> tuple[bool, LedgerEvent | None]:
            moved = self._moved(event)
            if moved[0]:
                self._execute("UPDATE run SET answer = ? WHERE run_id = ?", (answer, event.run))
            return moved

        return self._database.write(change, "finish")

    def note(self, event: LedgerEvent) -> None:
        """An audit row that changes no charge, such as a refusal."""
        self._database.write(lambda: (None, event), "note")

    def record(self, change: Callable[[], tuple[T, LedgerEvent | None]]) -> T:
        """Do something outside the tables while no other process writes, with its audit row."""
        return self._database.write(change, "note")

    def act(self, action: Action) -> BudgetStatus:
        """Carry out an owner's action on a dataset; returns the budget status it leads to."""

        def change() -> tuple[BudgetStatus, LedgerEvent]:
            ((last,),) = self._database.read("SELECT coalesce(max(id), 0) FROM charge")
            before = self.status(action.dataset)
            spent = self.spent(action.dataset, since=before.since if before else 0)
            private = any(not isinstance(charge, NOISELESS) for tally in spent.values() for charge in tally)
            status = status_after(before, action, last_charge=last, private=private)
            body = msgspec.json.encode(status).decode()
            self._execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (action.dataset, body))
            return status, OwnerActed(action=action, since=status.since)

        return self._database.write(change, "owner")

    def disclose(self, change: Callable[[row_sets.DisclosureTables], tuple[T, LedgerEvent | None]]) -> T:
        """Change the tables of what was disclosed, in one transaction with the event that `change` returns."""
        tables = row_sets.DisclosureTables(self._database.connection)
        return self._database.write(lambda: change(tables), "disclose")

    # Reads

    def now(self) -> datetime:
        """The clock's time, or that of the last audit row where the clock was set back since."""
        return self._database.now()

    def asked(self, shape: str) -> bool:
        """Whether a question was kept that begins like this."""
        return bool(self._database.read("SELECT 1 FROM question WHERE digest BETWEEN ? AND ? || 'g'", (shape, shape)))

    def hashed(self, table: str) -> RowHash:
        """How the rows of a table are hashed: as those that were seen first."""
        return row_sets.hashed(self._database.read(row_sets.HASHED, (table,)))

    def run(self, run_id: str) -> RunRecord | None:
        row = self._database.read("SELECT digest, caller, state, answer FROM run WHERE run_id = ?", (run_id,))
        if not row:
            return None
        digest, caller, state, answer = row[0]
        try:
            return RunRecord(digest, caller, RunState(state), answer)
        except ValueError:
            raise LedgerError(
                f"{self.party}'s ledger has run {run_id} in the state {state!r}, which this privsdk does not know",
                hint="upgrade privsdk at this party",
            ) from None

    def spent(self, dataset: str, *, since: int = 0, days: float = 0.0) -> dict[tuple[str, str], Counter[Charge]]:
        """The dataset's charges that count as spent, equal ones together, by analyst and purpose.

        Only those after the charge numbered `since`, and of the last `days` unless that is 0.
        """
        start = (self._database.now() - timedelta(days=days)).isoformat(timespec="microseconds") if days else ""
        query = (
            "SELECT caller, purpose, body, count(*) FROM charge JOIN run USING (run_id) "  # noqa: S608
            f"WHERE dataset = ? AND id > ? AND at > ? AND {_SPENT} "
            "GROUP BY body, caller, purpose ORDER BY min(id)"
        )
        rows = self._database.read(query, (dataset, since, start))
        found: dict[tuple[str, str], Counter[Charge]] = {}
        for caller, purpose, body, count in rows:
            found.setdefault((caller, purpose), Counter())[_CHARGE.decode(body)] += count
        return found

    def charged(self, run_id: str, dataset: str) -> Counter[Charge]:
        """What a run was charged so far on a dataset."""
        query = "SELECT body, count(*) FROM charge WHERE run_id = ? AND dataset = ? GROUP BY body"
        return Counter({_CHARGE.decode(body): count for body, count in self._database.read(query, (run_id, dataset))})

    def pooled(self, table: str) -> list[PooledRun]:
        """The pooled exact results that this table entered or may enter, of runs that were not given back."""
        query = f"SELECT body FROM pooled_run JOIN run USING (run_id) WHERE tbl = ? AND {_SPENT} GROUP BY body"  # noqa: S608
        return [_POOLED.decode(body) for (body,) in self._database.read(query, (table,))]

    def reserved(self, dataset: str) -> int:
        """Runs under way that have reserved charges of a dataset; not those of a process that was killed."""
        return len({run_id for run_id, _, _ in self._under_way(dataset)})

    def held(self, dataset: str, *, since: int = 0) -> Counter[Charge]:
        """What those runs were charged, after the charge numbered `since`."""
        return Counter(_CHARGE.decode(body) for _, number, body in self._under_way(dataset) if number > since)

    def _under_way(self, dataset: str) -> list[tuple[str, int, str]]:
        """Run, number and body of each charge of a run that has not ended, of a process that runs."""
        query = f"SELECT run_id, id, body, instance FROM charge JOIN run USING (run_id) WHERE {_OPEN} AND dataset = ?"  # noqa: S608
        rows = self._database.read(query, (dataset,))
        running = {name for name in {row[3] for row in rows} if instances.runs(name)}
        return [(run_id, number, body) for run_id, number, body, name in rows if name in running]

    def spenders(self, dataset: str) -> list[tuple[str, str, int, datetime, datetime]]:
        """Analyst, purpose, runs and times of the first and last charge since the last reset, for each pair."""
        status = self.status(dataset)
        query = (
            "SELECT caller, purpose, count(DISTINCT run_id), min(at), max(at) "  # noqa: S608
            "FROM charge JOIN run USING (run_id) "
            f"WHERE dataset = ? AND id > ? AND {_SPENT} GROUP BY caller, purpose ORDER BY min(id)"
        )
        rows = self._database.read(query, (dataset, status.since if status else 0))
        parse = datetime.fromisoformat
        return [(caller, purpose, runs, parse(first), parse(last)) for caller, purpose, runs, first, last in rows]

    def status(self, dataset: str) -> BudgetStatus | None:
        """The dataset's budget status; None where it never had a budget."""
        rows = self._database.read("SELECT body FROM standing WHERE dataset = ?", (dataset,))
        return _STATUS.decode(rows[0][0]) if rows else None

    def datasets(self) -> list[str]:
        """Every dataset that ever had a budget."""
        return [name for (name,) in self._database.read("SELECT dataset FROM standing ORDER BY dataset")]

    def head(self) -> Row:
        """The last audit row."""
        return Row(*self._database.read("SELECT * FROM audit ORDER BY sequence DESC LIMIT 1")[0])

    def snapshot(self) -> Snapshot:
        """The audit chain and the tables at this moment."""
        return self._database.snapshot()

    def row(self, sequence: int) -> Row | None:
        """The audit row of this number, if there is one."""
        found = self._database.read("SELECT sequence, body, hash, signature FROM audit WHERE sequence = ?", (sequence,))
        return Row(*found[0]) if found else None

    def bodies(self, events: Sequence[str], after: int, until: int) -> list[bytes]:
        """Bodies of these events in the rows after one and up to another; a request may hold the same words inside."""
        found = " OR ".join(["instr(body, ?)"] * len(events))
        query = f"SELECT body FROM audit WHERE sequence > ? AND sequence <= ? AND ({found}) ORDER BY sequence"  # noqa: S608
        return [
            body for (body,) in self._database.read(query, (after, until, *(f'"event":"{e}"'.encode() for e in events)))
        ]

    def before(self, sequence: int | None, count: int) -> list[Row]:
        """So many audit rows before this one, or of the end, latest first."""
        where, arguments = ("", ()) if sequence is None else ("WHERE sequence < ? ", (sequence,))
        query = f"SELECT sequence, body, hash, signature FROM audit {where}ORDER BY sequence DESC LIMIT ?"  # noqa: S608
        return [Row(*row) for row in self._database.read(query, (*arguments, count))]

    def refuse_changed(self, public_key: bytes) -> None:
        """Raise LedgerError where tables or chain were changed by hand since it was last open."""
        verdict = verify(self.snapshot(), public_key, every_signature=False)
        if verdict.first_bad >= 0 or verdict.reason:
            raise LedgerError(
                f"{self.party}'s ledger {self.path} was changed by hand: {verdict.reason}",
                hint="restore the file from a backup; `python -m privsdk audit verify` shows what differs",
            )

    # Within a transaction

    def _moved(self, event: RunEvent) -> tuple[bool, LedgerEvent | None]:
        """Move a run of this process by an event, where it is in a state that the event may follow."""
        kind = type(event)
        for state in moves(kind):
            changed = self._execute(
                "UPDATE run SET state = ? WHERE run_id = ? AND state = ? AND instance = ?",
                (after(state, kind), event.run, state, self._instance),
            )
            if changed == 1:
                return True, event
        return False, None

    def _charge(self, run_id: str, charges: Sequence[Entry]) -> None:
        at = self._database.now().isoformat(timespec="microseconds")
        for entry in charges:
            row = (run_id, entry.dataset, at, msgspec.json.encode(entry.charge).decode())
            self._execute("INSERT INTO charge (run_id, dataset, at, body) VALUES (?, ?, ?, ?)", row)

    def _refuse_since(self, run_id: str) -> None:
        """Owner's actions hold at once: for what is reserved and not started too."""
        query = "SELECT dataset, max(id) FROM charge WHERE run_id = ? GROUP BY dataset"
        for dataset, last in self._database.read(query, (run_id,)):
            status = self.status(dataset)
            if status is not None and status.frozen:
                raise DatasetFrozen(Frozen(dataset=f"{self.party}/{dataset}", why=status.frozen))
            if status is not None and last <= status.since:
                raise BudgetExceeded(BudgetReset(dataset=f"{self.party}/{dataset}"))

    def _execute(self, statement: str, arguments: tuple[object, ...]) -> int:
        """The number of rows that were changed."""
        return int(self._database.connection.execute(statement, arguments).rowcount)
