"""Federated averaging equals centralised gradient descent, by every provider; what does not fit is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from claims import Cases
from harness import play
from rounding import FUNCTION, descent, roundoff
from training import Provider, clear, course_of, each, encrypted, problem, roles_of, train

from privsdk.crypto.sums.base import UNITS, Contribution, PlainSum
from privsdk.errors import DataError, PeerGone, ProtocolViolation
from privsdk.fl.averages import BOUND, UNIT, VALUES, ClientUpdate, Each, Update, check
from privsdk.fl.loops.course import Round, TrainingStatistics
from privsdk.fl.loops.resuming import Kept
from privsdk.fl.loops.rounds import Go
from privsdk.fl.models.network import Rows
from privsdk.fl.models.training import Schedule
from privsdk.protocol.roles import Role
from privsdk.testing import Sent, together

Reals = npt.NDArray[np.float64]
STEP = Schedule(steps=1, learning_rate=1.0)


def centralised(parties: list[Rows], rounds: int, rate: float) -> tuple[Reals, list[float]]:
    """Gradient descent on all rows in one place, in double precision, written anew."""
    x = np.vstack([np.column_stack([p.x, np.ones(len(p))]) for p in parties]).astype(np.float64)
    y = np.concatenate([p.y for p in parties])
    weights, losses = np.zeros(x.shape[1]), []
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-(x @ weights)))
        losses.append(float(-np.mean(np.log(np.where(y == 1, p, 1 - p)))))
        weights = weights - rate * (x.T @ (p - y)) / len(y)
    return weights, losses


def rounding(rows: int, rounds: int, rate: float, weights: Reals) -> float:
    """How far full-batch steps may end from these weights, in norm: features are within [-1, 1]."""
    terms = math.sqrt(len(weights)) * (1 + np.abs(weights).sum() / 4)
    return descent(
        steps=rounds, rows=rows, inputs=len(weights), rate=rate, gradient=terms, weights=float(np.linalg.norm(weights))
    )


SHAPES = [([40], 2, 30), ([10, 200], 4, 60), ([1, 20, 30], 3, 40), ([300, 7, 50, 120], 8, 100)]


@pytest.mark.claim("fl: full batch, one local step equals centralised gradient descent to single precision")
@pytest.mark.parametrize("provider", [clear, each])
@pytest.mark.parametrize(("sizes", "size", "rounds"), SHAPES)
@pytest.mark.rounding
def test_one_full_step_a_round_is_gradient_descent(
    sizes: list[int], size: int, rounds: int, provider: Provider, cases: Cases
) -> None:
    parties = problem(sizes, size)
    trained, outputs = train(parties, STEP, provider, rounds=rounds)
    weights, losses = centralised(parties, rounds, 1.0)
    allowed = rounding(sum(sizes), rounds, 1.0, weights) + rounds * UNIT
    assert np.linalg.norm(trained.weights - weights) < allowed
    steepest = math.sqrt(size)  # the loss by the weights
    assert np.abs(np.array([told["loss"] for told in trained.rounds]) - losses).max() < steepest * allowed
    assert [told["rows"] for told in trained.rounds] == [sum(sizes)] * rounds
    assert len(outputs) == len(sizes)
    for final in outputs.values():
        assert final.tolist() == trained.weights.tolist()
    cases.say(f"largest difference {np.abs(trained.weights - weights).max():.1e} in {rounds} rounds")
    cases()


@pytest.mark.claim("fl: through the encrypted sum within the printed quantisation bound")
@pytest.mark.parametrize(("sizes", "size", "rounds"), [([12, 30, 25], 3, 10), ([5, 5, 5, 5], 6, 6)])
@pytest.mark.rounding
def test_the_encrypted_sum_stays_within_the_quantisation_bound(
    sizes: list[int], size: int, rounds: int, cases: Cases
) -> None:
    # A gradient step of rate <= 2 / L is non-expansive in the Euclidean norm: the loss is convex and L-smooth, with L a
    # quarter of the largest eigenvalue of X'X / n, so at most size / 4 for features within [-1, 1]. Earlier rounding is
    # never amplified then, and after T rounds the weights are within T times one round's sqrt(size) * bound. The last
    # term below is for single precision itself.
    parties = problem(sizes, size)
    rate = 8 / size
    trained, _ = train(parties, Schedule(steps=1, learning_rate=rate), encrypted, rounds=rounds)
    weights, _ = centralised(parties, rounds, rate)
    once = len(sizes) * UNIT / 2  # weights add up to 1; the plan prints this for each client
    error = np.linalg.norm(trained.weights - weights)
    assert error <= rounds * math.sqrt(size) * once + rounding(sum(sizes), rounds, rate, weights)
    cases.say(f"{error / (rounds * math.sqrt(size) * once):.0%} of the bound")
    cases()


def test_encrypted_and_clear_sums_train_the_same_model() -> None:
    schedule = Schedule(steps=3, batch_size=8, learning_rate=0.5)
    parties = problem([20, 30], 3)
    one, other = (train(parties, schedule, provider, rounds=4)[0] for provider in (encrypted, clear))
    assert one.weights.tolist() == other.weights.tolist()
    assert one.rounds == other.rounds


@pytest.mark.parametrize("provider", [clear, each])
@pytest.mark.rounding
def test_several_local_steps_average_the_parties_by_their_rows(provider: Provider) -> None:
    parties = problem([10, 30], 3)
    schedule = Schedule(steps=5, learning_rate=0.7)
    alone = [train([rows], schedule, provider, rounds=1)[0].weights for rows in parties]
    both, _ = train(parties, schedule, provider, rounds=1)
    allowed = roundoff(4) * float(np.abs(alone).max()) + 2 * UNIT
    assert both.weights == pytest.approx((10 * alone[0] + 30 * alone[1]) / 40, abs=allowed)


def test_epochs_go_through_all_rows_once_in_an_order_of_their_own() -> None:
    schedule = Schedule(epochs=3, batch_size=4, learning_rate=1.0)
    batches = list(schedule.batches(10, np.random.default_rng(0)))
    assert [len(batch) for batch in batches if batch is not None] == [4, 4, 2] * 3
    assert schedule.count(10) == len(batches)
    passes = [np.concatenate(batches[at : at + 3]).tolist() for at in (0, 3, 6)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert len(set(map(tuple, passes))) == 3


@pytest.mark.rounding
def test_batches_weigh_by_their_own_rows() -> None:
    """Other weights, distinct for each party, would let a sum of few labels be taken apart into the shares."""
    parties = problem([40, 13, 7], 3)
    trained, _ = train(parties, Schedule(steps=1, batch_size=10, learning_rate=1.0), clear, rounds=1)
    assert trained.rounds[0]["rows"] == 10 + 10 + 7
    # the first step from zero moves the intercept by the mean of (y - 1/2): a count of labels over the rows of the step
    labels = trained.weights[-1] * 27 + 27 / 2
    assert labels == pytest.approx(round(float(labels)), abs=27 * (roundoff(27 + FUNCTION) + UNIT))


def test_divergence_is_named_before_anything_of_it_is_sent() -> None:
    transcript: list[Sent] = []
    with pytest.raises(DataError, match="training diverged"):
        train(problem([9, 9], 3), Schedule(steps=2, learning_rate=1e4), clear, transcript, rounds=3)
    said = {"Facts", "Go", "Kept", "Ready", "Round"}
    assert {s.tag for s in transcript} == {"fl.sums.Contribution", *(f"fl.rounds.{tag}" for tag in said)}
    assert {len(s.table) for s in transcript if s.tag == "fl.sums.Contribution"} == {1}  # the number of rows


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, BOUND * 1.001])
def test_updates_that_cannot_be_summed_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="training diverged") as raised:
        check(Update(np.array([0.1, bad], np.float32), 1.0, 0.5))
    assert "0.1" not in str(raised.value)
    check(Update(np.array([0.1, BOUND], np.float32), 1.0, 100.0))  # a large loss is cut where it is told
    for loss in (math.nan, math.inf):
        with pytest.raises(DataError):
            check(Update(np.array([0.1], np.float32), 1.0, loss))


def _round(number: int, weights: list[float], *, last: bool = False) -> Round:
    table = pa.table([pa.array(weights, pa.float32())], schema=VALUES)
    return Round(number=number, parties=("p0",), last=last, table=table)


def _facts(rows: int) -> TrainingStatistics:
    return TrainingStatistics(first=0, table=pa.table([pa.array([rows])], schema=UNITS))


@pytest.mark.parametrize(
    "message",
    [_round(0, [0.0, 0.0]), _round(0, [0.0, math.nan, 0.0]), _round(0, [0.0, math.inf, 0.0]), _round(0, [])],
)
def test_a_model_that_does_not_fit_is_refused(message: Round) -> None:
    roles = roles_of(problem([5], 3), course_of(problem([5], 3), STEP, 1), each)
    with pytest.raises(ProtocolViolation, match="k sent a model that does not fit round 1"):
        play(roles["p0"], _facts(5), message)


def test_a_round_that_comes_again_is_refused() -> None:
    roles = roles_of(problem([5], 3), course_of(problem([5], 3), STEP, 3), each)
    with pytest.raises(ProtocolViolation, match="k sent round 1 after round 1"):
        play(roles["p0"], _facts(5), _round(0, [0.0] * 3), Go(number=0, parties=("p0",)), _round(0, [0.0] * 3))


def test_totals_without_rows_are_refused() -> None:
    roles = roles_of(problem([5], 3), course_of(problem([5], 3), STEP, 1), each)
    table = pa.table([pa.array([0])], schema=UNITS)
    with pytest.raises(ProtocolViolation, match="do not add up to a positive number"):
        play(roles["k"], Contribution(name="facts", table=table), Kept(numbers=()))


BAD_UPDATES = {
    "too short": ([0.0, 0.0], 1.0, 0.5),
    "not a number": ([0.0, math.nan, 0.0], 1.0, 0.5),
    "infinite": ([0.0, math.inf, 0.0], 1.0, 0.5),
    "without weight": ([0.0] * 3, 0.0, 0.5),
    "of too much weight": ([0.0] * 3, 1.5, 0.5),
    "of a loss that is no number": ([0.0] * 3, 1.0, math.nan),
}


@pytest.mark.parametrize("what", BAD_UPDATES)
def test_a_client_that_sends_what_does_not_fit_is_left_out_and_named(what: str) -> None:
    vector, weight, loss = BAD_UPDATES[what]
    averages = Each(coordinator="k", within_s=1.0)
    good = ClientUpdate(
        name="round 1", weight=0.5, loss=0.25, table=pa.table([pa.array([1.0, 2, 3], pa.float32())], VALUES)
    )
    bad = ClientUpdate(
        name="round 1", weight=weight, loss=loss, table=pa.table([pa.array(vector, pa.float32())], schema=VALUES)
    )
    combine = course_of(problem([5], 3), STEP, 1).strategy.combine
    mean = play(averages.collect("round 1", ("p0", "p1"), 3, combine), good, bad)
    assert (mean.parties, mean.vector.tolist(), mean.weight, mean.loss) == (("p0",), [1.0, 2.0, 3.0], 0.5, 0.25)
    assert list(mean.lost) == ["p1"]
    assert "p1 sent an update that does not fit round 1" in str(mean.lost["p1"])


BAD_UNITS = {"too short": [1], "too large": [1, 1 << 40], "of another round": [1, 1]}


@pytest.mark.parametrize("what", BAD_UNITS)
def test_a_summand_that_does_not_fit_is_left_out_and_named(what: str) -> None:
    name = "round 2" if what == "of another round" else "round 1"
    good, bad = (
        Contribution(name=name, table=pa.table([pa.array(units)], schema=UNITS))
        for name, units in (("round 1", [3, -4]), (name, BAD_UNITS[what]))
    )
    totals = play(PlainSum(coordinator="k", within_s=1.0).collect("round 1", ("p0", "p1"), 2, 1 << 30), good, bad)
    assert (totals.sums.tolist(), totals.parties, list(totals.lost)) == ([3, -4], ("p0",), ["p1"])


def ending(role: Role[Any], steps: int) -> Role[None]:
    """A role that is gone after so many steps."""
    heard = None
    for _ in range(steps):
        heard = yield role.send(heard) if heard is not None else next(role)
    role.close()


@pytest.mark.parametrize("provider", [clear, each])
@pytest.mark.parametrize("steps", range(1, 14))
@pytest.mark.rounding
def test_training_goes_on_without_a_client_that_is_gone(steps: int, provider: Provider) -> None:
    """Wherever it stops: the model is that of training without it from that round on."""
    parties = problem([10, 20, 30], 3)
    course = course_of(parties, STEP, 4, fewest=2)
    roles = roles_of(parties, course, provider)
    roles["p1"] = ending(roles["p1"], steps)
    trained = together(roles)["k"]
    assert len(trained.rounds) == 4
    assert [told["clients"] for told in trained.rounds] == sorted((t["clients"] for t in trained.rounds), reverse=True)
    if trained.lost:
        number, error = trained.lost["p1"]
        assert "p1" in str(error)
        assert [t["clients"] for t in trained.rounds] == [3] * max(0, number - 1) + [2] * min(4, 5 - number)
    weights = np.zeros(3)
    for told in trained.rounds:
        present = parties if told["clients"] == 3 else [parties[0], parties[2]]
        x = np.vstack([np.column_stack([p.x, np.ones(len(p))]) for p in present])
        y = np.concatenate([p.y for p in present])
        weights = weights - x.T @ (1 / (1 + np.exp(-(x @ weights))) - y) / len(y)
    assert np.linalg.norm(trained.weights - weights) < rounding(60, 4, 1.0, weights) + 4 * UNIT


def test_too_few_clients_end_the_training_with_their_names() -> None:
    parties = problem([10, 20, 30], 3)
    roles = roles_of(parties, course_of(parties, STEP, 4, fewest=3), each)
    roles["p1"] = ending(roles["p1"], 6)
    with pytest.raises(PeerGone, match=r"2 clients are left in round \d, and 3 are asked for \(p1: "):
        together(roles)


def test_clients_are_drawn_by_the_public_seed() -> None:
    parties = problem([10, 20, 30, 40, 50], 3)
    course = course_of(parties, STEP, 30, fewest=2, participation=0.4)
    transcript: list[Sent] = []
    trained = together(roles_of(parties, course, each), transcript)["k"]
    assert [told["clients"] for told in trained.rounds] == [2] * 30
    drawn = [s.receiver for s in transcript if s.tag == "fl.rounds.Round" and len(s.table)][:60]
    assert set(drawn) == {f"p{i}" for i in range(5)}
    assert len({tuple(drawn[i : i + 2]) for i in range(0, 60, 2)}) > 5
    again = together(roles_of(parties, course, each))["k"]
    assert again.weights.tolist() == trained.weights.tolist()
