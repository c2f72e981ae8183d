"""Public groups by several columns, and all others as a group: against DuckDB, in he, dp and by themselves."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st

import privsdk as ps
from privsdk import dp, he
from privsdk.errors import InvalidArgument
from privsdk.protocol.columns.keys import PublicGroups, public_groups
from privsdk.protocol.groups import labelled, public_groups_of
from privsdk.protocol.operation import operation_of

VALUES = st.sampled_from(["a", "b", "c", None])
YEARS = st.sampled_from([1, 2, 3, None])
ROWS = st.lists(st.tuples(VALUES, YEARS, st.booleans()), max_size=40)


@pytest.mark.claim("groups by several columns hold the rows of their keys, and one more all others, as DuckDB has them")
def test_each_row_is_in_the_group_of_its_key(cases: Cases) -> None:
    @given(rows=ROWS, keys=st.sets(st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.booleans()), min_size=1))
    def check(rows: list[tuple[Any, ...]], keys: set[tuple[str, int, bool]]) -> None:
        names, types = ("g", "year", "flag"), (pa.string(), pa.int32(), pa.bool_())
        table = pa.table({n: pa.array([row[i] for row in rows], types[i]) for i, n in enumerate(names)})
        for columns in (1, 2, 3):
            listed = list(dict.fromkeys(key[:columns] for key in keys))
            for others in (False, True):
                given_keys: Any = listed if columns > 1 else [key for (key,) in listed]
                groups = public_groups(names[:columns], given_keys, others=others)
                groups.check()
                rest = len(listed) if others else -1
                truth = [listed.index(row[:columns]) if row[:columns] in listed else rest for row in rows]
                assert public_groups_of(table, groups).tolist() == truth
                cases(1)

    check()


def test_labels_are_of_the_columns_types_and_null_for_others() -> None:
    groups = public_groups(["count", "day"], [("a", date(2024, 1, 1)), ("b", date(2024, 1, 2))], others=True)
    found = labelled(groups, [pa.string(), pa.date32()], ["count", "key"])
    assert list(found) == ["key 2", "day"]
    assert found["key 2"].to_pylist() == ["a", "b", None]
    assert found["day"].to_pylist() == [date(2024, 1, 1), date(2024, 1, 2), None]
    assert found["day"].type == pa.date32()


@pytest.mark.parametrize(
    ("by", "keys", "others", "said"),
    [
        (["g", "year"], ["a", "b"], False, r"not one value for each.*\(<g>, <year>\)"),
        (["g", "year"], [("a", 1), ("a", 1)], False, "1 of 2 keys stand there before"),
        (["g", "g"], [("a", "b")], False, "not one value for each"),
        (["g", "year"], [("a", 1), ("b", "1")], False, "different types"),
        (["g", "year"], [], False, "there are 0 keys"),
        (["g", "year"], None, False, "must be public"),
        (None, None, True, "belong together|there are 0 keys"),
    ],
)
def test_keys_that_cannot_be_used(by: Any, keys: Any, others: bool, said: str) -> None:
    with pytest.raises(InvalidArgument, match=f"(?s){said}"):
        public_groups(by, keys, others=others).check()


def test_one_column_is_written_as_before() -> None:
    one = public_groups("g", ["a", "b"])
    assert (one.by, one.plain) == ("g", ("a", "b"))
    assert public_groups(["g"], ["a", "b"]) == one
    assert PublicGroups.of("g", ("a", "b")) == one
    assert PublicGroups.of(None, None) == PublicGroups()


DRAW = np.random.default_rng(3)
TABLES = {
    name: pa.table(
        {
            "x": DRAW.normal(0, 1, 500),
            "region": pa.array(DRAW.choice(["north", "south", "west"], 500), mask=DRAW.random(500) < 0.1),
            "year": DRAW.integers(2022, 2026, 500),
        }
    )
    for name in ("A", "B", "C")
}
KEYS = [("south", 2024), ("north", 2024), ("north", 2022)]
SQL = "SELECT count(*), avg(x) FROM pool WHERE (region = '{}' AND year = {})"


def truths() -> tuple[list[int], list[float]]:
    pool = pa.concat_tables(TABLES.values())
    with duckdb.connect() as sql:
        sql.register("pool", pool)
        rows = [sql.execute(SQL.format(*key)).fetchall()[0] for key in KEYS]
        sql.register("keys", pa.table({"region": [r for r, _ in KEYS], "year": [y for _, y in KEYS]}))
        rows += sql.execute("SELECT count(*), avg(x) FROM pool ANTI JOIN keys USING (region, year)").fetchall()
    return [count for count, _ in rows], [mean for _, mean in rows]


def test_pooled_statistics_by_several_columns_and_others() -> None:
    counts, means = truths()
    with ps.embedded(TABLES, K={}, table="t", store=None, quiet=True) as fed:
        plan = he.mean(fed.tables("t"), "x", by=["region", "year"], keys=KEYS, others=True)
        found = plan.release().value
    assert found.column_names == ["region", "year", "mean", "error", "count"]
    assert list(zip(found["region"].to_pylist(), found["year"].to_pylist(), strict=True)) == [*KEYS, (None, None)]
    assert found["count"].to_pylist() == counts
    assert found["mean"].to_pylist() == pytest.approx(means, abs=1e-6)


def test_noisy_statistics_by_several_columns_and_others() -> None:
    counts, _ = truths()
    with ps.embedded(TABLES, K={}, table="t", store=None, quiet=True) as fed:
        plan = dp.count(fed.tables("t"), by=["region", "year"], keys=KEYS, others=True, epsilon=1.0)
        found = plan.release().value
        bins = dp.histogram(
            fed["A"]["t"], "x", by=["region", "year"], keys=KEYS, others=True, edges=[-9, 0, 9], epsilon=1.0
        )
        assert bins.release().value["year"].to_pylist()[-4:] == [2022, 2022, None, None]
    assert found.column_names == ["region", "year", "count", "low", "high"]
    assert np.abs(np.subtract(found["count"].to_pylist(), counts)).max() <= 60


def test_every_column_of_groups_is_compared() -> None:
    with ps.embedded(TABLES, K={}, table="t", store=None, quiet=True) as fed:
        plan = he.count(fed.tables("t"), by=["region", "year"], keys=KEYS)
        needs = {(need.column, need.disclosure.value) for need in operation_of(plan.request).needs()["A"]}
        assert {("region", "comparison"), ("year", "comparison")} <= needs
        with pytest.raises(InvalidArgument, match="keys are of str"):
            he.count(fed.tables("t"), by=["region", "year"], keys=[("north", "2024")])
