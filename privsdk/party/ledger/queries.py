"""What a ledger's tables say: runs, charges, budget statuses, audit rows. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from ...errors import LedgerError
from ...governance.chain import Row
from ...governance.charges import Charge
from ..budget_status import BudgetStatus
from ..run_states import OPEN, UNCHARGED, RunState
from .database import Database
from .snapshot import Snapshot

_CHARGE = msgspec.json.Decoder(Charge)
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


class Queries:
    """Reads of one party's ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.party = database.party
        self.path = database.path

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
        start = ""
        if days:
            start = (self._database.now() - timedelta(days=days)).isoformat(timespec="microseconds")
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

    def reserved(self, dataset: str) -> int:
        """Runs that have reserved charges of a dataset and not ended."""
        query = (
            f"SELECT count(*) FROM run WHERE {_OPEN} "  # noqa: S608
            "AND EXISTS (SELECT 1 FROM charge WHERE charge.run_id = run.run_id AND dataset = ?)"
        )
        return int(self._database.read(query, (dataset,))[0][0])

    def held(self, dataset: str, *, since: int = 0) -> Counter[Charge]:
        """What those runs were charged, after the charge numbered `since`."""
        query = f"SELECT body FROM charge JOIN run USING (run_id) WHERE {_OPEN} AND dataset = ? AND id > ?"  # noqa: S608
        rows = self._database.read(query, (dataset, since))
        return Counter(_CHARGE.decode(body) for (body,) in rows)

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
