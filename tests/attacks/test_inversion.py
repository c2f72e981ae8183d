"""What a trained model tells of a row's hidden feature, of the rows that it was trained on and of all others alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from inversion import class_picture, inferred_feature, members_at_most
from membership import halves
from trainings import BUDGET, COARSE, DELTA, PIXELS, POLICY, coarse, pixels_of, some_digits

import privsdk as ps
from privsdk import fl, workshop
from privsdk.fl.models.model import Model

PRIVATE = fl.RecordLevel(clip=1.0, noise_multiplier=16.0, sampling_rate=1.0)
ROWS, PARTIES, MODELS, SPREAD = 150, 3, 6, 0.2


def fit(model: Model, tables: Mapping[str, pa.Table], label: str, **options: Any) -> tuple[fl.Fitted, float]:
    """A masked training of these parties, and the epsilon it was charged."""
    held: dict[str, Any] = {name: {"t": table} for name, table in tables.items()}
    with ps.embedded({**held, "notary": {}}, store=None, quiet=True, policy=POLICY, budget=BUDGET) as fed:
        fitted = fl.fit(model, fed.tables("t"), label=label, **options).release().value
        return fitted, max(b.epsilon_spent for name in tables for b in fed.budgets()[name])


def coins(options: dict[str, Any]) -> tuple[float, float, float]:
    """How often the coin of a member and of another is inferred, over several models, and the epsilon of the first.

    Rows are real digits, each with a coin that its writer keeps secret and a score that depends on both, and on chance.
    """
    rng, model = np.random.default_rng(2), fl.Linear(features={**PIXELS, "coin": (0, 1)}, label_range=(-0.5, 1.5))
    pool, coin = some_digits(ROWS, seed=5), rng.integers(0, 2, ROWS)
    score = pool["digit"].to_numpy() / 9 + SPREAD * (2 * coin - 1) + rng.normal(0, SPREAD, ROWS)
    pool = pool.append_column("coin", pa.array(coin)).append_column("score", pa.array(score))
    members, right, epsilon = np.zeros((MODELS, ROWS), np.bool_), np.zeros((MODELS, ROWS), np.bool_), np.inf
    for number, within in enumerate(halves(MODELS, ROWS, rng)):
        parts = np.array_split(rng.permutation(np.flatnonzero(within)), PARTIES)
        tables = {f"p{k}": pool.take(pa.array(part)) for k, part in enumerate(parts)}
        if number:
            fitted = fl.simulate(model, tables, label="score", **options)
        else:
            fitted, epsilon = fit(model, tables, "score", **options)
        for k, part in enumerate(parts):
            held_out = 0 if "privacy" in options else round(len(part) * options["held_out"])
            members[number, part[np.random.default_rng([0, k]).permutation(len(part))[held_out:]]] = True
        right[number] = inferred_feature(fitted, pool, "coin", (0, 1), (0.5, 0.5), SPREAD) == coin
    return float(right[members].mean()), float(right[~members].mean()), epsilon


@pytest.mark.claim(
    "attacks: a private training tells of its rows' features what epsilon lets, beyond what it tells of others'"
)
@pytest.mark.attack("a secret feature of a training's row, by model inversion, beyond that of others")
def test_a_members_feature(cases: Cases) -> None:
    size = ROWS // 2 // PARTIES
    own, others, _ = coins({"rounds": 25, "local_steps": 100, "learning_rate": 0.02, "held_out": 1.01 / size})
    private = {"rounds": 2, "local_steps": 10, "learning_rate": 0.5, "batch_size": size, "privacy": PRIVATE}
    gained, apart, epsilon = coins(private)
    bound = members_at_most(apart, epsilon, DELTA)
    assert own > members_at_most(others, epsilon, DELTA)
    assert gained <= bound < own
    cases(2 * MODELS * ROWS)
    cases.gains(
        f"{gained:.0%} of members' coins, {apart:.0%} of others'",
        before=f"{own:.0%}, {others:.0%} of others'",
        bound=f"{bound:.0%} by epsilon {epsilon:.1f}",
    )


@pytest.mark.claim("attacks: what a model tells of everyone alike, it tells with record-level noise too")
@pytest.mark.attack("the term of a loan from its rate, by a model of loans (Fredrikson et al. 2015)")
def test_a_feature_of_everyone(cases: Cases) -> None:
    """Borrowers whom no lender knows are told of as often as those in the training: it is what the model is for."""
    ranges = {
        "amount": (0, 40_000),
        "income": (0, 200_000),
        "inquiries": (0, 5),
        "utilisation": (0, 120),
        "term": (36, 60),
    }
    model = fl.Linear(features=ranges, label_range=(5, 30))
    parties = workshop.lending_club()
    history = parties.pop("BUREAU")["history"]
    tables = {name: each["loans"] for name, each in parties.items()}
    lent, said = pa.concat_tables(tables.values()), []
    mostly = float(np.mean(history["term"].to_numpy() == 36))
    noise = fl.RecordLevel(clip=1.0, noise_multiplier=8.0, sampling_rate=0.5)
    for options in ({}, {"privacy": noise, "batch_size": 800}):
        fitted, epsilon = fit(model, tables, "rate", rounds=20, learning_rate=0.3, **options)

        def share(table: pa.Table, fitted: fl.Fitted = fitted) -> float:
            found = inferred_feature(fitted, table, "term", (36, 60), (mostly, 1 - mostly), 4.0)
            return float((found == table["term"].to_numpy()).mean())

        assert abs(share(lent) - share(history)) < 0.02
        assert share(history) > mostly + 0.02
        said.append(f"{share(lent):.0%} of borrowers' terms, {share(history):.0%} of others'")
        cases(lent.num_rows + history.num_rows)
    cases.gains(
        f"{said[1]}, at epsilon {epsilon:.1f}", before=said[0], bound=f"none; {mostly:.0%} by the most frequent alone"
    )


@pytest.mark.claim("attacks: what a model tells of everyone alike, it tells with record-level noise too")
@pytest.mark.attack("what the rows of a class look like, from the model's weights (Fredrikson et al. 2015)")
def test_the_picture_of_a_class(cases: Cases) -> None:
    pool = coarse(3000, seed=6)
    tables = {f"p{k}": pool.slice(1000 * k, 1000) for k in range(PARTIES)}
    model = fl.Softmax(features={"pixels": fl.Vector(COARSE, 0, 255)}, classes=list(range(10)))
    means = np.stack([pixels_of(pool)[pool["digit"].to_numpy() == digit].mean(axis=0) for digit in range(10)])
    noise = fl.RecordLevel(clip=1.0, noise_multiplier=8.0, sampling_rate=1.0)
    likeness = []
    for options in ({}, {"privacy": noise, "batch_size": 1000}):
        fitted, epsilon = fit(model, tables, "digit", rounds=4, local_steps=5, learning_rate=1.0, **options)
        pictures = [class_picture(model.network, fitted.weights, digit) for digit in range(10)]
        found = np.corrcoef(pictures - np.mean(pictures, axis=0), means - means.mean(axis=0))[:10, 10:]
        likeness.append(int((found.argmax(axis=1) == np.arange(10)).sum()))
        cases(10)
    assert min(likeness) >= 7
    cases.gains(
        f"{likeness[1]} of 10 told by their mean, at epsilon {epsilon:.1f}",
        before=f"{likeness[0]} of 10",
        bound="none: a class is of many rows",
    )
