"""How long the differencing guard takes to compare an exact answer with 3,000 earlier ones over 336,776 rows.

Run as `python benchmarks/guard.py [SETS]`. Prints medians of wall and CPU seconds for a base table and for a joint
table, in which join keys have many rows. Beside them the floor: reading and unpacking the earlier sets once, which is
what a comparison with all of them needs.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from privsdk.governance.charges import Budget
from privsdk.party.budget.books import Books
from privsdk.party.guard import Guard
from privsdk.party.ledger.row_sets import DisclosureTables
from privsdk.party.tables import Store
from privsdk.protocol.operation import Alignment, Operand, Request
from privsdk.protocol.services import RowSet

ROWS = 336_776
REPEATS = 5
REQUEST = Request(
    run_id="r",
    operation="aggregate",
    caller="ann",
    purpose="study",
    parties=("north", "south"),  # a question of two parties is not kept, which would need its run in the ledger
    operands=dict.fromkeys(("north", "south"), Operand(table="t", columns=("x",))),
    parameters={},
)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(sets: int, *, joint: bool) -> dict[str, list[tuple[float, float]]]:
    rng = np.random.default_rng(1)
    table = pa.table({"x": np.arange(ROWS), "key": rng.integers(0, 4_000, ROWS)})
    books = Books("north", None, budgets={"*": Budget()}, datasets={"t": "t"})
    own = np.arange(ROWS)
    codes = table["key"].to_numpy()
    alignment = Alignment(rows=own, keys=own, min_count=10, codes=codes, session=b"") if joint else None
    guard = Guard("north", Store("north", {"t": table}), books)
    screen = guard.screener(REQUEST, REQUEST.operands["north"], "memory", alignment, 10)

    def release() -> None:
        rows = np.flatnonzero(rng.random(ROWS) < 0.5)
        screen([RowSet(rows=rows, measure="count", figures=(len(rows),))], 10)

    release()  # hashes the table
    kept = []

    def fill(tables: DisclosureTables) -> list[tuple[int, ...]]:
        for n in range(sets):
            member = rng.integers(0, 256, (ROWS + 7) // 8, dtype=np.uint8)
            kept.append(zlib.compress(member.tobytes(), level=1))
            tables.add("t", hashlib.sha256(b"%d" % n).digest(), rng.integers(500, 800, 256).astype(np.uint32), member)
        return [(0,)]

    books.settle("fill", "", fill)
    found = [timed(release) for _ in range(REPEATS)]
    floor = [timed(lambda: [np.frombuffer(zlib.decompress(each), np.uint8) for each in kept]) for _ in range(REPEATS)]
    books.close()
    return {"one answer against all": found, "floor: read all sets once": floor}


def main(sets: int) -> None:
    print(f"{sets:,} earlier sets over {ROWS:,} rows")
    print(f"{'':44}{'wall s':>10}{'CPU s':>10}")
    for joint in (False, True):
        for name, figures in measure(sets, joint=joint).items():
            wall, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"{'joint' if joint else 'base'} table, {name:<30}{wall:>10.2f}{cpu:>10.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000)
