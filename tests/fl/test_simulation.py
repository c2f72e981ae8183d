"""fl.simulate: the model of fl.fit without parties, every choice, many small clients, and what it refuses."""

from __future__ import annotations

import math
from itertools import cycle
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from claims import Cases
from rounding import descent

import privsdk as ps
from privsdk import fl
from privsdk.errors import DataError, InvalidArgument, PrivsdkError, UnknownName
from privsdk.fl.fitted import TOOK
from privsdk.fl.models import training as stacking
from privsdk.governance.policy import Disclosure, Grant, Policy

FEATURES: dict[str, Any] = {"a": fl.Standardised(-5, 5), "b": (-4, 4), "kind": ["x", "y"]}
MODEL = fl.Logistic(features=FEATURES)
PLAIN = fl.Logistic(features={"a": (-4, 4), "b": (-4, 4)})
EVERYTHING = tuple(d for d in Disclosure if d is not Disclosure.DP_RELEASE)
POLICY = Policy(operations=("fl.fit",), grants=(Grant(table="*", columns={"*": EVERYTHING}),), min_parties=2)
BUDGET = ps.Budget(exact=100_000)


def client(seed: int, count: int) -> pa.Table:
    rng = np.random.default_rng([7, seed])
    a, b, kind = rng.normal(0.2 * (seed % 5), 1, count), rng.normal(0, 1, count), rng.choice(["x", "y", "z"], count)
    score = 2 * a - b + (kind == "x") + rng.normal(0, 0.5, count)
    return pa.table(
        {
            "spare": pa.array([None] * count),
            "a": pa.array(a, mask=rng.random(count) < 0.05),
            "b": b,
            "kind": kind,
            "sex": rng.choice(["f", "m"], count),
            "late": score > 0,
            "size": np.select([score < -1, score < 1], ["S", "M"], "L"),
            "delay": 20 * score,
        }
    )


TABLES = {name: client(seed, 90 + 30 * seed) for seed, name in enumerate(("north", "south", "east", "west", "isle"))}
CLEAR = {"aggregation": "clear"}
SAME: dict[str, tuple[Any, str, dict[str, Any], dict[str, Any]]] = {
    "one step": (MODEL, "late", {}, {}),
    "one step, clear": (MODEL, "late", {}, CLEAR),
    "epochs, half": (MODEL, "late", {"local_epochs": 2, "batch_size": 16, "participation": 0.6, "fewest": 2}, CLEAR),
    "steps, half": (MODEL, "late", {"local_steps": 3, "batch_size": 16, "participation": 0.4}, {}),
    "scores": (MODEL, "late", {"by": "sex", "groups": ["f", "m"], "evaluate_every": 4, "held_out": 0.4}, {}),
    "balanced": (MODEL, "late", {"class_weights": "balanced", "seed": 3}, CLEAR),
    "weighted": (MODEL, "late", {"class_weights": {True: 3.0, False: 1.0}}, {}),
    "linear": (fl.Linear(features=FEATURES, label_range=(-80, 80), missing="fill"), "delay", {}, {}),
    "mlp": (fl.MLP(features=FEATURES, hidden=[5], classes=["S", "M", "L"]), "size", {"local_epochs": 1}, CLEAR),
    "FedProx": (MODEL, "late", {"strategy": fl.FedProx(mu=0.5), "local_steps": 4}, {}),
    "Scaffold": (MODEL, "late", {"strategy": fl.Scaffold(), "local_steps": 4, "participation": 0.6}, CLEAR),
    "FedAdam": (MODEL, "late", {"strategy": fl.FedAdam(eta=0.3, tau=0.1)}, {}),
    "Median": (MODEL, "late", {"strategy": fl.Median()}, CLEAR),
    "TopK": (MODEL, "late", {"compression": fl.TopK(share=0.5)}, CLEAR),
}


@pytest.mark.claim(
    "fl.simulate: fl.fit's model, history and scores from the same tables and seed, up to float rounding"
)
@pytest.mark.parametrize(("choice", "coordinator"), list(zip(SAME, cycle(["keeper", "south"]), strict=False)))
@pytest.mark.rounding
def test_it_is_the_model_of_fit(choice: str, coordinator: str, cases: Cases) -> None:
    """Whoever coordinates: one of the clients, too, whose draws are those of its place among the tables."""
    model, label, options, aggregation = SAME[choice]
    options = {"label": label, "rounds": 8, "learning_rate": 0.5, **options}
    parties: dict[str, Any] = {name: {"sales": table} for name, table in TABLES.items()}
    with ps.embedded({**parties, "keeper": {}}, store=None, policy=POLICY, budget=BUDGET, quiet=True) as fed:
        tables = [fed[name]["sales"] for name in TABLES]
        trained = fl.fit(model, tables, coordinator=coordinator, **options, **aggregation).release().value
    simulated = fl.simulate(model, TABLES, **options)
    assert np.abs(trained.weights - model.network.initial(options.get("seed", 0))).max() > 0.05
    allowed = rounding(options, trained.weights)
    assert np.linalg.norm(simulated.weights - trained.weights) < allowed
    steepest = math.sqrt(len(trained.weights)) * (80 if choice == "linear" else 1)  # scores by the weights
    assert simulated.scales == trained.scales
    for name in ("evaluation", "curve", "groups", "history", "lost"):
        alike(getattr(simulated, name), getattr(trained, name), steepest * allowed)
    assert simulated.evaluation["party"].to_pylist() == list(TABLES)
    assert simulated.curve.num_rows == (10 if "evaluate_every" in options else 0)
    assert (simulated.ended, simulated.resumed) == ("", 0)
    cases()


def rounding(options: dict[str, Any], weights: Any) -> float:
    """How far two ways to train may end from each other, in norm; inputs and labels are within [-1, 1]."""
    strategy, size = options.get("strategy"), len(weights)
    condition = strategy.eta / strategy.tau if isinstance(strategy, fl.FedAdam) else 1.0
    steps = max(options.get("local_steps", 1), options.get("local_epochs", 0) * math.ceil(210 / 16))
    return condition * descent(
        steps=options["rounds"] * steps,
        rows=210,
        inputs=size,
        rate=options["learning_rate"],
        gradient=math.sqrt(size) * (1 + float(np.abs(weights).sum())),
        weights=float(np.linalg.norm(weights)),
    )


def alike(one: pa.Table, other: pa.Table, allowed: float) -> None:
    """The same rows up to rounding, whichever party comes first; but for what a round took, and bytes that it sent."""
    left_out = {*TOOK.names, "update_bytes"}
    columns = [name for name in other.column_names if name not in left_out]
    assert [name for name in one.column_names if name not in left_out] == columns
    by = [(name, "ascending") for name in ("party", "round", "group") if name in columns]
    for name in columns:
        mine, theirs = (table.sort_by(by)[name].to_pylist() for table in (one, other))
        assert mine == (
            theirs if not theirs or not isinstance(theirs[0], float) else pytest.approx(theirs, abs=allowed)
        )


CHOICES: dict[str, dict[str, Any]] = {
    "FedAvg": {},
    "FedProx": {"strategy": fl.FedProx(mu=0.1)},
    "Scaffold": {"strategy": fl.Scaffold()},
    "FedAdam": {"strategy": fl.FedAdam(eta=0.3, tau=0.1)},
    "FedYogi": {"strategy": fl.FedYogi(eta=0.3)},
    "Median": {"strategy": fl.Median()},
    "TrimmedMean": {"strategy": fl.TrimmedMean(beta=0.2)},
    "FedBuff": {"strategy": fl.FedBuff(K=3), "rounds": 60},
    "Quantised": {"compression": fl.Quantised()},
    "FedBuff, TopK": {"strategy": fl.FedBuff(K=3), "compression": fl.TopK(share=0.5), "rounds": 60},
    "PartyLevel": {"privacy": fl.PartyLevel(clip=2.0, noise_multiplier=0.05)},
    "RecordLevel": {
        "privacy": fl.RecordLevel(clip=1.0, noise_multiplier=0.7, sampling_rate=0.3),
        "batch_size": 50,
        "local_epochs": None,
        "local_steps": 5,
    },
}


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_trains(choice: str) -> None:
    options = {"rounds": 15, "learning_rate": 0.5, "local_epochs": 2, "batch_size": 30, **CHOICES[choice]}
    fitted = fl.simulate(PLAIN, [client(seed, 150) for seed in range(8)], label="late", **options)
    test = client(99, 2000)
    known = test["a"].is_valid().to_numpy()
    right = (fitted.predict(test).to_numpy(zero_copy_only=False) > 0.5) == test["late"].to_numpy()
    assert right[known].mean() > 0.8
    assert fitted.history.num_rows == options["rounds"]
    assert fitted.evaluation["party"].to_pylist() == [f"client{number}" for number in range(8)]
    private = "privacy" in options
    assert (fitted.evaluation["accuracy"].null_count, fitted.history["loss"].null_count) == (
        (8, options["rounds"]) if private else (0, 0)
    )
    assert ("staleness" in fitted.history.column_names) == isinstance(options.get("strategy"), fl.FedBuff)
    assert all(fitted.history[name].null_count == fitted.history.num_rows for name in TOOK.names)


def test_small_clients_train_in_one_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [client(seed, 8 + seed % 9) for seed in range(50)]
    stacks: list[int] = []
    once = stacking.trained
    monkeypatch.setattr(stacking, "trained", lambda tasks: stacks.append(len(tasks)) or once(tasks))
    options: dict[str, Any] = {"label": "late", "rounds": 6, "local_epochs": 2, "batch_size": 4, "seed": 2}
    whole = fl.simulate(PLAIN, tables, **options)
    assert stacks == [50] * 6
    assert whole.history["clients"].to_pylist() == [50] * 6
    losses = whole.history["loss"].to_pylist()
    assert losses[-1] < 0.8 * losses[0]
    stacks.clear()
    part = fl.simulate(PLAIN, tables, participation=0.1, fewest=1, **options)
    assert stacks == [5] * 6
    assert part.evaluation.num_rows == 50
    stacks.clear()
    fl.simulate(PLAIN, tables, strategy=fl.FedBuff(K=10), **options)
    assert stacks[0] == 50
    assert np.array_equal(fl.simulate(PLAIN, tables, **options).weights, whole.weights)
    assert np.abs(fl.simulate(PLAIN, tables, **options | {"seed": 3}).weights - whole.weights).max() > 1e-3


NOISES: list[tuple[Any, dict[str, Any]]] = [
    (fl.PartyLevel(clip=1.0, noise_multiplier=0.5), {}),
    (fl.RecordLevel(clip=1.0, noise_multiplier=0.5, sampling_rate=1.0), {"batch_size": 60}),
]


@pytest.mark.parametrize(("noise", "batches"), NOISES)
def test_noise_is_drawn_anew(noise: Any, batches: dict[str, Any]) -> None:
    tables = [client(seed, 75) for seed in range(4)]
    once: dict[str, Any] = {"label": "late", "rounds": 1, **batches}
    one, other = (fl.simulate(PLAIN, tables, privacy=noise, **once).weights for _ in range(2))
    still = fl.simulate(PLAIN, tables, **once).weights
    assert np.abs(one - other).max() > 1e-4
    assert 1e-4 < np.abs(one - still).max() < 3


GOOD = client(1, 30)
TWICE = pa.Table.from_arrays([*GOOD.columns, GOOD["b"]], names=[*GOOD.column_names, "b"])
RENAMED = GOOD.rename_columns(["spare", "a", "bee", "kind", "sex", "late", "size", "delay"])
WORDS = GOOD.set_column(2, "b", pa.array(["high"] * 30))
NEVER = GOOD.set_column(5, "late", pa.array([None] * 30, pa.bool_()))
COUNTS = GOOD.set_column(5, "late", pa.array([7] * 30))
REFUSED: dict[str, tuple[Any, dict[str, Any], type[PrivsdkError], str]] = {
    "no clients": ([], {}, InvalidArgument, "no clients"),
    "one table": (GOOD, {}, InvalidArgument, "tables of several clients, not a Table"),
    "a list of numbers": ({"n": GOOD, "s": [1, 2]}, {}, InvalidArgument, "s is a list, which is not a table"),
    "a number": ({3: GOOD}, {}, InvalidArgument, "3 cannot be a client's name"),
    "no name": ({"": GOOD}, {}, InvalidArgument, "'' cannot be a client's name"),
    "the coordinator": ({"the coordinator": GOOD}, {}, InvalidArgument, "cannot be a client's name"),
    "no column": ([GOOD, RENAMED], {}, UnknownName, "no column named 'b' in client1"),
    "no label": ([GOOD], {"label": "latte"}, UnknownName, "no column named 'latte' in client0"),
    "two columns": ([GOOD, TWICE], {}, InvalidArgument, "client1 has two columns 'b'"),
    "words": ([GOOD, WORDS], {}, InvalidArgument, "client1.b is string, which is not numeric"),
    "no rows": ({"n": GOOD, "s": GOOD.slice(0, 0)}, {}, DataError, "s has no rows"),
    "no labels": ([GOOD, NEVER], {}, DataError, "client1 has too few complete rows"),
    "two rows": ([GOOD, GOOD.slice(0, 2)], {}, DataError, "client1 has too few .* at least one more is held out"),
    "counts": ([GOOD, COUNTS], {}, DataError, "client1's label late holds other values"),
    "fewest": ([GOOD], {"fewest": 2}, InvalidArgument, "at least 2 of 1 clients"),
    "rounds": ([GOOD], {"rounds": 2.5}, InvalidArgument, "fl.simulate: Expected `int`"),
    "diverged": ([GOOD, GOOD], {"learning_rate": 1e6}, DataError, "diverged"),
    "compressed": (
        [GOOD, GOOD],
        {"compression": fl.Quantised(), "privacy": fl.PartyLevel(clip=1.0, noise_multiplier=1.0)},
        InvalidArgument,
        "compression takes apart",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    tables, options, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as refused:
        fl.simulate(PLAIN, tables, **{"label": "late", **options})
    assert refused.value.hint


@pytest.mark.parametrize("form", ["pandas", "polars", "lazy", "dictionaries", "views", "columns"])
def test_tables_in_any_form_are_trained_on_and_predicted(form: str) -> None:
    kind = GOOD["kind"]
    forms: dict[str, Any] = {
        "pandas": GOOD.to_pandas(),
        "polars": pl.from_arrow(GOOD),
        "lazy": pl.from_arrow(GOOD).lazy(),
        "dictionaries": GOOD.set_column(GOOD.column_names.index("kind"), "kind", kind.dictionary_encode()),
        "views": GOOD.set_column(GOOD.column_names.index("kind"), "kind", kind.cast(pa.string_view())),
        "columns": {name: GOOD[name].to_pylist() for name in GOOD.column_names},
    }
    fitted = fl.simulate(MODEL, [GOOD, forms[form]], label="late", rounds=2)
    assert np.array_equal(fitted.weights, fl.simulate(MODEL, [GOOD, GOOD], label="late", rounds=2).weights)
    assert fitted.predict(forms[form]).equals(fitted.predict(GOOD))


def test_only_models_of_fl_are_trained() -> None:
    with pytest.raises(InvalidArgument, match="not a str"):
        fl.simulate("Logistic", [GOOD], label="late")  # type: ignore[arg-type]
