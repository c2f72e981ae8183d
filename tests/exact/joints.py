"""Tables of two organisations about the same people, their join, and what a pooled analysis of both would find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import privsdk as ps
from privsdk import psi
from privsdk.governance.policy import Disclosure

Reals = npt.NDArray[np.float64]
EVERYTHING = ps.Grant(table="*", columns={"*": tuple(Disclosure)}, max_epsilon=100.0)
POLICY = ps.Policy(operations=("*",), grants=(EVERYTHING,), min_parties=1)
BUDGET = ps.Budget(epsilon=1000.0, exact=100_000)


def people(number: int, seed: int) -> dict[str, Any]:
    """Columns of one population: correlated, skewed, of few values, of large offsets."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, number)
    income = rng.gamma(6.0, 700 + 2.0 * age)
    spent = 0.02 * income + rng.normal(0, 20, number) + 1e6
    owns = rng.random(number) < 0.3 + 0.004 * (age - 18)
    tier = np.array(["base", "plus", "top"])[np.clip((income / 4000).astype(int), 0, 2)]
    debt = np.round(0.3 * income - 5 * age + rng.normal(0, 300, number), 2)
    return {"age": age, "income": income, "spent": spent, "owns": owns, "tier": tier, "debt": debt}


def held(columns: dict[str, Any], names: list[str], rows: npt.NDArray[np.int64]) -> pa.Table:
    """One organisation's table: these columns of some of the people, in an order of its own."""
    return pa.table({"id": [f"p{row}" for row in rows], **{name: pa.array(columns[name][rows]) for name in names}})


@contextmanager
def joined(tables: dict[str, pa.Table], **options: Any) -> Iterator[psi.Joint]:
    """The join of these parties' tables on `id`, in a federation where everything is allowed but what rules forbid."""
    options = {"store": None, "quiet": True, "policy": POLICY, "budget": BUDGET, **options}
    with ps.embedded({party: {"t": table} for party, table in tables.items()}, **options) as fed:
        yield psi.join(*(fed[party]["t"] for party in tables), on="id").release().value


def least_squares(label: Reals, features: Reals) -> tuple[Reals, Reals]:
    """Coefficients with the intercept first, and their standard errors, of pooled columns."""
    design = np.column_stack([np.ones(len(label)), features])
    scale = np.abs(design).max(axis=0)
    q, r = np.linalg.qr(design / scale)
    found = np.linalg.solve(r, q.T @ label)
    residual = label - design / scale @ found
    spread = residual @ residual / (len(label) - design.shape[1])
    inverse = np.linalg.inv(r)
    return found / scale, np.sqrt(spread * (inverse**2).sum(axis=1)) / scale


def rounding(label: Reals, features: Reals, *, min_count: int = 10) -> Reals:
    """How far rounding of the products moves coefficients, without the intercept: six standard deviations, at most.

    In standard units an entry of X'X or X'y is off by one of at most half of 16; b by (X'X)^-1 (d(X'y) - d(X'X) b).
    """
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    inverse = np.linalg.inv(scaled.T @ scaled)
    slopes = inverse @ scaled.T @ (label - label.mean()) / label.std()
    entry = 2 ** np.ceil(np.log2(min_count)) / 2 * np.sqrt(1 + slopes @ slopes)
    return np.asarray(6 * entry * np.sqrt(np.square(inverse).sum(axis=1)) * label.std() / features.std(axis=0))
