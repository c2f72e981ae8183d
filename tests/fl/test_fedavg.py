"""Federated averaging equals centralised gradient descent, in the clear and through the encrypted sum."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from harness import play
from training import clear, encrypted, problem, train

from privsdk.errors import DataError, ProtocolViolation
from privsdk.fl.fedavg import UPDATE_BOUND, Schedule, _model, _weighted, contributor, coordinator, quantisation_bound
from privsdk.fl.models import Rows, evaluate
from privsdk.testing import ClearSum, Numbers, Sent

Reals = npt.NDArray[np.float64]


def centralised(parties: list[Rows], rounds: int, rate: float) -> tuple[Reals, list[float]]:
    """Gradient descent on all rows in one place, written anew."""
    x, y = np.vstack([p.x for p in parties]), np.concatenate([p.y for p in parties])
    weights, losses = np.zeros(x.shape[1]), []
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-(x @ weights)))
        losses.append(float(-np.mean(np.log(np.where(y == 1, p, 1 - p)))))
        weights = weights - rate * (x.T @ (p - y)) / len(y)
    return weights, losses


SHAPES = [([40], 2, 30), ([10, 200], 4, 60), ([1, 20, 30], 3, 40), ([300, 7, 50, 120], 8, 100)]


@pytest.mark.claim("fl: full batch, one local step equals centralised gradient descent to 1e-9 (clear sum)")
@pytest.mark.parametrize(("sizes", "size", "rounds"), SHAPES)
def test_one_full_step_a_round_is_gradient_descent(sizes: list[int], size: int, rounds: int, cases: Cases) -> None:
    parties = problem(sizes, size)
    schedule = Schedule(rounds=rounds, local_steps=1, batch_size=0, learning_rate=1.0)
    trained, scores = train(parties, schedule, clear)
    weights, losses = centralised(parties, rounds, 1.0)
    assert np.abs(trained.weights - weights).max() < 1e-9
    assert np.abs(np.array(trained.loss) - losses).max() < 1e-9
    assert trained.rows == [sum(sizes)] * rounds
    for rows, score in zip(parties, scores.values(), strict=True):
        assert score == pytest.approx(evaluate(weights, rows), abs=1e-9, nan_ok=True)
    cases.say(f"largest difference {np.abs(trained.weights - weights).max():.1e} in {rounds} rounds")
    cases()


@pytest.mark.claim("fl: through the encrypted sum within the printed quantisation bound")
@pytest.mark.parametrize(("sizes", "size", "rounds"), [([12, 30, 25], 3, 10), ([5, 5, 5, 5], 6, 6)])
def test_the_encrypted_sum_stays_within_the_quantisation_bound(
    sizes: list[int], size: int, rounds: int, cases: Cases
) -> None:
    # A gradient step of rate <= 2 / L is non-expansive in the Euclidean norm: the loss is convex and L-smooth, with L a
    # quarter of the largest eigenvalue of X'X / n, so at most size / 4 for features within [-1, 1]. Earlier rounding is
    # never amplified then, and after T rounds the weights are within T times one round's sqrt(size) * bound. The last
    # term below is for the arithmetic of floats itself.
    parties = problem(sizes, size)
    rate = 8 / size
    schedule = Schedule(rounds=rounds, local_steps=1, batch_size=0, learning_rate=rate)
    trained, _ = train(parties, schedule, encrypted)
    weights, _ = centralised(parties, rounds, rate)
    once = quantisation_bound(len(sizes), sum(sizes))
    assert once <= quantisation_bound(1, 1)  # which is the bound that a plan prints
    error = np.linalg.norm(trained.weights - weights)
    assert error <= rounds * math.sqrt(size) * once + rounds * 1e-15
    cases.say(f"{error / (rounds * math.sqrt(size) * once):.0%} of the bound")
    cases()


def test_encrypted_and_clear_sums_train_the_same_model() -> None:
    schedule = Schedule(rounds=4, local_steps=3, batch_size=8, learning_rate=0.5)
    parties = problem([20, 30], 3)
    assert (
        train(parties, schedule, encrypted)[0].weights.tolist() == train(parties, schedule, clear)[0].weights.tolist()
    )


def test_several_local_steps_average_the_parties_by_their_rows() -> None:
    parties = problem([10, 30], 3)
    schedule = Schedule(rounds=1, local_steps=5, batch_size=0, learning_rate=0.7)
    alone = [train([rows], schedule, clear)[0].weights for rows in parties]
    both, _ = train(parties, schedule, clear)
    assert both.weights == pytest.approx((10 * alone[0] + 30 * alone[1]) / 40, abs=1e-9)


def test_divergence_is_refused_before_anything_of_it_is_sent() -> None:
    transcript: list[Sent] = []
    schedule = Schedule(rounds=3, local_steps=2, batch_size=0, learning_rate=1e4)
    with pytest.raises(DataError, match="p0's training diverged in round 1"):
        train(problem([9, 9], 3), schedule, clear, transcript)
    assert {s.tag for s in transcript} == {"fl.fedavg.Model"}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, UPDATE_BOUND * 1.001])
def test_updates_that_cannot_be_summed_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="north's training diverged in round 3") as raised:
        _weighted(np.array([0.1, bad]), 10, 0.5, "north", 2)
    assert "0.1" not in str(raised.value)
    with pytest.raises(DataError):
        _weighted(np.array([0.1]), 10, bad, "north", 2)


@pytest.mark.parametrize(
    ("round_", "weights"), [(1, [0.0, 0.0, 0.0]), (0, [0.0, 0.0]), (0, [0.0, math.nan, 0.0]), (0, [0.0] * 4)]
)
def test_a_model_that_does_not_fit_the_round_is_refused(round_: int, weights: list[float]) -> None:
    rows = problem([5], 3)[0]
    schedule = Schedule(rounds=1, local_steps=1, batch_size=0, learning_rate=1.0)
    role = contributor(
        ClearSum(contributors=("p0",), key_holder="k"),
        party="p0",
        coordinator="k",
        training=rows,
        held_out=rows,
        schedule=schedule,
        rng=np.random.default_rng(0),
    )
    with pytest.raises(ProtocolViolation, match="does not fit round 0"):
        play(role, _model(round_, np.array(weights)))


def test_totals_without_rows_are_refused() -> None:
    schedule = Schedule(rounds=1, local_steps=1, batch_size=0, learning_rate=1.0)
    role = coordinator(clear("k", ("p0",), 2), size=2, schedule=schedule, contributors=("p0",))
    with pytest.raises(ProtocolViolation, match="do not add up to a positive number"):
        play(role, Numbers(values=("1", "1", "0", "1")))


def test_a_party_without_rows_cannot_take_part() -> None:
    with pytest.raises(DataError, match="p0 has 0 complete training rows"):
        train(problem([0], 3), Schedule(rounds=1, local_steps=1, batch_size=0, learning_rate=1.0), clear)


def test_batches_weigh_by_their_own_rows() -> None:
    """Other weights, distinct for each party, would let a sum of few labels be taken apart into the shares."""
    parties = problem([40, 13, 7], 3)
    schedule = Schedule(rounds=1, local_steps=1, batch_size=10, learning_rate=1.0)
    trained, _ = train(parties, schedule, clear)
    assert trained.rows == [10 + 10 + 7]
    # the first step from zero moves the intercept by the mean of (y - 1/2): a count of labels over the rows of the step
    labels = trained.weights[-1] * 27 + 27 / 2
    assert labels == pytest.approx(round(labels), abs=1e-6)
