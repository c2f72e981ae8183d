"""Small groups: the theorem by exact linear algebra, what each user of the rule shows, and that nobody else decides."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import privsdk
from privsdk.he.statistics.thresholds import shown_groups
from privsdk.protocol import groups
from privsdk.protocol.groups import NO_GROUP, every_part_is_large, is_large, suppressed, suppressed_of_rows

GROUPS = 4
Cells = list[tuple[int, int]]  # of each row the group, or NO_GROUP, and the unit
Rule = Callable[[Cells, int], frozenset[int]]


def arrays(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    of, units = np.array(cells, np.int64).reshape(-1, 2).T
    return of, units


def of_rows(cells: Cells, k: int) -> frozenset[int]:
    """As exact aggregates, scores and evaluations have it: from each row's group and unit."""
    return suppressed_of_rows(range(GROUPS), *arrays(cells), k)


def by_parties(cells: Cells, k: int) -> frozenset[int]:
    """As the key holder of a pooled statistic has it, from sums alone, where every unit is a party of its own."""
    whole = [[0] * (GROUPS + 1)]
    for unit in {unit for _, unit in cells}:
        whole.append([int((group, unit) in cells) for group in (*range(GROUPS), NO_GROUP)])
    shown = shown_groups([sum(column) for column in zip(*whole, strict=True)], k)
    return frozenset(group for group in range(GROUPS) if not shown[group])


def rank(rows: Sequence[tuple[int, ...]]) -> int:
    """Of a matrix over the rationals."""
    left = [[Fraction(entry) for entry in row] for row in rows]
    found = 0
    for column in range(len(left[0]) if left else 0):
        pivot = next((i for i in range(found, len(left)) if left[i][column]), None)
        if pivot is None:
            continue
        left[found], left[pivot] = left[pivot], left[found]
        for i in range(found + 1, len(left)):
            factor = left[i][column] / left[found][column]
            left[i] = [a - factor * b for a, b in zip(left[i], left[found], strict=True)]
        found += 1
    return found


def determined(cells: Cells, hidden: Collection[int], k: int) -> list[set[int]]:
    """The sets of k - 1 units of whose rows alone some combination of the shown sums and the total depends.

    Each row's value is a variable, with a column of coefficients in the shown figures. Some combination of these is
    zero on all other rows and not on theirs exactly where the columns of the others are of a lower rank.
    """
    shown = [group for group in range(GROUPS) if group not in hidden]
    columns = [((1, *(int(of == group) for group in shown)), unit) for of, unit in cells]
    whole, units = rank(sorted({column for column, _ in columns})), {unit for _, unit in cells}
    few = combinations(sorted(units), min(k - 1, len(units)))
    return [set(own) for own in few if rank(sorted({c for c, unit in columns if unit not in own})) < whole]


@st.composite
def tables(draw: st.DrawFn, k: int) -> Cells:
    """Groups, and rows of none, that have no units, some of the same few ones, or k or more of their own."""
    cells: Cells = []
    for group in range(NO_GROUP, GROUPS):
        own = range(100 * group + 200, 100 * group + 200 + draw(st.sampled_from([0, 0, k, k + 1])))
        few = draw(st.lists(st.integers(0, k), max_size=k))
        cells += [(group, unit) for unit in (*own, *few)]
    return draw(st.permutations(cells))


drawn = st.integers(2, 4).flatmap(lambda k: st.tuples(tables(k), st.just(k))).filter(lambda case: bool(case[0]))


@pytest.mark.claim("small groups: no set of shown figures determines a sum over 1 to k-1 units")
@pytest.mark.parametrize("rule", [of_rows, by_parties])
@settings(max_examples=5 * settings.default.max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=drawn)
def test_no_set_of_shown_figures_determines_a_sum_over_few_units(
    rule: Rule, case: tuple[Cells, int], cases: Cases
) -> None:
    cells, k = case
    hidden = rule(cells, k)
    if len({unit for _, unit in cells}) < k:
        assert hidden == set(range(GROUPS))  # and no user of the rule shows the total
    else:
        assert determined(cells, hidden, k) == []
    cases()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data(), st.integers(0, 4))
def test_every_part_is_large_is_what_all_parts_say(units: list[int], data: st.DataObject, k: int) -> None:
    rows = data.draw(st.integers(1, len(units)))
    parts = combinations(units, rows)
    assert every_part_is_large(np.array(units), rows, k) == all(len(set(part)) >= max(1, k) for part in parts)


LONE = [(0, unit) for unit in range(4)] + [(1, unit) for unit in range(4, 8)]  # two groups of four units each
CASES: dict[str, Cells] = {
    "a group of one": [*LONE, (2, 8), (3, 8), (3, 9), (3, 10), (3, 11)],
    "a row of no group": [
        *LONE,
        *[(2, unit) for unit in range(8, 12)],
        *[(3, unit) for unit in range(12, 16)],
        (-1, 16),
    ],
    "many rows of one": [*LONE, (2, 8), (2, 8), (2, 8), (2, 8), (3, 9), (3, 9), (3, 9)],
}


def only_small_ones(cells: Cells, k: int) -> frozenset[int]:
    return frozenset(g for g in range(GROUPS) if len({unit for of, unit in cells if of == g}) < k)


def rows_for_units(cells: Cells, k: int) -> frozenset[int]:
    return of_rows([(of, i) for i, (of, _) in enumerate(cells)], k)


@pytest.mark.parametrize("wrong", [only_small_ones, rows_for_units])
def test_the_check_finds_a_wrong_rule(wrong: Rule) -> None:
    assert all(determined(cells, of_rows(cells, 3), 3) == [] for cells in CASES.values())
    assert any(determined(cells, wrong(cells, 3), 3) for cells in CASES.values())


@given(case=drawn)
def test_it_suppresses_the_small_and_at_most_the_smallest_other(case: tuple[Cells, int]) -> None:
    cells, k = case
    sizes = {group: len({unit for of, unit in cells if of == group}) for group in range(GROUPS)}
    small = {group for group in range(GROUPS) if sizes[group] < k}
    hidden = of_rows(cells, k)
    assert small <= hidden
    more, shown = hidden - small, set(range(GROUPS)) - hidden
    assert len(more) <= 1
    assert all(sizes[group] <= sizes[other] for group in more for other in shown)
    if not small and NO_GROUP not in {of for of, _ in cells}:
        assert not hidden


def test_groups_without_rows_and_thresholds_of_one() -> None:
    of, units = arrays([(0, 0), (0, 1), (1, 2), (1, 3), (1, 4)])
    assert suppressed_of_rows(range(3), of, units, 2) == {0, 2}  # as if one unit were in the third
    assert suppressed_of_rows(range(2), of, units, 2) == set()
    assert suppressed_of_rows(range(3), of, units, 1) == set()
    assert suppressed_of_rows(range(2), *arrays([]), 2) == {0, 1}
    assert not is_large(np.array([3, 3, 3]), 2)


# Whose answers are by group, and that the rule alone decides what they show


def exact(sizes: Sequence[int]) -> list[bool]:
    """An exact count by group."""
    import pyarrow as pa

    from privsdk.exact.owner import aggregate

    labels = np.repeat(np.arange(len(sizes)), sizes)
    given = input_of(pa.table({"g": labels}))
    keep = np.ones(len(labels), np.bool_)
    answer = aggregate(
        given, "count", None, keep=keep, by=[("g", given.table["g"])], min_count=given.min_count, most_groups=4096
    )
    return [group in answer.table["g"].to_pylist() for group in range(len(sizes))]


def statistic(sizes: Sequence[int]) -> list[bool]:
    """A contributor's part of a pooled count by group."""
    import pyarrow as pa

    from privsdk.he.statistics.statistic import Statistic
    from privsdk.he.statistics.totals import contribution
    from privsdk.testing import together

    asked = Statistic(name="count", max_rows=99, by="g", keys=tuple(range(len(sizes))))
    given = input_of(pa.table({"g": np.repeat(np.arange(len(sizes)), sizes)}))
    return [bool(total) for total in together({"p": contribution(given, asked)})["p"][0].totals[0]]


def scores(sizes: Sequence[int]) -> list[bool]:
    """Rows by interval of their score."""
    import pyarrow as pa

    from privsdk.he.scoring.ends import ScoreParameters, disclosed

    edges = tuple(float(edge) for edge in range(len(sizes) + 1))
    parameters = ScoreParameters(
        features=(("x", 9.0),), weight_bound=1.0, link="identity", edges=edges, label=None, error=1e-6
    )
    found = np.repeat(np.arange(len(sizes)) + 0.5, sizes)
    given = input_of(pa.table({"x": found}))
    answer = disclosed(given, parameters, np.arange(len(found)), found, None)
    return answer.table["rows"].is_valid().to_pylist()


def evaluation(sizes: Sequence[int]) -> list[bool]:
    """Scores of a model by group."""
    from privsdk.fl.models.evaluation import Groups, HeldOut
    from privsdk.fl.models.network import Network, Output, Rows

    of = np.repeat(np.arange(len(sizes)), sizes)
    rows = Rows(x=np.zeros((len(of), 1), np.float32), y=np.zeros(len(of), np.float32))
    weights = np.zeros(2, np.float32)
    held_out = HeldOut(Network((1, 1), Output.IDENTITY), rows, np.arange(len(of)), MIN_COUNT)
    found = held_out.by_group(weights, Groups(len(sizes), of))
    return [group in [each.group for each in found] for group in range(len(sizes))]


MIN_COUNT = 5
USERS = (exact, statistic, scores, evaluation)


def input_of(table: Any) -> Any:
    from privsdk.protocol.operation import Request, RoleInput
    from privsdk.protocol.services import UNGUARDED
    from privsdk.testing import SeededEntropy

    request = Request(run_id="r", operation="x", caller="c", purpose="p", parties=("a",), operands={}, parameters={})
    return RoleInput(
        request=request,
        party="a",
        session=b"",
        table=table,
        keys=None,
        min_count=MIN_COUNT,
        entropy=SeededEntropy(b""),
        services=UNGUARDED,
    )


@pytest.mark.claim("small groups: whoever answers by group suppresses a small one, and what it would follow from")
@pytest.mark.parametrize("user", USERS)
def test_a_small_group_that_is_added_is_suppressed(user: Callable[[Sequence[int]], list[bool]], cases: Cases) -> None:
    assert user([9, 20, 8]) == [True, True, True]
    for small in range(1, MIN_COUNT):
        assert user([9, 20, 8, small]) == [True, True, False, False]
        cases()


@pytest.mark.parametrize("user", USERS)
def test_the_rule_alone_decides_what_is_shown(
    user: Callable[[Sequence[int]], list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def anything(groups: Iterable[int], *_: Any) -> frozenset[int]:
        return frozenset(group for group in groups if group % 2)

    import privsdk.he.statistics.thresholds

    for module in (groups, privsdk.he.statistics.thresholds):
        monkeypatch.setattr(module, "suppressed", anything)
    assert user([9, 20, 8, 1]) == [True, False, True, False]


def test_nobody_else_compares_with_a_minimum_count() -> None:
    """Where a module compares something with a `min_count` or `min_parties`, it may be deciding what is small."""
    allowed = {
        "governance/policy.py",  # a grant's own minimum is at least 2
        "party/policy.py",  # how many contributors a request has
        "he/columns/arrow.py",  # an owner's own demand is at least 1
        "he/columns/encrypt.py",
        "he/columns/reveal.py",  # whose values are in an encrypted column
        "he/statistics/thresholds.py",  # in which sense groups are large by sums: the rule is told
        "psi/protocols/terms.py",  # how many keys a partner brings
    }
    root = Path(privsdk.__file__).parent
    comparing = set()
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare):
                named = {getattr(each, "attr", getattr(each, "id", "")) for each in ast.walk(node)}
                if named & {"min_count", "min_parties"}:
                    comparing.add(str(file.relative_to(root)))
    assert comparing == allowed | {"protocol/groups.py"}
    assert suppressed.__module__ == "privsdk.protocol.groups"
