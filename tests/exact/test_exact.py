"""Exact aggregates equal DuckDB's, over groups of enough distinct keys and no others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from asking import aggregate, given, play, request_for
from claims import Cases
from hypothesis import HealthCheck, settings
from hypothesis import given as given_cases
from hypothesis import strategies as st

from privsdk.errors import DataError, InvalidArgument
from privsdk.protocol.operation import Operand, Request, operation_of
from privsdk.protocol.services import Figures, RowSet, Unguarded

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),  # joint key
        st.none() | st.sampled_from(["x", "y", ""]),
        st.none() | st.booleans(),
        st.none() | st.integers(-100, 100),
        st.none() | st.floats(-1e6, 1e6, width=32) | st.just(math.nan),
    ),
    max_size=30,
)


CONDITIONS: dict[str, tuple[Any, str]] = {
    "none": ({}, "true"),
    "a range": ({"whole": (-50, 50)}, "whole BETWEEN -50 AND 50"),
    "an open range": ({"real": (0, None)}, "real >= 0"),
    "a value": ({"flag": 1}, "flag"),
    "a choice": ({"segment": ["x", ""]}, "segment IN ('x', '')"),
    "three": (
        {"whole": (None, 20), "segment": ["x", "y"], "flag": [True, False]},
        "whole <= 20 AND segment IN ('x', 'y') AND flag IS NOT NULL",
    ),
}


@pytest.mark.claim("aggregates: counts, sums, means, minima and maxima equal DuckDB's, by group and by predicate")
@pytest.mark.parametrize("statistic", ["count", "mean", "sum", "variance", "min", "max"])
@pytest.mark.parametrize("column", ["flag", "whole", "real"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given_cases(
    rows=ROWS,
    by=st.sampled_from([[], ["segment"], ["segment", "flag"], ["flag", "whole", "segment"]]),
    where=st.sampled_from(list(CONDITIONS)),
    joint=st.booleans(),
    min_count=st.integers(2, 4),
)
def test_aggregates_equal_duckdb(
    statistic: str, column: str, cases: Cases, rows: list[Any], by: list[str], where: str, joint: bool, min_count: int
) -> None:
    types = {"key": pa.int64(), "segment": pa.string(), "flag": pa.bool_(), "whole": pa.int32(), "real": pa.float64()}
    table = pa.table({name: pa.array([row[i] for row in rows], t) for i, (name, t) in enumerate(types.items())})
    table = table.append_column("row", pa.array(range(len(rows)), pa.int64()))
    conditions, clause = CONDITIONS[where]
    keys = table["key"].to_pylist() if joint else None
    asked = by if len(by) > 1 else by[0] if by else None
    result = aggregate(table, keys, statistic, column, asked, conditions, min_count=min_count)

    named = {"count": "0", "mean": f"avg({column}::DOUBLE)", "variance": f"var_samp({column}::DOUBLE)"}
    value = named.get(statistic, f"{statistic}({column}::DOUBLE)")
    ordered = ", ".join(f"{name} NULLS LAST" for name in by)
    query = f"""
        SELECT {"".join(f"{name}, " for name in by)} count(*), {value}, list(DISTINCT {"key" if joint else "row"})
        FROM (SELECT * REPLACE (nullif(real, 'nan'::DOUBLE) AS real) FROM held)
        WHERE {column} IS NOT NULL AND {clause} {f"GROUP BY {', '.join(by)} ORDER BY {ordered}" if by else ""}
    """  # noqa: S608
    with duckdb.connect() as sql:
        sql.register("held", table)
        groups = [(found[:-3], *found[-3:]) for found in sql.sql(query).fetchall()]
    shown = list(zip(*(result[name].to_pylist() for name in by), strict=True)) if by else [()] * result.num_rows
    expected = [group for group in groups if group[0] in shown]
    check_withholding(groups, set(shown), min_count)
    assert shown == [label for label, *_ in expected]
    assert result["count"].to_pylist() == [count for _, count, *_ in expected]
    if statistic != "count":
        assert result[statistic].to_pylist() == pytest.approx([value for *_, value, _ in expected], rel=1e-9, abs=1e-6)
    enough = len(set().union(*(found or () for *_, found in groups))) >= min_count
    withheld = str(len(groups) - len(expected)) if enough else "1"  # whatever there is
    assert result.schema.metadata == {b"withheld_groups": withheld.encode(), b"min_count": str(min_count).encode()}
    cases()


def check_withholding(groups: list[Any], shown: set[Any], min_count: int) -> None:
    """Small groups are hidden, what is hidden is no small group either, and nothing is hidden without need."""
    keys = {label: set(found or ()) for label, _, _, found in groups}
    hidden = sorted(keys.keys() - shown, key=lambda label: len(keys[label]))
    assert all(len(keys[label]) >= min_count for label in shown)
    together_hidden = set().union(*(keys[label] for label in hidden))
    assert not shown or not hidden or len(together_hidden) >= min_count
    if hidden and len(keys[hidden[-1]]) >= min_count:  # hidden to cover for the others: they needed it
        assert 0 < len(set().union(*(keys[label] for label in hidden[:-1]))) < min_count


def test_groups_are_judged_by_joint_keys_and_not_by_rows() -> None:
    segments = ["one key"] * 9 + ["two keys"] * 2 + ["three keys"] * 3
    table = pa.table({"segment": segments, "x": [1.0] * 12 + [None, math.nan]})
    keys = [0] * 9 + [1, 2, 3, 4, 5]
    assert aggregate(table, keys, "count", by="segment", min_count=3).to_pydict() == {
        "segment": ["three keys"],
        "count": [3],
    }
    # nulls and NaN are left out first: one key is left in "three keys"
    means = aggregate(table, keys, "mean", "x", by="segment", min_count=2)
    assert means.to_pydict() == {"segment": ["two keys"], "count": [2], "mean": [1.0]}
    assert means.schema.metadata[b"withheld_groups"] == b"2"
    assert aggregate(table, keys, "count", min_count=7).to_pydict() == {"count": []}
    assert aggregate(table, keys, "count", min_count=6).to_pydict() == {"count": [14]}


def test_a_lone_small_group_takes_another_with_it() -> None:
    """Else the ungrouped total less the groups shown is the small group's own."""
    table = pa.table({"segment": ["small"] + ["middle"] * 3 + ["large"] * 4})
    shown = aggregate(table, list(range(8)), "count", by="segment", min_count=3)
    assert shown.to_pydict() == {"segment": ["large"], "count": [4]}
    assert shown.schema.metadata[b"withheld_groups"] == b"2"


def test_small_types_widen() -> None:
    table = pa.table(
        {
            "segment": pa.array(["x", "y", "x", "y"]),
            "half": pa.array(np.array([60_000, 1, 60_000, 1], np.float16)),
            "byte": pa.array([127, 0, 127, 1], pa.int8()),
        }
    )
    assert aggregate(table, [0, 1, 2, 3], "sum", "half", "segment").to_pydict()["sum"] == [120_000.0, 2.0]
    assert aggregate(table, [0, 1, 2, 3], "sum", "byte", "segment").to_pydict() == {
        "segment": ["x", "y"],
        "count": [2, 2],
        "sum": [254, 1],
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array([1.5, -math.inf, 2.5]), "holds an infinite value"),
        (pa.array(["12345", "b", "c"]), "cannot take the sum of secret, which is string"),
        (pa.array([1e308, 1e308, 12345]), "has a sum beyond 64 bits"),
    ],
)
def test_values_that_cannot_be_summed_are_an_error_without_the_value(values: pa.Array, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        aggregate(pa.table({"secret": values}), [0, 1, 2], "sum", "secret")
    assert "bank" in str(raised.value)
    assert not any(value in str(raised.value) for value in ("12345", "1.5", "2.5", str(2**62)))


def test_a_nested_column_cannot_group() -> None:
    with pytest.raises(DataError, match="cannot group"):
        aggregate(pa.table({"parts": [[1], [2], [1]]}), [0, 1, 2], "count", by="parts")


def test_fewer_rows_than_the_minimum_are_the_same_answer_whatever_there_is() -> None:
    table = pa.table({"city": ["a", "b", "c", "d", "e"], "x": [1, 2, 3, 4, 5]})
    answers = [
        aggregate(table, None, "mean", "x", "city", {"x": (None, bound)}, min_count=5) for bound in (-1, 0, 1, 2, 4)
    ]
    for answer in answers:
        assert answer.equals(answers[0])
        assert answer.schema.metadata == {b"withheld_groups": b"1", b"min_count": b"5"}


def test_keys_are_counted_where_the_unit_is_an_id_and_rows_where_it_is_not() -> None:
    table = pa.table({"visits": [3] * 12})
    assert aggregate(table, None, "sum", "visits", min_count=10)["sum"].to_pylist() == [36]
    mine = given("bank", request := request_for("sum", "visits", joint=False), table, [0] * 6 + [1] * 6, min_count=10)
    assert play(request, mine)["bank"].table.num_rows == 0


def test_the_number_of_groups_withheld_has_a_name_of_its_own_for_each_list_of_columns() -> None:
    """Or a figure that was told of the same rows by other columns would be told in its place."""
    table = pa.table({"a": [0, 1, 2] * 4, "b": [0, 0, 1] * 4, '["a","b"]': range(12)})
    measures = list[str]()

    class Listening(Unguarded):
        def screen(self, sets: Sequence[RowSet], min_count: int) -> list[Figures]:
            measures.extend(each.measure for each in sets)
            return super().screen(sets, min_count)

    for by in ("a", ["a", "b"], ["b", "a"], '["a","b"]'):
        request = request_for("count", by=by, joint=False)
        play(request, given("bank", request, table, None, min_count=5, services=Listening()))
    assert len(measures) == len(set(measures)) == 4


def test_the_guard_gets_every_set_and_its_figures_are_what_is_told() -> None:
    table = pa.table({"city": ["a"] * 4 + ["b"] * 3 + ["c"] + [None] * 3, "x": [1, 2, 3, None, 4, 5, 6, 7, 8, 9, 10]})
    seen: list[RowSet] = []

    class Guarded(Unguarded):
        def screen(self, sets: Sequence[RowSet], min_count: int) -> list[Figures]:
            assert min_count == 3
            seen.extend(sets)
            return [(100, 0.5), (200, 1.5), (7,)]

    request = request_for("mean", "x", "city", joint=False)
    answer = play(request, given("bank", request, table, None, min_count=3, services=Guarded()))["bank"].table
    assert [(each.rows.tolist(), each.measure, each.figures) for each in seen] == [
        ([4, 5, 6], "mean of x", (3, 5.0)),
        ([8, 9, 10], "mean of x", (3, 9.0)),
        ([0, 1, 2, 7], "withheld groups of city", (2,)),
    ]
    assert answer.to_pydict() == {"city": ["b", None], "count": [100, 200], "mean": [0.5, 1.5]}
    assert answer.schema.metadata[b"withheld_groups"] == b"7"


@pytest.mark.parametrize(
    "request_",
    [
        request_for("median", "x", None),
        request_for("mean", None, None),
        request_for("count", None, None, parties=("bank", "shop")),
        request_for("count", "x", None, operands={"bank": Operand(table="t", columns=("y",), alignment="joint")}),
        request_for("count", "x", None, {"shop.y": 1}, joint=False),
        request_for("count", "x", None, {"shop.y": 1, "mill.z": 1}),
        request_for("count", "x", []),
        request_for("count", "x", ["y", "z", "y"]),
    ],
    ids=["statistic", "column", "parties", "other column", "base tables", "three parties", "no group", "a group twice"],
)
def test_requests_of_another_shape_are_refused(request_: Request) -> None:
    with pytest.raises(InvalidArgument):
        operation_of(request_)
