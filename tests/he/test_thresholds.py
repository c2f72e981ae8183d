"""Groups of few rows or few parties are not told: by the rule, by the roles, and over a whole federation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pooling import CheckedSum, answer_of, ask, in_the_clear, request_for, statistic

import privsdk as ps
from privsdk import he
from privsdk.crypto.sums.base import Totals
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import DataError, InvalidArgument
from privsdk.he.statistics import operation as declaration
from privsdk.he.statistics import totals
from privsdk.he.statistics.statistic import Statistic
from privsdk.he.statistics.thresholds import shown_groups
from privsdk.he.statistics.totals import PartTotals
from privsdk.protocol.groups import suppressed_of_rows
from privsdk.protocol.operation import RoleInput, operation_of
from privsdk.protocol.roles import Role

SUPPRESSED = pytest.mark.claim(
    "he: no sum of an owner's few units or of few parties is told by group, to anyone, nor follows from a total"
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
    parts: dict[str, PartTotals] = {}
    made = totals.contribution

    def recorded(given: RoleInput, asked: Statistic) -> Role[list[PartTotals]]:
        found = yield from made(given, asked)
        (parts[given.party],) = found
        return found

    with mock.patch.object(declaration, "contribution", recorded):
        answer = answer_of(question(name), tables, min_count=min_count, min_parties=min_parties, caller=caller, ids=ids)
    shown = [group for group in range(4) if answer.column(0)[group].is_valid]
    for number, column in enumerate(answer.columns):
        for group in range(4):
            total = sum(part.totals[number][group] for part in parts.values())
            assert column[group].as_py() == (str(total) if group in shown else None)
    present = []  # by party that is not the caller: the groups in which it has a part
    outside = []  # and whether it has rows in no shown one
    for i, units in enumerate(parts_of(tables, ids)):
        part, least = parts[f"p{i}"], min_count[i]
        own = {group for group in range(4) if part.present[group]}
        left_out = set().union(*(units[group] for group in range(5) if group not in own))
        assert all(len(units[group]) >= max(1, least) for group in own)
        assert not left_out or len(left_out) >= least  # else its whole total, less those, would tell
        assert all(part.totals[n][group] == 0 for n in range(len(part.totals)) for group in set(range(4)) - own)
        large = [group for group in range(4) if len(units[group]) >= max(1, least)]
        assert len(set(large) - own) <= 1  # and one more at most
        assert part.present[4] == bool(left_out)
        if f"p{i}" != caller:
            present.append(own)
            outside.append(bool(left_out))
    least = max(min_parties)
    counts = [sum(group in own for own in present) for group in range(4)]
    assert all(counts[group] >= least for group in shown)
    rest = [group for group in range(4) if group not in shown]
    beyond = sum(bool(own - set(shown)) or out for own, out in zip(present, outside, strict=True))
    assert not beyond or not shown or beyond >= least  # else a total over all, less those shown, would be of few
    assert len(rest) <= 1 + sum(count < least for count in counts)  # and one more at most
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
    "one party's rows of no group": ([table_of([5, 5, 5, 5], outside=5), table_of([5, 5, 5, 5])], ""),
    "units": ([table_of([6, 4, 9, 9], each=3)] * 2, "id"),
    "a unit in two groups": ([table_of([8, 8, 1, 1], each=2)] * 2, "id"),
}
OF_PARTIES: dict[str, Callable[[list[int], int], list[bool]]] = {
    "every group is shown": lambda parties, least: [True] * (len(parties) - 1),
    "the smallest is shown beside too few others": lambda parties, least: [number >= least for number in parties[:-1]],
    "one owner's number of parties": lambda parties, least: shown_groups(parties, 1),
    "rows of no group do not count": lambda parties, least: shown_groups([*parties[:-1], 0], least),
}
OF_UNITS: dict[str, Callable[..., frozenset[int]]] = {
    "nothing is left out": lambda groups, of, units, least: frozenset(),
    "one is as many as the minimum": lambda groups, of, units, least: suppressed_of_rows(groups, of, units, 2),
    "only small groups": lambda groups, of, units, least: frozenset(
        group for group in groups if len(set(units[of == group].tolist())) < least
    ),
    "rows count for units": lambda groups, of, units, least: suppressed_of_rows(groups, of, np.arange(len(of)), least),
    "rows of no group do not count": lambda groups, of, units, least: suppressed_of_rows(
        groups, of[of >= 0], units[of >= 0], least
    ),
}


@SUPPRESSED
@pytest.mark.parametrize("wrong", [*OF_PARTIES, *OF_UNITS])
def test_a_wrong_rule_is_caught(wrong: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    def everything() -> None:
        for tables, ids in CASES.values():
            check("sum", tables, [0] * (len(tables) - 1) + [4], [2] + [1] * (len(tables) - 1), ids=ids)
            check("sum", tables, [4] * len(tables), [1] * len(tables), ids=ids)

    everything()
    if wrong in OF_PARTIES:
        monkeypatch.setattr(declaration, "shown_groups", OF_PARTIES[wrong])
    if wrong in OF_UNITS:
        monkeypatch.setattr(totals, "suppressed_of_rows", OF_UNITS[wrong])
    with pytest.raises(AssertionError):
        everything()
    cases()


def test_the_rows_of_a_contributor_who_asks_do_not_count() -> None:
    """It knows its own: what is shown must not be the single other party's total, nor a single row's."""
    two, three = [table_of([9, 9, 9, 9])] * 2, [table_of([9, 9, 9, 9])] * 3
    assert check("sum", two, [6, 6], [2, 2]) == check("sum", three, [6, 6, 6], [2, 2, 2], "p0") == [0, 1, 2, 3]
    assert check("sum", two, [6, 6], [2, 2], "p0") == []


def test_what_each_leaves_out_is_in_no_total() -> None:
    """p1 leaves out d, and a with it, as 3 units would follow from its total; p2 leaves out c and d, 6 together."""
    tables = [table_of(own) for own in ([9, 9, 9, 9], [9, 9, 9, 3], [9, 9, 3, 3])]
    assert check("count", tables, [6, 6, 6], [1, 1, 2]) == [0, 1, 2]  # d would be p0's alone
    answer = answer_of(question("count"), tables, min_count=6, min_parties=2)
    assert answer["rows"].to_pylist() == ["18", "27", "18", None]


def test_units_are_counted_and_not_their_rows() -> None:
    """Twelve rows of three customers are a small group."""
    table = table_of([12, 60, 60, 60], each=4)
    assert check("sum", [table], [10], [1]) == [0, 1, 2, 3]
    assert check("sum", [table], [10], [1], ids="id") == [2, 3]
    with pytest.raises(DataError, match="p0 has fewer values in x than its minimum count of 50"):
        answer_of(question("sum"), [table], min_count=50, ids="id")


def test_a_group_left_out_may_be_empty_or_small_alike() -> None:
    """Which groups are shown does not tell whether a small one of a party has any rows at all."""
    patterns = set()
    for few in range(4):
        answer = ask(question("sum"), [table_of([9, few, 8, 9])] * 2, min_count=8, min_parties=2)
        patterns.add(tuple(answer["sum"].is_valid().to_pylist()))
        assert answer.schema.metadata[b"withheld_groups"] == b"2"
    assert patterns == {(True, False, False, True)}


def test_the_caller_cannot_hold_the_key_of_groups() -> None:
    """It would see how many parties have a part in each."""
    table = table_of([5, 5, 5, 5])
    with pytest.raises(InvalidArgument, match="k asks for groups and holds the key") as refused:
        answer_of(question("sum"), [table], caller="k")
    assert "choose another key_holder" in refused.value.hint
    assert ask(statistic("sum", ["x"], integers=True), [table], caller="k").value > 0


def test_the_owners_policies_are_the_thresholds() -> None:
    """Over a federation: every owner's minimum count and min_parties, whatever the others ask for."""
    tables = {name: table_of([60, 9, 12, 60]) for name in ("north", "south", "east")}
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
            assert "suppressed  2 groups in which fewer than 3 parties have a part" in text
            assert "left out    at each party its groups of fewer units than its minimum count" in text
            assert re.search(r"^ +b +- +-$", text, flags=re.MULTILINE)
            assert "2 groups in which fewer than 3" in result._repr_html_()


@SUPPRESSED
@pytest.mark.attack(
    "a contributor who asks, or the key holder, reads groups of single rows of another", "60 rows of 60", "none"
)
@pytest.mark.parametrize("caller", ["analyst", "p0", "p1"])
def test_nobody_reads_single_rows_off_the_groups(caller: str, cases: Cases) -> None:
    """Every group is a single row of p0, and p1 has as many made-up rows of each as thresholds ask for: what the caller
    is shown, and what the key holder opens, has nothing of p0's rows in it."""
    rng = np.random.default_rng(5)
    names = [f"c{i}" for i in range(60)]
    secret = rng.integers(1, 10**5, 60)
    p0 = pa.table({"g": names, "x": secret})
    p1 = pa.table({"g": np.repeat(names, 10), "x": np.zeros(600, np.int64)})
    asked = statistic("sum", ["x"], integers=True, by="g", keys=tuple(names))
    opened: dict[str, list[int]] = {}
    collect = CheckedSum.collect

    def kept(self: CheckedSum, name: str, *given: Any) -> Role[Totals]:
        totals = yield from collect(self, name, *given)
        opened[name] = [int(number) for number in totals.sums]
        return totals

    for tables in ([p0, p1], [p0, p1, p1]):
        with mock.patch.object(CheckedSum, "collect", kept):
            answer = answer_of(asked, tables, min_count=10, min_parties=1, caller=caller)
        assert set(answer["sum 0"].to_pylist()) <= {"0", None}
        assert opened["parties"] == [len(tables) - 1 - (caller == "p1")] * 60 + [int(caller != "p0")]
        assert opened["totals"] == [0] * 60
        cases.gains(f"{sum(number in secret for number in opened['totals'])} rows of 60")
        cases(60)


@SUPPRESSED
def test_the_key_holder_opens_no_total_that_the_caller_is_not_shown(cases: Cases) -> None:
    opened: dict[str, list[int]] = {}
    collect = CheckedSum.collect

    def kept(self: CheckedSum, name: str, *given: Any) -> Role[Totals]:
        totals = yield from collect(self, name, *given)
        opened[name] = [int(number) for number in totals.sums]
        return totals

    with mock.patch.object(CheckedSum, "collect", kept):
        for name in NAMES:
            for tables, ids in CASES.values():
                shown = check(name, tables, [4] * len(tables), [2] + [1] * (len(tables) - 1), ids=ids)
                assert set(opened) == {"parties", "totals"}
                assert not any(total for at, total in enumerate(opened["totals"]) if at % 4 not in shown)
                cases()


def test_groups_need_a_comparison_of_their_column() -> None:
    """A group's total tells what a filter on its public key would; group keys imply comparisons."""
    asked = {"sum": ("x", "g"), "histogram": ("h", "h"), "count": ("rows", "g")}
    for name, (value, by) in asked.items():
        needs = operation_of(request_for(question(name), ["p0", "p1"])).needs()
        assert [(need.column, need.disclosure) for need in needs["p1"]] == [(value, "HE operand"), (by, "comparison")]
