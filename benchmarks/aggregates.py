"""How long exact aggregates, an encrypted mean and a noisy one take over a table of 5 million rows, beside DuckDB.

Run as `python benchmarks/aggregates.py [ROWS]`. A Parquet file with a row number, a customer for every four rows, a
region of five, an amount and two whole numbers is asked through `ps.embedded` with a ledger on disk, the differencing
guard included, each time in a federation that never saw the table: by its row number as unit id, by the customer, and
without a unit id, where rows are known by all that they hold. Then once more with a filter, when the table is known.
Prints CPU seconds of the whole process, wall seconds, and CPU seconds as a multiple of DuckDB's for the same answer of
the same file in the same run; then the memory that all of it took at most.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import privsdk as ps
from privsdk import dp, he

REGIONS = np.array(["centre", "east", "north", "south", "west"])
USE = ("group key", "comparison", "aggregate", "HE operand", "DP release")
POLICY = ps.Policy(
    operations=("aggregate", "he.sum", "he.mean", "dp.mean"),
    grants=(ps.Grant(table="sales", columns={"*": USE}, max_epsilon=10.0),),
    min_parties=1,
)
UNITS = {"row number": ps.Unit(id="number"), "customer": ps.Unit(id="customer", rows=50), "none": ps.Unit()}


def made(rows: int, path: Path) -> Path:
    rng = np.random.default_rng(1)
    table = {
        "number": np.arange(rows),
        "customer": rng.integers(0, max(1, rows // 4), rows),
        "region": REGIONS[rng.integers(0, len(REGIONS), rows)],
        "amount": rng.gamma(2, 50, rows),
        "pieces": rng.integers(0, 100, rows),
        "day": rng.integers(0, 1000, rows),
    }
    pq.write_table(pa.table(table), path)
    return path


def measured(name: str, ask: Callable[[], Any], floor: float = 0.0) -> float:
    """CPU seconds, which are printed with the rest."""
    cpu, wall = time.process_time(), time.perf_counter()
    ask()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:44} {cpu:6.2f} CPU s {wall:7.2f} wall s" + (f" {cpu / floor:6.1f} x DuckDB" if floor else ""))
    return cpu


def opened(path: Path, store: str, unit: ps.Unit, parties: int = 1) -> ps.Federation:
    tables = {f"shop{n}": {"sales": str(path)} for n in range(parties)}
    budget = ps.Budget(epsilon=10, exact=10_000, unit=unit)
    return ps.embedded(**tables, notary={}, store=store, quiet=True, policy=POLICY, budget=budget)


def ask(sales: Any, name: str, floor: float, filtered: float) -> None:
    where = {"day": (0, 500)}
    noisy = {"bounds": (0.0, 1000.0), "epsilon": 1.0}
    measured(f"unit {name}: mean by region, first", sales.mean("amount", by="region").release, floor)
    measured(f"unit {name}: of a filter", sales.mean("amount", by="region", where=where).release, filtered)
    measured(f"unit {name}: sum of whole numbers", sales.sum("pieces").release, floor)
    measured(f"unit {name}: dp.mean", dp.mean(sales, "amount", **noisy).release, floor)


def ask_all(path: Path, floor: float, filtered: float, folder: str) -> None:
    for name, unit in UNITS.items():
        with opened(path, f"{folder}/{name}-{path.stem}", unit) as fed:
            ask(fed["shop0"]["sales"], name, floor, filtered)
        with opened(path, f"{folder}/he-{name}-{path.stem}", unit, parties=2) as fed:
            both = [fed[party]["sales"] for party in ("shop0", "shop1")]
            measured(f"unit {name}: he.mean, two parties", he.mean(both, "pieces").release, floor)


def main(rows: int) -> None:
    rows = max(rows, 1_000)
    with tempfile.TemporaryDirectory() as folder:
        ask_all(made(1_000, Path(folder, "small.parquet")), 0, 0, folder)  # imports
        print(f"\n{rows:,} rows")
        path = made(rows, Path(folder, "sales.parquet"))
        query = "SELECT region, count(*), avg(amount) FROM read_parquet(?) {} GROUP BY region ORDER BY region"
        floors = []
        for where in ("", "WHERE day BETWEEN 0 AND 500"):
            duckdb.execute(query.format(where), [str(path)]).fetchall()
            once = partial(duckdb.execute, query.format(where), [str(path)])
            floors.append(measured(f"floor: DuckDB, mean by region {where}"[:44], lambda once=once: once().fetchall()))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ask_all(path, *floors, folder)
        print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before:.0f} MiB at most, above the start")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000)
