"""Noise in shares: exactly the stated law; shares that add up to one discrete Laplace; and how far they go."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, Counts
from hypothesis import example, given
from hypothesis import strategies as st
from releasing import shared_pmf
from scipy import stats

from privsdk.dp import accuracy, noise
from privsdk.dp.accuracy import coverage, half_width, reach
from privsdk.protocol.roles import SystemEntropy
from privsdk.testing import SeededEntropy

Noise = npt.NDArray[np.int64]
ALPHA = 1e-6
CLAIM = pytest.mark.claim(
    "dp: n - t shares of noise are one discrete Laplace of the charged scale (chi-square at 1e-6)"
)
SHAPES = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 9), Fraction(2, 3), Fraction(3, 2), Fraction(2)]


def drawn(scale: float, shape: Fraction, size: int) -> Noise:
    return np.array(noise.add_shares([7] * size, scale=scale, shape=shape, entropy=SystemEntropy())) - 7


def p_value(sample: Noise, scale: float, shape: Fraction) -> float:
    """Chi-square over single values where they are likely, else over ranges, each with at least 8 expected."""
    far = math.ceil(scale * (20 + 4 * float(shape))) + 20
    due = shared_pmf(scale, float(shape), far) * len(sample)
    starts, expected = [], []
    gathered = 0.0
    start = 0
    for at, value in enumerate(due):
        gathered += value
        if gathered >= max(8.0, len(sample) / 400):
            starts.append(start)
            expected.append(gathered)
            start, gathered = at + 1, 0.0
    expected[-1] = len(sample) - sum(expected[:-1])
    found = np.searchsorted(starts, np.clip(sample, -far, far) + far, side="right") - 1
    return float(stats.chisquare(np.bincount(found, minlength=len(starts)), expected).pvalue)


@CLAIM
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0])
def test_a_share_is_of_the_stated_law(scale: float, shape: Fraction, cases: Cases, counts: Counts) -> None:
    size = counts(5_000, 20_000, 200_000)
    sample = drawn(scale, shape, size)
    assert p_value(sample, scale, shape) > ALPHA
    ratio = math.exp(-1 / scale)
    variance = 2 * float(shape) * ratio / (1 - ratio) ** 2
    fourth = 3 + (1 + 4 * ratio + ratio**2) / (2 * ratio * float(shape))  # kurtosis, from the cumulants
    assert abs(sample.mean()) <= 5 * math.sqrt(variance / size)
    assert abs(sample.var() / variance - 1) <= 6 * math.sqrt((fourth - 1) / size) + 1 / size
    cases(size)


@CLAIM
@pytest.mark.parametrize(("contributors", "collusion"), [(3, 1), (5, 1), (5, 2), (5, 3)])
def test_shares_of_all_but_the_colluders_are_one_discrete_laplace(
    contributors: int, collusion: int, cases: Cases, counts: Counts
) -> None:
    """Against OpenDP's own samples too, not the formula alone."""
    size, scale, left = counts(4_000, 20_000, 100_000), 7.0, contributors - collusion
    total = np.sum([drawn(scale, Fraction(1, left), size) for _ in range(left)], axis=0)
    assert p_value(total, scale, Fraction(1)) > ALPHA
    whole = np.array(noise.add_noise([0] * size, scale=scale))
    assert stats.ks_2samp(total, whole).pvalue > ALPHA
    cases(size)


def test_wide_noise_is_that_of_the_continuous_law() -> None:
    """At 2**50 the squares overflow nothing, and no bit of a sample is always the same."""
    sample = drawn(2.0**50, Fraction(1, 3), 10_000)
    scaled = sample / 2.0**50
    assert abs(scaled.var() / (2 / 3) - 1) <= 6 * math.sqrt(10 / 10_000)
    for bit in range(40):
        assert abs(np.mean(sample >> bit & 1) - 0.5) <= 5 / 200


def test_the_same_entropy_and_geometric_numbers_give_the_same_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "add_noise", lambda values, scale: [1000 + v for v in values])
    one, other, third = (
        noise.add_shares([0] * 20, scale=1.0, shape=Fraction(1, 2), entropy=SeededEntropy(seed))
        for seed in (b"a", b"a", b"b")
    )
    assert one == other != third
    assert max(map(abs, one)) <= 1000


@pytest.mark.parametrize("bound", [2, 3, 7, 8, 1000, 2**33 + 1, 2**63 - 1])
def test_numbers_below_a_bound_are_uniform(bound: int) -> None:
    numbers = noise._below(np.full(8_000, bound, np.uint64), SeededEntropy(bytes([bound % 251])))
    assert int(numbers.max()) < bound
    bins = min(bound, 8)
    found = np.bincount([int(number) * bins // bound for number in numbers], minlength=bins)
    expected = [(-(-(i + 1) * bound // bins) - -(-i * bound // bins)) / bound * 8_000 for i in range(bins)]
    assert stats.chisquare(found, expected).pvalue > ALPHA


def all_of_it(*_: object) -> Noise:
    return drawn(4.0, Fraction(1), 20_000)


def half_of_a_laplace(*_: object) -> Noise:
    return np.array(drawn(4.0, Fraction(1), 20_000)) // 2


def of_a_smaller_scale(*_: object) -> Noise:
    return drawn(4.0 / math.sqrt(2), Fraction(1), 20_000)


def one_cycle(*_: object) -> Noise:
    """Takes a geometric number whole or not at all: the right mean, and too much variance."""
    rng = np.random.default_rng(1)
    whole = rng.geometric(-math.expm1(-1 / 4), (2, 20_000)) - 1
    return np.diff(whole * (rng.random((2, 20_000)) < 0.5), axis=0)[0]


def each_by_itself(*_: object) -> Noise:
    """Takes single things, not cycles: too little variance."""
    rng = np.random.default_rng(1)
    whole = rng.geometric(-math.expm1(-1 / 4), (2, 20_000)) - 1
    return np.diff(rng.binomial(whole, 0.5), axis=0)[0]


def short_cycles(*_: object) -> Noise:
    """Cycles of 0 to g - 1 things, and the last thing never taken."""
    with pytest.MonkeyPatch.context() as patched:
        below = noise._below
        patched.setattr(noise, "_below", lambda bounds, entropy: np.maximum(below(bounds, entropy), 1) - np.uint64(1))
        return drawn(4.0, Fraction(1, 2), 20_000)


@CLAIM
@pytest.mark.parametrize(
    "sampler", [all_of_it, half_of_a_laplace, of_a_smaller_scale, one_cycle, each_by_itself, short_cycles]
)
def test_broken_samplers_are_found(sampler: Callable[[], Noise], cases: Cases) -> None:
    assert p_value(sampler(), 4.0, Fraction(1, 2)) < ALPHA
    cases(20_000)


@given(
    st.floats(0.01, 90),
    st.sampled_from([Fraction(2), Fraction(3, 2), Fraction(10, 9), Fraction(5), Fraction(7, 3), Fraction(20)]),
    st.floats(0, 8),
)
@example(61.0, Fraction(10, 9), 0.0)
def test_coverage_is_the_sum_of_the_probabilities(scale: float, shape: Fraction, far: float) -> None:
    """On both sides of where the way to compute it changes.

    Below that width it is the mean over `_LEAST`, which is the further below the peak the more peaked the noise is: at
    most as far as Laplace's, whose mean over half a unit is (1 - exp(-1/2)) / (1/2) of its peak.
    """
    width = int(far * scale * math.sqrt(shape))
    reached = width + math.ceil(scale * (45 + 10 * float(shape))) + 10
    due = shared_pmf(scale, float(shape), reached)
    mass = float(due[reached - width : reached + width + 1].sum())
    if scale * math.sqrt(shape) > 64 and width < 32:
        assert mass * -math.expm1(-1 / 2) * 2 <= coverage(scale, width, shape) <= mass
    else:
        assert mass - 2 * accuracy.ROUNDING <= coverage(scale, width, shape) <= mass


@given(st.floats(0.01, 2.0**50), st.integers(2, 40), st.data())
def test_half_width_is_the_least_that_suffices(scale: float, contributors: int, data: st.DataObject) -> None:
    shape = Fraction(contributors, contributors - data.draw(st.integers(1, contributors - 1)))
    level = data.draw(st.floats(0.8, 0.999))
    width = half_width(scale, level, shape)
    assert coverage(scale, width, shape) >= level
    assert width == 0 or coverage(scale, width - max(1, round(scale * 1e-9)), shape) < level
    assert width <= reach(scale, math.log(1 - level), shape)


@pytest.mark.parametrize("shape", [Fraction(2), Fraction(3, 2), Fraction(10, 9), Fraction(64)], ids=str)
def test_wide_and_narrow_noise_agree(shape: Fraction) -> None:
    """Wide noise is that of its continuous limit, which 1000 times the narrow one has nearly reached."""
    for level in (0.8, 0.95, 0.999):
        one, other = (half_width(scale, level, shape) / scale for scale in (2.0**20, 2.0**50))
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("shape", [Fraction(2), Fraction(3, 2)], ids=str)
def test_coverage_of_a_simulation(shape: Fraction) -> None:
    size = 20_000
    for scale in (2.0, 2.0**40):
        width = half_width(scale, 0.95, shape)
        due = coverage(scale, width, shape)
        assert due == pytest.approx(0.95, abs=0.1 / scale + 1e-9)
        assert abs(np.mean(np.abs(drawn(scale, shape, size)) <= width) - due) <= 5 * math.sqrt(due * (1 - due) / size)


@pytest.mark.parametrize("scale", [0.2, 3.0, 50.0])
@pytest.mark.parametrize("shape", [Fraction(1), Fraction(2), Fraction(10)], ids=str)
def test_nothing_much_is_beyond_reach(scale: float, shape: Fraction) -> None:
    for log_probability in (math.log(0.05), -10.0, -20.0):
        far = math.floor(reach(scale, log_probability, shape))
        due = shared_pmf(scale, float(shape), far + math.ceil(30 * scale) + 10)
        assert 2 * float(due[len(due) // 2 + far + 1 :].sum()) <= math.exp(log_probability)
