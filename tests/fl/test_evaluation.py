"""Scores against their definitions counted out by hand, and which of them a party withholds."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from rounding import FUNCTION, roundoff

from privsdk.fl.models.evaluation import SCORES, Groups, HeldOut, auc, calibration, evaluate, main_score
from privsdk.fl.models.network import Network, Output, Rows

Reals = npt.NDArray[np.float64]

SCORED = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=25)
ONE = Network((1, 1), Output.SIGMOID)
SLOPE = np.array([1.0, 0.0], np.float32)


def logits(p: list[float], labels: list[bool]) -> Rows:
    """Rows whose probability under SLOPE is p."""
    x = np.array([[math.log(each / (1 - each))] for each in p], np.float32)
    return Rows(x=x, y=np.array(labels, np.float32))


@pytest.mark.claim("fl: AUC counts pairs, ties for half")
def test_auc_counts_pairs(cases: Cases) -> None:
    @given(SCORED)
    def check(scored: list[tuple[float, bool]]) -> None:
        positives, negatives = ([s for s, label in scored if label == wanted] for wanted in (True, False))
        pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in product(positives, negatives)]
        found = auc(np.array([s for s, _ in scored]), np.array([label for _, label in scored]))
        assert found == pytest.approx(sum(pairs) / len(pairs) if pairs else math.nan, nan_ok=True)
        cases()

    check()


def ece(p: list[float], so: list[bool]) -> float:
    """Ten bins of equal width, the last with 1."""
    total = 0.0
    for k in range(10):
        here = [(q, s) for q, s in zip(p, so, strict=True) if k <= q * 10 < k + 1 or (k == 9 and q == 1)]
        if here:
            mean_p = sum(q for q, _ in here) / len(here)
            total += len(here) / len(p) * abs(mean_p - sum(s for _, s in here) / len(here))
    return total


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_calibration_error_is_over_ten_bins(scored: list[tuple[float, bool]]) -> None:
    p, so = [s for s, _ in scored], [label for _, label in scored]
    assert calibration(np.array(p), np.array(so)) == pytest.approx(ece(p, so), abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from([0.01, 0.3, 0.5, 0.62, 0.97]), st.booleans()), min_size=1, max_size=30))
@pytest.mark.rounding
def test_scores_of_two_classes(scored: list[tuple[float, bool]]) -> None:
    p, labels = [s for s, _ in scored], [label for _, label in scored]
    found = evaluate(ONE, SLOPE, logits(p, labels))
    assert tuple(found) == SCORES[Output.SIGMOID]
    n = len(p)
    approximately = {
        "accuracy": sum((q >= 0.5) == s for q, s in scored) / n,
        "majority": max(sum(labels), n - sum(labels)) / n,
        "log_loss": -sum(math.log(q if s else 1 - q) for q, s in scored) / n,
        "brier": sum((q - s) ** 2 for q, s in scored) / n,
        "calibration": ece(p, labels),
    }
    allowed = roundoff(FUNCTION + 2) * math.log(0.99 / 0.01)  # of the largest logit
    assert {name: found[name] for name in approximately} == pytest.approx(approximately, abs=allowed)
    assert (found["auc"] is None) == (len(set(labels)) < 2)


@given(st.integers(0, 2**32), st.integers(1, 30))
@pytest.mark.rounding
def test_scores_of_more_classes(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    network = Network((3, 4), Output.SOFTMAX)
    weights = (2 * rng.normal(size=network.size)).astype(np.float32)
    rows = Rows(x=rng.uniform(-1, 1, (count, 3)).astype(np.float32), y=rng.integers(0, 3, count))  # class 3 never
    p = network.outputs(weights, rows.x).astype(np.float64).tolist()
    y = rows.y.tolist()
    found = evaluate(network, weights, rows)
    tops = [max(range(4), key=lambda k, row=row: row[k]) for row in p]  # type: ignore[misc]
    curves = []
    for k in range(4):
        pairs = [
            (a[k] > b[k]) + (a[k] == b[k]) / 2
            for (a, i), (b, j) in product(zip(p, y, strict=True), repeat=2)
            if i == k != j
        ]
        curves += [sum(pairs) / len(pairs)] if pairs else []
    wanted = {
        "accuracy": sum(t == i for t, i in zip(tops, y, strict=True)) / count,
        "majority": max(map(y.count, y)) / count,
        "log_loss": -sum(math.log(row[i]) for row, i in zip(p, y, strict=True)) / count,
        "brier": sum(sum((row[k] - (k == i)) ** 2 for k in range(4)) for row, i in zip(p, y, strict=True)) / count,
        "calibration": ece([max(row) for row in p], [t == i for t, i in zip(tops, y, strict=True)]),
    }
    allowed = roundoff(FUNCTION + 4) * (1 + float(np.abs(weights).sum()))  # inputs are within [-1, 1]
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=allowed)
    assert found["auc"] == (pytest.approx(sum(curves) / len(curves)) if curves else None)


@pytest.mark.rounding
def test_scores_of_numbers_are_in_the_labels_unit() -> None:
    network = Network((1, 1), Output.IDENTITY)
    y = np.array([0.5, 0.0, -1.0, 0.5], np.float32)
    rows = Rows(x=np.array([[0.5], [0.25], [-0.5], [0.0]], np.float32), y=y)
    found = evaluate(network, SLOPE, rows, unit=10.0)
    errors = [0.0, 2.5, 5.0, -5.0]
    spread = float(np.var(10 * y))
    mean_square = sum(e**2 for e in errors) / 4
    assert found == pytest.approx({"rmse": math.sqrt(mean_square), "mae": 12.5 / 4, "r2": 1 - mean_square / spread})
    flat = evaluate(network, SLOPE, Rows(x=rows.x, y=np.ones(4, np.float32)))
    assert flat["r2"] is None


def marked(sizes: list[int]) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Rows of groups of these sizes, the first of none; in group g every (g + 2)nd prediction is right."""
    groups = np.repeat(np.arange(-1, len(sizes) - 1), sizes)
    right = np.array([i % (g + 2) == 0 for g, size in enumerate(sizes, -1) for i in range(size)])
    return logits([0.9] * len(groups), right.tolist()), groups


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([0, 10, 20, 30], [0, 1, 2]),
        ([0, 9, 20, 30], [2]),  # nine rows suppressed alone would follow from all less the others
        ([1, 9, 20, 30], [1, 2]),
        ([9, 10, 20, 30], [1, 2]),
        ([10, 10, 20, 30], [0, 1, 2]),
        ([0, 5, 5, 30], [2]),
        ([0, 0, 10, 30], [2]),  # an empty one might have had nine
        ([3, 0, 0, 30], []),
        ([0, 4, 4, 0], []),
        ([50, 0, 0, 0], []),
    ],
)
def test_small_groups_are_suppressed_and_do_not_follow_from_the_others(sizes: list[int], shown: list[int]) -> None:
    rows, groups = marked(sizes)
    held_out = HeldOut(ONE, rows, owners=np.arange(len(groups)), min_count=10)
    found = held_out.by_group(SLOPE, Groups(len(sizes) - 1, groups))
    assert [each.group for each in found] == shown
    for each in found:
        here = groups == each.group
        assert each.rows == here.sum()
        assert each.score == pytest.approx(rows.y[here].mean())
    hidden = len(groups) - sum(each.rows for each in found)
    assert hidden == 0 or hidden >= 10 or not found


@given(st.lists(st.integers(0, 25), min_size=2, max_size=6), st.integers(0, 2**32))
def test_what_is_suppressed_is_of_none_or_of_enough_owners(sizes: list[int], seed: int) -> None:
    rows, groups = marked(sizes)
    owners = np.random.default_rng(seed).integers(0, 60, len(groups))
    found = HeldOut(ONE, rows, owners=owners, min_count=10).by_group(SLOPE, Groups(len(sizes) - 1, groups))
    shown = [each.group for each in found]
    assert all(len(set(owners[groups == group])) >= 10 for group in shown)
    rest = set(owners[~np.isin(groups, shown)])
    assert not shown or not rest or len(rest) >= 10


def test_regression_groups_have_errors() -> None:
    rows = Rows(x=np.zeros((20, 1), np.float32), y=np.repeat(np.array([0.5, -1], np.float32), 10))
    network = Network((1, 1), Output.IDENTITY)
    held_out = HeldOut(network, rows, owners=np.arange(20), min_count=10, unit=4.0)
    found = held_out.by_group(SLOPE, Groups(2, np.repeat([0, 1], 10)))
    assert [tuple(each) for each in found] == [(0, 10, 2.0), (1, 10, 4.0)]
    assert main_score(Output.IDENTITY) == "rmse"


def test_a_curve_has_every_kth_round() -> None:
    rows, groups = marked([0, 15, 15])
    held_out = HeldOut(ONE, rows, owners=np.arange(30), min_count=10, every=2, groups=Groups(2, groups))
    for number in (0, 1, 2, 4, 5):
        held_out.look(number, SLOPE * (number - 3))
    told = held_out.told(SLOPE)
    assert [row["round"] for row in told["curve"]] == [2, 4]
    assert [row["accuracy"] for row in told["curve"]] == [
        1 - told["evaluation"]["accuracy"],
        told["evaluation"]["accuracy"],
    ]
    assert told["evaluation"]["rows"] == 30
    assert [each.group for each in told["groups"]] == [0, 1]
    silent = HeldOut(ONE, rows, owners=np.arange(30), min_count=10)
    silent.look(1, SLOPE)
    assert silent.told(SLOPE) == {**told, "curve": [], "groups": []}


@pytest.mark.parametrize("owners", [np.arange(9), np.zeros(12, np.int64)])
def test_few_held_out_rows_tell_nothing(owners: Any) -> None:
    rows, groups = marked([0, len(owners)])
    held_out = HeldOut(ONE, rows, owners=owners, min_count=10, every=1, groups=Groups(1, groups))
    held_out.look(1, SLOPE)
    assert held_out.told(SLOPE) == {"evaluation": {}, "curve": [], "groups": []}
