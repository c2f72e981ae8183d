"""What the audit keeps of requests, and what it tells their callers: rows about their own requests and no one else's.

A refused request costs its caller nothing, nor does a reservation that is given back. Kept whole, they would let any
member fill the owner's disk, so that a refused or large one is kept as a bounded summary. A large request is kept whole
where its run starts: from there it is paid for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Raw

from ...governance.events import (
    Entry,
    JointEnded,
    JointKept,
    KnownEvent,
    RequestEvent,
    RequestRefused,
    RunEvent,
    RunFailed,
    RunPaid,
    RunReleased,
    RunReserved,
    RunStarted,
    UnknownEvent,
    decode,
    facts_of,
    name_of,
)
from ...protocol.control import AuditEntry
from ...protocol.operation import Request
from .ledger import Ledger

TEXT = 100  # letters of a name or purpose; in JSON one may take six bytes
NAMES = 10  # parties, columns
WHY = 1000  # letters of a refusal's reason
KEPT_BYTES = 8192  # of a request that is kept whole when it is reserved


def summary(request: Request, party: str) -> dict[str, Any]:
    """Who wanted what of this party, in at most 16 KiB, with the request's digest and size."""
    operand = request.operands.get(party)
    told: dict[str, Any] = {
        "run_id": cut(request.run_id),
        "operation": cut(request.operation),
        "purpose": cut(request.purpose),
        "parties": _names(request.parties),
        "digest": request.digest(),
        "bytes": len(request.canonical()),
    }
    if operand is not None:
        told |= {"table": cut(operand.table), "columns": _names(operand.columns)}
    return told


def is_large(request: Request) -> bool:
    return len(request.canonical()) > KEPT_BYTES


def cut(text: str, length: int = TEXT) -> str:
    """At most this many letters, and how many were left out."""
    return text if len(text) <= length else f"{text[:length]}... ({len(text) - length:,} more)"


def _names(names: tuple[str, ...]) -> list[str]:
    more = [f"... ({len(names) - NAMES:,} more)"] if len(names) > NAMES else []
    return [cut(name) for name in names[:NAMES]] + more


AT_ONCE = 500  # rows that are read together
MOST_READ = 20_000  # a caller who asked little and long ago is not worth reading a long chain


def latest(ledger: Ledger, caller: str, most: int) -> list[AuditEntry]:
    """At most so many rows, the latest first. Where a run began before what is read its operation is left out."""
    rows = [_noted(sequence, event) for sequence, event in islice(_own(ledger, caller), most)]
    operations = {row.run: row.operation for row in rows if row.operation}
    return [msgspec.structs.replace(row, operation=operations.get(row.run, "")) for row in rows]


def _noted(sequence: int, event: KnownEvent | UnknownEvent) -> AuditEntry:
    """A row about a caller's request; of an event that this version does not know its name alone."""
    noted = AuditEntry(sequence=sequence, at=event.at, event=name_of(event))
    if isinstance(event, RequestEvent):
        noted = msgspec.structs.replace(noted, run=event.facts.run_id, operation=event.facts.operation)
    elif isinstance(event, RunEvent | UnknownEvent):
        noted = msgspec.structs.replace(noted, run=event.run)
    match event:
        case RunReserved():
            tables, entries = event.tables or (), event.entries or ()
            return msgspec.structs.replace(noted, tables=tables, charged=_charged(entries))
        case RunPaid(entries=entries):
            return msgspec.structs.replace(noted, charged=_charged(entries))
        case RunStarted(request=Raw() as request):
            return msgspec.structs.replace(noted, operation=facts_of(request).operation)
        case RequestRefused(why=why) | RunReleased(why=why) | RunFailed(code=why):
            return msgspec.structs.replace(noted, why=why)
        case JointKept() | JointEnded():
            return msgspec.structs.replace(noted, tables=(event.table,), why=event.said)
    return noted


def _charged(entries: tuple[Entry, ...]) -> tuple[tuple[str, str], ...]:
    counted = Counter((entry.dataset, str(entry.charge)) for entry in entries)
    return tuple((dataset, f"{n} x {charge}" if n > 1 else charge) for (dataset, charge), n in counted.items())


def _own(ledger: Ledger, caller: str) -> Iterator[tuple[int, KnownEvent | UnknownEvent]]:
    callers: dict[str, str] = {}

    def of(event: KnownEvent | UnknownEvent) -> str:
        named, run = getattr(event, "caller", ""), getattr(event, "run", "")
        if named or not run:
            return str(named)
        if run not in callers:
            known = ledger.run(run)
            callers[run] = "" if known is None else known.caller
        return callers[run]

    sequence: int | None = None
    for _ in range(MOST_READ // AT_ONCE):
        rows = ledger.before(sequence, AT_ONCE)
        for row in rows:
            event = decode(row.body)
            if of(event) == caller:
                yield row.sequence, event
        if len(rows) < AT_ONCE:
            return
        sequence = rows[-1].sequence
