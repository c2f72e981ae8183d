"""A party's server killed at its fail points, over the network: what a caller got is always in the ledger."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from claims import Cases, Counts
from cluster import Cluster

import privsdk as ps
from privsdk import dp, he
from privsdk.client.tables import Table, Tables
from privsdk.governance.charges import DiscreteLaplace
from privsdk.party.budget.accounting import Account
from privsdk.party.budget.books import Books
from privsdk.party.budget.caps import Asking
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol.failpoints import FailPoint

SIGKILL = -9
WIRE = (FailPoint.SEND_BEFORE, FailPoint.SEND_AFTER, FailPoint.ANSWER_BEFORE, FailPoint.ANSWER_AFTER)
QUICK = [*((point, 1) for point in WIRE), (FailPoint.START_AFTER, 2)]
MORE = [*QUICK, *((point, 4) for point in WIRE), (FailPoint.FINISH_AFTER, 1)]
LONG = [(point, hit) for point in FailPoint for hit in range(1, 9)]


def ask_until_it_dies(cluster: Cluster) -> tuple[int, int]:
    """Questions to a party until it is gone; how many encrypted sums and noisy counts were answered."""
    sums, counts = 0, 0
    with ps.connect(cluster.federation) as fed:
        try:
            sales = fed.tables("sales")
        except ps.errors.PeerError:
            return sums, counts
        for _ in range(5):
            for plan in (
                he.sum(sales, "x"),
                dp.count(sales_of(sales, "shop0"), epsilon=0.125),
                dp.count(sales_of(sales, "shop0"), epsilon=100),  # refused
                he.sum(sales, "x", bound=1e-3),  # fails, and is charged
            ):
                try:
                    plan.release(timeout_s=120)
                except ps.errors.PeerError:
                    return sums, counts
                except ps.PrivsdkError:
                    continue
                sums += plan.request.operation == "he.sum"
                counts += plan.request.operation == "dp.count"
                if cluster.ended("shop0") is not None:
                    return sums, counts
    return sums, counts


def sales_of(tables: Tables, party: str) -> Table:
    return next(table for table in tables if table.party == party)


@pytest.mark.claim("crash: kill -9 of a server at its fail points over Flight never under-counts and never corrupts")
def test_kill_at_fail_points(
    tmp_path: Path, small_tables: dict[str, dict[str, pa.Table]], cases: Cases, counts: Counts
) -> None:
    budget, kills = ps.Budget(epsilon=1000, delta=1e-6, exact=10_000), counts(QUICK, MORE, LONG)
    with Cluster(tmp_path, small_tables, budget=budget) as cluster:
        sums, counts = 0, 0
        cluster.stop("shop0")
        for point, hit in kills:
            cluster.start("shop0", PRIVSDK_FAILPOINT=f"{point}:{hit}")
            cluster.await_address("shop0")
            answered = ask_until_it_dies(cluster)
            sums, counts = sums + answered[0], counts + answered[1]
            died = cluster.await_end("shop0", timeout_s=2 if kills is LONG else 60) == SIGKILL
            assert died or kills is LONG, (point, hit)  # a later hit of the long counts may not come
            cluster.stop("shop0")
            verdict = verify_ledger(tmp_path / "shop0.sqlite")
            assert verdict.first_bad == -1, (point, verdict)
            books = Books("shop0", tmp_path / "shop0.sqlite", budgets={"*": budget}, datasets={"sales": "sales"})
            (balance,) = books.balances(Asking("", ""))
            books.close()
            assert balance.exact_spent >= sums, point
            charge = DiscreteLaplace(scale=8, sensitivity=1)
            assert balance.epsilon_spent >= Account({charge: counts}).epsilon(budget.delta), point
            cases(died)
        cluster.start("shop0")
        cluster.await_address("shop0")
        with ps.connect(cluster.federation) as fed:
            assert fed.budgets()["shop0"] == (balance,)
    assert cases.tried >= len(FailPoint if kills is LONG else kills)
