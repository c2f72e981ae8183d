"""Three parties with the same columns for different rows, and one that keeps keys."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

import privsdk as ps
from privsdk.client.tables import Table, Tables


def people(**replaced: Any) -> pa.Table:
    columns = {
        "id": [f"k{n}" for n in range(60)],
        "age": list(range(60)),
        "amount": [n / 4 for n in range(60)],
        "late": [n % 3 == 0 for n in range(60)],
    }
    return pa.table({**columns, **replaced})


def federation() -> ps.Federation:
    """North, south and east with a table of people each, and a keeper."""
    parties: dict[str, Any] = {name: {"people": people()} for name in ("north", "south", "east")}
    budget = ps.Budget(epsilon=3, exact=100_000)
    return ps.embedded({**parties, "keeper": {}}, store=None, budget=budget, quiet=True)


def north(fed: ps.Federation) -> Table:
    return fed["north"]["people"]


def south(fed: ps.Federation) -> Table:
    return fed["south"]["people"]


def everyone(fed: ps.Federation) -> Tables:
    return fed.tables("people")
