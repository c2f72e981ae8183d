"""Conditions of a release: which rows enter, that no sensitivity moves, and what they need of owners."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from releasing import PARAMETERS, release, request_for

import privsdk as ps
from privsdk import dp
from privsdk.dp.operation import NoisyRelease
from privsdk.errors import InvalidArgument, PolicyRefused
from privsdk.governance.policy import Disclosure
from privsdk.protocol.columns.predicates import Name, canonical, own

DRAW = np.random.default_rng(5)
TABLE = pa.table(
    {
        "x": pa.array(DRAW.integers(0, 3, 400), mask=DRAW.random(400) < 0.1),
        "g": pa.array(DRAW.choice(["a", "b", "c"], 400)),
        "price": pa.array([Decimal(int(n)).scaleb(-2) for n in DRAW.integers(0, 500, 400)], pa.decimal128(9, 2)),
        "day": pa.array([date(2024, 1, 1 + int(n)) for n in DRAW.integers(0, 20, 400)], mask=DRAW.random(400) < 0.1),
    }
)
CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a range of days": ({"day": (date(2024, 1, 5), date(2024, 1, 9))}, "day between '2024-01-05' and '2024-01-09'"),
    "a list": ({"g": ["a", "c"]}, "g in ('a', 'c')"),
    "decimals and text": ({"price": (None, Decimal("2.50")), "g": "b"}, "price <= 2.50 and g = 'b'"),
    "the column itself": ({"x": 2}, "x = 2"),
    "nobody": ({"g": "nowhere"}, "false"),
}


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("kind", CONDITIONS)
def test_without_noise_releases_are_duckdbs_over_the_rows_that_pass(kind: str) -> None:
    given, sql = CONDITIONS[kind]
    where = canonical(given, own)
    passing = duckdb.from_arrow(TABLE).filter(sql)
    count, total, values = passing.aggregate("count(*), coalesce(sum(x), 0), count(x)").fetchall()[0]
    assert release(TABLE, "count", epsilon=1, where=where).table["count"].to_pylist() == [count]
    assert release(TABLE, "sum", **PARAMETERS["sum"], where=where).table["sum"].to_pylist() == [total]
    by_group = release(TABLE, "count", epsilon=1, by="g", keys=["a", "b"], where=where).table["count"].to_pylist()
    assert by_group == [len(passing.filter(f"g = '{g}'").fetchall()) for g in "ab"]
    bins = release(TABLE, "histogram", **PARAMETERS["histogram"], where=where).table["count"].to_pylist()
    assert sum(bins) == values


@pytest.mark.parametrize("statistic", PARAMETERS)
def test_a_condition_moves_no_sensitivity(statistic: str) -> None:
    plain, filtered = (
        NoisyRelease.parse(request_for(statistic, **PARAMETERS[statistic], where=where))
        for where in ((), canonical({"g": "a"}, own))
    )
    assert filtered.scales == plain.scales
    assert filtered.noisy() == plain.noisy()


def asking(*ways: Disclosure, **how: Any) -> Any:
    grants = (ps.Grant(table="*", columns={"g": ways, "*": (Disclosure.DP_RELEASE,)}, min_count=2, max_epsilon=10.0),)
    policy = ps.Policy(operations=("*",), grants=grants, min_parties=1)
    with ps.embedded(a={"t": TABLE}, store=None, quiet=True, policy=policy, budget=ps.Budget(epsilon=10)) as federation:
        plan = dp.count(federation["a"]["t"], epsilon=5, **how)
        return plan.request, plan.release().value


def test_a_condition_needs_a_comparison_and_is_told() -> None:
    with pytest.raises(PolicyRefused, match="comparison"):
        asking(Disclosure.DP_RELEASE, where={"g": "a"})
    request, answer = asking(Disclosure.DP_RELEASE, Disclosure.COMPARISON, where={"g": "a"})
    operation = NoisyRelease.parse(request)
    assert {(need.column, need.disclosure) for need in operation.needs()["a"]} == {
        ("g", Disclosure.DP_RELEASE),
        ("g", Disclosure.COMPARISON),
    }
    assert "the noisy count of rows where g = 'a', epsilon 5" in [learned.text for learned in operation.learns()]
    assert abs(answer["count"][0].as_py() - TABLE["g"].to_pylist().count("a")) < 30


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"day": 3}, "a's day is date32.*give dates and times as"),
        ({"g": (1, 2)}, "a's g is string.*compare text with text"),
        ({"nowhere": 1}, "nowhere"),
        ("g = 1", "where is a str"),
    ],
)
def test_conditions_that_cannot_be_used(where: Any, said: str) -> None:
    with pytest.raises(ps.PrivsdkError, match=f"(?s){said}"):
        asking(Disclosure.COMPARISON, Disclosure.DP_RELEASE, where=where)


def test_a_condition_on_another_partys_column_is_refused() -> None:
    where = canonical({"g": "a"}, lambda column: Name(party="b", column=column))
    with pytest.raises(InvalidArgument, match="another party's column"):
        NoisyRelease.parse(request_for("count", epsilon=1, where=where))
