"""A caller's own charges as a list of runs, gathered from the parties' audit rows about it. Never others' charges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from ..display.cards import grouped
from .facts import Json

MOST_RUNS = 100  # that a view shows

# What the last row about a run says of its charge; a run of which a party said something worse is that.
_STATES = {
    "finished": "paid",
    "failed": "paid, and failed",
    "started": "under way, or cut off",
    "reserved": "reserved",
    "released": "given back",
}
_WORST = ("failed", "started", "reserved", "finished", "released")


def spending(events: Sequence[Mapping[str, Any]]) -> tuple[Json, ...]:
    """What each run was charged at all parties, by `facts.events`: those with the latest news first, without those that
    cost nothing.

    `at` is when the first party reserved it: ISO 8601, UTC. `charged` holds lines such as "north/patients: epsilon 0.1
    (discrete Laplace)", where parties that were charged alike are listed once; `state` says whether that is paid,
    reserved or given back.
    """
    latest = sorted(events, key=lambda event: str(event["at"]), reverse=True)
    runs = grouped((e["run"], e) for e in latest if e["run"] and e["event"] in (*_STATES, "paid"))
    found = (_of(run, rows) for run, rows in runs.items())
    return tuple(islice((spent for spent in found if spent is not None), MOST_RUNS))


def _of(run: str, rows: Sequence[Mapping[str, Any]]) -> Json | None:
    """A run by its rows, whatever their order; None where it was charged nothing."""
    rows = sorted(rows, key=lambda event: (event["at"], event["party"], event["sequence"]))
    last: dict[str, tuple[int, str]] = {}
    charged: Counter[tuple[str, str]] = Counter()  # by where and what, how often
    for event in rows:
        party, name = event["party"], event["event"]
        if name != "paid":
            last[party] = max(last.get(party, (-1, "")), (event["sequence"], name))
        charged.update((f"{party}/{dataset}", charge) for dataset, charge in event["charged"])
    if not charged:
        return None
    begun = {event["party"] for event in rows if event["event"] == "reserved"}
    alike: dict[str, list[str]] = {}
    for (where, charge), times in charged.items():
        least = "" if where.split("/")[0] in begun else "at least "  # its first rows are older than what was read
        alike.setdefault(f"{least}{f'{times} x ' if times > 1 else ''}{charge}", []).append(where)
    names = {name for _, name in last.values()}
    return {
        "run": run,
        "at": rows[0]["at"],
        "operation": next((event["operation"] for event in rows if event["operation"]), ""),
        "parties": tuple(dict.fromkeys(event["party"] for event in rows)),
        "charged": tuple(f"{', '.join(sorted(where))}: {charge}" for charge, where in alike.items()),
        "state": _STATES[next((name for name in _WORST if name in names), "started")],
    }
