"""A fitted model: predictions as in training, what it shows, and its file: whole, damaged, or another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounding import FUNCTION, roundoff

from privsdk.errors import DataError, InvalidArgument, UnknownName
from privsdk.fl import MLP, Fitted, Linear, Logistic, Softmax, Standardised, Vector, load, model_file
from privsdk.fl.models.features import Scale
from privsdk.fl.models.model import Model

FEATURES: dict[str, Any] = {"x": (0.0, 10.0), "s": Standardised(0, 100), "c": ["a", "b"], "v": Vector(2, 0, 1)}
TABLE = pa.table(
    {
        "x": [0.0, 5.0, None, 20.0, 1.0],
        "s": [50.0, math.nan, 40.0, 200.0, 60.0],
        "c": ["a", "b", "z", None, "z"],
        "v": pa.array([[0, 1], [0.5, 0.5], [1, 1], None, [0, 0]], pa.list_(pa.float64(), 2)),
    }
)
X = [[-1, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0.5, 0.5], [0, -1, 0, 0, 1, 1], [1, 5, 0, 0, 0, 0], [-0.8, 1, 0, 0, 0, 0]]
COMPLETE = [True, False, False, False, True]


def fitted(model: Model, seed: int = 0, **changes: Any) -> Fitted:
    weights = np.random.default_rng(seed).normal(size=model.network.size).astype(np.float32)
    score = "rmse" if model.network.output == "identity" else "accuracy"
    history = {"round": [1, 2], "clients": [2, 2], "rows": [90, 90], "loss": [0.7, 0.5]}
    groups = {"party": ["p", "p", "q"], "group": ["f", "m", "f"], "rows": [30, 20, 40], score: [0.9, 0.7, None]}
    settings: dict[str, Any] = {
        "label": "late",
        "weights": weights,
        "scales": {"s": Scale(50.0, 10.0)},
        "history": pa.table(history),
        "evaluation": pa.table({"party": ["p", "q"], "rows": [40, None], score: [0.8, None]}),
        "curve": pa.table({"party": pa.array([], pa.string()), "round": pa.array([], pa.int64())}),
        "groups": pa.table(groups),
        "lost": pa.table({"party": ["r"], "round": [1], "why": ["r went é"]}),
    } | changes
    return Fitted(model=model, **settings)


MODELS: list[Model] = [
    Logistic(features=FEATURES),
    Linear(features=FEATURES, label_range=(-5, 20)),
    Softmax(features=FEATURES, classes=["u", "v", "w"]),
    MLP(features=FEATURES, hidden=[4, 3]),
    MLP(features=FEATURES, hidden=[4], classes=[1, 2, 5]),
    MLP(features=FEATURES, hidden=[4], label_range=(0, 1)),
]
FILLING = Logistic(features=FEATURES, missing="fill")


@pytest.mark.parametrize("model", MODELS)
def test_predictions_are_null_where_something_is_missing(model: Model) -> None:
    found = fitted(model).predict(TABLE)
    assert found.is_valid().to_pylist() == COMPLETE


@pytest.mark.rounding
def test_predictions_are_those_of_the_definition() -> None:
    w = fitted(FILLING).weights.astype(np.float64)
    most = float((np.abs(X) @ np.abs(w[:-1])).max() + abs(w[-1]))  # of what the sums are added up from
    allowed = roundoff(len(w) + FUNCTION) * most
    p = 1 / (1 + np.exp(-(np.array(X) @ w[:-1] + w[-1])))
    assert fitted(FILLING).predict(TABLE).to_pylist() == pytest.approx(p.tolist(), abs=allowed)
    linear = MODELS[1]
    w = fitted(linear).weights.astype(np.float64)
    numbers = -5 + (np.array(X) @ w[:-1] + w[-1] + 1) * 12.5
    assert fitted(linear).predict(TABLE).to_pylist()[0] == pytest.approx(numbers[0], abs=12.5 * allowed)
    softmax = MODELS[2]
    w = fitted(softmax).weights.astype(np.float64)
    sums = np.array(X) @ w[:18].reshape(6, 3) + w[18:]
    p = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    shown = fitted(softmax).probabilities(TABLE)
    assert shown.column_names == ["u", "v", "w"]
    for i, complete in enumerate(COMPLETE):
        row = [column[i].as_py() for column in shown.columns]
        assert row == (pytest.approx(p[i].tolist(), abs=3 * allowed) if complete else [None] * 3)
        best = "uvw"[int(np.argmax(p[i]))] if complete else None
        assert fitted(softmax).predict(TABLE)[i].as_py() == best


def test_probabilities_of_a_boolean_label() -> None:
    model = fitted(MODELS[3])
    both = model.probabilities(TABLE)
    assert both.column_names == ["False", "True"]
    assert both["True"].combine_chunks().equals(model.predict(TABLE))
    assert both["False"][0].as_py() + both["True"][0].as_py() == pytest.approx(1)
    with pytest.raises(InvalidArgument, match="late is a number"):
        fitted(MODELS[1]).probabilities(TABLE)


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnknownName, match="no column named 'x' in the table"):
        fitted(MODELS[0]).predict(TABLE.drop_columns(["x", "v"]))
    with pytest.raises(DataError, match="the table's x is string"):
        fitted(MODELS[0]).predict(TABLE.set_column(0, "x", pa.array(["a"] * 5)))
    assert fitted(MODELS[0]).predict(TABLE.slice(0, 0)).to_pylist() == []


@pytest.mark.parametrize("model", [*MODELS, FILLING])
def test_a_file_has_everything(model: Model, tmp_path: Path) -> None:
    one = fitted(model)
    one.save(tmp_path / "model.arrow")
    other = load(str(tmp_path / "model.arrow"))
    assert (other.model, other.label, other.scales) == (one.model, one.label, one.scales)
    assert other.weights.tobytes() == one.weights.tobytes()
    for name in model_file.TABLES:
        assert getattr(other, name).equals(getattr(one, name)), name
    assert other.predict(TABLE).equals(one.predict(TABLE))
    assert repr(other) == repr(one)
    fitted(model, seed=9).save(tmp_path / "model.arrow")
    assert load(tmp_path / "model.arrow").weights.tobytes() != one.weights.tobytes()
    assert [each.name for each in tmp_path.iterdir()] == ["model.arrow"]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e300), st.lists(st.floats(), max_size=4))
def test_numbers_in_a_file_are_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, mean: float, deviation: float, losses: list[float]
) -> None:
    losses = [loss for loss in losses if math.isfinite(loss)]
    history = pa.table({"loss": pa.array(losses, pa.float64())})
    path = tmp_path_factory.mktemp("file") / "m"
    fitted(MODELS[0], scales={"s": Scale(mean, deviation)}, history=history).save(path)
    assert load(path).scales == {"s": (mean, deviation)}
    assert load(path).history.equals(history)


def resaved(path: Path, *, head: Any = None, schema: pa.Schema | None = None, weights: Any = None) -> Path:
    """The file of a model with other metadata or weights."""
    fitted(MODELS[0]).save(path)
    with pa.ipc.open_file(str(path)) as reader:
        table = reader.read_all()
    said = msgspec.json.decode(table.schema.metadata[model_file.KEY])
    data = head if isinstance(head, bytes) else msgspec.json.encode({**said, **(head or {})})
    column = table["weight"] if weights is None else weights
    schema = (schema or model_file.WEIGHTS).with_metadata({model_file.KEY: data})
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_table(pa.table([column], schema=schema))
    return path


def tables(columns: list[list[str]], rows: list[list[Any]]) -> dict[str, Any]:
    return {name: {"columns": columns, "rows": rows} for name in model_file.TABLES}


SEVEN = [1.0] * 7
NULLABLE = pa.schema([pa.field("weight", pa.float32())])
DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({"head": {"version": 2}}, "is of version 2; this privsdk reads version 1"),
    "no version": ({"head": b"{}"}, "cannot be read"),
    "no JSON": ({"head": b"\x80\x04."}, "cannot be read"),
    "another model": ({"head": {"model": {"type": "Boosted"}}}, "cannot be read"),
    "a model that is refused": ({"head": {"model": {"type": "Logistic", "features": {}}}}, "needs features"),
    "too few weights": ({"weights": pa.array(SEVEN[:6], pa.float32())}, "6 weights for a model of 7"),
    "no number": ({"weights": pa.array([math.nan, *SEVEN[1:]], pa.float32())}, "not finite"),
    "an infinite weight": ({"weights": pa.array([-math.inf, *SEVEN[1:]], pa.float32())}, "not finite"),
    "a null": ({"weights": pa.array([None, *SEVEN[1:]], pa.float32()), "schema": NULLABLE}, "another table"),
    "another column": ({"schema": pa.schema([pa.field("w", pa.float32(), nullable=False)])}, "another table"),
    "no scale": ({"head": {"scales": {}}}, "its scales"),
    "a negative deviation": ({"head": {"scales": {"s": [0, -1]}}}, "a scale is not finite"),
    "no tables": ({"head": {"tables": {}}}, "its tables are not"),
    "other rows": ({"head": {"tables": tables([["a", "int64"]], [[]])}},
                   "its tables are damaged"),
    "other types": ({"head": {"tables": tables([["a", "blob"]], [])}},
                    "its tables are damaged"),
    "other values": ({"head": {"tables": tables([["a", "int64"]], [["x"]])}},
                     "its tables are damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused(case: str, tmp_path: Path) -> None:
    changes, reason = DAMAGED[case]
    with pytest.raises(InvalidArgument, match=reason) as raised:
        load(resaved(tmp_path / "m.arrow", **changes))
    assert raised.value.hint


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="there is no file"):
        load(tmp_path / "none.arrow")
    for name, content in {"empty": b"", "pickle": b"\x80\x04K\x01.", "text": b"hello" * 100}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidArgument, match="is not a model as Fitted"):
            load(tmp_path / name)
    with pa.ipc.new_file(str(tmp_path / "table"), pa.schema([("a", pa.int64())])) as writer:
        writer.write_table(pa.table({"a": [1]}))
    with pytest.raises(InvalidArgument, match="it holds another table"):
        load(tmp_path / "table")
    fitted(MODELS[0]).save(tmp_path / "cut")
    whole = (tmp_path / "cut").read_bytes()
    for size in range(0, len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(InvalidArgument):
            load(tmp_path / "cut")
    with pytest.raises(InvalidArgument):
        load(tmp_path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted(MODELS[0]).save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def broken(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        fitted(MODELS[0], seed=3).save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_shows_itself_briefly(model: Model) -> None:
    text = repr(fitted(model))
    assert "2 rounds, loss 0.7000 to 0.5000" in text
    assert "r went é" in text
    assert "standardised by" in text
    score = "rmse" if model.network.output == "identity" else "accuracy"
    assert f"by group; the widest gap in {score} is 0.2, at p" in text
    assert ("intercept" in text) == (not model.widths)
    assert len(text.splitlines()) < 50
    assert "<table" in fitted(model)._repr_html_()


def test_the_largest_weights_are_shown_of_many() -> None:
    model = Softmax(features={"v": Vector(784)}, classes=range(10))
    weights = np.full(model.network.size, 0.001, np.float32)
    weights[10 * 300 + 7] = -3.0
    text = repr(fitted(model, weights=weights, scales={}))
    assert "weights (the largest 12 of 7,840)" in text
    first = next(line for line in text.splitlines() if "v[" in line)
    assert first.split() == ["v[300]", "7", "-3.0000"]
    deep = MLP(features={"v": Vector(784)}, hidden=[256, 128], classes=range(10))
    text = repr(fitted(deep, scales={}))
    assert "multi-layer perceptron 784-256-128-10, 235,146 weights" in text
    assert "v[" not in text
