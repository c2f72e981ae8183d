"""Quantiles are DuckDB's, of some row, and told by the rule of maxima: with enough units on both sides of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from asking import given, play, request_for
from claims import Cases
from hypothesis import given as given_cases
from hypothesis import strategies as st

import privsdk as ps
from privsdk.errors import DifferencingRefused, InvalidArgument, Refused
from privsdk.protocol.operation import Request, operation_of
from privsdk.protocol.services import Figures, RowSet, Unguarded

DAY = date(2024, 1, 1)
HELD: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "whole": (pa.int32(), st.integers(-2, 2)),
    "real": (pa.float64(), st.sampled_from([-1.5, 0.1, 0.25, 7.0])),
    "half": (pa.float16(), st.sampled_from([-1.5, 0.125, 0.25, 7.0])),
    "decimal": (pa.decimal128(9, 2), st.decimals(-3, 3, places=0)),
    "day": (pa.date32(), st.integers(0, 3).map(lambda days: DAY + timedelta(days=days))),
}


def question(level: float | None, by: str | None = None, **changes: Any) -> Request:
    asked = request_for("quantile", "x", by, joint=False)
    more = {"level": level} if level is not None else {}
    return request_for("quantile", "x", by, joint=False, parameters={**asked.parameters, **more}, **changes)


@pytest.mark.claim("aggregates: quantiles equal DuckDB's, null where few units have values on one side")
@pytest.mark.parametrize("kind", HELD)
def test_quantiles_equal_duckdb(kind: str, cases: Cases) -> None:
    type_, held = HELD[kind]

    @given_cases(
        st.lists(st.tuples(st.sampled_from("ab"), st.none() | held), min_size=8, max_size=40),
        st.sampled_from([0.01, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 0.99]),
        st.integers(1, 4),
    )
    def compare(rows: list[tuple[str, Any]], level: float, min_count: int) -> None:
        table = pa.table({"g": [g for g, _ in rows], "x": pa.array([x for _, x in rows], type_)})
        request = question(level, "g")
        answer = play(request, given("bank", request, table, None, min_count=min_count))["bank"].table
        shown = {g: (n, q) for g, n, q in zip(*answer.to_pydict().values(), strict=True)}
        with duckdb.connect() as sql:
            sql.register("held", table.set_column(1, "x", table["x"].cast(pa.float64())) if kind == "half" else table)
            query = f"SELECT g, quantile_disc(x, {level}), list(x) FROM held WHERE x IS NOT NULL GROUP BY g"  # noqa: S608
            for g, due, values in sql.sql(query).fetchall():
                if g in shown:
                    up, on, beyond = (sum(map(f, values)) for f in (due.__ge__, due.__le__, due.__lt__))
                    told = up >= min_count and on >= min_count and (not beyond or beyond >= min_count)
                    assert shown[g] == (len(values), due if told else None)
                    cases()

    compare()


def test_the_guard_takes_a_quantile_for_the_maximum_of_the_rows_up_to_it() -> None:
    table = pa.table({"g": ["a"] * 6 + ["b"] * 6, "x": [3, 1, 2, 3, 9, 8, 1, 1, 1, 1, 1, 2]})
    seen = list[RowSet]()

    class Listening(Unguarded):
        def screen(self, sets: Sequence[RowSet], min_count: int) -> list[Figures]:
            seen.extend(sets)
            return [(10, 0.5), (20, 1.5), (2, 7)]

    request = question(0.5, "g")
    answer = play(request, given("bank", request, table, None, services=Listening()))["bank"].table
    assert [(each.rows.tolist(), each.measure, each.figures, each.extreme) for each in seen] == [
        ([0, 1, 2, 3, 4, 5], "count", (6,), False),
        ([6, 7, 8, 9, 10, 11], "count", (6,), False),
        ([0, 1, 2, 3], "max of x", (4, 3), True),
    ]
    assert answer.to_pydict() == {"g": ["a", "b"], "count": [10, 20], "quantile": [7, None]}


def test_keys_are_counted_and_not_rows() -> None:
    table = pa.table({"x": range(12)})
    request = question(0.5)
    of_one = [0] * 6 + [1, 2, 3, 4, 5, 6]  # all of the lower half are one unit's
    assert play(request, given("bank", request, table, of_one))["bank"].table["quantile"].to_pylist() == [None]
    assert play(request, given("bank", request, table, list(range(12))))["bank"].table["quantile"].to_pylist() == [5]


@pytest.mark.parametrize("kind", ["decimal", "day"])
def test_what_is_not_told_is_null_whatever_the_type(kind: str) -> None:
    values = {"decimal": [Decimal(n) for n in range(9)], "day": [DAY + timedelta(days=n) for n in range(9)]}[kind]
    table, request = pa.table({"x": pa.array(values, HELD[kind][0])}), question(0.1)
    assert play(request, given("bank", request, table, None, min_count=3))["bank"].table["quantile"].to_pylist() == [
        None
    ]


@pytest.mark.parametrize("level", [None, 0.0, 1.0, -0.5, 1.5])
def test_levels_are_between_0_and_1(level: float | None) -> None:
    with pytest.raises(InvalidArgument, match="a quantile"):
        operation_of(question(level))


@pytest.mark.claim(
    "differencing: quantiles of the same rows have a minimum count of units between them, or are refused"
)
def test_quantiles_that_few_rows_are_between_are_refused(cases: Cases) -> None:
    rng = np.random.default_rng(7)
    table = pa.table({"id": range(60), "x": rng.permutation(60), "g": ["a", "b"] * 30})
    policy = ps.Policy(
        operations=("aggregate",), grants=(ps.Grant(table="t", columns={"*": ("extreme", "group key", "comparison")}),)
    )
    with ps.embedded({"bank": {"t": table}}, policy=policy, store=None, quiet=True) as fed:
        held = fed["bank"]["t"]
        assert held.median("x").release().value.to_pydict() == {"count": [60], "quantile": [29]}
        assert held.quantile("x", 0.3).release().value["quantile"].to_pylist() == [17]
        for level in (0.32, 0.45, 0.51, 0.2):
            with pytest.raises(DifferencingRefused):
                held.quantile("x", level).release()
            cases()
        assert held.quantile("x", 0.9).release().value["quantile"].to_pylist() == [None]  # six are beyond it
        assert held.quantile("x", 0.75).release().value["quantile"].to_pylist() == [44]
        with pytest.raises(DifferencingRefused):
            held.max("x", where={"x": (None, 40)}).release()


def test_a_grant_of_aggregates_does_not_allow_it() -> None:
    policy = ps.Policy(operations=("aggregate",), grants=(ps.Grant(table="t", columns={"*": "aggregate"}),))
    with ps.embedded({"bank": {"t": pa.table({"x": range(60)})}}, policy=policy, store=None, quiet=True) as fed:
        fed["bank"]["t"].sum("x").release()
        with pytest.raises(Refused, match="extreme"):
            fed["bank"]["t"].median("x").release()
