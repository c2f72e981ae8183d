"""The ledger: charges, budget statuses and audit rows of one party in one SQLite file, written together or not at all.

A run's state moves as `run_states` says. All but released runs count as spent, whoever crashed; only the process that
reserved may release, and only what never started. A started run may be charged for more.

Not an accountant: charges are stored as typed events and priced by whoever reads them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from ...errors import BudgetExceeded, DatasetFrozen
from ...errors.details import BudgetReset, Frozen
from ...governance.charges import Exact
from ...governance.events import (
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
)
from ..budget_status import BudgetStatus, status_after
from ..run_states import after, moves
from . import row_sets
from .database import Database
from .queries import Queries
from .signing import Signer

T = TypeVar("T")


class Ledger(Queries):
    """One party's ledger file; `path=None` keeps it in memory only. Every write is one transaction with its audit row.

    Raises
    ------
    LedgerError
        The file is unreadable, damaged, another party's, of a newer version, or on a network mount.
    """

    def __init__(self, party: str, path: Path | None, signer: Signer) -> None:
        super().__init__(Database(party, path, signer))
        self._instance = secrets.token_hex(8)

    def close(self) -> None:
        self._database.close()

    def reserve(
        self,
        run_id: str,
        *,
        digest: str,
        caller: str,
        purpose: str,
        charges: Sequence[Entry],
        check: Callable[[], None],
        event: RunReserved,
    ) -> None:
        """Reserve charges unless `check`, which may read the ledger as it is now, raises."""

        def change() -> tuple[None, LedgerEvent]:
            check()
            self._execute(
                "INSERT INTO run VALUES (?, ?, ?, ?, ?, NULL, ?)",
                (run_id, digest, caller, after(None, RunReserved), self._instance, purpose),
            )
            self._charge(run_id, charges)
            return None, event

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

    def act(self, action: Action) -> BudgetStatus:
        """Carry out an owner's action on a dataset; returns the budget status it leads to."""

        def change() -> tuple[BudgetStatus, LedgerEvent]:
            ((last,),) = self._database.read("SELECT coalesce(max(id), 0) FROM charge")
            before = self.status(action.dataset)
            spent = self.spent(action.dataset, since=before.since if before else 0)
            private = any(not isinstance(charge, Exact) for tally in spent.values() for charge in tally)
            status = status_after(before, action, last_charge=last, private=private)
            body = msgspec.json.encode(status).decode()
            self._execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (action.dataset, body))
            return status, OwnerActed(action=action, since=status.since)

        return self._database.write(change, "owner")

    def disclose(self, change: Callable[[row_sets.DisclosureTables], tuple[T, LedgerEvent | None]]) -> T:
        """Change the tables of what was disclosed, in one transaction with the event that `change` returns."""
        tables = row_sets.DisclosureTables(self._database.connection)
        return self._database.write(lambda: change(tables), "disclose")

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
