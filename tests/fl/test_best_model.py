"""Of a training's models the best is kept, by figures that were told anyway, and predicted with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import training
from claims import Cases
from training import clear, course_of, each, problem, roles_of

import privsdk as ps
from privsdk import fl
from privsdk.errors import ProtocolViolation
from privsdk.fl.loops.best import BestModel
from privsdk.fl.loops.resuming import CoordinatorState
from privsdk.fl.models.training import Schedule
from privsdk.testing import together

CLAIM = pytest.mark.claim("fl: the best model is kept, by held-out loss where models on the way are evaluated")


def rows(seed: int, count: int = 60) -> pa.Table:
    """Labels that follow none of the features: whoever fits them closely is worse on others."""
    rng = np.random.default_rng([17, seed])
    columns: dict[str, Any] = {f"x{n}": rng.uniform(-1, 1, count) for n in range(6)}
    return pa.table({**columns, "late": rng.random(count) < 0.5})


TABLES = {"north": rows(1), "south": rows(2, 90), "east": rows(3)}
FEATURES: dict[str, Any] = {f"x{n}": (-1, 1) for n in range(6)}
MODELS = {
    "MLP": (fl.MLP(features=FEATURES, hidden=[16]), {"local_steps": 20, "rounds": 12, "evaluate_every": 1}),
    "some": (fl.MLP(features=FEATURES, hidden=[16]), {"local_steps": 20, "rounds": 11, "evaluate_every": 3}),
    "logistic": (fl.Logistic(features=FEATURES), {"local_steps": 50, "rounds": 10, "evaluate_every": 2}),
}


def held_out_losses(fitted: fl.Fitted) -> dict[int, float]:
    """The mean over parties, each by its training rows, of what each told of models on the way."""
    weights = {"north": 48, "south": 72, "east": 48}
    found: dict[int, float] = {}
    for row in fitted.curve.to_pylist():
        found[row["round"]] = found.get(row["round"], 0.0) + row["log_loss"] * weights[row["party"]] / 168
    return found


@CLAIM
@pytest.mark.parametrize("kind", MODELS)
def test_the_least_held_out_loss_is_kept(kind: str, cases: Cases) -> None:
    model, options = MODELS[kind]
    fitted = fl.simulate(model, TABLES, label="late", **options)
    losses = held_out_losses(fitted)
    told = dict(enumerate(fitted.history["held_out_loss"].to_pylist(), 1))
    for number, loss in losses.items():
        assert told[number] == pytest.approx(loss, abs=1e-6)
    assert fitted.best == min((number for number, loss in told.items() if loss is not None), key=told.__getitem__)
    assert fitted.best < options["rounds"]
    assert f"the model after round {fitted.best}, the best one" in fitted._repr_html_()
    same = fl.simulate(model, TABLES, label="late", **{**options, "rounds": fitted.best, "evaluate_every": None})
    assert same.weights.tobytes() == fitted.weights.tobytes()
    cases()


@CLAIM
@pytest.mark.parametrize("aggregation", ["masked", "all-to-all", "clear"])
def test_parties_evaluate_and_answer_with_the_one_that_is_kept(aggregation: Any, cases: Cases) -> None:
    model, options = MODELS["some"]
    with ps.embedded(
        {**TABLES, **({"keeper": {}} if aggregation != "all-to-all" else {})},
        store=None,
        quiet=True,
        policy=ps.Grant(table="*", columns={"*": "model update"}),
    ) as fed:
        plan = fl.fit(model, fed.tables("table"), label="late", aggregation=aggregation, **options)
        fitted = plan.release().value
    simulated = fl.simulate(model, TABLES, label="late", **options)
    assert fitted.best == simulated.best < options["rounds"]
    if aggregation == "masked":
        assert fitted.weights.tobytes() == simulated.weights.tobytes()
    scores = {row["party"]: row["log_loss"] for row in fitted.evaluation.to_pylist()}
    losses = {row["party"]: row["log_loss"] for row in fitted.curve.to_pylist() if row["round"] == fitted.best}
    assert losses in ({}, scores)
    assert any("mean loss of the held-out rows" in str(each) for each in plan.learns)
    cases()


@CLAIM
@pytest.mark.parametrize("provider", [clear, each])
def test_without_evaluations_the_least_training_loss_is_kept_once_it_rises(provider: Any, cases: Cases) -> None:
    parties = problem([300, 200], 5)
    for rate, rises in ((1.0, False), (60.0, True)):
        trained, clients = training.train(parties, Schedule(steps=1, learning_rate=rate), provider, rounds=8)
        losses = [line["loss"] for line in trained.rounds]
        best = min(range(8), key=losses.__getitem__)
        assert (best < 7) is rises
        assert trained.best == (best if rises else 8)
        assert all(weights.tobytes() == trained.weights.tobytes() for weights in clients.values())
        cases()


def test_losses_of_other_rows_are_not_compared() -> None:
    best, (a, b, c) = BestModel(), (np.array([n], np.float32) for n in range(3))
    best.offer(0, 0.1, ("p", "q"), a)
    best.offer(1, 0.7, ("p",), b)
    assert best.instead_of(3, c, known=False) == (1, b)
    best.offer(2, 0.9, ("p",), c)
    assert best.number == 1
    drawn = fl.simulate(
        MODELS["MLP"][0],
        [rows(n) for n in range(4)],
        label="late",
        rounds=6,
        participation=0.5,
        fewest=1,
        local_steps=40,
    )
    assert drawn.best == 6


def test_a_private_training_ends_with_its_last_model() -> None:
    options = {"rounds": 3, "local_steps": 20, "learning_rate": 30.0}
    fitted = fl.simulate(
        MODELS["MLP"][0], TABLES, label="late", privacy=fl.PartyLevel(clip=1.0, noise_multiplier=1.0), **options
    )
    assert fitted.best == 3


def test_what_is_best_so_far_is_kept_for_a_run_that_goes_on() -> None:
    best = BestModel(3, 0.25, ("p", "q"), np.array([1.5], np.float32))
    kept = CoordinatorState({"weights": np.zeros(1, np.float32)}, training.TrainingResult(np.zeros(0)), {}, (), best)
    again = CoordinatorState.loaded(kept.saved(), 4)
    assert (again.best, list(again.state)) == (best, ["weights"])
    before = kept.saved()
    del before.facts["best"], before.arrays["best model"]
    assert CoordinatorState.loaded(before, 4).best == BestModel()


def test_no_more_is_measured_than_was_agreed() -> None:
    parties = problem([20, 20], 4)
    agreed, asked = (course_of(parties, Schedule(steps=1, learning_rate=1.0), 3, measured=every) for every in (0, 1))
    roles = roles_of(parties, agreed, clear) | {"k": roles_of(parties, asked, clear)["k"]}
    with pytest.raises(ProtocolViolation, match="one more than was agreed"):
        together(roles)
