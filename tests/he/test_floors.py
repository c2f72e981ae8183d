"""Groups of few rows or few parties are not told: by the rule, by the roles, and over a whole federation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pooling import answer_of, ask, in_the_clear, request_for, statistic

import privsdk as ps
from privsdk import he
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import InvalidArgument
from privsdk.he.statistics import operation as declaration
from privsdk.he.statistics.thresholds import Floors, withheld
from privsdk.protocol.operation import operation_of

WITHHELD = pytest.mark.claim(
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


def table_of(sizes: list[int]) -> pa.Table:
    """So many rows in each group, or bin, and some in none."""
    groups = [i for i, size in enumerate(sizes) for _ in range(size)]
    return pa.table(
        {
            "g": pa.array([KEYS[i] for i in groups] + ["other", None], pa.string()),
            "h": pa.array([i + 0.5 for i in groups] + [9.0, None], pa.float64()),
            "x": pa.array([*range(len(groups)), 10**6, 10**6], pa.int64()),
        }
    )


def check(name: str, sizes: list[list[int]], min_count: list[int], min_parties: list[int], caller: str) -> int:
    """That what is told keeps to the floors; returns how many groups are told."""
    answer = answer_of(
        question(name), [table_of(own) for own in sizes], min_count=min_count, min_parties=min_parties, caller=caller
    )
    told = [group for group in range(4) if answer.column(0)[group].is_valid]
    for column in answer.columns:
        assert [group for group in range(4) if column[group].is_valid] == told
    others = [own for i, own in enumerate(sizes) if f"p{i}" != caller]

    def enough(groups: list[int]) -> bool:
        rows = sum(own[g] for own in others for g in groups)
        parties = max((sum(own[g] > 0 for own in others) for g in groups), default=0)
        return rows >= max(min_count) and parties >= max(min_parties)

    assert all(enough([group]) for group in told)
    rest = [group for group in range(4) if group not in told]
    assert not rest or not told or enough(rest)  # else a total over all, less those told, would tell it
    assert not told or len(told) >= 3 or any(not enough([group]) for group in rest)  # and no more than that
    return len(told)


sizes_of = st.lists(st.lists(st.integers(0, 4) | st.just(0), min_size=4, max_size=4), min_size=1, max_size=4)


@WITHHELD
@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_told_keeps_to_the_floors(name: str, cases: Cases, data: st.DataObject) -> None:
    sizes = data.draw(sizes_of)
    floors = st.lists(st.integers(0, 6), min_size=len(sizes), max_size=len(sizes))
    min_count = [
        min(floor, sum(own) + (name != "histogram")) for floor, own in zip(data.draw(floors), sizes, strict=True)
    ]
    min_parties = [floor // 2 for floor in data.draw(floors)]
    check(name, sizes, min_count, min_parties, data.draw(st.sampled_from(["analyst", "p0"])))
    cases()


FEW = [[5, 1, 5, 5], [5, 0, 5, 0], [5, 0, 5, 0]]  # b is a single row, d one party's own
WRONG: dict[str, Callable[..., frozenset[int]]] = {
    "nothing is withheld": lambda rows, parties, floors: frozenset(),
    "parties do not count": lambda rows, parties, floors: withheld(rows, [99] * len(rows), floors),
    "rows do not count": lambda rows, parties, floors: withheld([99] * len(rows), parties, floors),
    "only small ones": lambda rows, parties, floors: frozenset(
        g for g in range(len(rows)) if rows[g] < floors.min_count or parties[g] < floors.min_parties
    ),
    "one owner's floors": lambda rows, parties, floors: withheld(rows, parties, Floors(min_count=0, min_parties=1)),
}
CASES = {"few": FEW, "one": [[5, 1, 5, 5]] * 3, "a lone row": [[5, 1, 5, 5], [5, 0, 5, 5]]}


@WITHHELD
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_rule_is_caught(wrong: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    def everything() -> None:
        for sizes in CASES.values():
            check("sum", sizes, [0] * (len(sizes) - 1) + [4], [2] + [1] * (len(sizes) - 1), "analyst")

    everything()
    monkeypatch.setattr(declaration, "withheld", WRONG[wrong])
    with pytest.raises(AssertionError):
        everything()
    cases()


def test_the_rows_of_a_contributor_who_asks_do_not_count() -> None:
    """It knows its own: what is told must not be the single other party's total, nor a single row's."""
    sizes = [[9, 9, 9, 9], [9, 9, 9, 0], [9, 9, 0, 0]]
    assert check("sum", sizes, [2, 2, 2], [1, 1, 2], "analyst") == 3 - 1  # d is p0's own; c goes with it
    answer = answer_of(question("sum"), [table_of(own) for own in sizes], min_count=2, min_parties=2, caller="p0")
    assert answer["sum 0"].is_valid().to_pylist() == [False, True, False, False]  # c and d without a are p1's alone


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=8),
    st.integers(0, 20),
    st.integers(0, 5),
)
def test_the_rule_withholds_the_smallest(groups: list[tuple[int, int]], min_count: int, min_parties: int) -> None:
    rows, parties = [n for n, _ in groups], [p for _, p in groups]
    hidden = withheld(rows, parties, Floors(min_count=min_count, min_parties=min_parties))
    below = {g for g in range(len(groups)) if rows[g] < min_count or parties[g] < min_parties}
    assert below <= hidden
    assert len(hidden - below) <= (1 if below else 0)
    assert all(rows[g] <= min(rows[other] for other in set(range(len(groups))) - below) for g in hidden - below)


def test_a_withheld_group_may_be_empty_or_small_alike() -> None:
    """Which groups are withheld does not tell whether a small one has any rows at all."""
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


def test_the_owners_policies_are_the_floors() -> None:
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
            assert "withheld    2 groups of fewer than 20 rows or 3 parties, and the next smallest" in text
            assert re.search(r"^ +b +- +-$", text, flags=re.MULTILINE)
            assert "2 groups of fewer than 20 rows" in result._repr_html_()


def test_groups_need_a_comparison_of_their_column() -> None:
    """A group's total tells what a filter on its public key would; group keys imply comparisons."""
    asked = {"sum": ("x", "g"), "histogram": ("h", "h"), "count": ("rows", "g")}
    for name, (value, by) in asked.items():
        needs = operation_of(request_for(question(name), ["p0", "p1"])).needs()
        assert [(need.column, need.disclosure) for need in needs["p1"]] == [(value, "HE operand"), (by, "comparison")]
