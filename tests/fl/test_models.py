"""Models: their shapes, what they do to labels, and what of them is refused."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

from privsdk.errors import DataError, InvalidArgument
from privsdk.fl import MLP, Linear, Logistic, Softmax, Standardised, Vector, simulate
from privsdk.fl.models.model import Model
from privsdk.fl.models.network import Output
from privsdk.protocol.columns.keys import HasKeys
from privsdk.protocol.columns.kinds import Kind

FEATURES: dict[str, Any] = {"x": (0.0, 10.0), "c": ["a", "b", "c"], "v": Vector(4), "s": Standardised(0, 1)}
MODELS: list[tuple[Model, tuple[int, ...], Output]] = [
    (Logistic(features=FEATURES), (9, 1), Output.SIGMOID),
    (Linear(features=FEATURES, label_range=(0, 5)), (9, 1), Output.IDENTITY),
    (Softmax(features=FEATURES, classes=["u", "v", "w"]), (9, 3), Output.SOFTMAX),
    (MLP(features=FEATURES, hidden=[6, 5]), (9, 6, 5, 1), Output.SIGMOID),
    (MLP(features=FEATURES, hidden=[6], classes=range(4)), (9, 6, 4), Output.SOFTMAX),
    (MLP(features=FEATURES, hidden=[6], label_range=(-1, 1)), (9, 6, 1), Output.IDENTITY),
    (Logistic(features=FEATURES, positive="yes"), (9, 1), Output.SIGMOID),
    (MLP(features=FEATURES, hidden=[6], positive=Decimal("0.5")), (9, 6, 1), Output.SIGMOID),
    (Logistic(features=FEATURES, positive=2), (9, 1), Output.SIGMOID),
]


@pytest.mark.parametrize(("model", "widths", "output"), MODELS)
def test_networks_fit_inputs_and_outputs(model: Model, widths: tuple[int, ...], output: Output) -> None:
    assert (model.network.widths, model.network.output) == (widths, output)
    assert model.inputs == ("x", "c=a", "c=b", "c=c", "v[0]", "v[1]", "v[2]", "v[3]", "s")
    assert list(model.standardised) == ["s"]


@pytest.mark.parametrize("model", [model for model, _, _ in MODELS])
def test_models_survive_a_request(model: Model) -> None:
    sent = msgspec.to_builtins(model)
    assert msgspec.convert(sent, type=Model) == model
    assert msgspec.json.decode(msgspec.json.encode(sent), type=Model) == model


def test_what_columns_must_hold() -> None:
    features = {"x": Kind.NUMBER, "c": HasKeys(("a", "b", "c")), "v": Kind.VECTOR, "s": Kind.NUMBER}
    assert MODELS[0][0].kinds("y") == {**features, "y": Kind.NUMBER}
    assert MODELS[2][0].kinds("y") == {**features, "y": HasKeys(MODELS[2][0].target.classes)}
    assert MODELS[4][0].kinds("y") == {**features, "y": HasKeys(MODELS[4][0].target.classes)}
    assert MODELS[5][0].kinds("y") == {**features, "y": Kind.NUMBER}


def column(values: Any) -> pa.ChunkedArray:
    return pa.table({"y": values})["y"]


@pytest.mark.parametrize(
    ("model", "values", "y", "missing"),
    [
        (MODELS[0][0], [True, None, False], [1.0, math.nan, 0.0], [0, 1, 0]),
        (MODELS[0][0], [1.0, math.nan, 0.0], [1.0, math.nan, 0.0], [0, 1, 0]),
        (MODELS[3][0], pa.array([0, 1], pa.uint8()), [0.0, 1.0], [0, 0]),
        (MODELS[1][0], [0.0, 2.5, 9.0, None, math.inf], [-1.0, 0.0, 1.0, math.nan, 1.0], [0, 0, 0, 1, 0]),
        (MODELS[2][0], ["w", None, "u"], [2, -1, 0], [0, 1, 0]),
        (MODELS[4][0], pa.array([3, 0, None], pa.int8()), [3, 0, -1], [0, 0, 1]),
        (MODELS[6][0], ["yes", "no", None, "Yes"], [1.0, 0.0, 0.0, 0.0], [0, 0, 1, 0]),
        (MODELS[7][0], [Decimal("0.50"), Decimal(5)], [1.0, 0.0], [0, 0]),
        (MODELS[8][0], [2.0, 1.5, math.nan, None], [1.0, 0.0, 0.0, 0.0], [0, 0, 1, 1]),
    ],
)
def test_labels_become_targets(model: Model, values: Any, y: list[float], missing: list[int]) -> None:
    labels = model.targets(column(values), party="north", name="y")
    assert np.array_equal(labels.y, np.array(y), equal_nan=True)
    assert labels.missing.tolist() == [bool(each) for each in missing]
    assert labels.y.dtype == (np.int64 if model.network.output is Output.SOFTMAX else np.float32)


@pytest.mark.parametrize(
    ("model", "values", "reason"),
    [
        (MODELS[0][0], [0, 1, 4711], "north's label y holds other values than 0 and 1"),
        (MODELS[0][0], [0.0, 1.0, 0.4711], "north's label y holds other values than 0 and 1"),
        (MODELS[2][0], ["u", "4711"], "north's label y holds a value that is none of the 3 classes"),
        (MODELS[4][0], [0, 4711], "north's label y holds a value that is none of the 4 classes"),
        (MODELS[4][0], [0, -1], "north's label y holds a value that is none of the 4 classes"),
    ],
)
def test_other_labels_are_an_error_without_the_value(model: Model, values: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        model.targets(column(values), party="north", name="y")
    assert "4711" not in str(raised.value)


def test_outputs_become_predictions() -> None:
    outputs = np.array([[0.25], [0.5]], np.float32)
    assert MODELS[0][0].target.decode(outputs).to_pylist() == [0.25, 0.5]
    assert MODELS[1][0].target.decode(np.array([[-1], [0], [3]], np.float32)).to_pylist() == [0.0, 2.5, 10.0]
    classes = MODELS[2][0].target.decode(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32))
    assert classes.to_pylist() == ["v", "u"]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Logistic(features={}),
        lambda: Logistic(features={"x": (1, 1)}),
        lambda: Logistic(features=FEATURES, missing="mean"),  # type: ignore[arg-type]
        lambda: Linear(features=FEATURES, label_range=(1, 1)),
        lambda: Linear(features=FEATURES, label_range=(0, math.inf)),
        lambda: Linear(features=FEATURES, label_range=5),  # type: ignore[arg-type]
        lambda: Softmax(features=FEATURES, classes=["one"]),
        lambda: Softmax(features=FEATURES, classes=["a", "a"]),
        lambda: Softmax(features=FEATURES, classes=["a", 1]),
        lambda: Softmax(features=FEATURES, classes="abc"),
        lambda: Softmax(features=FEATURES, classes=[True, False]),
        lambda: Softmax(features=FEATURES, classes=[0.5, 1.5]),  # type: ignore[list-item]
        lambda: MLP(features=FEATURES, hidden=[]),
        lambda: MLP(features=FEATURES, hidden=[0]),
        lambda: MLP(features=FEATURES, hidden=[2.5]),  # type: ignore[list-item]
        lambda: MLP(features=FEATURES, hidden=[8] * 17),
        lambda: MLP(features=FEATURES, hidden=[65536, 65536]),
        lambda: MLP(features=FEATURES, hidden=[8], classes=["a", "b"], label_range=(0, 1)),
        lambda: MLP(features=FEATURES, hidden=[8], classes=["a", "b"], positive="a"),
        lambda: Logistic(features=FEATURES, positive=0.5),  # type: ignore[arg-type]
        lambda: Logistic(features=FEATURES, positive=["yes"]),  # type: ignore[arg-type]
    ],
)
def test_models_that_cannot_be_used_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument) as raised:
        bad()
    assert raised.value.hint


@pytest.mark.claim("fl: the positive value of a label is trained on as true, and predicted")
def test_a_label_of_texts_trains_as_its_booleans_do(cases: Cases) -> None:
    rng = np.random.default_rng(5)
    said, so = {}, {}
    for name in ("north", "south"):
        x = rng.uniform(0, 10, 60)
        late = x + rng.normal(0, 2, 60) > 5
        said[name] = pa.table({"x": x, "y": pa.array(np.where(late, "yes", "no"), mask=x > 9)})
        so[name] = pa.table({"x": x, "y": pa.array(late, mask=x > 9)})
    texts = simulate(Logistic(features={"x": (0, 10)}, positive="yes"), said, label="y", class_weights="balanced")
    booleans = simulate(Logistic(features={"x": (0, 10)}), so, label="y", class_weights="balanced")
    assert texts.weights.tobytes() == booleans.weights.tobytes()
    assert texts.predict({"x": [9.0]})[0].as_py() > 0.5
    cases()
