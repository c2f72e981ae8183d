"""Aggregates over a joint table equal DuckDB's, over groups of enough distinct joint keys and no others."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privsdk.errors import DataError, InvalidArgument
from privsdk.operations import Operand, Request, RoleInput, operation_named
from privsdk.testing import SeededEntropy, together

AGGREGATE = operation_named("joint.aggregate")


def request_for(statistic: str, column: str | None, by: str | None, **changes: Any) -> Request:
    columns = tuple(dict.fromkeys(name for name in (column, by) if name is not None))
    fields: dict[str, Any] = {
        "run_id": "r",
        "operation": "joint.aggregate",
        "caller": "analyst",
        "purpose": "test",
        "parties": ("bank",),
        "operands": {"bank": Operand(table="t", columns=columns, alignment="joint")},
        "parameters": {"statistic": statistic, "column": column, "by": by},
    }
    return Request(**fields | changes)


def aggregate(
    table: pa.Table,
    keys: list[int],
    statistic: str,
    column: str | None = None,
    by: str | None = None,
    *,
    min_count: int = 2,
) -> pa.Table:
    request = request_for(statistic, column, by)
    mine = RoleInput(
        request=request,
        party="bank",
        session=b"",
        table=table.select(request.operands["bank"].columns),
        keys=np.array(keys, dtype=np.int64),
        min_count=min_count,
        entropy=SeededEntropy(b""),
    )
    return together({"bank": AGGREGATE.role(mine, AGGREGATE.parse(request))})["bank"].table


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


@pytest.mark.claim("joint tables: aggregates equal DuckDB's")
@pytest.mark.parametrize("statistic", ["count", "mean", "sum"])
@pytest.mark.parametrize("column", ["flag", "whole", "real"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, by=st.sampled_from([None, "segment"]), min_count=st.integers(2, 4))
def test_aggregates_equal_duckdb(
    statistic: str, column: str, cases: Cases, rows: list[Any], by: str | None, min_count: int
) -> None:
    types = {"key": pa.int64(), "segment": pa.string(), "flag": pa.bool_(), "whole": pa.int32(), "real": pa.float64()}
    joint = pa.table({name: pa.array([row[i] for row in rows], t) for i, (name, t) in enumerate(types.items())})
    result = aggregate(joint, joint["key"].to_pylist(), statistic, column, by, min_count=min_count)

    value = {"count": "0", "mean": f"avg({column}::DOUBLE)", "sum": f"sum({column}::DOUBLE)"}[statistic]
    query = f"""
        SELECT {by or "NULL"} AS label, count(*), {value} AS result, list(DISTINCT key)
        FROM joint WHERE {column} IS NOT NULL AND NOT isnan({column}::DOUBLE)
        {"GROUP BY label" if by else ""} ORDER BY label NULLS LAST
    """  # noqa: S608
    groups = duckdb.sql(query).fetchall()
    shown = set(result[by].to_pylist()) if by else {None} if result.num_rows else set()
    expected = [group for group in groups if group[0] in shown]
    check_withholding(groups, shown, min_count)
    if by:
        assert result[by].to_pylist() == [label for label, *_ in expected]
    assert result["count"].to_pylist() == [count for _, count, *_ in expected]
    if statistic != "count":
        assert result[statistic].to_pylist() == pytest.approx([value for *_, value, _ in expected], rel=1e-9, abs=1e-6)
    withheld = str(len(groups) - len(expected))
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


def test_dictionaries_group_by_their_values_and_small_types_widen() -> None:
    table = pa.table(
        {
            "segment": pa.array(["x", "y", "x", "y"]).dictionary_encode(),
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
        (pa.array([2**62, 2**62, 12345]), "has a sum beyond 64 bits"),
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


@pytest.mark.parametrize(
    "request_",
    [
        request_for("median", "x", None),
        request_for("mean", None, None),
        request_for("count", None, None, parties=("bank", "shop")),
        request_for("count", "x", None, operands={"bank": Operand(table="t", columns=("y",), alignment="joint")}),
        request_for("count", "x", None, operands={"bank": Operand(table="t", columns=("x",))}),
    ],
    ids=["statistic", "column", "parties", "other column", "base table"],
)
def test_requests_of_another_shape_are_refused(request_: Request) -> None:
    with pytest.raises(InvalidArgument):
        AGGREGATE.parse(request_)
