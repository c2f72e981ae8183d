"""Conditions of pooled statistics: which rows enter, what they need of owners, and that the guard and thresholds see
those rows, before anybody looks at a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from pooling import answer_of, in_the_clear, statistic

import privsdk as ps
from privsdk import dp, he
from privsdk.errors import DataError, DifferencingRefused, InvalidArgument, PolicyRefused
from privsdk.governance.policy import Disclosure
from privsdk.protocol.columns.predicates import Name, canonical, own
from privsdk.protocol.operation import operation_of

OWNERS = ("north", "south", "east")


def owned(seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    rows = 300
    return pa.table(
        {
            "id": pa.array(range(rows)),
            "x": pa.array(draw.integers(-50, 50, rows), mask=draw.random(rows) < 0.05),
            "y": pa.array(draw.normal(0, 10, rows)),
            "g": pa.array(draw.choice(["a", "b", "c"], rows)),
            "price": pa.array([Decimal(int(n)).scaleb(-2) for n in draw.integers(0, 500, rows)], pa.decimal128(9, 2)),
            "day": pa.array(
                [date(2024, 1, 1 + int(n)) for n in draw.integers(0, 20, rows)], mask=draw.random(rows) < 0.1
            ),
        }
    )


TABLES = {name: owned(place) for place, name in enumerate(OWNERS)}
POOL = pa.concat_tables(TABLES.values())
CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a range of days": ({"day": (date(2024, 1, 5), date(2024, 1, 16))}, "day between '2024-01-05' and '2024-01-16'"),
    "a list": ({"g": ["a", "c"]}, "g in ('a', 'c')"),
    "decimals and text": ({"price": (None, Decimal("2.50")), "g": "b"}, "price <= 2.50 and g = 'b'"),
    "the column itself": ({"x": (0, None)}, "x >= 0"),
}
ASKED: dict[str, tuple[Callable[..., ps.Plan[Any]], str]] = {
    "count": (he.count, "count(*)"),
    "sum": (lambda t, **how: he.sum(t, "x", **how), "sum(x)"),
    "mean": (lambda t, **how: he.mean(t, "y", **how), "avg(y)"),
    "variance": (lambda t, **how: he.variance(t, "x", bound=100, **how), "var_samp(x)"),
}
GRANT = ps.Grant(
    table="*", columns={"*": (Disclosure.HE_OPERAND, Disclosure.COMPARISON, Disclosure.AGGREGATE)}, min_count=5
)


def opened(grant: ps.Grant = GRANT, **tables: pa.Table) -> ps.Federation:
    policy = ps.Policy(operations=("*",), grants=(grant,), min_parties=1)
    return ps.embedded(**(tables or TABLES), notary={}, table="t", store=None, quiet=True, policy=policy)


def answered(verb: Callable[..., ps.Plan[Any]], *given: Any, **how: Any) -> Any:
    """In a federation of its own, so that no earlier answer stands in the way."""
    with opened() as fed, in_the_clear():
        return verb(fed.tables("t"), *given, **how).release().value


@pytest.mark.claim("he: with conditions, statistics are DuckDB's over the pooled rows that pass")
@pytest.mark.parametrize("kind", CONDITIONS)
def test_statistics_are_duckdbs_over_the_rows_that_pass(kind: str, cases: Cases) -> None:
    where, sql = CONDITIONS[kind]
    pool = duckdb.from_arrow(POOL).filter(sql)
    for verb, expression in ASKED.values():
        truth = pool.aggregate(expression).fetchall()[0][0]
        assert float(answered(verb, where=where)) == pytest.approx(truth, abs=1e-6)
    bins = answered(he.histogram, "x", edges=[-50, 20, 50], where=where)
    counts = pool.aggregate("count(*) filter (x < 20), count(*) filter (x >= 20)").fetchall()[0]
    assert bins["count"].to_pylist() == list(counts)
    matrix = answered(he.correlation, ["x", "y"], bound=100, where=where)
    assert matrix.values[0, 1] == pytest.approx(pool.aggregate("corr(x, y)").fetchall()[0][0])
    cases(len(ASKED) + 2)


def test_groups_are_duckdbs_over_the_rows_that_pass() -> None:
    where, sql = CONDITIONS["a range of days"]
    for name, (verb, expression) in ASKED.items():
        found = answered(verb, where=where, by="g", keys=["c", "a"])
        rows = dict(duckdb.from_arrow(POOL).filter(sql).aggregate(f"g, {expression}").fetchall())
        assert found[name].to_pylist() == pytest.approx([rows["c"], rows["a"]], abs=1e-6)


def test_scores_are_of_the_rows_that_pass() -> None:
    model = pa.table({"feature": ["y"], "weight": [1.0]})
    with opened(
        ps.Grant(table="*", columns={"*": tuple(Disclosure)}, min_count=5, max_epsilon=1.0),
        north=TABLES["north"],
        model=model,
    ) as fed:
        asked = {"features": {"y": 100}, "weight_bound": 2, "link": "identity", "edges": [-100, 0, 100]}
        found = he.score(fed["model"]["t"], fed["north"]["t"], where={"g": ["a"]}, **asked).release()
        values = TABLES["north"].to_pandas().query("g == 'a'")["y"]
        assert found.value.table["rows"].to_pylist() == np.histogram(values, [-100, 0, 100])[0].tolist()
        assert "the number of complete rows where g = 'a'" in " ".join(repr(found).split())
        some = {"id": (0, 100)}
        with pytest.raises(DataError, match="exceeds the declared bound"):
            he.score(fed["model"]["t"], fed["north"]["t"], where=some, **asked | {"features": {"y": 1}}).release()
        with pytest.raises(DifferencingRefused):
            he.score(fed["model"]["t"], fed["north"]["t"], where={"id": (1, 100)}, **asked).release()


@pytest.mark.claim("he: the guard judges the rows that pass, also of a question that a value refused")
@pytest.mark.parametrize("refused", [None, {"bound": 1.0}, {"max_rows": 20}])
@pytest.mark.parametrize("name", ["sum", "variance"])
def test_one_row_more_or_less_is_refused(name: str, refused: Mapping[str, Any] | None) -> None:
    def ask(fed: ps.Federation, last: int, **how: Any) -> Any:
        options = {"bound": 1e6, **how}
        return getattr(he, name)(fed.tables("t"), "id", where={"id": (10, last)}, **options).release().value

    with opened() as fed, in_the_clear():
        if refused is None:
            ask(fed, 60)
        else:
            with pytest.raises(DataError, match=r"bound of 1|more rows than the declared 20"):
                ask(fed, 60, **refused)
        with pytest.raises(DifferencingRefused):
            ask(fed, 59)
        assert ask(fed, 150).count if name == "variance" else ask(fed, 150)


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_few_rows_are_refused_before_their_values_are_looked_at(value: float) -> None:
    table = pa.table({"id": range(40), "x": [value] + [1.0] * 39})
    for name in ("sum", "variance"):
        asked = statistic(name, ["x"], bound=100.0, where=canonical({"id": (0, 3)}, own))
        with pytest.raises(DataError, match=r"fewer values in x where id between 0 and 3 than its minimum count of 5"):
            answer_of(asked, [table, table], min_count=5)


@pytest.mark.claim("he: no refusal tells what a group holds that is left out for its few units")
@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_values_of_groups_that_are_left_out_are_not_looked_at(value: float, cases: Cases) -> None:
    held = {"g": ["small"] * 3 + ["a"] * 20 + ["b"] * 20 + ["c"] * 20, "x": [value] * 3 + [1.0] * 60}
    for name in ("sum", "mean", "variance"):
        asked = statistic(name, ["x"], bound=100.0, by="g", keys=("small", "a", "b", "c"))
        with in_the_clear():
            found = answer_of(asked, [pa.table(held)] * 2, min_count=5)
        assert [total is not None for total in found["sum 0"].to_pylist()] == [False, False, True, True]
        cases(1)


def test_units_are_counted_not_rows() -> None:
    table = pa.table({"unit": [n // 10 for n in range(200)], "x": [1.0] * 200})
    asked = statistic("sum", ["x"], where=canonical({"x": (0, 2)}, own))
    with in_the_clear():
        answer_of(asked, [table] * 2, min_count=20, ids="unit")
        with pytest.raises(DataError, match="fewer values in x"):
            answer_of(asked, [table] * 2, min_count=21, ids="unit")


def test_a_condition_needs_a_comparison_and_is_told() -> None:
    operands = ps.Grant(table="*", columns={"*": Disclosure.HE_OPERAND}, min_count=5)
    with opened(operands) as fed, pytest.raises(PolicyRefused, match="comparison"):
        he.mean(fed.tables("t"), "x", where={"g": "a"}).release()
    with opened() as fed:
        plan = he.mean(fed.tables("t"), "x", where={"g": "a"})
        operation = operation_of(plan.request)
        assert {(need.column, need.disclosure) for need in operation.needs()["north"]} == {
            ("x", Disclosure.HE_OPERAND),
            ("g", Disclosure.COMPARISON),
        }
        assert "the number of rows, of rows where g = 'a'" in " ".join(repr(plan).split())
        assert plan.price == he.mean(fed.tables("t"), "x").price


def test_a_count_of_some_is_a_sum_of_their_column_to_the_parties_guard() -> None:
    with opened() as fed:
        counted, summed = he.count(fed.tables("t"), where={"x": 1}), he.sum(fed.tables("t"), "x", where={"g": "a"})
    assert operation_of(counted.request).summed("north") == ("rows", "x")
    assert operation_of(summed.request).summed("north") == ("x",)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"day": 3}, "north/t.day|north's day is date32.*give dates and times as"),
        ({"nowhere": 1}, "nowhere"),
        ("g = 1", "where is a str"),
    ],
)
def test_conditions_that_cannot_be_used(where: Any, said: str) -> None:
    with opened() as fed:
        for asked, _ in ASKED.values():
            with pytest.raises(ps.PrivsdkError, match=f"(?s){said}"):
                asked(fed.tables("t"), where=where)


def test_a_condition_on_another_partys_column_is_refused() -> None:
    where = canonical({"g": "a"}, lambda column: Name(party="south", column=column))
    with pytest.raises(InvalidArgument, match="another party's column"):
        statistic("count", where=where)


def test_a_median_takes_its_conditions_along() -> None:
    with opened() as fed:
        plan = dp.median(fed["north"]["t"], "x", epsilon=1, bounds=(-50, 50), where={"g": "a"})
    assert [condition["value"] for condition in plan.request.parameters["where"]] == ["a"]
