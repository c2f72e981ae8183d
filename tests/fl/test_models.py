"""Logistic regression: loss, gradient and evaluation against other ways to compute them, and what rows take part."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk.errors import DataError, InvalidArgument
from privsdk.fl import Logistic
from privsdk.fl.models import Rows, complete_rows, evaluate, mean_gradient, mean_loss, probabilities

MODEL = Logistic(features={"x": (0.0, 10.0), "on": (0.0, 1.0)})


def rows_of(seed: int, count: int = 40, size: int = 4) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(x=rng.uniform(-1, 1, (count, size)), y=rng.integers(0, 2, count).astype(float))


@given(st.integers(0, 2**32), st.floats(0.01, 30))
def test_the_gradient_is_the_derivative_of_the_loss(seed: int, scale: float) -> None:
    rows, step = rows_of(seed), 1e-5
    weights = scale * np.random.default_rng(seed + 1).normal(size=4)
    differences = [
        (mean_loss(weights + step * unit, rows) - mean_loss(weights - step * unit, rows)) / (2 * step)
        for unit in np.eye(4)
    ]
    assert mean_gradient(weights, rows) == pytest.approx(differences, abs=1e-7)


@given(st.integers(0, 2**32))
def test_the_loss_is_the_negative_log_likelihood(seed: int) -> None:
    rows, weights = rows_of(seed), np.random.default_rng(seed).normal(size=4)
    p = 1 / (1 + np.exp(-(rows.x @ weights)))
    likelihood = [math.log(q if y else 1 - q) for q, y in zip(p, rows.y, strict=True)]
    assert mean_loss(weights, rows) == pytest.approx(-sum(likelihood) / len(rows), rel=1e-12)
    assert probabilities(weights, rows.x) == pytest.approx(p, rel=1e-12)


def test_large_margins_do_not_overflow() -> None:
    rows = Rows(x=np.array([[1.0], [-1.0]]), y=np.array([0.0, 1.0]))
    assert mean_loss(np.array([1e300]), rows) == pytest.approx(1e300)
    assert probabilities(np.array([1e300]), rows.x).tolist() == [1.0, 0.0]


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.booleans()), min_size=1, max_size=25))
def test_auc_counts_pairs(scored: list[tuple[float, bool]]) -> None:
    logits = np.array([[score] for score, _ in scored])
    rows = Rows(x=logits, y=np.array([float(label) for _, label in scored]))
    positives, negatives = ([s for s, label in scored if label == wanted] for wanted in (True, False))
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in product(positives, negatives)]
    result = evaluate(np.array([1.0]), rows)
    assert result["auc"] == pytest.approx(sum(pairs) / len(pairs) if pairs else math.nan, nan_ok=True)
    assert result["majority"] == pytest.approx(max(len(positives), len(negatives)) / len(scored))
    assert result["accuracy"] == pytest.approx(sum((s >= 0) == label for s, label in scored) / len(scored))


def test_rows_with_null_or_nan_are_left_out_and_values_are_clipped_to_their_range() -> None:
    table = pa.table(
        {
            "label": [True, False, None, True, False, True],
            "on": [True, None, True, False, True, False],
            "x": [0.0, 1.0, 2.0, math.nan, 7.5, math.inf],
            "other": [None] * 6,
        }
    ).drop_columns("other")
    rows = complete_rows(MODEL, table, "label", party="north")
    assert rows.x.tolist() == [[-1.0, 1.0, 1.0], [0.5, 1.0, 1.0], [1.0, -1.0, 1.0]]
    assert rows.y.tolist() == [1.0, 0.0, 1.0]
    empty = complete_rows(MODEL, table.slice(0, 0), "label", party="north")
    assert empty.x.shape == (0, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": [0, 1, 4711]}, "north's label label holds other values than 0 and 1"),
        ({"label": [0.0, 1.0, 0.4711]}, "north's label label holds other values than 0 and 1"),
        ({"label": ["4711", "b", "c"]}, "north's label is string"),
        ({"x": ["4711", "b", "c"]}, "north's x is string"),
        ({"on": pa.array([4711, 1, 2], pa.timestamp("s"))}, r"north's on is timestamp\[s\]"),
    ],
)
def test_unusable_columns_are_an_error_without_the_value(changes: dict[str, Any], reason: str) -> None:
    table = pa.table({"label": [True, False, True], "x": [1, 2, 3], "on": [1, 0, 1]} | changes)
    with pytest.raises(DataError, match=reason) as raised:
        complete_rows(MODEL, table, "label", party="north")
    assert "4711" not in str(raised.value)


@pytest.mark.parametrize("features", [{}, {"x": (1.0, 1.0)}, {"x": (2.0, 1.0)}, {"x": (0.0, math.inf)}])
def test_models_without_usable_features_are_refused(features: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(InvalidArgument):
        Logistic(features=features)
