"""Record-level privacy: norms, sensitivity, sampling, noise and steps of DP-SGD, against their definitions."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from private_training import LOGISTIC, random_rows, train
from rounding import descent
from scipy.stats import binom, kstest

from privsdk.crypto.gaussian import discrete_gaussian, width
from privsdk.errors import DataError, InvalidArgument
from privsdk.fl.models.network import Network, Output, Rows
from privsdk.fl.models.training import Pull, Schedule, Task
from privsdk.fl.privacy import record_level
from privsdk.fl.privacy.levels import RecordLevel
from privsdk.fl.privacy.record_level import CHUNK, EXCESS, NoisySteps, charge, clipped_sum, sampled, units_of
from privsdk.protocol.roles import Role
from privsdk.testing import SeededEntropy

NETWORKS = [
    LOGISTIC,
    Network((3, 1), Output.IDENTITY),
    Network((4, 3), Output.SOFTMAX),
    Network((5, 8, 6, 3), Output.SOFTMAX),
    Network((3, 7, 1), Output.SIGMOID),
]
UNITS = 1 << 48
PRIVACY = RecordLevel(clip=1.0, noise_multiplier=1.0, sampling_rate=0.5)
Reals = npt.NDArray[np.float64]
NO_PULL = Pull()


def rows_for(network: Network, count: int, seed: int, spread: float = 1.0) -> Rows:
    rng = np.random.default_rng([seed, count])
    x = (spread * rng.standard_normal((count, network.widths[0]))).astype(np.float32)
    if network.output is Output.SOFTMAX:
        return Rows(x=x, y=rng.integers(0, network.widths[-1], count))
    y = rng.standard_normal(count) if network.output is Output.IDENTITY else rng.integers(0, 2, count)
    return Rows(x=x, y=y.astype(np.float32))


def weights_for(network: Network, seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.7, network.size).astype(np.float32)


def one_by_one(network: Network, weights: npt.NDArray[np.float32], rows: Rows, clip: float) -> Reals:
    """Each row's gradient made whole, clipped and added, as in the paper."""
    total = np.zeros(network.size)
    for i in range(len(rows)):
        row = Rows(x=rows.x[i : i + 1].astype(np.float64), y=rows.y[i : i + 1])  # type: ignore[arg-type]
        flat: list[Reals] = []
        for part in network.backward(weights.astype(np.float64), row):  # type: ignore[arg-type]
            flat += [np.outer(part.inputs[0], part.errors[0]).ravel(), part.errors[0]]
        gradient = np.concatenate(flat)
        total += gradient * min(1.0, clip / max(float(np.linalg.norm(gradient)), 1e-300))
    return total


@pytest.mark.claim("DP-SGD: sums of clipped gradients equal those of each row's own gradient, made whole and clipped")
@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("count", [0, 1, 5, CHUNK - 1, CHUNK, 2 * CHUNK + 17])
@pytest.mark.parametrize("clip", [0.05, 1.0, 100.0])
@pytest.mark.rounding
def test_clipped_sums(network: Network, count: int, clip: float, cases: Cases) -> None:
    rows, weights = rows_for(network, count, 1), weights_for(network, 2)
    units = clipped_sum(network, weights, rows, clip, UNITS)
    expected = one_by_one(network, weights, rows, clip)
    assert units * (clip / UNITS) == pytest.approx(expected, rel=1e-9, abs=1e-9 * clip * (count + 1))
    cases(count)


@pytest.mark.claim("DP-SGD: sums over neighbouring data differ by no more than the sensitivity that is charged")
@given(
    which=st.integers(0, len(NETWORKS) - 1),
    count=st.integers(1, 2 * CHUNK + 10),
    seed=st.integers(0, 1 << 32),
    spread=st.sampled_from([1e-20, 1e-3, 1.0, 1e3, 1e12, 1e25]),
    clip=st.sampled_from([1e-6, 0.3, 1.0, 50.0]),
    data=st.data(),
)
def test_neighbours_differ_by_the_sensitivity(
    which: int, count: int, seed: int, spread: float, clip: float, data: st.DataObject
) -> None:
    network = NETWORKS[which]
    rows, weights = rows_for(network, count, seed, spread), weights_for(network, seed + 1)
    gone = data.draw(st.integers(0, count - 1))
    with np.errstate(all="ignore"):
        whole = clipped_sum(network, weights, rows, clip, UNITS)
        less = clipped_sum(network, weights, rows.take(np.delete(np.arange(count), gone)), clip, UNITS)
    difference = math.sqrt(sum(int(d) ** 2 for d in whole - less))
    assert difference <= UNITS * (1 + EXCESS)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
def test_a_row_that_cannot_be_bounded_counts_as_zero(bad: float) -> None:
    network, rows = NETWORKS[3], rows_for(NETWORKS[3], 20, 4)
    weights = weights_for(network, 5)
    spoilt = Rows(x=rows.x.copy(), y=rows.y)
    spoilt.x[7] = bad
    with np.errstate(all="ignore"):
        found = clipped_sum(network, weights, spoilt, 1.0, UNITS)
        without = clipped_sum(network, weights, rows.take(np.delete(np.arange(20), 7)), 1.0, UNITS)
    assert np.abs(found - without).max() <= UNITS * 2.0**-40
    assert not clipped_sum(network, np.full(network.size, np.nan, np.float32), rows, 1.0, UNITS).any()


def test_a_row_whose_squares_might_underflow_beside_others_counts_as_zero() -> None:
    network, rows = NETWORKS[1], rows_for(NETWORKS[1], 5, 4)
    rows.x[2] = 3e38
    kept = rows.take(np.array([0, 1, 3, 4]))
    weights = weights_for(network, 5)
    found, without = (clipped_sum(network, weights, each, 1.0, UNITS) for each in (rows, kept))
    assert np.abs(found - without).max() <= UNITS * 2.0**-40


@pytest.mark.claim("DP-SGD: what is computed for a row depends on no other row, nor on its place, to the last bit")
@pytest.mark.parametrize("network", [*NETWORKS, Network((64, 40, 10), Output.SOFTMAX)], ids=str)
def test_a_row_is_computed_apart_from_others(network: Network, cases: Cases) -> None:
    """Were a hidden unit's sum to round differently in other company, it could cross zero and change the gradient."""
    rows, weights = rows_for(network, CHUNK, 6), weights_for(network, 7).astype(np.float64)
    wide = record_level._widened(rows)
    alone = network.backward(weights, wide)  # type: ignore[arg-type]
    rng = np.random.default_rng(8)
    for _ in range(20):
        order = rng.integers(0, CHUNK, CHUNK)  # others, several times, in other places
        for part, moved in zip(alone, network.backward(weights, wide.take(order)), strict=True):  # type: ignore[arg-type]
            assert np.array_equal(part.inputs[order], moved.inputs)
            assert np.array_equal(part.errors[order], moved.errors)
        cases(CHUNK)


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_products_always_have_the_same_number_of_rows(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set[int]()
    backward = Network.backward

    def counted(network: Network, weights: npt.NDArray[np.float32], rows: Rows) -> object:
        seen.add(len(rows))
        assert rows.x.dtype == weights.dtype == np.float64
        return backward(network, weights, rows)

    monkeypatch.setattr(Network, "backward", counted)
    clipped_sum(LOGISTIC, weights_for(LOGISTIC, 1), rows_for(LOGISTIC, count, 1), 1.0, UNITS)
    assert seen == {CHUNK}


@pytest.mark.claim("DP-SGD: rows are drawn each by itself, with the rate that is charged, from secret randomness")
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_sampling(rate: float, cases: Cases) -> None:
    entropy, rows, times = SeededEntropy(b"sampling"), 300, 2000
    drawn = np.zeros((times, rows), bool)
    for each in drawn:
        each[sampled(rows, rate, entropy)] = True
    for counts, trials in ((drawn.sum(axis=0), times), (drawn.sum(axis=1), rows)):  # each row, and each sample
        jittered = counts + np.random.default_rng(1).uniform(-0.5, 0.5, len(counts))  # a continuous law for the test

        def law(at: Reals, trials: int = trials) -> Reals:
            below = np.ceil(at - 0.5) - 1
            share = at + 0.5 - np.floor(at + 0.5)
            return np.asarray(binom.cdf(below, trials, rate) + share * binom.pmf(below + 1, trials, rate))

        assert kstest(jittered, law).pvalue > 1e-4
    together = np.mean(drawn[:, :-1] & drawn[:, 1:])
    assert abs(together - rate**2) < 5 * math.sqrt(rate**2 / drawn.size)
    cases(drawn.size)


def test_all_rows_at_a_rate_of_one() -> None:
    assert sampled(7, 1.0, SeededEntropy(b"")).tolist() == list(range(7))
    assert len(sampled(0, 0.5, SeededEntropy(b""))) == 0


def run(role: Role[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    while True:
        try:
            next(role)
        except StopIteration as stop:
            found: npt.NDArray[np.float32] = stop.value
            return found


def task_of(rows: Rows, *, steps: int = 3, pull: Pull = NO_PULL, rate: float = 0.5) -> Task:
    schedule = Schedule(steps=steps, batch_size=8, learning_rate=rate)
    return Task(LOGISTIC, weights_for(LOGISTIC, 3), rows, schedule, np.random.default_rng(0), pull)


class Calm(SeededEntropy):
    """Counts what is drawn."""

    drawn = 0

    def draw(self, size: int) -> bytes:
        self.drawn += 1
        return super().draw(size)


@pytest.mark.claim("DP-SGD: every step is the paper's, with sampling and noise of the party's own randomness")
@pytest.mark.parametrize("pull", [Pull(), Pull(np.array([0.1, -0.2, 0.3], np.float32)), Pull(None, 0.4)])
@pytest.mark.rounding
def test_steps_are_those_of_the_paper(pull: Pull, cases: Cases) -> None:
    rows, privacy = random_rows(np.random.default_rng(9), 50), PRIVACY
    task = task_of(rows, pull=pull)
    found = run(NoisySteps(privacy, batch_size=8, entropy=SeededEntropy(b"steps"))(task))
    entropy, units = SeededEntropy(b"steps"), units_of(privacy, 8)
    weights = task.start.astype(np.float64)
    for _ in range(3):
        chosen = rows.take(sampled(50, 0.5, entropy))
        noise = discrete_gaussian((1 + EXCESS) * units, LOGISTIC.size, entropy) / units
        gradient = (one_by_one(LOGISTIC, weights.astype(np.float32), chosen, 1.0) + noise) / 8
        gradient += 0 if pull.offset is None else pull.offset
        gradient += pull.strength * (weights - task.start)
        weights -= 0.5 * gradient
        cases()
    terms = 50 / 8 + np.linalg.norm(gradient)  # rows of norm 1 at most, and the noise
    size = float(np.linalg.norm(weights))
    assert np.linalg.norm(found - weights) < descent(
        steps=3, rows=50, inputs=LOGISTIC.size, rate=0.5, gradient=float(terms), weights=size
    )


def test_every_step_draws_anew_and_never_by_the_public_seed() -> None:
    rows = random_rows(np.random.default_rng(9), 50)
    calm = Calm(b"1")
    first = run(NoisySteps(PRIVACY, batch_size=8, entropy=calm)(task_of(rows, steps=5)))
    assert calm.drawn == 10
    second = run(NoisySteps(PRIVACY, batch_size=8, entropy=SeededEntropy(b"2"))(task_of(rows, steps=5)))
    assert not np.any(first == second)


@pytest.mark.claim("DP-SGD: the noise in a model is that of the multiplier that is charged")
def test_the_noise_of_a_step(cases: Cases) -> None:
    """Without any row a step is noise alone: its standard deviation is noise_multiplier * clip / batch_size * rate."""
    network = Network((4999, 1), Output.SIGMOID)
    none = Rows(x=np.zeros((0, 4999), np.float32), y=np.zeros(0, np.float32))
    start = np.zeros(5000, np.float32)
    for noise in (0.25, 1.1, 20.0):
        privacy = RecordLevel(clip=2.0, noise_multiplier=noise, sampling_rate=0.1)
        task = Task(network, start, none, Schedule(steps=1, batch_size=16, learning_rate=0.5), np.random.default_rng(0))
        moved = run(NoisySteps(privacy, batch_size=16, entropy=SeededEntropy(b"noise"))(task))
        sigma = noise * 2.0 / 16 * 0.5
        assert kstest(moved / (sigma * (1 + EXCESS)), "norm").pvalue > 1e-4
        assert kstest(moved / (sigma * 0.9), "norm").pvalue < 1e-4  # and a tenth less is found out
        cases(5000)


def test_the_noise_covers_what_rounding_adds_to_the_sensitivity(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[float]()

    def drawn(sigma: float, size: int, entropy: SeededEntropy) -> npt.NDArray[np.int64]:
        asked.append(sigma)
        return discrete_gaussian(sigma, size, entropy)

    monkeypatch.setattr(record_level, "discrete_gaussian", drawn)
    run(NoisySteps(PRIVACY, batch_size=8, entropy=SeededEntropy(b""))(task_of(rows_for(LOGISTIC, 30, 1))))
    assert asked == [units_of(PRIVACY, 8) * (1 + 2.0**-16)] * 3


@pytest.mark.parametrize("batch_size", [1, 7, 256, 1 << 16])
@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0, 5.0, 60.0])
def test_the_grid_has_room_for_sums_and_is_fine_enough(batch_size: int, noise: float) -> None:
    units = units_of(RecordLevel(clip=3.0, noise_multiplier=noise, sampling_rate=0.1), batch_size)
    sigma = noise * (1 + EXCESS) * units
    assert units >= 2.0**42
    assert 16 * batch_size * units <= 2**62
    assert 2.0**30 <= sigma <= 2.0**50
    assert width(sigma) >= sigma


@pytest.mark.parametrize("sigma", [3.0, 10.0, 40.0])
@pytest.mark.claim("DP-SGD: a discrete Gaussian is within 0.061 / sigma^2 of a rounded one, in total variation")
def test_the_distance_that_goes_into_delta(sigma: float, cases: Cases) -> None:
    """Of probabilities to 50 digits, the normal law by its series."""
    with localcontext(prec=50):
        exact = Decimal(sigma)
        root = (2 * Decimal("3.14159265358979323846264338327950288419716939937510582")).sqrt()

        def up_to(at: Decimal) -> Decimal:
            """Integral of the density from 0."""
            z = at / exact
            term = total = z
            n = 0
            while abs(term) > Decimal(10) ** -45:
                n += 1
                term *= -z * z / (2 * n)
                total += term / (2 * n + 1)
            return total / root

        reach = math.ceil(8 * sigma)
        density = [(-Decimal(k * k) / (2 * exact * exact)).exp() for k in range(reach + 1)]
        mass = density[0] + 2 * sum(density[1:])
        edges = [up_to(Decimal(k) + Decimal("0.5")) for k in range(reach + 1)]
        rounded = [2 * edges[0], *(2 * (b - a) for a, b in pairwise(edges))]
        discrete = [density[0] / mass, *(2 * d / mass for d in density[1:])]
        distance = float(sum(abs(a - b) for a, b in zip(rounded, discrete, strict=True)) / 2)
    assert 0.01 < distance * sigma**2 < 0.061
    cases(reach)


def test_the_charge() -> None:
    privacy = RecordLevel(clip=2.0, noise_multiplier=1.1, sampling_rate=0.01)
    found = charge(privacy, batch_size=256, length=235_000, steps=40)
    assert (found.noise_multiplier, found.sampling_rate, found.steps) == (1.1, 0.01, 40)
    sigma = 1.1 * units_of(privacy, 256)
    assert found.delta == pytest.approx(2**22 * 40 * 235_000 * (0.061 / sigma**2 + 2.0**-100))
    assert 0 < found.delta < 1e-12


@pytest.mark.parametrize("batch_size", [0, -3, (1 << 16) + 1])
def test_batches_without_a_public_size_are_refused(batch_size: int) -> None:
    with pytest.raises(InvalidArgument, match="batch_size"):
        units_of(PRIVACY, batch_size)


@pytest.mark.parametrize("noise", [1e-12, 1e4])
def test_noise_off_the_grid_is_refused(noise: float) -> None:
    with pytest.raises(InvalidArgument, match="noise_multiplier"):
        units_of(RecordLevel(clip=1.0, noise_multiplier=noise, sampling_rate=0.5), 256)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, math.nan])
def test_rates_that_are_none_are_refused(rate: float) -> None:
    with pytest.raises(InvalidArgument, match="sampling_rate"):
        RecordLevel(clip=1.0, noise_multiplier=1.0, sampling_rate=rate)


def test_more_rows_than_the_bounds_hold_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_level, "MAX_ROWS", 10)
    with pytest.raises(DataError, match="rounding is bounded"):
        run(
            NoisySteps(PRIVACY, batch_size=8, entropy=SeededEntropy(b""))(
                task_of(random_rows(np.random.default_rng(1), 11))
            )
        )


def test_rounds_tell_neither_losses_nor_numbers_of_rows() -> None:
    parties = [random_rows(np.random.default_rng(i), count) for i, count in enumerate((0, 40, 200))]
    schedule = Schedule(steps=4, batch_size=20, learning_rate=0.5)
    privacy = RecordLevel(clip=1.0, noise_multiplier=0.5, sampling_rate=0.2)
    trained = train(
        parties,
        schedule,
        rounds=3,
        trainer=lambda name: NoisySteps(privacy, batch_size=20, entropy=SeededEntropy(name.encode())),
    )
    assert trained.rounds == [{"round": t, "clients": 3, "loss": None} for t in (1, 2, 3)]
    assert np.isfinite(trained.weights).all()


def test_it_learns() -> None:
    rows = random_rows(np.random.default_rng(3), 2000)
    privacy = RecordLevel(clip=1.0, noise_multiplier=1.0, sampling_rate=0.1)
    schedule = Schedule(steps=100, batch_size=200, learning_rate=2.0)
    task = Task(LOGISTIC, np.zeros(3, np.float32), rows, schedule, np.random.default_rng(0))
    weights = run(NoisySteps(privacy, batch_size=200, entropy=SeededEntropy(b"learns"))(task))
    agree = (LOGISTIC.outputs(weights, rows.x)[:, 0] > 0.5) == (rows.y > 0.5)
    assert agree.mean() > 0.75
