"""What the audit keeps of requests: a bounded summary of one that was refused or is large, never a row of its size.

A refused request costs its caller nothing, nor does a reservation that is given back. Kept whole, they would let any
member fill the owner's disk. A large request is kept whole where its run starts: from there it is paid for.
"""

from __future__ import annotations

from typing import Any

from ...protocol.operation import Request

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
