"""Many callers at once on served parties: every answer is paid for, and nothing else is."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts
from cluster import Cluster
from waiting import until

import privsdk as ps
from privsdk import dp, he
from privsdk.errors import Busy
from privsdk.governance.charges import Charge, Debit, Exact
from privsdk.party.budget.accounting import Account
from privsdk.party.ledger.verification import verify_ledger

CALLERS = 32
BUDGET = ps.Budget(epsilon=10_000, delta=1e-6, exact=1_000_000)
Spent = dict[str, Counter[Charge]]


def asks(fed: ps.Federation, caller: int, number: int) -> ps.Plan[object]:
    """Encrypted sums of all, an exact count that is answered from the store once it was, noisy counts."""
    shop = fed[f"shop{(caller + number) % 3}"]["t"]
    match (caller + number) % 3:
        case 0:
            return he.sum(fed.tables("t"), "x")
        case 1:
            return shop.count()
        case _:
            return dp.count(shop, epsilon=0.01)


@pytest.mark.claim("load: 32 callers at once on three parties: all answered or Busy, each answer charged once, exactly")
def test_the_ledger_is_exact_after_a_load(tmp_path: Path, cases: Cases, counts: Counts) -> None:
    rng = np.random.default_rng(3)
    tables: dict[str, dict[str, pa.Table]] = {
        f"shop{n}": {"t": pa.table({"x": rng.integers(0, 100, 300).astype(float)})} for n in range(3)
    } | {"notary": {}}
    lock, took, busy = threading.Lock(), list[float](), list[str]()
    failed, spent = list[str](), {name: Counter[Charge]() for name in tables}
    with Cluster(tmp_path, tables, budget=BUDGET) as cluster:
        over = time.monotonic() + counts(2, 15, 60)

        def call(caller: int) -> None:
            with ps.connect(cluster.federation) as fed:
                for number in range(100_000):
                    if number and time.monotonic() > over:  # each asks once at least
                        return
                    began = time.monotonic()
                    try:
                        result = asks(fed, caller, number).release(timeout_s=120)
                    except Busy as error:
                        with lock:
                            busy.append(error.message)
                        continue
                    except Exception as error:
                        with lock:
                            failed.append(f"{type(error).__name__}: {error}")
                        return
                    with lock:
                        took.append(time.monotonic() - began)
                        for party, debits in result.spent.items():
                            spent[party].update(debit.charge for debit in debits if isinstance(debit, Debit))

        callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        assert not failed, failed[0]
        with ps.connect(cluster.federation) as fed:
            until(lambda: all(d.running == 0 for d in fed._describe().values()))
            for party in ("shop0", "shop1", "shop2"):
                (balance,) = fed.budgets()[party]
                uses = sum(charge.uses * times for charge, times in spent[party].items() if isinstance(charge, Exact))
                assert (balance.exact_spent, balance.reserved) == (uses, 0), party
                expected = Account(spent[party]).epsilon(BUDGET.delta)
                assert balance.epsilon_spent == pytest.approx(expected, rel=1e-6)
    for party in tables:
        assert verify_ledger(tmp_path / f"{party}.sqlite").first_bad == -1
    took.sort()
    cases(len(took))
    late = took[len(took) * 95 // 100]
    cases.say(f"median {statistics.median(took):.2f} s, 95% within {late:.2f} s, {len(busy)} busy")
