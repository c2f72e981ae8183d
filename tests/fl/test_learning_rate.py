"""The default step size of models of one layer lowers the loss in every round, and a loss that rises is said."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

from privsdk import fl

FEATURES = 85


def table(kind: str, seed: int, rows: int = 60) -> pa.Table:
    """Inputs as far out as they can be, the same in all columns but for the last: where curvature is greatest."""
    rng = np.random.default_rng([5, seed])
    x, label = rng.choice([-1.0, 1.0], rows), rng.integers(0, 3, rows)
    columns: dict[str, Any] = {f"x{n}": x for n in range(FEATURES - 1)} | {"x": rng.choice([-1.0, 1.0], rows)}
    columns["y"] = {"logistic": label > 0, "softmax": label, "linear": label.astype(float)}[kind]
    return pa.table(columns)


RANGES: dict[str, Any] = {**{f"x{n}": (-1, 1) for n in range(FEATURES - 1)}, "x": (-1, 1)}
MODELS: dict[str, Any] = {
    "logistic": fl.Logistic(features=RANGES),
    "softmax": fl.Softmax(features=RANGES, classes=[0, 1, 2]),
    "linear": fl.Linear(features=RANGES, label_range=(0, 2)),
}


TOO_LARGE = 2.2 / 1.8 * MODELS["linear"].learning_rate


def losses(kind: str, **options: Any) -> list[float]:
    fitted = fl.simulate(MODELS[kind], [table(kind, 1), table(kind, 2)], label="y", rounds=12, **options)
    found: list[float] = fitted.history["loss"].to_pylist()
    return found


@pytest.mark.claim("fl: the default step size of models of one layer lowers the loss in every round")
@pytest.mark.parametrize("kind", MODELS)
def test_the_default_does_not_diverge(kind: str, cases: Cases) -> None:
    default = losses(kind)
    assert all(after <= before + 1e-6 for before, after in pairwise(default)), default
    assert default[-1] < default[0]
    cases()


def test_the_bound_is_no_looser_than_it_has_to_be() -> None:
    """Of least squares, whose curvature is the same everywhere: a tenth above 2 / L diverges."""
    assert losses("linear", learning_rate=TOO_LARGE)[-1] > losses("linear")[0]


def test_few_features_have_a_step_of_one_and_other_forms_count_by_what_they_can_be() -> None:
    few = {"a": (0, 1), "kind": ["x", "y", "z"], "b": fl.Standardised(0, 9)}
    assert fl.Logistic(features=few).learning_rate == 1.0
    assert fl.Linear(features=few, label_range=(0, 1)).learning_rate == 1.8 / 4
    pixels = fl.Softmax(features={"pixels": fl.Vector(784)}, classes=[0, 1])
    assert pixels.learning_rate == pytest.approx(3.6 / 785)
    assert fl.MLP(features=few, hidden=[4]).learning_rate == 1.0


@pytest.mark.parametrize(("rate", "said"), [(None, False), (TOO_LARGE, True)])
def test_a_loss_that_rises_is_said(rate: float | None, said: bool) -> None:
    tables = [table("linear", 1), table("linear", 2)]
    fitted = fl.simulate(MODELS["linear"], tables, label="y", rounds=8, learning_rate=rate)
    assert ("train again with a smaller learning_rate" in fitted._repr_html_()) is said
