"""The demo: one joint analysis of real flights by four parties, each step with what it gave, told, cost and took."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import dp, embedded, fl, he, psi
from ..client.budgets import price_text
from ..client.plan import Plan
from ..client.results import Result, learns_grid
from ..display.cards import Displayed, Grid, grid_of
from . import airlines, nyc_flights

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
    console = Console(highlight=False)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        console.print("Three airports and the aircraft registry. No row leaves its owner.\n", style="bold")
        _analyse(console, store or Path(folder))
    kept = f"The ledgers are in {store}." if store else "The ledgers were in a temporary folder (keep them: --store)."
    console.print(f"\n{kept} Done in {time.monotonic() - began:.1f} s.")


def _analyse(console: Console, store: Path) -> None:
    parties = nyc_flights()
    for name, tables in parties.items():
        for table, data in tables.items():
            console.print(f"  {name:<9} holds {table}: {data.num_rows:,} rows, {data.num_columns} columns")
    console.print()
    fed = embedded(parties, store=store)
    console.print()
    step = _StepPrinter(console)

    join = psi.join(fed["EWR"]["flights"], fed["REGISTRY"]["planes"], on="tailnum")
    joint = step("psi.join", "EWR joins its flights with the registry on tail number", join).value
    step("count", "the registry counts the matched aircraft by engine", joint["REGISTRY"].count(by="engine"))
    step("mean", "EWR averages the delay of its matched flights", joint["EWR"].mean("dep_delay"))

    flights = fed.tables("flights")
    mean = he.mean(flights, "dep_delay", key_holder="REGISTRY")
    step("he.mean", "the mean departure delay of the three airports, under encryption", mean)
    model = fl.Logistic(features=FEATURES)
    fit = fl.fit(model, flights, label="late", rounds=30, learning_rate=2.0, coordinator="REGISTRY")
    step("fl.fit", "the three airports train a model of late departures", fit)
    count = dp.count(fed["JFK"]["flights"], by="carrier", keys=sorted(airlines()), epsilon=0.5)
    step("dp.count", "JFK's flights by carrier, with differential privacy", count)

    console.rule("afterwards", align="left", characters="-")
    for shown in (fed.budgets(), fed.verify_audit()):
        ((caption, grid),) = shown._card().grids
        console.print(f"{shown._card().title}, {caption}")
        console.print(_table(grid))
    fed.close()


class _StepPrinter:
    """Prints each step: result, who learned what, what was spent, seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0

    def __call__(self, verb: str, title: str, plan: Plan[Any]) -> Result[Any]:
        self._number += 1
        self._console.rule(f"{self._number}. {title}", align="left", characters="-")
        result = plan.release()
        value = result.value
        if isinstance(value, pa.Table):
            self._console.print(_table(grid_of(value)))
        else:
            self._console.print(Text(repr(value) if isinstance(value, Displayed) else str(value)))
        about = Table(box=None, show_header=False, pad_edge=False)
        for label, text in plan.notes:
            about.add_row(label, text)
        about.add_row("learned", _table(learns_grid(result.learned), header=False))
        about.add_row("spent", price_text(result.spent))
        about.add_row("took", f"{result.seconds:.2f} s ({verb}); {result.receipt.verdict()}")
        self._console.print(about)
        self._console.print()
        return result


def _table(grid: Grid, *, header: bool = True) -> Table:
    table = Table(*grid.header, box=None, pad_edge=False, show_header=header)
    for row in grid.rows:
        table.add_row(*map(Text, row))
    return table
