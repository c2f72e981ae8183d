"""One federation over each link: the same tables, policy and questions, embedded and as server processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from cluster import Cluster

import privsdk as ps
from privsdk.deploy.open import WORKSHOP_POLICY

PAYLOAD = ps.Grant(table="sales", columns={"region": "payload", "number": ("payload", "extreme")})
LABEL = ps.Grant(table="loans", columns={"rating": "payload"})
RETURN = ps.Grant(table="sales", columns=dict.fromkeys(("company", "number", "late"), "row return"))
POLICY = ps.Policy(
    operations=("*",), grants=(*WORKSHOP_POLICY.grants, PAYLOAD, LABEL, RETURN), min_parties=WORKSHOP_POLICY.min_parties
)
BUDGET = ps.Budget(epsilon=200.0, delta=1e-6, exact=100_000)


MODEL = {"feature": ["number", "(intercept)", "amount"], "weight": [0.004, -2.0, 0.03]}


def make_tables() -> dict[str, dict[str, pa.Table]]:
    """Three shops with the same columns for different rows, and a bank that has a model too; keys overlap in part, some
    twice or null."""
    rng = np.random.default_rng(7)

    def sales(rows: int) -> pa.Table:
        amount = rng.normal(50, 20, rows)
        return pa.table(
            {
                "company": pa.array([None if k == 0 else f"c{k}" for k in rng.integers(0, 400, rows)]),
                "number": pa.array(rng.integers(-500, 500, rows)),
                "amount": pa.array(np.where(rng.random(rows) < 0.12, np.nan, amount), from_pandas=True),
                "late": pa.array(amount + rng.normal(0, 10, rows) > 50),
                "region": pa.array(rng.choice(["north", "south", "Süd €"], rows)),
            }
        )

    loans = pa.table(
        {
            "company": pa.array([f"c{k}" for k in rng.integers(200, 600, 500)]),
            "sum": pa.array(rng.integers(1000, 9000, 500)),
            "rating": pa.array(rng.choice(["a", "b"], 500)),
        }
    )
    return {
        "EWR": {"sales": sales(900)},
        "JFK": {"sales": sales(700)},
        "lga_2": {"sales": sales(800)},
        "bank": {"loans": loans, "model": pa.table(MODEL)},
    }


@pytest.fixture(scope="session")
def tables() -> dict[str, dict[str, pa.Table]]:
    return make_tables()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, tables: dict[str, dict[str, pa.Table]]) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), tables, policy=POLICY, budget=BUDGET) as running:
        yield running


@pytest.fixture(params=["embedded", "flight"])
def fed(request: pytest.FixtureRequest, tables: dict[str, dict[str, pa.Table]]) -> Iterator[ps.Federation]:
    if request.param == "embedded":
        opened = ps.embedded(tables, store=None, policy=POLICY, budget=BUDGET, quiet=True)
    else:
        opened = ps.connect(request.getfixturevalue("cluster").federation)
    with opened:
        yield opened
