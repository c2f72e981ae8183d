"""Bounds that nobody names: by what owners declare, else by the type, so that ordinary columns are not refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from pooling import in_the_clear

import privsdk as ps
from privsdk import he
from privsdk.deploy.config import PartyConfig, read_config
from privsdk.errors import DataError, InvalidArgument, UnknownName
from privsdk.party.tables import Store

DRAW = np.random.default_rng(8)


def opened(column: pa.Array, *, declared: str = "") -> ps.Federation:
    field = pa.field("x", column.type, metadata={"range": declared} if declared else None)
    schema = pa.schema([field, pa.field("g", pa.string())])
    table = pa.table([column, pa.array(["a", "b"] * (len(column) // 2))], schema=schema)
    return ps.embedded(north=table, south=table, k={}, table="t", store=None, quiet=True)


ORDINARY = {
    "revenue near 5e9": pa.array(DRAW.normal(5e9, 1e8, 2000)),
    "small": pa.array(DRAW.normal(0, 1e-3, 200)),
    "int32": pa.array(DRAW.integers(-(2**31), 2**31, 200), pa.int32()),
    "uint8": pa.array(DRAW.integers(0, 2**8, 200), pa.uint8()),
    "int64": pa.array(DRAW.integers(-(2**48), 2**48, 200), pa.int64()),
    "bool": pa.array([True, False] * 100),
    "cents": pa.array([Decimal(int(n)).scaleb(-2) for n in DRAW.integers(0, 10**15, 200)], pa.decimal128(18, 2)),
    "ten places": pa.array([Decimal(int(n)).scaleb(-10) for n in DRAW.integers(0, 10**17, 200)], pa.decimal128(38, 10)),
    "25 places": pa.array([Decimal(int(n)).scaleb(-16) for n in DRAW.integers(0, 10**17, 200)], pa.decimal128(38, 25)),
    "DuckDB's sums": pa.array([Decimal(int(n) * 10**4) for n in DRAW.integers(0, 10**15, 200)], pa.decimal128(38, 0)),
}


@pytest.mark.claim("he: no ordinary column is refused for a bound that nobody named, and its error is stated")
@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_columns_need_no_bound(kind: str, cases: Cases) -> None:
    column = ORDINARY[kind]
    exact = [Fraction(value) for value in column.to_pylist()] * 2
    with opened(column) as fed, in_the_clear():
        mean = he.mean(fed.tables("t"), "x").release().value
        assert abs(Fraction(mean.value) - sum(exact) / len(exact)) <= Fraction(mean.error)
        assert mean.error <= 1e-5 + abs(mean.value) * 1e-15
        by = he.sum(fed.tables("t"), "x", by="g", keys=["a", "b"]).release().value
        halves = [sum(map(Fraction, column.to_pylist()[start::2])) * 2 for start in (0, 1)]
        for found, error, truth in zip(by["sum"].to_pylist(), by["error"].to_pylist(), halves, strict=True):
            assert abs(Fraction(found) - truth) <= Fraction(error)
        whole = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
        assert (by.schema.field("sum").type == pa.int64()) == whole
        cases(3)
        if kind != "DuckDB's sums":  # which are as large as totals
            variance = he.variance(fed.tables("t"), "x").release().value
            middle = sum(exact) / len(exact)
            truth = sum((value - middle) ** 2 for value in exact) / (len(exact) - 1)
            assert abs(Fraction(variance.value) - truth) <= Fraction(variance.error)
            cases(1)


def test_a_declared_range_is_the_bound() -> None:
    large = pa.array(DRAW.normal(3e15, 1e14, 200))  # values that no float's default reaches
    with opened(large) as fed, in_the_clear(), pytest.raises(DataError, match="beyond the declared bound"):
        he.variance(fed.tables("t"), "x").release()
    with opened(large, declared="0, 1e16") as fed, in_the_clear():
        found = he.variance(fed.tables("t"), "x").release().value
        assert found.value == pytest.approx(np.var(large.to_pylist() * 2, ddof=1), rel=1e-9)
        mean = he.mean(fed.tables("t"), "x").release().value
        assert abs(mean.value - np.mean(large.to_pylist())) <= mean.error + 1
    with opened(large, declared="0, 1e15") as fed, in_the_clear(), pytest.raises(DataError, match=r"bound of 1e[+]15"):
        he.variance(fed.tables("t"), "x").release()


def test_all_owners_must_declare_one() -> None:
    field = pa.field("x", pa.float64(), metadata={"range": "-4, 2"})
    declared = pa.table([[1.0] * 20], schema=pa.schema([field]))
    with ps.embedded(a=declared, b=pa.table({"x": [1.0] * 20}), k={}, table="t", store=None, quiet=True) as fed:
        assert fed["a"]["t"].range_of("x") == (-4.0, 2.0)
        assert fed["b"]["t"].range_of("x") is None
        bounds = [
            he.variance([fed[party]["t"] for party in parties], "x").request.parameters["grids"][0]["bound"]
            for parties in ("a", "ab")
        ]
    assert bounds == [4.0, 2.0**40]


def test_a_range_in_party_toml(tmp_path: Path) -> None:
    config = """
name = "a"
listen = "grpc+tls://0.0.0.0:0"
ledger = "ledger.db"
federation = "federation.toml"
tls = {authority = "a", certificate = "c", key = "k"}
[tables.sales]
path = "sales.parquet"
ranges = {turnover = [0, 1e9]}
"""
    (tmp_path / "party.toml").write_text(config)
    read = read_config(tmp_path / "party.toml", PartyConfig)
    ranges = {name: table.ranges for name, table in read.tables.items()}
    assert ranges == {"sales": {"turnover": (0.0, 1e9)}}
    assert Store("a", {"sales": pa.table({"turnover": [1.0]})}, ranges).range("sales", "turnover") == (0.0, 1e9)


@pytest.mark.parametrize("declared", ["0", "a, b", "1, 1", "2, 1", "0, inf", "nan, 1"])
def test_ranges_that_are_none(declared: str) -> None:
    with pytest.raises(InvalidArgument, match=r"the range of north/t\.x is"):
        opened(pa.array([1.0] * 20), declared=declared)


def test_a_range_of_no_column() -> None:
    with pytest.raises(UnknownName, match="turnover"):
        Store("a", {"t": pa.table({"x": [1.0]})}, {"t": {"turnover": (0, 1)}})


def test_a_bound_that_is_given_is_kept() -> None:
    with opened(ORDINARY["small"], declared="-1, 1") as fed:
        grid: dict[str, Any] = he.sum(fed.tables("t"), "x", bound=64.0).request.parameters["grids"][0]
    assert grid == {"bound": 64.0, "resolution": 2.0**-54}
