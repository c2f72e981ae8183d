"""Groups of few rows or few parties are not told: by the rule, by the roles, and over a whole federation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pooling import answer_of, ask, in_the_clear, request_for, statistic

import privsdk as ps
from privsdk import he
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import DataError, InvalidArgument
from privsdk.he.statistics import operation as declaration
from privsdk.he.statistics.thresholds import Thresholds, suppressed_groups
from privsdk.protocol.operation import operation_of

SUPPRESSED = pytest.mark.claim(
    "he: no group of fewer rows or parties than any owner asks for is told, nor follows from a total"
)
KEYS = ("a", "b", "c", "d")
NAMES = ("count", "sum", "mean", "variance", "histogram")


@pytest.fixture(autouse=True)
def clear() -> Iterator[None]:
    with in_the_clear():
        yield


def question(name: str) -> Any:
    if name == "histogram":
        return statistic("histogram", ["h"], edges=(0.0, 1.0, 2.0, 3.0, 4.0))
    return statistic(name, [] if name == "count" else ["x"], integers=True, by="g", keys=KEYS)


def table_of(sizes: list[int], outside: int = 0, each: int = 1) -> pa.Table:
    """So many rows in each group, or bin, and in none; `each` rows have one id, which may be in two groups."""
    groups = [i for i, size in enumerate(sizes) for _ in range(size)]
    other = ["other", None] * outside
    return pa.table(
        {
            "g": pa.array([KEYS[i] for i in groups] + other[:outside], pa.string()),
            "h": pa.array([i + 0.5 for i in groups] + [9.0] * outside, pa.float64()),
            "x": pa.array([*range(len(groups)), *[10**6] * outside], pa.int64()),
            "id": pa.array([i // each for i in range(len(groups) + outside)], pa.int64()),
        }
    )


Parts = list[list[set[Any]]]  # of each party, the units in each group, and last in none


def parts_of(tables: list[pa.Table], ids: str) -> Parts:
    def units(party: int, table: pa.Table, label: str | None) -> set[Any]:
        rows = [i for i, g in enumerate(table["g"].to_pylist()) if (g if g in KEYS else None) == label]
        return {(party, table[ids][i].as_py() if ids else i) for i in rows}

    return [[units(i, table, label) for label in (*KEYS, None)] for i, table in enumerate(tables)]


def check(
    name: str,
    tables: list[pa.Table],
    min_count: list[int],
    min_parties: list[int],
    caller: str = "analyst",
    ids: str = "",
) -> list[int]:
    """That what is shown keeps to the thresholds; returns the groups that are."""
    answer = answer_of(question(name), tables, min_count=min_count, min_parties=min_parties, caller=caller, ids=ids)
    shown = [group for group in range(4) if answer.column(0)[group].is_valid]
    for column in answer.columns:
        assert [group for group in range(4) if column[group].is_valid] == shown
    others = [units for i, units in enumerate(parts_of(tables, ids)) if f"p{i}" != caller]

    def enough(groups: list[int]) -> bool:
        units = {unit for own in others for group in groups for unit in own[group]}
        parties = sum(any(own[group] for group in groups) for own in others)
        return len(units) >= max(min_count) and parties >= max(min_parties)

    assert all(enough([group]) for group in shown)
    rest = [group for group in range(4) if group not in shown]
    rest += [4] if any(own[4] for own in others) else []
    assert not rest or not shown or enough(rest)  # else a total over all, less those shown, would tell it
    assert len(rest) - (4 in rest) <= 1 + sum(not enough([group]) for group in range(4))  # and one more at most
    return shown


sizes_of = st.lists(st.lists(st.integers(0, 4) | st.just(0), min_size=4, max_size=4), min_size=1, max_size=4)


@SUPPRESSED
@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_shown_keeps_to_the_thresholds(name: str, cases: Cases, data: st.DataObject) -> None:
    sizes = data.draw(sizes_of)
    ids, each = data.draw(st.sampled_from([("", 1), ("id", 1), ("id", 2), ("id", 3)]))
    tables = [table_of(own, data.draw(st.sampled_from([0, 0, 1, 5])), each) for own in sizes]
    thresholds = st.lists(st.integers(0, 6), min_size=len(sizes), max_size=len(sizes))
    whole = [len(set().union(*units)) for units in parts_of(tables, ids)]
    min_count = [min(drawn, most) for drawn, most in zip(data.draw(thresholds), whole, strict=True)]
    min_parties = [drawn // 2 for drawn in data.draw(thresholds)]
    check(name, tables, min_count, min_parties, data.draw(st.sampled_from(["analyst", "p0"])), ids)
    cases()


FEW = [[5, 1, 5, 5], [5, 0, 5, 0], [5, 0, 5, 0]]  # b is a single row, d one party's own
CASES = {
    "few": ([table_of(own) for own in FEW], ""),
    "one": ([table_of([5, 1, 5, 5])] * 3, ""),
    "a lone row": ([table_of([5, 1, 5, 5]), table_of([5, 0, 5, 5])], ""),
    "a row of no group": ([table_of([5, 5, 5, 5], outside=1)] * 2, ""),
    "units": ([table_of([6, 4, 9, 9], each=3)] * 2, "id"),
    "a unit in two groups": ([table_of([8, 8, 1, 1], each=2)] * 2, "id"),
}
Rule = Callable[[list[int], list[int], Thresholds], frozenset[int]]


def changed(thresholds: Thresholds, **fields: Any) -> Thresholds:
    return msgspec.structs.replace(thresholds, **fields)


WRONG: dict[str, Rule] = {
    "nothing is suppressed": lambda units, parties, t: frozenset(),
    "parties do not count": lambda units, parties, t: suppressed_groups(units, [99] * len(units), t),
    "units do not count": lambda units, parties, t: suppressed_groups([99] * len(units), parties, t),
    "only small ones": lambda units, parties, t: frozenset(
        g for g in range(len(units) - 1) if units[g] < t.min_count or parties[g] < t.min_parties
    ),
    "one owner's thresholds": lambda units, parties, t: suppressed_groups(
        units, parties, changed(t, min_count=0, min_parties=1)
    ),
    "rows of no group do not count": lambda units, parties, t: suppressed_groups([*units[:-1], 0], parties, t),
    "units in two groups count twice": lambda units, parties, t: suppressed_groups(
        units, parties, changed(t, overlapping=False)
    ),
}


@SUPPRESSED
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_rule_is_caught(wrong: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    def everything() -> None:
        for tables, ids in CASES.values():
            check("sum", tables, [0] * (len(tables) - 1) + [4], [2] + [1] * (len(tables) - 1), ids=ids)

    everything()
    monkeypatch.setattr(declaration, "suppressed_groups", WRONG[wrong])
    with pytest.raises(AssertionError):
        everything()
    cases()


def test_the_rows_of_a_contributor_who_asks_do_not_count() -> None:
    """It knows its own: what is shown must not be the single other party's total, nor a single row's."""
    tables = [table_of(own) for own in ([9, 9, 9, 9], [9, 9, 9, 0], [9, 9, 0, 0])]
    assert check("sum", tables, [2, 2, 2], [1, 1, 2]) == [0, 1]  # d is p0's own; c goes with it
    answer = answer_of(question("sum"), tables, min_count=2, min_parties=2, caller="p0")
    assert answer["sum 0"].is_valid().to_pylist() == [False, True, False, False]  # c and d without a are p1's alone


def test_units_are_counted_and_not_their_rows() -> None:
    """Twelve rows of three customers are a small group."""
    table = table_of([12, 60, 60, 60], each=4)
    assert check("sum", [table], [10], [1]) == [0, 1, 2, 3]
    assert check("sum", [table], [10], [1], ids="id") == [2, 3]
    with pytest.raises(DataError, match="p0 has fewer values in x than its minimum count of 50"):
        answer_of(question("sum"), [table], min_count=50, ids="id")


def test_a_suppressed_group_may_be_empty_or_small_alike() -> None:
    """Which groups are suppressed does not tell whether a small one has any rows at all."""
    patterns = set()
    for few in range(4):
        answer = ask(question("sum"), [table_of([9, few, 8, 9]), table_of([9, 0, 9, 9])], min_count=8, min_parties=2)
        patterns.add(tuple(answer["sum"].is_valid().to_pylist()))
        assert answer.schema.metadata[b"withheld_groups"] == b"2"
    assert patterns == {(True, False, False, True)}


def test_the_caller_cannot_hold_the_key_of_groups() -> None:
    """It would see the totals that the key holder keeps to itself."""
    table = table_of([5, 5, 5, 5])
    with pytest.raises(InvalidArgument, match="k asks for groups and holds the key") as refused:
        answer_of(question("sum"), [table], caller="k")
    assert "choose another key_holder" in refused.value.hint
    assert ask(statistic("sum", ["x"], integers=True), [table], caller="k").value > 0


def test_the_owners_policies_are_the_thresholds() -> None:
    """Over a federation: every owner's minimum count and min_parties, whatever the others ask for."""
    tables = {name: table_of([40, 4, 9, 40]) for name in ("north", "south", "east")}
    tables["east"] = table_of([40, 4, 0, 40])
    strict = ps.Policy(
        operations=("*",),
        grants=(ps.Grant(table="*", columns={"*": ("HE operand", "comparison")}, min_count=20),),
        min_parties=3,
    )
    for owner in tables:
        policy = {**dict.fromkeys([*tables, "notary"], WORKSHOP_POLICY), owner: strict}
        with ps.embedded({**tables, "notary": {}}, policy=policy, store=None, quiet=True) as fed:
            result = he.sum(fed.tables("table"), "x", by="g", keys=KEYS).release()
            assert result.value["sum"].is_valid().to_pylist() == [True, False, False, True]
            text = repr(result)
            assert "suppressed  2 groups of fewer than 20 rows or 3 parties, and the next smallest" in text
            assert re.search(r"^ +b +- +-$", text, flags=re.MULTILINE)
            assert "2 groups of fewer than 20 rows" in result._repr_html_()


def test_groups_need_a_comparison_of_their_column() -> None:
    """A group's total tells what a filter on its public key would; group keys imply comparisons."""
    asked = {"sum": ("x", "g"), "histogram": ("h", "h"), "count": ("rows", "g")}
    for name, (value, by) in asked.items():
        needs = operation_of(request_for(question(name), ["p0", "p1"])).needs()
        assert [(need.column, need.disclosure) for need in needs["p1"]] == [(value, "HE operand"), (by, "comparison")]
