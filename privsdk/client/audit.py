"""What parties say of their audit chains, to look at: verdicts, and the rows about one's own requests."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pyarrow as pa

from ..display.cards import MOST_ROWS, Card, Displayed, Grid, without_empty
from ..display.tabular import Tabular
from ..protocol import control


class AuditReports(Displayed, Tabular, dict[str, control.AuditReport]):
    """Outcomes of audit verifications by party."""

    def to_arrow(self) -> pa.Table:
        """Columns party, rows, sound, reason, losses acknowledged, and the chain's head."""
        rows = [
            {
                "party": party,
                "rows": report.rows,
                "sound": report.first_bad < 0,
                "reason": report.reason or None,
                "losses_acknowledged": report.head.branch,
                "head": report.head.hash,
            }
            for party, report in self.items()
        ]
        return pa.Table.from_pylist(rows, schema=_REPORTS)

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
        rows = [{"party": party, **msgspec.structs.asdict(row)} for party, log in self.items() for row in log.rows]
        return pa.Table.from_pylist(sorted(rows, key=lambda row: row["at"], reverse=True), schema=_LOG)

    def _card(self) -> Card:
        rows = self.to_arrow().to_pylist()
        if not rows:
            return Card(title=f"audit log: {', '.join(self) or 'no party'} wrote nothing about your requests")
        asked = {row["run"]: row["operation"] for row in rows if row["operation"]}
        events: dict[tuple[str, ...], list[dict[str, Any]]] = {}  # what all parties wrote of one run stands together
        for row in rows:
            events.setdefault((row["run"], row["event"], row["why"]), []).append(row)
        shown = []
        for (run, event, why), told in list(events.items())[:MOST_ROWS]:
            parties = Counter(row["party"] for row in told)
            named = ", ".join(f"{party} ({times} times)" if times > 1 else party for party, times in parties.items())
            tables = ", ".join(dict.fromkeys(table for row in told for table in row["tables"]))
            when = told[0]["at"][:19].replace("T", " ")
            shown.append((when, event, asked.get(run, ""), tables, run, named, why))
        header = ("at (UTC)", "event", "operation", "tables", "run", "at which parties", "why")
        more = len(events) - len(shown)
        caption = f"latest first{f', and {more:,} more' if more else ''}; to_arrow() has each row"
        grid = without_empty(Grid(header=header, rows=shown))
        return Card(title=f"audit log: {len(rows):,} rows about your requests", grids=((caption, grid),))


_REPORTS = pa.schema(
    [
        ("party", pa.string()),
        ("rows", pa.int64()),
        ("sound", pa.bool_()),
        ("reason", pa.string()),
        ("losses_acknowledged", pa.int64()),
        ("head", pa.string()),
    ]
)
_LOG = pa.schema(
    [
        ("party", pa.string()),
        ("sequence", pa.int64()),
        ("at", pa.string()),  # ISO 8601, UTC
        ("event", pa.string()),
        ("run", pa.string()),
        ("operation", pa.string()),
        ("tables", pa.list_(pa.string())),
        ("why", pa.string()),
    ]
)
