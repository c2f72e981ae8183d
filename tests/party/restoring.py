"""A ledger file put back from an older copy, as from a backup: where the tests of witnesses and lineages begin."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

import privsdk as ps
from privsdk import dp
from privsdk.party.ledger.verification import read_ledger

BUDGET = ps.Budget(epsilon=1000, delta=1e-6, exact=10_000)


def opened(store: Path | None, caller: str = "analyst") -> ps.Federation:
    return ps.embedded(north=pa.table({"x": list(range(50))}), store=store, budget=BUDGET, caller=caller, quiet=True)


def ask(fed: ps.Federation, times: int = 1) -> None:
    """Noisy counts; each adds three rows to the audit."""
    for _ in range(times):
        dp.count(fed["north"]["table"], epsilon=0.01).release()


def session(store: Path, times: int, caller: str = "analyst") -> None:
    """A notebook that is opened, asks, and is closed again."""
    with opened(store, caller) as fed:
        ask(fed, times)


def backup(store: Path) -> Path:
    return Path(shutil.copy(store / "north.sqlite", store / "backup"))


def restore(store: Path) -> None:
    shutil.copy(store / "backup", store / "north.sqlite")


def events(store: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(row.body) for row in read_ledger(store / "north.sqlite").rows]


def names(store: Path) -> list[str]:
    return [event["event"] for event in events(store)]


def acknowledge(path: Path, reason: str) -> None:
    """As the owner does."""
    with ps.Owner(path) as owner:
        owner.acknowledge(reason=reason)
