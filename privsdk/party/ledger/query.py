"""What an audit chain says of one caller: its latest rows about that caller's requests, and about no one else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import msgspec

from ...protocol.control import Noted
from .ledger import Entry, Ledger

AT_ONCE = 500  # rows that are read together
MOST_READ = 20_000  # a caller who asked little and long ago is not worth reading a long chain


class _Request(msgspec.Struct, frozen=True):
    """A request or its summary, as far as it is told again."""

    run_id: str = ""
    operation: str = ""


class _Body(msgspec.Struct, frozen=True):
    at: str
    event: str
    run: str = ""
    caller: str = ""
    request: _Request = _Request()
    tables: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    why: str = ""
    code: str = ""


_BODY = msgspec.json.Decoder(_Body)


def latest(ledger: Ledger, caller: str, most: int) -> list[Noted]:
    """At most so many rows, the latest first. Where a run began before what is read its operation is left out."""
    rows = list(islice(_own(ledger, caller), most))
    operations = {body.run or body.request.run_id: body.request.operation for _, body in rows if body.request.operation}
    return [
        Noted(
            sequence=sequence,
            at=body.at,
            event=body.event,
            run=(run := body.run or body.request.run_id),
            operation=operations.get(run, ""),
            tables=body.tables,
            why=body.why or body.code,
            charged=_charged(body.entries),
        )
        for sequence, body in rows
    ]


def _charged(entries: tuple[Entry, ...]) -> tuple[tuple[str, str], ...]:
    counted = Counter((entry.dataset, str(entry.charge)) for entry in entries)
    return tuple((dataset, f"{n} x {charge}" if n > 1 else charge) for (dataset, charge), n in counted.items())


def _own(ledger: Ledger, caller: str) -> Iterator[tuple[int, _Body]]:
    callers: dict[str, str] = {}

    def of(run: str) -> str:
        if run not in callers:
            known = ledger.run(run)
            callers[run] = "" if known is None else known.caller
        return callers[run]

    sequence: int | None = None
    for _ in range(MOST_READ // AT_ONCE):
        rows = ledger.before(sequence, AT_ONCE)
        for row in rows:
            body = _BODY.decode(row.body)
            if (body.caller or (of(body.run) if body.run else "")) == caller:
                yield row.sequence, body
        if len(rows) < AT_ONCE:
            return
        sequence = rows[-1].sequence
