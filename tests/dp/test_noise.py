"""The sampler's noise is the discrete Laplace distribution, and half-widths are its quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from releasing import cdf, pmf
from scipy import stats

from privsdk.dp.accuracy import coverage, half_width
from privsdk.dp.noise import add_noise

Noise = npt.NDArray[np.int64]
ALPHA = 1e-6
DRAWN = 20_000


def p_value(noise: Noise, scale: float) -> float:
    """Chi-square over about 50 ranges, of like probability but for the tails; exact from the distribution function."""
    tail = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.015]
    wanted = np.array([*tail, *np.linspace(0, 1, 41)[1:-1], *(1 - np.array(tail[::-1]))])
    tails = -scale * np.log(2 * np.minimum(wanted, 1 - wanted)) * np.sign(wanted - 0.5)
    edges = np.unique(np.rint(tails).astype(np.int64))
    expected = np.diff(np.concatenate([[0.0], cdf(scale, edges), [1.0]])) * len(noise)
    while len(expected) > 2 and expected.min() < 8:  # chi-square holds for ranges with enough in them
        thin = int(np.argmin(expected))
        at = min(thin, len(edges) - 1)
        edges = np.delete(edges, at)
        expected = np.diff(np.concatenate([[0.0], cdf(scale, edges), [1.0]])) * len(noise)
    observed = np.bincount(np.searchsorted(edges, noise), minlength=len(expected))
    return float(stats.chisquare(observed, expected).pvalue)


def honest(scale: float) -> Noise:
    return np.array(add_noise([7] * DRAWN, scale=scale)) - 7


@pytest.mark.claim("dp: the noise is discrete Laplace of the stated scale (chi-square at 1e-6)")
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0, 100.0, 2.0**40])
def test_the_noise_is_the_stated_distribution(scale: float, cases: Cases, soak: bool) -> None:
    for _ in range(20 if soak else 1):
        assert p_value(honest(scale), scale) > ALPHA
        cases(DRAWN)


def rounded_normal(scale: float) -> Noise:
    return np.rint(np.random.default_rng(1).normal(0, math.sqrt(2) * scale, DRAWN)).astype(np.int64)


def rounded_laplace(scale: float) -> Noise:
    return np.trunc(np.random.default_rng(1).laplace(0, scale, DRAWN)).astype(np.int64)


def two_zeros(scale: float) -> Noise:
    """A sign and a geometric magnitude, with 0 and -0 both kept: the classic slip."""
    rng = np.random.default_rng(1)
    return (rng.geometric(-math.expm1(-1 / scale), DRAWN) - 1) * rng.choice([-1, 1], DRAWN)


def one_too_far(scale: float) -> Noise:
    noise = honest(scale)
    return np.where(noise > 0, noise + 1, noise)


BROKEN: list[Callable[[float], Noise]] = [
    rounded_normal,
    rounded_laplace,
    two_zeros,
    one_too_far,
    lambda scale: honest(scale / 2),
    lambda scale: honest(scale * 1.1),
    lambda scale: honest(scale) + 1,
    lambda scale: np.clip(honest(scale), -round(4 * scale), round(4 * scale)),
]


@pytest.mark.claim("dp: the noise is discrete Laplace of the stated scale (chi-square at 1e-6)")
@pytest.mark.parametrize("sampler", BROKEN)
def test_broken_samplers_are_found(sampler: Callable[[float], Noise], cases: Cases) -> None:
    scale = 4.0
    assert p_value(sampler(scale), scale) < ALPHA
    cases(DRAWN)


@given(st.floats(0.05, 300), st.floats(0.5, 0.999))
def test_half_width_is_the_least_that_suffices(scale: float, confidence: float) -> None:
    width = half_width(scale, confidence)
    mass = float(pmf(scale, np.arange(-width, width + 1)).sum())
    edge = float(pmf(scale, np.array([-width, width])).sum()) if width else mass
    assert coverage(scale, width) == pytest.approx(mass, rel=1e-9)
    assert mass >= confidence - 1e-9
    assert mass - edge <= confidence + 1e-9


@pytest.mark.parametrize("scale", [1e3, 2.0**32, 2.0**50])
def test_half_width_of_wide_noise(scale: float) -> None:
    width = half_width(scale)
    assert coverage(scale, width) >= 0.95 > coverage(scale, width - max(1, round(scale * 1e-12)))
    assert width / scale == pytest.approx(math.log(20), rel=1e-3)
