"""fl.fit from end to end with every model: results, grants, prices and what is learned, in embedded federations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rounding import descent

import privsdk as ps
from privsdk import fl
from privsdk.errors import DataError, InvalidArgument, PolicyRefused
from privsdk.fl.averages import UNIT
from privsdk.fl.models.model import Model
from privsdk.governance.policy import Disclosure, Grant, Policy

SHOPS = ("north", "south", "east")
PIXELS = 6


def shop(seed: int, count: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    age, carrier = rng.normal(40 + 5 * seed, 12, count), rng.choice(["AA", "UA", "DL"], count)
    pixels = rng.integers(0, 256, (count, PIXELS)).astype(np.uint8)
    score = (age - 40) / 12 + (carrier == "AA") + pixels[:, 0] / 100 - 1.5 + rng.normal(0, 0.5, count)
    return pa.table(
        {
            "age": pa.array(age, mask=rng.random(count) < 0.05),
            "carrier": carrier,
            "image": pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), PIXELS),
            "late": score > 0,
            "size": np.select([score < -1, score < 1], ["S", "M"], "L"),
            "grade": np.select([score < -1, score < 1], [1, 2], 3),
            "delay": 30 + 20 * score,
            "sex": rng.choice(["f", "m"], count),
        }
    )


TABLES = {name: shop(seed, count) for seed, (name, count) in enumerate(zip(SHOPS, (300, 400, 600), strict=True))}
FEATURES: dict[str, Any] = {"age": fl.Standardised(0, 120), "carrier": ["AA", "UA"], "image": fl.Vector(PIXELS)}
ALL = tuple(d for d in Disclosure if d is not Disclosure.DP_RELEASE)


def policy(*without: Disclosure) -> Policy:
    ways = tuple(d for d in ALL if not d.implied & set(without))
    return Policy(operations=("fl.fit",), grants=(Grant(table="*", columns={"*": ways}),), min_parties=2)


def opened(rules: Policy) -> ps.Federation:
    parties: dict[str, Any] = {name: {"sales": table} for name, table in TABLES.items()}
    budget = ps.Budget(epsilon=1, exact=10_000)
    return ps.embedded({**parties, "keeper": {}}, store=None, policy=rules, budget=budget, quiet=True)


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    with opened(policy()) as federation:
        yield federation


CASES: list[tuple[Model, str]] = [
    (fl.Logistic(features=FEATURES), "late"),
    (fl.Logistic(features=FEATURES, missing="fill"), "late"),
    (fl.Linear(features=FEATURES, label_range=(-50, 150)), "delay"),
    (fl.Softmax(features=FEATURES, classes=["S", "M", "L"]), "size"),
    (fl.MLP(features=FEATURES, hidden=[12]), "late"),
    (fl.MLP(features=FEATURES, hidden=[12, 6], classes=[1, 2, 3]), "grade"),
    (fl.MLP(features=FEATURES, hidden=[12], label_range=(-50, 150)), "delay"),
]


@pytest.mark.parametrize("aggregation", ["encrypted", "clear"])
@pytest.mark.parametrize(("model", "label"), CASES)
def test_every_model_is_trained(fed: ps.Federation, model: Model, label: str, aggregation: Any) -> None:
    fitted = fl.fit(
        model, fed.tables("sales"), label=label, rounds=12, learning_rate=0.5, local_steps=12, aggregation=aggregation,
        by="sex", groups=["f", "m"], evaluate_every=6,
    ).release().value  # fmt: skip
    losses = fitted.history["loss"].to_pylist()
    assert losses[-1] < 0.75 * losses[0]
    assert fitted.evaluation["party"].to_pylist() == list(SHOPS)
    assert fitted.curve["round"].to_pylist() == [6, 12] * 3
    regression = label == "delay"
    main = "rmse" if regression else "accuracy"
    final = fitted.evaluation[main].to_pylist()
    assert [row[main] for row in fitted.curve.to_pylist() if row["round"] == 12] == final
    if regression:
        assert min(fitted.evaluation["r2"].to_pylist()) > 0.5
    else:
        assert min(final) > {"late": 0.8, "size": 0.6, "grade": 0.6}[label]
    groups = fitted.groups.to_pylist()
    assert [(row["party"], row["group"]) for row in groups] == [(name, sex) for name in SHOPS for sex in "fm"]
    for name, rows in zip(SHOPS, fitted.evaluation["rows"].to_pylist(), strict=True):
        assert sum(row["rows"] for row in groups if row["party"] == name) == rows
    ages = np.concatenate([t["age"].drop_null().to_numpy() for t in TABLES.values()])
    assert fitted.scales["age"].mean == pytest.approx(ages.mean(), abs=1)
    assert fitted.scales["age"].deviation == pytest.approx(ages.std(), abs=1)
    table = TABLES["north"]
    missing = table["age"].null_count if model.missing == "drop" else 0
    assert fitted.predict(table).null_count == missing
    mean = fitted.history["rows"].to_pylist()[0] + sum(fitted.evaluation["rows"].to_pylist())
    assert mean == sum(len(t) - (t["age"].null_count if model.missing == "drop" else 0) for t in TABLES.values())


def design(fitted: fl.Fitted, table: pa.Table) -> Any:
    frame = table.to_pandas()
    age = (frame["age"].clip(0, 120) - fitted.scales["age"].mean) / fitted.scales["age"].deviation
    hot = [frame["carrier"] == each for each in ("AA", "UA")]
    return np.column_stack([age, *hot, np.stack(frame["image"]) / 255, np.ones(len(frame))])


@pytest.mark.parametrize("by", [None, "balanced", {True: 4.0, False: 1.0}])
@pytest.mark.rounding
def test_one_full_step_a_round_is_gradient_descent_on_the_pooled_rows(fed: ps.Federation, by: Any) -> None:
    model = fl.Logistic(features=FEATURES)
    settings: dict[str, Any] = {"label": "late", "held_out": 0.06, "seed": 3, "class_weights": by}
    fitted = fl.fit(model, fed.tables("sales"), rounds=60, learning_rate=1.5, **settings).release().value
    x, y = [], []
    for number, name in enumerate(SHOPS):
        table = TABLES[name].filter(TABLES[name]["age"].is_valid())
        order = np.random.default_rng([3, number]).permutation(len(table))[round(len(table) * 0.06) :]
        x.append(design(fitted, table)[order])
        y.append(table["late"].to_numpy()[order])
    rows, truth = np.vstack(x), np.concatenate(y)
    by = by or {True: 1.0, False: 1.0}
    if by == "balanced":
        by = {True: len(truth) / 2 / truth.sum(), False: len(truth) / 2 / (~truth).sum()}
    each = np.where(truth, by[True], by[False])

    weights, losses, terms = np.zeros(rows.shape[1]), [], 0.0
    for _ in range(60):
        z = rows @ weights
        losses.append(float(np.mean(each * (np.logaddexp(0, z) - truth * z))))
        weights -= 1.5 * rows.T @ (each * (1 / (1 + np.exp(-z)) - truth)) / len(truth)
        found = np.abs(rows).T @ (each * (1 + np.abs(rows) @ np.abs(weights) / 4)) / len(truth)
        terms = max(terms, float(np.linalg.norm(found)))
    size = float(np.linalg.norm(weights))
    allowed = 60 * UNIT + descent(
        steps=60, rows=len(truth), inputs=len(weights), rate=1.5, gradient=terms, weights=size
    )
    assert np.linalg.norm(fitted.weights - weights) < allowed
    steepest = float(np.linalg.norm(each @ np.abs(rows)) / len(truth))  # the loss by the weights
    print(
        np.linalg.norm(fitted.weights - weights) / allowed,
        allowed,
        steepest * allowed,
        np.abs(np.array(fitted.history["loss"].to_pylist()) - losses).max(),
    )
    assert fitted.history["loss"].to_pylist() == pytest.approx(losses, rel=0, abs=steepest * allowed)


def test_a_linear_model_is_least_squares(fed: ps.Federation) -> None:
    model = fl.Linear(features=FEATURES, label_range=(-100, 200))
    fitted = (
        fl.fit(model, fed.tables("sales"), label="delay", rounds=400, learning_rate=0.5, aggregation="clear")
        .release()
        .value
    )
    rows = [TABLES[name].filter(TABLES[name]["age"].is_valid()) for name in SHOPS]
    x, y = np.vstack([design(fitted, t) for t in rows]), np.concatenate([t["delay"].to_numpy() for t in rows])
    best = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    predicted = np.concatenate([fitted.predict(t).to_numpy() for t in rows])
    assert np.sqrt(np.mean((predicted - best) ** 2)) < 0.15 * np.sqrt(np.mean((y - best) ** 2))


def needs(plan: Any) -> set[tuple[str, str]]:
    """What the smallest grants of a refusal at north name."""
    with pytest.raises(PolicyRefused) as refused:
        plan.release()
    text = str(refused.value)
    return {
        (c, d.value)
        for c in ("age", "late", "sex")
        for d in Disclosure
        if f"sales.{c} is not granted as {d.value} " in text
    }


FIT: dict[str, Any] = {"label": "late", "rounds": 2}
BOTH = {("age", "HE operand"), ("late", "HE operand")}
EXTRA: dict[str, tuple[dict[str, Any], Disclosure, set[tuple[str, str]]]] = {
    "means": ({}, Disclosure.HE_OPERAND, {("age", "HE operand")}),
    "class counts": ({"class_weights": "balanced"}, Disclosure.HE_OPERAND, BOTH),
    "means in the clear": ({"aggregation": "clear"}, Disclosure.AGGREGATE, {("age", "aggregate")}),
    "groups": ({"by": "sex", "groups": ["f", "m"]}, Disclosure.GROUP_KEY, {("sex", "group key")}),
}  # fmt: skip


@pytest.mark.parametrize("case", EXTRA)
def test_what_is_told_beside_the_model_needs_a_grant_of_its_own(case: str) -> None:
    settings, without, wanted = EXTRA[case]
    with opened(policy(without)) as closed:
        plan = fl.fit(fl.Logistic(features=FEATURES), closed.tables("sales"), **{**FIT, **settings})
        assert needs(plan) == wanted
    with opened(policy(Disclosure.HE_OPERAND, Disclosure.GROUP_KEY)) as closed:
        fl.fit(fl.Logistic(features={"age": (0, 120)}), closed.tables("sales"), **FIT).release()


def test_what_is_learned_is_said_and_paid(fed: ps.Federation) -> None:
    sales = fed.tables("sales")
    plain = fl.fit(fl.Logistic(features={"age": (0, 120)}), sales, label="late", rounds=6)
    full = fl.fit(
        fl.Logistic(features=FEATURES, missing="fill"), sales, label="late", rounds=6, class_weights="balanced",
        by="sex", groups=["f", "m"], evaluate_every=4,
    )  # fmt: skip
    everyone, caller = ({str(each.who): each.text for each in full.learns}[who] for who in ("keeper", fed.caller))
    for what in (everyone, caller):
        assert "over them the mean and standard deviation and the number of values of age" in what
        assert "how many have each late" in what
    assert "every 4 rounds and at the end, by sex for groups" in caller
    assert not any(word in repr(plain) for word in ("deviation", "how many have", "every 4", "by sex"))
    prices = [sum(debit.charge.uses for debit in plan.price["north"]) for plan in (plain, full)]  # type: ignore[union-attr]
    assert prices == [2, 3]


LOGISTIC, LINEAR, SOFTMAX = CASES[0][0], CASES[2][0], CASES[3][0]
LATE, SIZE, DELAY = {"label": "late"}, {"label": "size"}, {"label": "delay"}
BAD: dict[str, tuple[Model, dict[str, Any], str]] = {
    "class weights of numbers": (LINEAR, {**DELAY, "class_weights": "balanced"}, "has no classes"),
    "class weights of another class": (SOFTMAX, {**SIZE, "class_weights": {"S": 1}}, "'S', 'M', 'L'"),
    "class weights of zero": (LOGISTIC, {**LATE, "class_weights": {True: 0, False: 1}}, "a positive number"),
    "class weights as text": (LOGISTIC, {**LATE, "class_weights": "even"}, "does not say"),
    "groups without by": (LOGISTIC, {**LATE, "groups": ["f"]}, "name the group column"),
    "by without groups": (LOGISTIC, {**LATE, "by": "sex"}, "must be public"),
    "groups of another type": (LOGISTIC, {**LATE, "by": "sex", "groups": [1]}, "its keys are of int"),
    "evaluations": (LOGISTIC, {**LATE, "rounds": 3, "evaluate_every": 4}, "every 4 rounds of 3"),
    "classes of another type": (SOFTMAX, {"label": "grade"}, "its keys are of str"),
    "a longer vector": (fl.Logistic(features={"image": fl.Vector(5)}), LATE, "lists of 6, not of 5"),
    "a vector that is none": (fl.Logistic(features={"age": fl.Vector(5)}), LATE, "not list of numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_before_anything_is_charged(fed: ps.Federation, case: str) -> None:
    model, settings, reason = BAD[case]
    before = fed.budgets()
    with pytest.raises(InvalidArgument, match=reason):
        fl.fit(model, fed.tables("sales"), **settings).release()
    assert fed.budgets() == before


def test_a_label_outside_the_classes_names_party_and_column(fed: ps.Federation) -> None:
    model = fl.Softmax(features={"age": (0, 120)}, classes=["S", "M"])
    with pytest.raises(DataError, match=r"'s label size holds a value that is none of the 2 classes") as raised:
        fl.fit(model, fed.tables("sales"), label="size", rounds=1).release()
    assert raised.value.party in SHOPS
    assert "'L'" not in str(raised.value)


def test_a_feature_may_be_the_group(fed: ps.Federation) -> None:
    model = fl.Logistic(features={"carrier": ["AA", "UA"], "age": (0, 120)})
    fitted = (
        fl.fit(model, fed.tables("sales"), label="late", rounds=2, by="carrier", groups=["AA", "DL"]).release().value
    )
    assert set(fitted.groups["group"].to_pylist()) == {"AA", "DL"}
    again = fl.fit(model, fed.tables("sales"), label="late", rounds=2, by="late", groups=[True, False]).release().value
    for name, row in zip(SHOPS, again.evaluation.to_pylist(), strict=True):
        by_label = [each["rows"] for each in again.groups.to_pylist() if each["party"] == name]
        assert max(by_label) == round(row["majority"] * row["rows"])
        assert sum(by_label) == row["rows"]
