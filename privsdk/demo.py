"""The demo: one joint analysis of real flights by four parties, each step with what it gave, told, cost and took."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from . import dp, embedded, fl, he, psi
from .results import Plan, Result, learns_text, price_text
from .workshop import airlines, nyc_flights

FEATURES: dict[str, tuple[float, float]] = {
    "hour": (0, 24),
    "month": (1, 12),
    "distance": (0, 5000),
    "wind_speed": (0, 50),
    "precip": (0, 1),
    "visib": (0, 10),
}


def demo(store: Path | None) -> None:
    """Run the analysis; ledgers go to `store`, or to a temporary folder that is removed at the end."""
    console = Console(soft_wrap=False, highlight=False)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        _analyse(console, store or Path(folder))
    console.print(f"\nDone in {time.monotonic() - began:.1f} s.")


def _analyse(console: Console, store: Path) -> None:
    console.print("Three airports and the aircraft registry. No row leaves its owner.\n", style="bold")
    parties = nyc_flights()
    for name, tables in parties.items():
        for table, data in tables.items():
            console.print(f"  {name:<9} holds {table}: {data.num_rows:,} rows, {data.num_columns} columns")
    console.print()
    fed = embedded(parties, store=store)
    step = _Steps(console)

    join = psi.join(fed["EWR"]["flights"], fed["REGISTRY"]["planes"], on="tailnum")
    joint = step("EWR joins its flights with the registry on tail number (psi.join)", join, str).value
    step("the registry counts the matched aircraft by engine", joint["REGISTRY"].count(by="engine"), _grid)
    step("EWR averages the delay of its matched flights", joint["EWR"].mean("dep_delay"), _grid)

    flights = fed.tables("flights")
    step(
        "the mean departure delay over the three airports, encrypted (he.mean); the registry holds the key",
        he.mean(flights, "dep_delay", key_holder="REGISTRY"),
        lambda pooled: f"{pooled.value:.4f} minutes over {pooled.count:,} flights, error at most {pooled.error:.1g}",
    )
    step(
        "a model of late departures trained over the three airports (fl.fit)",
        fl.fit(
            fl.Logistic(features=FEATURES), flights, label="late", rounds=30, learning_rate=2.0, key_holder="REGISTRY"
        ),
        repr,
    )
    count = dp.count(fed["JFK"]["flights"], by="carrier", keys=sorted(airlines()), epsilon=0.5)
    console.print(f"  before it: {dict(count.notes)['expected error']}")
    step("JFK's flights by carrier with differential privacy (dp.count)", count, _grid)

    console.rule("afterwards", align="left", characters="-")
    budgets = Table("party", "dataset", "epsilon left", "exact disclosures left", "audit", box=None, pad_edge=False)
    reports = fed.verify_audit()
    for party, balances in fed.budgets().items():
        report = reports[party]
        audit = f"{report.rows} rows sound" if report.first_bad < 0 else f"BROKEN: {report.reason}"
        for b in balances:
            epsilon = f"{b.epsilon_left:.3g} of {b.budget.epsilon:g}"
            budgets.add_row(party, b.dataset, epsilon, f"{b.exact_left} of {b.budget.exact}", audit)
    console.print(budgets)
    fed.close()


class _Steps:
    """Prints each step: result, who learned what, what was spent, seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0

    def __call__(self, title: str, plan: Plan[Any], show: Callable[[Any], Any]) -> Result[Any]:
        self._number += 1
        self._console.rule(f"{self._number}. {title}", align="left", characters="-")
        result = plan.release()
        self._console.print(show(result.value))
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_row("learned", learns_text(result.learned))
        table.add_row("spent", price_text(result.spent))
        table.add_row(
            "took", f"{result.seconds:.2f} s; receipts {'verified' if result.receipt.verify() else 'INVALID'}"
        )
        self._console.print(table)
        self._console.print()
        return result


def _grid(data: pa.Table) -> Table:
    grid = Table(*data.column_names, box=None, pad_edge=False)
    for row in data.to_pylist():
        grid.add_row(
            *(
                "-" if v is None else f"{v:.4f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v)
                for v in row.values()
            )
        )
    return grid
