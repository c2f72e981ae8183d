"""One question over several columns: a row of figures for each, the same as if each was asked for by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from claims import Cases
from pooling import answer_of, ask, in_the_clear, statistic

import privsdk as ps
from privsdk import he
from privsdk.errors import DataError, DifferencingRefused, InvalidArgument, UnknownName
from privsdk.governance.charges import Exact
from privsdk.protocol.operation import operation_of

OWNERS = ("north", "south", "east")
COLUMNS = ["x", "y", "whole"]


def owned(seed: int, rows: int = 400) -> pa.Table:
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "x": pa.array(draw.normal(0, 10, rows), mask=draw.random(rows) < 0.3),
            "y": pa.array(draw.normal(5, 1, rows)),
            "whole": pa.array(draw.integers(-99, 99, rows), mask=draw.random(rows) < 0.6),
            "price": pa.array([Decimal(int(n)).scaleb(-2) for n in draw.integers(0, 500, rows)], pa.decimal128(9, 2)),
            "column": pa.array(draw.choice(["a", "b", "c"], rows)),
        }
    )


TABLES = {name: owned(place) for place, name in enumerate(OWNERS)}
FRAME = pa.concat_tables(TABLES.values()).to_pandas()


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    with ps.embedded(**TABLES, notary={}, table="t", store=None, quiet=True) as federation, in_the_clear():
        yield federation


VERBS: dict[str, tuple[Callable[..., ps.Plan[Any]], str]] = {
    "sum": (he.sum, "sum"),
    "mean": (he.mean, "mean"),
    "variance": (he.variance, "var"),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_row_for_each_column_as_pandas_has_it(fed: ps.Federation, name: str) -> None:
    verb, method = VERBS[name]
    found = verb(fed.tables("t"), COLUMNS, bound=1e5).release().value.to_pandas().set_index("column")
    pd.testing.assert_series_equal(
        found[name], getattr(FRAME[COLUMNS], method)(), check_names=False, rtol=1e-9, check_index_type=False
    )
    if name != "sum":
        assert found["count"].to_dict() == FRAME[COLUMNS].count().to_dict()


@pytest.mark.parametrize("name", VERBS)
def test_a_row_for_each_group_of_each_column(fed: ps.Federation, name: str) -> None:
    verb, method = VERBS[name]
    found = verb(fed.tables("t"), COLUMNS, bound=1e5, by="column", keys=["b", "a", "c"]).release().value
    assert found.column_names[:3] == ["column", "key", name]  # the group's column is called "column" too
    wide = found.to_pandas().pivot(index="key", columns="column", values=name)
    truth = getattr(FRAME.groupby("column")[COLUMNS], method)()
    pd.testing.assert_frame_equal(wide[COLUMNS], truth, check_names=False, rtol=1e-9, check_index_type=False)


@pytest.mark.claim("he: several columns in one question are what each is by itself, with what each leaves out")
@pytest.mark.parametrize("aggregation", ["encrypted", "masked"])
@pytest.mark.parametrize("by", [None, "column"])
@pytest.mark.parametrize("name", VERBS)
def test_each_is_as_by_itself(name: str, by: str | None, aggregation: str, cases: Cases) -> None:
    options = {"bound": 1e4, "aggregation": aggregation}
    if by is not None:
        options |= {"by": by, "keys": ("a", "b", "c", "nowhere")}
    tables = [owned(seed, 60) for seed in range(3)]
    with in_the_clear():
        together = answer_of(statistic(name, COLUMNS, **options), tables, min_count=12, min_parties=2)
        start = 0
        for column in COLUMNS:
            alone = answer_of(statistic(name, [column], **options), tables, min_count=12, min_parties=2)
            part = together.select(range(start, start + alone.num_columns))
            assert [each.to_pylist() for each in part.columns] == [each.to_pylist() for each in alone.columns]
            start += alone.num_columns
            cases(1)
    assert start == together.num_columns


def test_sums_have_one_type() -> None:
    tables = [owned(1), owned(2)]
    asked = statistic("sum", ["whole", "whole2"], integers=True)
    doubled = [table.append_column("whole2", table["whole"]) for table in tables]
    with in_the_clear():
        assert ask(asked, doubled, listed=True).schema.field("sum").type == pa.int64()
    with ps.embedded(**TABLES, notary={}, table="t", store=None, quiet=True) as fed, in_the_clear():
        mixed = he.sum(fed.tables("t"), ["price", "y"], bound=1e5).release().value
    assert mixed.schema.field("sum").type == pa.float64()
    exact = sum(FRAME["price"])
    assert abs(Decimal(mixed["sum"][0].as_py()) - exact) <= Decimal(mixed["error"][0].as_py())


def test_a_list_of_one_is_a_list(fed: ps.Federation) -> None:
    assert he.mean(fed.tables("t"), ["y"]).release().value["column"].to_pylist() == ["y"]
    assert he.mean(fed.tables("t"), ("y",)).release().value.num_rows == 1
    assert isinstance(float(he.mean(fed.tables("t"), "y").release().value), float)


def test_the_plan_says_that_each_columns_totals_are_told(fed: ps.Federation) -> None:
    said = " ".join(str(he.sum(fed.tables("t"), COLUMNS)).split())
    assert f"the total over all parties, of each of {len(COLUMNS)} columns" in said
    assert "of each of" not in str(he.sum(fed.tables("t"), COLUMNS[0]))


def test_one_price_for_all() -> None:
    with ps.embedded(**TABLES, notary={}, table="t", store=None, quiet=True) as fed:
        keys = {"by": "column", "keys": ["a", "b", "c"]}

        def price(*columns: str) -> int:
            debits = he.variance(fed.tables("t"), list(columns), **keys).price["north"]
            return sum(debit.charge.uses for debit in debits if isinstance(debit.charge, Exact))

        assert price("x") == price("x", "y") == 1
        figures = operation_of(he.variance(fed.tables("t"), COLUMNS, **keys).request).figures()["north"]
        alone = operation_of(he.variance(fed.tables("t"), "x", **keys).request).figures()["north"]
        assert [3 * a.factors[0].number * a.factors[0].each for a in alone.told] == [
            b.factors[0].number * b.factors[0].each for b in figures.told
        ]


def test_the_guard_has_each_columns_rows(fed: ps.Federation) -> None:
    rows = {"whole": list(range(50)), "but one": [None, *range(1, 50)]}
    with (
        ps.embedded(a=pa.table(rows), b=pa.table(rows), k={}, table="t", store=None, quiet=True) as federation,
        pytest.raises(DifferencingRefused),
    ):
        he.sum(federation.tables("t"), ["whole", "but one"]).release()


def test_each_column_needs_enough_values() -> None:
    few = pa.table({"x": [1.0] * 20, "y": [1.0] * 9 + [None] * 11})
    with in_the_clear(), pytest.raises(DataError, match="fewer values in y than its minimum count of 10"):
        answer_of(statistic("sum", ["x", "y"]), [few, few], min_count=10)


def test_lists_that_cannot_be_used(fed: ps.Federation) -> None:
    tables = fed.tables("t")
    with pytest.raises(InvalidArgument, match="of 0 columns"):
        he.mean(tables, [])
    with pytest.raises(InvalidArgument, match="column twice"):
        he.mean(tables, ["x", "x"])
    with pytest.raises(UnknownName, match="z"):
        he.mean(tables, ["x", "z"])
    with pytest.raises(InvalidArgument, match="of several columns is exact only"):
        he.mean(tables, ["x", "y"], preset="ckks")
    with pytest.raises(InvalidArgument, match="bound is given for x"):
        he.mean(tables, ["x", "y"], bound={"x": 1})
    with pytest.raises(ps.PrivsdkError, match="column"):
        he.mean(tables, 5)
