"""Decimals in pooled statistics: exact where their places are on the grid, else within the stated error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from pooling import Truth, ask, in_the_clear, request_for, statistic, within

import privsdk as ps
from privsdk import he
from privsdk.client.tables import Tables
from privsdk.errors import DataError, InvalidArgument
from privsdk.he.statistics.statistic import Statistic
from privsdk.he.statistics.totals import bins_of
from privsdk.protocol.operation import operation_of

PRICE = pa.decimal128(12, 2)
TYPES = {"price": PRICE, "wide": pa.decimal128(38, 0), "fine": pa.decimal256(50, 25), "rate": pa.decimal128(9, 4)}


def column(name: str, rows: int, seed: int) -> pa.Array:
    draw, type_ = random.Random(seed), TYPES[name]
    most = {"price": 10**7, "wide": 2**70, "fine": 10**26, "rate": 10**6}[name]
    given = [Decimal(draw.randint(-most, most)).scaleb(-type_.scale) for _ in range(rows)]
    return pa.array([None, *given], type_)


TABLES = [
    pa.table({"g": ["a", "b"] * 15 + ["a"], **{name: column(name, 30, seed) for name in TYPES}}) for seed in range(3)
]


@pytest.fixture(scope="module")
def shops() -> Iterator[Tables]:
    with (
        in_the_clear(),
        ps.embedded(
            {**{f"p{i}": {"t": table} for i, table in enumerate(TABLES)}, "notary": {}}, store=None, quiet=True
        ) as federation,
    ):
        yield federation.tables("t")


def truth(*names: str, where: str = "") -> Truth:
    rows = [row for table in TABLES for row in table.to_pylist() if not where or row["g"] == where]
    return Truth([each for row in rows if None not in (each := [row[name] for name in names])])


@pytest.mark.claim("he: decimals are added by their digits; what a grid rounds is within the stated error")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("price", {}),
        ("price", {"resolution": 0.25}),
        ("wide", {"bound": 2.0**80}),
        ("fine", {"bound": 1e4}),
        ("rate", {"resolution": 0.01}),
    ],
)
def test_statistics_of_decimals(shops: Tables, name: str, options: dict[str, float], cases: Cases) -> None:
    exact = truth(name)
    total, mean = (verb(shops, name, **options).release().value for verb in (he.sum, he.mean))
    assert within(total.value, total.error, exact.total())
    assert within(mean.value, mean.error, exact.mean())
    if not options:  # the floats' own rounding alone
        assert (total.value, mean.value) == (float(exact.total()), float(exact.mean()))
    if name != "wide":  # squares beyond 2**62 steps are refused
        found = he.variance(shops, name, **{"bound": 2.0**17, **options}).release().value
        assert within(found.value, found.error, exact.covariance())
    cases(3)


def test_sums_by_group_are_decimals_as_duckdb_has_them(shops: Tables) -> None:
    answer = he.sum(shops, "price", by="g", keys=["a", "b"]).release().value
    pooled = pa.concat_tables([table.select(["g", "price"]) for table in TABLES])  # noqa: F841
    expected = duckdb.sql("select sum(price) from pooled where g in ('a', 'b') group by g order by g").fetchall()
    assert answer["sum"].type == pa.decimal128(38, 2)
    assert answer["sum"].to_pylist() == [value for (value,) in expected]
    assert answer["error"].to_pylist() == [0.0, 0.0]


def test_the_grid_is_the_last_place_of_all_parties() -> None:
    tables = [pa.table({"x": pa.array([Decimal("1.5")] * 10, pa.decimal128(9, places))}) for places in (1, 3)]
    whole = pa.table({"x": pa.array([1] * 10, pa.int64())})
    floats = pa.table({"x": pa.array([1.5] * 10)})
    with ps.embedded(a=tables[0], b=tables[1], c=whole, d=floats, k={}, store=None, quiet=True) as federation:
        every = list(federation.tables("table"))
        parameters = he.sum(every[:3], "x").request.parameters
        assert (parameters["grids"][0]["resolution"], parameters["whole"]) == (0.001, (True,))
        parameters = he.sum(every, "x").request.parameters
        assert (parameters["grids"][0]["resolution"], parameters["whole"]) == (2.0**-20, (False,))


@pytest.mark.parametrize("type_", [pa.decimal128(9, 2), pa.decimal128(38, 30), pa.decimal256(40, 1)], ids=str)
def test_decimals_fall_into_their_bins(type_: pa.DataType) -> None:
    """An edge is what its digits say: 0.3 as a float is a little less than three tenths."""
    values = [Decimal(n) / 10 for n in range(-12, 13)]
    edges = [-1.0, -0.3, 0.1, 0.3, 0.7, 1.0]
    exact = [Decimal(repr(edge)) for edge in edges]
    inside = [sum(edge <= value for edge in exact) - 1 if exact[0] <= value <= 1 else -1 for value in values]
    expected = [min(at, len(edges) - 2) for at in inside]
    tables = [pa.table({"x": pa.array(values, type_)})]
    with in_the_clear():
        found = ask(statistic("histogram", ["x"], edges=tuple(edges)), tables)
    assert found["count"].to_pylist() == np.bincount([at for at in expected if at >= 0], minlength=5).tolist()


def test_values_beyond_the_bound_are_refused_by_their_digits() -> None:
    for digits, fits in (("100.00", True), ("100.01", False), ("-100.01", False)):
        table = pa.table({"x": pa.array([Decimal(digits)], PRICE)})
        asked = Statistic(
            name="variance",
            columns=("x",),
            grids=statistic("sum", ["x"], bound=100.0).grids,
            whole=(False,),
            max_rows=9,
        )
        with in_the_clear():
            if fits:
                ask(asked, [table])
            else:
                with pytest.raises(DataError, match="x holds a value beyond the declared bound of 100"):
                    ask(asked, [table])


def test_places_finer_than_the_question_are_refused_before_a_charge() -> None:
    asked = statistic("sum", ["x"], integers=True)
    operation = operation_of(request_for(asked, ["p0"]))
    operation.fits("p0", pa.schema([("x", pa.decimal128(9, 0))]))
    with pytest.raises(InvalidArgument, match="x holds numbers between the steps of 1 that the question is for"):
        operation.fits("p0", pa.schema([("x", PRICE)]))


def test_halves_of_a_step_are_rounded_to_even() -> None:
    grid = statistic("sum", ["x"], bound=10.0, resolution=0.1).grids[0]
    values = np.array([5, 15, 25, 35, -5, -15, 14, 16])
    assert grid.each_to_units(values, 2, party="p", name="x").tolist() == [0, 2, 2, 4, 0, -2, 1, 2]
    assert grid.each_to_units(values.astype(object), 2, party="p", name="x").tolist() == [0, 2, 2, 4, 0, -2, 1, 2]
    rounded = [round(Fraction(int(v), 100) / grid.unit) for v in values]
    assert rounded == [0, 2, 2, 4, 0, -2, 1, 2]


def test_wide_decimals_have_bins_too() -> None:
    values = np.array([2**70, -(2**70), 0], object)
    assert bins_of(values, [-1.0, 1.0, 2.0**71]).tolist() == [1, -1, 0]
