"""A small cluster of real parties for end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from cluster import Cluster

import privsdk as ps
from privsdk.deploy.open import WORKSHOP_POLICY


def shop(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "key": pa.array([f"k{n}" for n in rng.permutation(2 * rows)[:rows]]),
            "x": rng.normal(size=rows),
            "y": rng.random(rows) < 0.5,
        }
    )


@pytest.fixture(autouse=True)
def closed(tidy: None) -> None:
    """Cells of notebooks leave open what they open."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three shops of 40,000 rows and a notary; large enough that a join takes seconds."""
    model = pa.table({"feature": ["x"], "weight": [0.5]})
    tables = {f"shop{i}": {"sales": shop(40_000, i)} for i in range(3)}
    tables |= {"notary": {"few": shop(300, 9), "model": model}}
    budget = ps.Budget(epsilon=1000, exact=10_000_000)
    returning = ps.Grant(table="sales", columns={"x": "row return"})  # which the workshop's never includes
    policy = msgspec.structs.replace(WORKSHOP_POLICY, grants=(*WORKSHOP_POLICY.grants, returning))
    with Cluster(tmp_path_factory.mktemp("parties"), tables, policy=policy, budget=budget) as running:
        yield running


@pytest.fixture
def small_tables() -> dict[str, dict[str, pa.Table]]:
    return {**{f"shop{i}": {"sales": shop(300, i)} for i in range(3)}, "notary": {}}
