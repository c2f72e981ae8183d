"""What an audit chain says of one caller: its latest rows about that caller's requests, and about no one else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import msgspec
from msgspec import Raw

from ...governance.events import (
    Entry,
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
from .queries import Queries

AT_ONCE = 500  # rows that are read together
MOST_READ = 20_000  # a caller who asked little and long ago is not worth reading a long chain


def latest(ledger: Queries, caller: str, most: int) -> list[AuditEntry]:
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
    return noted


def _charged(entries: tuple[Entry, ...]) -> tuple[tuple[str, str], ...]:
    counted = Counter((entry.dataset, str(entry.charge)) for entry in entries)
    return tuple((dataset, f"{n} x {charge}" if n > 1 else charge) for (dataset, charge), n in counted.items())


def _own(ledger: Queries, caller: str) -> Iterator[tuple[int, KnownEvent | UnknownEvent]]:
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
