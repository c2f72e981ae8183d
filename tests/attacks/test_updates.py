"""What the update of one step over few rows tells of them, to who sees each client's and to who sees the average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from averaging import guessed
from claims import Cases
from gradients import class_sums, first_inputs, label_counts, label_of_one, labels_of_known, recovered
from seen import Reals, Received
from trainings import DELTA, LEARNING_RATE, PIXELS, POLICY, Step, digits, one_step

import privsdk as ps
from privsdk import fl
from privsdk.crypto.sums import masks
from privsdk.errors import BudgetExceeded, DataError
from privsdk.fl.models.model import Model

CLASSES = list(range(10))
SOFTMAX = fl.Softmax(features=PIXELS, classes=CLASSES)
PERCEPTRON = fl.MLP(features=PIXELS, hidden=[256], classes=CLASSES)
NEAR = 0.05  # root mean square over pixels from 0 to 1
PRIVATE = fl.RecordLevel(clip=1.0, noise_multiplier=2.0, sampling_rate=1.0)


def found(model: Model, gradients: list[Reals], rows: Reals) -> int:
    """How many rows an attacker has who tries each of these gradients."""
    return max(recovered(first_inputs(model.network, each, 1e-7), rows, NEAR) for each in gradients)


def from_single(model: Model, step: Step) -> int:
    """Rows of clients from what the coordinator has of each."""
    return sum(found(model, [step.single[name]], step.x[name]) for name in step.x)


@pytest.mark.claim(
    "attacks: a coordinator finds no client's rows or labels in its masked update, and all in a clear one"
)
@pytest.mark.attack("rows from the first layer of a client's update, seen by the coordinator")
def test_rows_in_an_update(received: Received, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    tables = digits(15)
    clear = one_step(PERCEPTRON, tables, received, aggregation="clear")
    before = from_single(PERCEPTRON, clear)
    assert before > clear.rows / 2
    masked = one_step(PERCEPTRON, tables, received)
    gained = from_single(PERCEPTRON, masked)
    assert gained == 0
    with monkeypatch.context() as patched:
        patched.setattr(masks, "add_from", lambda *_: None)
        assert from_single(PERCEPTRON, one_step(PERCEPTRON, tables, received)) >= before - 1
    cases(3 * clear.rows)
    cases.gains(f"{gained} rows of {clear.rows}", before=f"{before} of {clear.rows}", bound="none, by masks")


def by_label(step: Step, gradients: Mapping[str, Reals]) -> int:
    """How many rows are told by the label, client by client, where these gradients are taken for the clients'."""
    told = 0.0
    for name, y in step.y.items():
        counts = label_counts(SOFTMAX.network, gradients[name], np.full(10, 0.1), len(y))
        counts *= len(y) / max(counts.sum(), 1e-9)
        told += np.minimum(counts, np.bincount(y, minlength=10)).sum()
    return round(told)


@pytest.mark.claim(
    "attacks: a coordinator finds no client's rows or labels in its masked update, and all in a clear one"
)
@pytest.mark.attack("how many rows of a client have which label, and the only row of one, from its update")
def test_labels_in_an_update(received: Received, cases: Cases) -> None:
    """The words of a masked update tell what words drawn at random do, and the average what it tells of all."""
    tables = digits(30, parties=10)
    clear = one_step(SOFTMAX, tables, received, aggregation="clear")
    before = by_label(clear, clear.single)
    assert before == clear.rows
    singles = sum(int((np.bincount(y, minlength=10) == 1).sum()) for y in clear.y.values())

    def single_rows(step: Step) -> int:
        return sum(
            recovered(class_sums(SOFTMAX.network, step.single[name], len(y)), step.x[name], NEAR)
            for name, y in step.y.items()
        )

    assert single_rows(clear) >= singles > 0
    masked = one_step(SOFTMAX, tables, received)
    gained = by_label(masked, masked.single)
    average = by_label(masked, dict.fromkeys(masked.y, masked.average))
    rng = np.random.default_rng(3)
    size = SOFTMAX.network.size
    drawn = [by_label(masked, {name: rng.uniform(-9, 9, size) for name in masked.y}) for _ in range(100)]
    assert single_rows(masked) == 0
    assert gained <= np.mean(drawn) + 6 * np.std(drawn) < clear.rows
    cases(2 * clear.rows)
    cases.gains(
        f"{gained} labels of {clear.rows}, no row; {average} by the average that everyone gets",
        before=f"{before} of {clear.rows}, and all {singles} rows that are alone with their label",
        bound=f"{np.mean(drawn):.0f} +- {np.std(drawn):.0f}, of words drawn at random",
    )


@pytest.mark.claim(
    "attacks: of rows and labels in the average of one step, record-level noise leaves what epsilon lets"
)
@pytest.mark.attack("rows from the first layer of the average of one step, which everyone gets")
def test_rows_in_an_average(received: Received, cases: Cases) -> None:
    """Masks hide whose they are, not what the sum tells: a row that is alone on a hidden unit is in it. With epsilon an
    attacker names one of many candidates e^epsilon times as often as by a guess: B. Balle, G. Cherubin, J. Hayes,
    "Reconstructing Training Data with Informed Adversaries", IEEE S&P 2022, section V."""
    tables = digits(15)
    every = np.concatenate([one["pixels"].combine_chunks().flatten().to_numpy() for one in digits(400, 10).values()])
    pool = every.reshape(-1, 784) / 255

    def rows_in(step: Step) -> int:
        return found(PERCEPTRON, [step.average, *step.single.values()], np.concatenate(list(step.x.values())))

    masked = one_step(PERCEPTRON, tables, received)
    before = rows_in(masked)
    assert before > 0
    noisy = one_step(PERCEPTRON, tables, received, privacy=PRIVATE, batch_size=15)
    gained = rows_in(noisy)
    rows = np.concatenate(list(noisy.x.values()))
    chance = np.mean([np.sqrt(np.square(pool - row).mean(axis=1)) <= NEAR for row in rows])
    bound = noisy.rows * min(1.0, np.exp(noisy.epsilon) * chance + DELTA)
    assert gained <= bound < 3
    cases(2 * masked.rows)
    cases.gains(
        f"{gained} rows of {noisy.rows}",
        before=f"{before} of {masked.rows}, masked",
        bound=f"{bound:.2f}, by epsilon {noisy.epsilon:.1f} and {len(pool):,} candidates",
    )


@pytest.mark.claim(
    "attacks: of rows and labels in the average of one step, record-level noise leaves what epsilon lets"
)
@pytest.mark.attack("labels of rows whose features an attacker knows, solved from the average of one step")
def test_labels_of_known_rows(received: Received, cases: Cases) -> None:
    """Labels are fair coins, so that features tell nothing of them. Another label is one row less and one more."""
    rng = np.random.default_rng(4)
    tables = {
        name: table.append_column("coin", pa.array(rng.integers(0, 2, len(table)) == 1))
        for name, table in digits(60).items()
    }
    model = fl.Logistic(features=PIXELS)

    def labels(step: Step, gradients: list[Reals]) -> int:
        x, y = (np.concatenate(list(each.values())) for each in (step.x, step.y))
        return max(int((labels_of_known(x, each, step.rows) == (y > 0)).sum()) for each in gradients)

    masked = one_step(model, tables, received, label="coin")
    before = labels(masked, [masked.average])
    assert before == masked.rows
    private = fl.RecordLevel(clip=1.0, noise_multiplier=4.0, sampling_rate=1.0)
    noisy = one_step(model, tables, received, label="coin", privacy=private, batch_size=60)
    gained, bound = labels(noisy, [noisy.average]), noisy.rows * guessed(2 * noisy.epsilon, DELTA)
    assert gained <= bound < noisy.rows
    cases(2 * masked.rows)
    cases.gains(
        f"{gained} labels of {noisy.rows}",
        before=f"{before} of {masked.rows}, masked",
        bound=f"{bound:.0f}, by epsilon {noisy.epsilon:.1f} of a row; 90 by chance",
    )


@pytest.mark.claim("attacks: no training is of fewer rows than its owner's minimum count")
@pytest.mark.attack("the row and label of a training on one row, from its update")
def test_a_batch_of_one(cases: Cases) -> None:
    """Where nothing is protected, as in `fl.simulate`, every update of one row is that row and its label."""
    rows = digits(10, parties=1)["P0"]
    network, before = SOFTMAX.network, 0
    for at in range(0, 10, 2):
        pair = rows.slice(at, 2)
        fitted = fl.simulate(SOFTMAX, [pair], label="digit", rounds=1, learning_rate=LEARNING_RATE, held_out=0.5)
        gradient = -fitted.weights.astype(np.float64) / LEARNING_RATE
        x = np.stack(pair["pixels"].to_pylist()) / 255
        labels = pair["digit"].to_pylist()
        hits = [recovered(first_inputs(network, gradient, 1e-7), row[None], NEAR) for row in x]
        before += sum(hits) == 1 and labels[hits.index(1)] == label_of_one(network, gradient)
    assert before == 5
    held: dict[str, Any] = {name: {"t": rows.slice(0, 2)} for name in ("a", "b", "c")}
    with ps.embedded({**held, "notary": {}}, store=None, quiet=True, policy=POLICY) as fed:
        for aggregation in ("clear", "masked"):
            with pytest.raises(DataError, match="at least its minimum count of 10"):
                fl.fit(
                    SOFTMAX, fed.tables("t"), label="digit", rounds=1, held_out=0.5, aggregation=aggregation
                ).release()
            cases()
    cases.gains("nothing", before=f"{before} rows of 5, with label", bound="none: refused below the minimum count")


def test_a_budget_without_exact_disclosures_leaves_private_trainings_alone() -> None:
    """As SECURITY.md advises against what averages tell."""
    held: dict[str, Any] = {name: {"t": table} for name, table in digits(15).items()}
    budget = ps.Budget(epsilon=10, delta=DELTA, exact=0)
    with ps.embedded({**held, "notary": {}}, store=None, quiet=True, policy=POLICY, budget=budget) as fed:
        with pytest.raises(BudgetExceeded):
            fl.fit(SOFTMAX, fed.tables("t"), label="digit", rounds=1).release()
        fl.fit(SOFTMAX, fed.tables("t"), label="digit", rounds=1, batch_size=15, privacy=PRIVATE).release()
