"""What parties sign and say of their audit chains: receipts of runs, verdicts, the rows about one's own requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from ..display.cards import MOST_ROWS, Card, Displayed, Grid, grouped, without_empty
from ..display.tabular import Tabular, table_of
from ..errors import UnknownName
from ..governance.chain import Head, verify
from ..governance.export import rows_of
from ..protocol import control


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Receipt(Displayed, Tabular):
    """Each party's signed audit head after the run. It proves what a party claimed, not that the claim is true."""

    run_id: str
    heads: Mapping[str, Head]

    def verify(self) -> bool:
        """Whether every head carries a valid Ed25519 signature of the key it names."""
        return all(head.is_signed() for head in self.heads.values())

    def lies_in(self, party: str, audit: pa.Table) -> bool:
        """Whether a party's exported audit is sound up to the head that this receipt holds of it, and holds that head.

        Parameters
        ----------
        party : str
            Whose audit it is. It is checked by the key in the receipt, not by one in the export.
        audit : table
            What `python -m privsdk audit export` wrote, as `governance.export.read_audit_file` reads it.
        """
        if party not in self.heads:
            raise UnknownName.among("party", party, self.heads, where="in this receipt")
        head = self.heads[party]
        rows = rows_of(audit)[: head.rows]
        sound = verify(rows, bytes.fromhex(head.public_key)).first_bad < 0
        return head.is_signed() and sound and len(rows) == head.rows and rows[-1].hash.hex() == head.hash

    def verdict(self) -> str:
        """The heads in one line, and whether their signatures hold."""
        heads = f"signed audit heads of {', '.join(self.heads)}"
        return f"{heads}: signatures hold" if self.verify() else f"{heads}: A SIGNATURE IS INVALID"

    def _card(self) -> Card:
        rows = [(party, f"{head.rows:,}", head.hash[:16]) for party, head in self.heads.items()]
        grid = Grid(header=("party", "audit rows", "head"), rows=rows)
        verdict = "hold" if self.verify() else "DO NOT ALL HOLD"
        return Card(
            title=f"receipt of run {self.run_id}",
            facts=[("signatures", verdict)],
            grids=(("signed audit heads", grid),),
        )

    def to_arrow(self) -> pa.Table:
        """A row for each party: its chain's rows, losses acknowledged, head, key, and whether the signature holds."""
        columns = {
            "party": pa.string(),
            "rows": pa.int64(),
            "losses_acknowledged": pa.int64(),
            "head": pa.string(),
            "public_key": pa.string(),
            "signature_holds": pa.bool_(),
        }
        rows = ((p, h.rows, h.branch, h.hash, h.public_key, h.is_signed()) for p, h in self.heads.items())
        return table_of(columns, rows)


class AuditReports(Displayed, Tabular, dict[str, control.AuditReport]):
    """Outcomes of audit verifications by party."""

    def to_arrow(self) -> pa.Table:
        """Columns party, rows, sound, reason, losses acknowledged, and the chain's head."""
        columns = {
            "party": pa.string(),
            "rows": pa.int64(),
            "sound": pa.bool_(),
            "reason": pa.string(),
            "losses_acknowledged": pa.int64(),
            "head": pa.string(),
        }
        rows = ((p, r.rows, r.first_bad < 0, r.reason or None, r.head.branch, r.head.hash) for p, r in self.items())
        return table_of(columns, rows)

    def _card(self) -> Card:
        rows = [
            (party, f"{r.rows:,}", "sound" if r.first_bad < 0 else r.reason, str(r.head.branch or "none"))
            for party, r in self.items()
        ]
        bad = [party for party, report in self.items() if report.first_bad >= 0]
        verdict = f"NOT SOUND at {', '.join(bad)}" if bad else "every chain is sound"
        return Card(
            title=f"audit: {verdict}",
            grids=(("chains", Grid(header=("party", "rows", "verdict", "losses acknowledged"), rows=rows)),),
        )


class AuditLogs(Displayed, Tabular, dict[str, control.AuditLog]):
    """By party, what its audit chain says of you, latest first."""

    def to_arrow(self) -> pa.Table:
        """All of it with the columns party, sequence, at, event, run, operation, tables and why, latest first."""
        columns = {
            "party": pa.string(),
            "sequence": pa.int64(),
            "at": pa.string(),  # ISO 8601, UTC
            "event": pa.string(),
            "run": pa.string(),
            "operation": pa.string(),
            "tables": pa.list_(pa.string()),
            "why": pa.string(),
        }
        rows = [
            (party, row.sequence, row.at, row.event, row.run, row.operation, row.tables, row.why)
            for party, log in self.items()
            for row in log.rows
        ]
        return table_of(columns, sorted(rows, key=lambda row: row[2], reverse=True))

    def _card(self) -> Card:
        rows = self.to_arrow().to_pylist()
        if not rows:
            return Card(title=f"audit log: {', '.join(self) or 'no party'} wrote nothing about your requests")
        asked = {row["run"]: row["operation"] for row in rows if row["operation"]}
        events = grouped(((row["run"], row["event"], row["why"]), row) for row in rows)  # of a run, at all parties
        shown = []
        for (run, event, why), rows_of_event in list(events.items())[:MOST_ROWS]:
            parties = Counter(row["party"] for row in rows_of_event)
            named = ", ".join(f"{party} ({times} times)" if times > 1 else party for party, times in parties.items())
            tables = ", ".join(dict.fromkeys(table for row in rows_of_event for table in row["tables"]))
            when = rows_of_event[0]["at"][:19].replace("T", " ")
            shown.append((when, event, asked.get(run, ""), tables, run, named, why))
        header = ("at (UTC)", "event", "operation", "tables", "run", "at which parties", "why")
        more = len(events) - len(shown)
        caption = f"latest first{f', and {more:,} more' if more else ''}; to_arrow() has each row"
        grid = without_empty(Grid(header=header, rows=shown))
        return Card(title=f"audit log: {len(rows):,} rows about your requests", grids=((caption, grid),))
