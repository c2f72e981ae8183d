"""The partner's columns in an aggregate: labels and filters of joint keys, and what is refused of what it sends."""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from asking import given, labelled, play, request_for
from claims import Cases
from harness import play as play_alone
from hypothesis import HealthCheck, settings
from hypothesis import given as given_cases
from hypothesis import strategies as st

from privsdk.errors import DataError, InvalidArgument, ProtocolViolation, StaleJoin
from privsdk.exact.labels import KeyLabels, schema
from privsdk.protocol.operation import operation_of

BANK = pa.table({"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "ok": [True] * 6 + [False]}), [0, 0, 1, 2, 3, 4, 5]


def shop(labels: list[Any], values: list[int], keys: list[int], type_: pa.DataType | None = None) -> Any:
    return pa.table({"rank": pa.array(labels, type_), "age": values}), keys


def test_a_key_passes_if_a_row_does_and_has_the_label_that_its_passing_rows_share() -> None:
    #         one row     agree      disagree   agree after the filter   a null among them   none passes
    labels = ["a", "b", "b", "a", "b", "a", "z", "b", None, "a"]
    ages = [30, 30, 31, 30, 30, 30, 99, 30, 30, 99]
    keys = [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    side = shop(labels, ages, keys)
    found = labelled(BANK, side, "sum", "x", "shop.rank", {"shop.age": (None, 50)}, min_count=1)
    assert found.to_pydict() == {
        "shop.rank": ["a", "b", None],
        "count": [3, 1, 2],
        "sum": [1.0 + 2.0 + 5.0, 3.0, 4.0 + 6.0],
    }
    assert labelled(BANK, side, "count", where={"shop.age": (None, 50)}, min_count=5)["count"].to_pylist() == [6]
    assert labelled(BANK, side, "count", where={"shop.age": (None, 50)}, min_count=6).num_rows == 0
    assert labelled(BANK, side, "count", where={"shop.age": 99, "ok": True}, min_count=1)["count"].to_pylist() == [1]
    assert labelled(BANK, side, "count", by="ok", where={"shop.age": 99}, min_count=1).to_pydict() == {
        "ok": [False, True],
        "count": [1, 1],
    }


@pytest.mark.claim("aggregates: by and where of the other side of a join equal DuckDB's")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given_cases(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-50, 50)), min_size=1, max_size=20),
    st.lists(
        st.tuples(st.integers(0, 4), st.none() | st.integers(1, 3), st.none() | st.integers(0, 9)),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([{}, {"shop.age": (3, 7)}, {"shop.age": [1, 2, 8], "x": (0, None)}]),
    st.sampled_from([[], ["shop.rank"], ["shop.rank", "shop.age"], ["shop.age", "sign", "shop.rank"]]),
)
def test_the_partners_columns_equal_duckdb(
    cases: Cases, left: list[Any], right: list[Any], where: dict[str, Any], by: list[str]
) -> None:
    shared = sorted({row[0] for row in left} & {row[0] for row in right})
    if not shared or not (by or "shop.age" in where):
        return
    bank = sorted((shared.index(k), x) for k, x in left if k in shared)
    ours = sorted(((shared.index(k), r, a) for k, r, a in right if k in shared), key=str)
    held = pa.table({"key": [k for k, _ in bank], "x": [x for _, x in bank], "sign": [x < 0 for _, x in bank]})
    types = {"key": pa.int64(), "rank": pa.int16(), "age": pa.int64()}
    theirs = pa.table({n: pa.array([row[i] for row in ours], t) for i, (n, t) in enumerate(types.items())})
    asked = by if len(by) > 1 else by[0] if by else None
    result = labelled(
        (held, held["key"].to_pylist()), (theirs, theirs["key"].to_pylist()), "sum", "x", asked, where, min_count=1
    )
    own = "x >= 0" if "x" in where else "true"
    filter_ = {"()": "true", "(3, 7)": "age BETWEEN 3 AND 7"}.get(str(where.get("shop.age", ())), "age IN (1, 2, 8)")
    agreed = "CASE WHEN min({0}) = max({0}) AND count(*) = count({0}) THEN min({0}) END AS {0}"
    names = [name.removeprefix("shop.") for name in by]
    ordered = ", ".join(f"{name} NULLS LAST" for name in ["1", *names])
    query = f"""
        WITH labels AS (SELECT key, {agreed.format("rank")}, {agreed.format("age")}
                        FROM theirs WHERE {filter_} GROUP BY key)
        SELECT {"".join(f"{name}, " for name in names)} count(*), sum(x) FROM held JOIN labels USING (key)
        WHERE {own} GROUP BY {", ".join(["true", *names])} ORDER BY {ordered}
    """  # noqa: S608
    with duckdb.connect() as sql:
        sql.register("held", held)
        sql.register("theirs", theirs)
        groups = sql.sql(query).fetchall()
    found = [result[name].to_pylist() for name in (*by, "count", "sum")]
    assert list(zip(*found, strict=True)) == groups
    cases()


@pytest.mark.parametrize(
    ("labels", "type_"),
    [
        (["true", "1", None], pa.string()),
        (["", "\ud83d\ude00", "nul\0"], pa.large_string()),
        ([2**63 - 1, -(2**63), None], pa.int64()),
        ([True, False, None], pa.bool_()),
    ],
    ids=str,
)
def test_labels_arrive_as_they_are(labels: list[Any], type_: pa.DataType) -> None:
    labels = [
        label.encode("utf-16", "surrogatepass").decode("utf-16") if isinstance(label, str) else label
        for label in labels
    ]
    bank = pa.table({"x": [1, 2, 3]}), [0, 1, 2]
    found = labelled(bank, shop(labels, [0] * 3, [0, 1, 2], type_), "count", by="shop.rank", min_count=1)
    assert sorted(found["shop.rank"].to_pylist(), key=str) == sorted(labels, key=str)


@pytest.mark.parametrize("type_", [pa.float64(), pa.list_(pa.int64()), pa.date32(), pa.uint64(), pa.binary()])
def test_columns_that_cannot_label(type_: pa.DataType) -> None:
    request = request_for("count", by="shop.rank")
    operation = operation_of(request)
    operation.fits("bank", pa.schema([]))
    with pytest.raises(DataError, match=r"shop's rank is .*, which cannot label"):
        operation.fits("shop", pa.schema([("rank", type_)]))


def test_the_larger_of_both_minimum_counts_holds() -> None:
    request = request_for("count", by="shop.rank")
    bank = pa.table({"x": range(6)}), list(range(6))
    theirs = shop(["a"] * 4 + ["b"] * 2, [0] * 6, list(range(6)))
    for ours, other in ((2, 3), (3, 2)):
        sides = given("bank", request, *bank, min_count=ours), given("shop", request, *theirs, min_count=other)
        answer = play(request, *sides)["bank"].table
        assert answer.schema.metadata[b"min_count"] == b"3"
        assert answer["count"].to_pylist() == []  # a and b are hidden: b alone is too few


def test_sides_of_two_joins_do_not_fit() -> None:
    request = request_for("count", by="shop.rank")
    theirs = shop(["a"] * 6, [0] * 6, list(range(6)))
    sides = given("bank", request, *BANK), given("shop", request, *theirs, joint=b"another join")
    with pytest.raises(StaleJoin, match="different joins of bank and shop"):
        play(request, *sides)


def sent(passes: list[Any], *columns: list[str | None], kinds: tuple[str, ...] = ("text",)) -> KeyLabels:
    table = pa.table([passes, *columns], schema=schema(len(columns)))
    return KeyLabels(join=b"the session of a join", kinds=kinds, min_count=0, table=table)


@pytest.mark.parametrize(
    "message",
    [
        sent([True] * 5, ["a"] * 5),
        sent([True] * 7, ["a"] * 7),
        sent([True] * 6, kinds=()),
        sent([True] * 6, ["a"] * 6, ["a"] * 6, kinds=("text", "text")),
        sent([True] * 6, ["a"] * 6, ["a"] * 6),
        sent([True] * 6, ["a"] * 6, kinds=("poem",)),
        sent([True] * 6, ["a"] * 6, kinds=("whole number",)),
        sent([True] * 5 + [None], ["a"] * 6),
        msgspec.structs.replace(sent([True] * 6, ["a"] * 6), table=pa.table([[True] * 6, ["a"] * 6], ["passes", "a"])),
    ],
    ids=[
        *("fewer keys", "more keys", "no labels", "labels too many", "a column too many", "another kind"),
        *("not of the kind", "neither", "another schema"),
    ],
)
def test_labels_that_a_partner_may_not_send(message: KeyLabels) -> None:
    request = request_for("count", by="shop.rank")
    with pytest.raises(ProtocolViolation, match="shop") as violation:
        play_alone(operation_of(request).role(given("bank", request, *BANK)), message)
    assert "'a'" not in str(violation.value)


def test_a_base_table_has_no_other_side() -> None:
    with pytest.raises(InvalidArgument, match="both sides of one join"):
        operation_of(request_for("count", by="shop.rank", joint=False))
