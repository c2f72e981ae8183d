"""How long `plan.preview()` takes with 10,000 charges in the ledger; the promise is under 200 ms.

Run as `python benchmarks/preview.py [CHARGES]`. Prints medians of wall and CPU milliseconds: of a first preview, for
which the account is composed from all charges, and of later ones, each after a further charge. Beside them the floor:
what dp-accounting alone needs to compose one more event into that account and to give its epsilon.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from dp_accounting.pld import privacy_loss_distribution as pld

import privsdk as ps
from privsdk import dp
from privsdk.governance.charges import DiscreteLaplace
from privsdk.governance.events import RunReserved
from privsdk.party.ledger.database import Signer
from privsdk.party.ledger.ledger import Entry, Ledger
from privsdk.protocol.operation import Request

EPSILON = 0.005  # of each charge: 10,000 of them compose to about 2.4 at delta 1e-6
DEARER = 0.03  # of another question, of which a few are left
REPEATS = 9
CAP = ps.Budget(epsilon=2.6, limits=(ps.Limit(analyst="*", epsilon=2.55), ps.Limit(days=30, epsilon=2.58)))


def fill(path: Path, charges: int) -> None:
    """A ledger that was used for long, written in one go."""
    with ps.embedded(north=people(), store=path.parent, budget=CAP, quiet=True) as fed:
        dp.count(fed["north"]["table"], epsilon=EPSILON).release()
    ledger = Ledger("north", path, Signer.at(path.with_suffix(".ed25519"), create=False))
    ledger._database.connection.execute("PRAGMA synchronous=OFF")
    charge = DiscreteLaplace(scale=1 / EPSILON, sensitivity=1.0)
    for n in range(charges - 1):
        request = Request(
            run_id=f"r{n}",
            operation="dp.count",
            caller="analyst",
            purpose="workshop",
            parties=("north",),
            operands={},
            parameters={},
        )
        reserved = RunReserved(caller="analyst", request=request, entries=(Entry("table", charge),))
        ledger.reserve(reserved, run_id=request.run_id, digest=request.digest(), purpose="workshop", check=lambda: None)
    ledger.close()


def people() -> pa.Table:
    return pa.table({"age": range(1000)})


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def main(charges: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "north.sqlite"
        fill(path, charges)
        began = time.perf_counter()
        with ps.embedded(north=people(), store=folder, budget=CAP, quiet=True) as fed:
            opened = (time.perf_counter() - began) * 1e3
            table = fed["north"]["table"]
            first = timed(lambda: dp.count(table, epsilon=EPSILON).preview())
            later, repeated, dearer = [], [], []
            for _ in range(REPEATS):
                dp.count(table, epsilon=EPSILON).release()
                later.append(timed(lambda: dp.count(table, epsilon=EPSILON).preview()))
                repeated.append(timed(lambda: dp.count(table, epsilon=EPSILON).preview()))
                dearer.append(timed(lambda: dp.count(table, epsilon=DEARER).preview()))
            left = dp.count(table, epsilon=EPSILON).preview().queries_left
            few = dp.count(table, epsilon=DEARER).preview().queries_left
    one = pld.from_discrete_laplace_mechanism(EPSILON, 1)
    account = one.self_compose(charges)
    floor = [timed(lambda: account.compose(one).get_epsilon_for_delta(1e-6)) for _ in range(REPEATS)]
    print(f"{charges:,} charges; {left} such queries left; opening the ledger took {opened:,.0f} ms")
    print(f"{'':36}{'wall ms':>10}{'CPU ms':>10}")
    for name, figures in (
        ("first preview (composes the account)", [first]),
        ("preview after one more charge", later),
        ("the same preview again", repeated),
        (f"a price of {DEARER:g}, {few} left", dearer),
        ("floor: compose one, give epsilon", floor),
    ):
        wall, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{name:<36}{wall:>10.1f}{cpu:>10.1f}")
    wall = statistics.median(wall for wall, _ in later)
    print(f"preview after one more charge: {wall / statistics.median(w for w, _ in floor):.1f} times the floor")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
