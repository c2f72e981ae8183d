"""What single rows must not show in: errors of private trainings, minimum counts of ids, means of few values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import fl
from privsdk.errors import DataError
from privsdk.fl.models.model import Model
from privsdk.fl.preparation import Preparation
from privsdk.fl.privacy.levels import Privacy

ROWS = 60
SEED = 1  # by which 12 rows of 11 people are of at most 8
PARTY = fl.PartyLevel(clip=1.0, noise_multiplier=3.0)
RECORD = fl.RecordLevel(clip=1.0, noise_multiplier=1.0, sampling_rate=0.2)
LOGISTIC = fl.Logistic(features={"x": (-4, 4)})
SOFTMAX = fl.Softmax(features={"x": (-4, 4)}, classes=["a", "b"])
IMAGES = fl.Logistic(features={"v": fl.Vector(2, 0, 9)})


def rows(seed: int, count: int = ROWS, **replaced: Any) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns = {
        "x": rng.normal(size=count),
        "y": rng.integers(0, 2, count),
        "kind": rng.choice(["a", "b"], count),
        "v": [[1, 2]] * count,
        "s": rng.normal(50, 10, count),
        "person": np.arange(count),
    }
    return pa.table({**columns, **replaced})


def opened(first: pa.Table, budget: ps.Budget | None = None, **others: Any) -> ps.Federation:
    parties = {"a": first, "b": rows(2, **others), "c": rows(3, **others)}
    tables: dict[str, Any] = {**{name: {"t": table} for name, table in parties.items()}, "k": {}}
    return ps.embedded(tables, store=None, budget=budget or ps.Budget(epsilon=100, delta=1e-5, exact=1000), quiet=True)


def with_one(values: list[Any], other: Any) -> list[Any]:
    return [*values[:7], other, *values[8:]]


@pytest.mark.parametrize("privacy", [PARTY, RECORD], ids=["party", "record"])
@pytest.mark.parametrize(
    ("model", "label", "replaced"),
    [
        (LOGISTIC, "y", {"y": with_one([0, 1] * 30, 7)}),
        (LOGISTIC, "y", {"y": [5] * ROWS}),  # not one row is left
        (SOFTMAX, "kind", {"kind": with_one(["a", "b"] * 30, "c")}),
        (IMAGES, "y", {"v": with_one([[1, 2]] * ROWS, [1, 2, 3])}),
        (IMAGES, "y", {"v": with_one([[1, 2]] * ROWS, None)}),
    ],
    ids=["number", "no row", "class", "length", "null"],
)
@pytest.mark.parametrize("schedule", [{"local_steps": 2}, {"local_epochs": 2}], ids=["steps", "epochs"])
def test_no_row_makes_a_private_training_fail(
    model: Model, label: str, replaced: dict[str, Any], privacy: Privacy, schedule: dict[str, Any]
) -> None:
    """Whoever chooses classes or lengths could ask by an error whether a row has another, exactly and for nothing."""
    if privacy is RECORD and "local_epochs" in schedule:
        pytest.skip("record level counts steps")
    with opened(rows(1, **replaced)) as fed:
        result = fl.fit(
            model, fed.tables("t"), label=label, rounds=2, batch_size=16, privacy=privacy, **schedule
        ).release()
        assert result.value.lost.num_rows == 0
        assert fed.budgets()["a"][0].epsilon_spent == fed.budgets()["b"][0].epsilon_spent > 0


def test_a_minimum_count_is_one_of_the_units_of_a_dataset() -> None:
    """Twelve held-out rows of fewer than ten people are too few to evaluate on, where the budget counts people."""
    people = {"person": np.arange(ROWS) % 11}
    budget = ps.Budget(exact=1000, unit=ps.Unit(id="person"))
    whole = {"person": np.arange(ROWS)}
    for given, told in ((people, [None] * 3), (whole, [12] * 3)):
        with opened(rows(1, **given), budget, **given) as fed:
            evaluation = fl.fit(LOGISTIC, fed.tables("t"), label="y", rounds=1, seed=SEED).release().value.evaluation
            assert evaluation["rows"].to_pylist() == told


def test_no_mean_is_told_of_few_values() -> None:
    """Where what is missing is filled, complete rows may hold one value in all."""
    model = fl.Logistic(features={"x": (-4, 4), "s": fl.Standardised(0, 100)}, missing="fill")
    options: dict[str, Any] = {"label": "y", "class_weights": None, "share": 0.2, "seed": (0, 0), "party": "a"}
    options |= {"clients": 3, "min_count": 10, "owners": None}
    for count in (2, 5, 9):
        few = pa.array([61.25 if row < count else None for row in range(ROWS)], pa.float64())
        with pytest.raises(DataError, match="too few values of s"):
            Preparation(model, rows(1, s=few), **options)
    enough = pa.array([61.25 if row < 30 else None for row in range(ROWS)])
    assert Preparation(model, rows(1, s=enough), **options).statistics()[1] >= 10
    with pytest.raises(DataError, match="too few values of s"):
        Preparation(model, rows(1, s=enough), **options | {"owners": np.arange(ROWS) // 4, "min_count": 12})
