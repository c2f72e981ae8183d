"""How long the differencing guard takes for an exact answer after 3,000 earlier ones over 336,776 rows.

Run as `python benchmarks/guard.py [ANSWERS]`. The answers are of one set each, chosen by up to two filters on six
columns of flights; the joint table's join keys have many rows. Prints seconds of one core: the median of the last
answers and the slowest of all, with the ledger in memory; what the guard holds in memory, how many answers were
refused, and how long the first answer takes after a start, when all earlier ones are read.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from privsdk.errors import DifferencingRefused
from privsdk.governance.charges import Budget
from privsdk.party.budget.books import Books
from privsdk.party.differencing.guard import Guard
from privsdk.party.tables import Store
from privsdk.protocol.operation import Alignment, Operand, Request
from privsdk.protocol.services import RowSet

ROWS = 336_776
K = 10
LAST = 100
REQUEST = Request(
    run_id="",
    operation="aggregate",
    caller="ann",
    purpose="study",
    parties=("north", "south"),  # a question of two parties is not kept, which would need its run in the ledger
    operands=dict.fromkeys(("north", "south"), Operand(table="t", columns=("x",))),
    parameters={},
)


class Questions:
    """Rows by up to two filters."""

    def __init__(self, seed: int) -> None:
        self._rng = rng = np.random.default_rng(seed)
        often = 1 / np.arange(1, 106) ** 0.8
        dest = rng.choice(105, ROWS, p=often / often.sum())
        self._columns = {
            "origin": rng.integers(0, 3, ROWS),
            "month": rng.integers(1, 13, ROWS),
            "hour": rng.integers(5, 24, ROWS),
            "dest": dest,
            "delay": np.maximum(rng.gamma(0.5, 30, ROWS) - 10, -20).round(),
            "distance": rng.integers(2, 50, 105)[dest] * 100,
        }
        self.keys = dest

    def ask(self) -> Any:
        keep = np.ones(ROWS, np.bool_)
        for name in self._rng.choice(list(self._columns), self._rng.integers(0, 3), replace=False):
            column = self._columns[name]
            low, high = sorted(self._rng.choice(np.unique(column), 2))
            keep &= (column >= low) & (column <= high)
        rows = np.flatnonzero(keep)
        return rows if len(rows) >= K else self.ask()


def measure(answers: int, *, joint: bool) -> None:
    questions = Questions(1)
    table = pa.table({"x": np.arange(ROWS), "key": questions.keys})
    books = Books("north", None, budgets={"*": Budget()}, datasets={"t": "t"})
    own = np.arange(ROWS)
    alignment = Alignment(rows=own, keys=own, min_count=K, codes=questions.keys, session=b"") if joint else None
    store = Store("north", {"t": table})
    guard = Guard("north", store, books)
    took, refused = [], 0

    def release(by: Guard, measure: str = "count") -> None:
        nonlocal refused
        rows = questions.ask()
        request = msgspec.structs.replace(REQUEST, run_id=f"{len(took)}")
        screen = by.screener(request, REQUEST.operands["north"], "memory", alignment, K)
        began = time.thread_time()
        try:
            screen([RowSet(rows=rows, measure=measure, figures=(len(rows),))], K)
        except DifferencingRefused:
            refused += 1
        took.append(time.thread_time() - began)

    for _ in range(answers + LAST):
        release(guard)
    last = took[-LAST:]
    print(
        f"{'joint' if joint else 'base'} table: median {statistics.median(last):.3f} s, slowest {max(took):.3f} s, "
        f"{guard.bytes_held / 2**20:.0f} MiB, {refused:,} of {len(took):,} refused, {guard.undecided} undecided"
    )
    release(Guard("north", store, books), "sum of x")
    began = time.thread_time()
    books.settle("floor", "", lambda tables: [(len(list(tables.sets_after("t", 0))),)])
    print(f"{'':12}after a start {took[-1]:.1f} s; floor: all sets read once {time.thread_time() - began:.2f} s")
    books.close()


def main(answers: int) -> None:
    print(f"{answers:,} earlier answers over {ROWS:,} rows")
    for joint in (False, True):
        measure(answers, joint=joint)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000)
