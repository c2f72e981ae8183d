"""Sums and means are exact, then rounded once; minima and maxima are of the column's own type."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from asking import aggregate
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st

import privsdk as ps
from privsdk.errors import DataError
from privsdk.exact import statistics

CLAIM = pytest.mark.claim("exact: sums and means are the exact ones, rounded once (Python's fractions)")

HELD: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "decimal128": (pa.decimal128(20, 3), st.decimals(-(10**17) + 1, 10**17 - 1, places=3)),
    "decimal256": (pa.decimal256(60, 3), st.decimals(-(10**50), 10**50, places=3)),
    "float64": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "float32": (pa.float32(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
}


def nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@CLAIM
@pytest.mark.parametrize("kind", HELD)
def test_sums_and_means(kind: str, cases: Cases) -> None:
    type_, held = HELD[kind]

    @given(st.lists(st.lists(held, min_size=1, max_size=5), min_size=1, max_size=4))
    def compare(groups: list[list[Any]]) -> None:
        values = pa.chunked_array([pa.array([each for group in groups for each in group], type_)])
        starts = np.cumsum([0, *map(len, groups[:-1])])
        sums = statistics.figures_of(values, starts, "sum")
        means = statistics.figures_of(values, starts, "mean")
        for group, total, mean in zip(groups, sums, means, strict=True):
            due = sum(map(Fraction, group), Fraction())
            if kind.startswith("float"):
                assert total == nearest(due)
                assert mean == pytest.approx(nearest(due / len(group)), rel=2**-52)  # a sum is rounded, then divided
            else:
                assert Fraction(total) == due
                assert mean == nearest(due / len(group))
            cases()

    compare()


def ask(column: pa.Array, statistic: str, by: pa.Array | None = None) -> dict[str, list[Any]]:
    table = pa.table({"x": column, **({"g": by} if by is not None else {})})
    return aggregate(table, range(len(column)), statistic, "x", None if by is None else "g").to_pydict()


@pytest.mark.parametrize(
    ("values", "due"),
    [([1e16, 1.0, -1e16, 1.0], 2.0), ([1e308, 1e308, -1e308, -1e308, 3.0], 3.0), ([0.1] * 10, 1.0)],
)
def test_nothing_is_lost_on_the_way(values: list[float], due: float) -> None:
    assert ask(pa.array(values), "sum")["sum"] == [due]


def test_a_mean_of_what_has_no_sum() -> None:
    assert ask(pa.array([1e308, 1.5e308]), "mean")["mean"] == [1.25e308]
    assert ask(pa.array([2**63 - 1, 2**63 - 3]), "mean")["mean"] == [float(2**63 - 2)]


@pytest.mark.parametrize(
    ("column", "size"),
    [
        (pa.array([1e308, 1e308]), "64 bits"),
        (pa.array([Decimal(9 * 10**75)] * 2, pa.decimal256(76, 0)), "256 bits"),
    ],
    ids=["float", "decimal"],
)
def test_a_sum_that_does_not_fit_is_refused(column: pa.Array, size: str) -> None:
    with pytest.raises(DataError, match=f"bank's x has a sum beyond {size}"):
        ask(column, "sum")


@CLAIM
@pytest.mark.parametrize(
    ("column", "type_"),
    [
        (pa.array([2**62, 2**62 - 1]), pa.int64()),
        (pa.array([2**62, 2**62]), pa.decimal128(38, 0)),
        (pa.array([-(2**63)] * 3), pa.decimal128(38, 0)),
        (pa.array([2**63, 2**63 - 1], pa.uint64()), pa.uint64()),
        (pa.array([2**63, 2**63], pa.uint64()), pa.decimal128(38, 0)),
        (pa.array([Decimal(9 * 10**37)] * 2, pa.decimal128(38, 0)), pa.decimal256(76, 0)),
        (pa.array([Decimal("0.01"), Decimal("0.02")]), pa.decimal128(38, 2)),
    ],
    ids=["int64", "beyond", "below", "uint64", "beyond uint64", "beyond 38 digits", "decimal"],
)
def test_a_sum_that_64_bits_do_not_hold_is_a_decimal(column: pa.Array, type_: pa.DataType, cases: Cases) -> None:
    answer = aggregate(pa.table({"x": column}), range(len(column)), "sum", "x")
    assert answer.schema.field("sum").type == type_
    assert answer["sum"].to_pylist() == [sum(column.to_pylist())]
    with duckdb.connect() as sql:
        sql.register("held", pa.table({"x": column}))
        if not pa.types.is_decimal256(type_):  # which DuckDB lacks
            assert sql.sql("SELECT sum(x) FROM held").fetchall() == [(sum(column.to_pylist()),)]
    cases()


def test_a_large_sum_is_the_same_from_the_ledger() -> None:
    policy = ps.Policy(operations=("aggregate",), grants=(ps.Grant(table="t", columns={"*": "aggregate"}),))
    table = pa.table({"x": pa.array([2**64 - 1 - n for n in range(60)], pa.uint64())})
    with ps.embedded({"bank": {"t": table}}, policy=policy, store=None, quiet=True) as fed:
        for most_groups in (30, 7):  # another question about the same rows
            answer = fed["bank"]["t"].sum("x", most_groups=most_groups).release().value
            assert answer.to_pydict() == {"count": [60], "sum": [sum(table["x"].to_pylist())]}


EXTREMES = {
    "int8": pa.array([3, 1, 2], pa.int8()),
    "decimal": pa.array([Decimal("1.50"), Decimal("-2.25"), Decimal("0")], pa.decimal128(9, 2)),
    "date": pa.array([date(2024, 2, 1), date(2023, 1, 1), date(2024, 1, 1)]),
    "zoned": pa.array([datetime(2024, 1, h, tzinfo=UTC) for h in (2, 1, 3)], pa.timestamp("ms", "Europe/Berlin")),
    "time": pa.array([time(3), time(1), time(2)], pa.time32("s")),
    "duration": pa.array([timedelta(days=d) for d in (2, -1, 0)], pa.duration("us")),
}


@pytest.mark.parametrize("kind", EXTREMES)
def test_extremes_are_some_rows_own(kind: str) -> None:
    column = EXTREMES[kind]
    held = column.to_pylist()
    assert ask(column, "min")["min"] == [min(held)]
    assert ask(column, "max")["max"] == [max(held)]


def test_decimals_keep_their_digits() -> None:
    column = pa.array([Decimal("0.10"), Decimal("0.20"), None, Decimal("12345678901234567.89")], pa.decimal128(19, 2))
    assert ask(column, "sum") == {"count": [3], "sum": [Decimal("12345678901234568.19")]}


@pytest.mark.parametrize("statistic", ["sum", "mean"])
@pytest.mark.parametrize("kind", ["date", "time", "duration"])
def test_dates_and_times_do_not_add_up(statistic: str, kind: str) -> None:
    with pytest.raises(DataError, match=f"cannot take the {statistic} of x, which is"):
        ask(EXTREMES[kind], statistic)


@pytest.mark.parametrize("name", ["count", "sum", "key"])
def test_labels_keep_their_own_column(name: str) -> None:
    """Whatever the column that groups is called."""
    table = pa.table({name: ["p", "q"] * 2, "x": [1, 2, 3, 4]})
    answer = aggregate(table, range(4), "sum", "x", name)
    assert answer.column_names == ["key", "count", "sum"]
    assert answer.to_pydict() == {"key": ["p", "q"], "count": [2, 2], "sum": [4, 6]}


@pytest.mark.parametrize(
    ("by", "names"),
    [(["count", "key"], ["key 2", "key"]), (["sum", "g", "count"], ["key", "g", "key 2"]), (["g", "x"], ["g", "x"])],
)
def test_labels_of_several_columns_keep_their_own(by: list[str], names: list[str]) -> None:
    table = pa.table({"x": [1, 2] * 3, **{name: list("pqpqpq") for name in by if name != "x"}})
    answer = aggregate(table, range(6), "sum", "x", by)
    assert answer.column_names == [*names, "count", "sum"]
    assert [answer[name].to_pylist() for name in names] == [[1, 2] if name == "x" else ["p", "q"] for name in names]
