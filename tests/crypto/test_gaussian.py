"""Discrete Gaussians: tables and sums against the exact law, samples against it and against OpenDP's."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt
import opendp.prelude as dp
import pytest
from claims import Cases
from rounding import FUNCTION, roundoff
from scipy.stats import chi2, chi2_contingency, norm

from privsdk.crypto import gaussian
from privsdk.crypto.gaussian import LARGEST_SIGMA, MOST_EXCESS, discrete_gaussian, width
from privsdk.errors import InvalidArgument
from privsdk.testing import SeededEntropy

Samples = npt.NDArray[np.int64]
LEAST_P = 1e-4  # with fixed entropy a pass is a pass for ever; the wrong samplers below are all far beneath it


def drawn(sigma: float, size: int) -> Samples:
    return discrete_gaussian(sigma, size, SeededEntropy(f"{sigma}".encode()))


def distribution(sigma: float, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """P(x <= edge), edges being integers: summed up to a width of 2^14, above by the normal law (off by 2^-15)."""
    if sigma > 2**14:
        return np.asarray(norm.cdf((edges + 0.5) / sigma))
    reach = math.ceil(12 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1, dtype=np.float64) ** 2) / (2 * sigma**2))
    at = np.clip(edges, -reach, reach).astype(np.int64) + reach
    return np.asarray((np.cumsum(weights) / weights.sum())[at])


def cells(sigma: float) -> npt.NDArray[np.float64]:
    """Edges of the chi-square test: half a width apart within three and a half."""
    return np.unique(np.floor(np.arange(-3.5, 3.6, 0.5) * sigma))


def fit(samples: Samples, sigma: float) -> float:
    """The p-value of the chi-square test of samples against the discrete Gaussian of this parameter."""
    edges = cells(sigma)
    expected = np.diff(distribution(sigma, edges), prepend=0.0, append=1.0) * len(samples)
    observed = np.bincount(np.searchsorted(edges, samples), minlength=len(edges) + 1)
    assert expected.min() >= 5
    return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


@pytest.mark.claim("he: discrete Gaussian tables are exact to 2^-113")
@pytest.mark.parametrize("sigma", [1.0, 3.19, 16.0, 100.7, 257.0, 512.0])
def test_tables_are_the_exact_distribution(sigma: float, cases: Cases) -> None:
    upper, thresholds = gaussian._table(sigma)
    assert [int(word) for word in upper] == [threshold >> 63 for threshold in thresholds]
    with localcontext(prec=70):
        weights = [Decimal(1)] + [
            2 * (-Decimal(k * k) / (2 * Decimal(sigma) ** 2)).exp() for k in range(1, math.ceil(16 * sigma))
        ]
        total, reached, distance = sum(weights), Decimal(0), Decimal(0)
        previous = 0
        for k, weight in enumerate(weights):
            reached += weight
            threshold = thresholds[k] if k < len(thresholds) else 1 << 127
            distance += abs(Decimal(threshold - previous) / (1 << 127) - weight / total)
            previous = threshold
            cases()
        assert distance / 2 < Decimal(2) ** -113
        assert sum(weights[len(thresholds) + 1 :]) / total < Decimal(2) ** -127


@pytest.mark.claim("he: sums of discrete Gaussians have their width and stay smooth")
def test_sums_keep_the_conditions_of_the_proof(cases: Cases) -> None:
    for exponent in np.linspace(0, 50, 5001):
        sigma = 2.0**exponent
        base, levels = gaussian._levels(sigma)
        assert sigma <= width(sigma) <= sigma * (1 + (MOST_EXCESS if sigma > 512 else 0)) * (1 + 1e-15)
        assert width(sigma) == pytest.approx(base * math.sqrt(sum(k * k for k in levels)), rel=1e-14)
        reached = base
        for k in levels[1:]:
            both = math.hypot(reached, k * base)
            assert reached * base / both >= 2
            reached = both
        assert base <= 512
        assert len(levels) <= 7
        assert math.ceil(13.31 * base) * sum(levels) < 2**55
        cases()


@pytest.mark.parametrize(("base", "multiplier"), [(257, 128), (269, 2), (300, 64)])
@pytest.mark.rounding
def test_a_sum_of_two_is_a_discrete_gaussian(base: int, multiplier: int) -> None:
    """Summed in float64 at points of every residue, near and far, against the law of the sum's width."""
    sigma = base * math.hypot(1, multiplier)
    x = np.arange(-14 * base, 14 * base + 1)
    logs = []
    for z in [*range(2 * multiplier), int(3.3 * sigma), int(-5.7 * sigma), int(7.9 * sigma)]:
        exponents = -((z - multiplier * x) ** 2) / (2 * base**2) - x**2 / (2 * base**2)
        logs.append(np.log(np.exp(exponents - exponents.max()).sum()) + exponents.max() + z**2 / (2 * sigma**2))
    largest = 100  # of the exponents of which exp is anything beside the largest term
    assert max(logs) - min(logs) < roundoff(FUNCTION, np.float64) * largest + roundoff(len(x), np.float64)


SIGMAS = [1.0, 3.2, 16.0, 100.7, 511.5, 513.0, 4100.3, 2.0**20, 2.0**38.3, LARGEST_SIGMA]


@pytest.mark.claim("he: discrete Gaussian samples fit the exact law")
@pytest.mark.parametrize("sigma", SIGMAS)
def test_samples_fit(sigma: float, cases: Cases, soak: bool) -> None:
    size = 5_000_000 if soak else 200_000
    samples = drawn(sigma, size)
    assert samples.dtype == np.int64
    assert fit(samples, width(sigma)) > LEAST_P
    scaled = samples / width(sigma)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):  # of the normal law
        assert abs((scaled**power).mean() - moment) < 5 * math.sqrt(spread / size) + (1e-6 if power == 2 else 0)
    assert 3.9 < abs(scaled).max() < 7
    cases(size)


@pytest.mark.parametrize("sigma", [16.0, 100.7, 4100.3, 2.0**38.3])
def test_the_lowest_bits_are_uniform(sigma: float) -> None:
    """A sum without its first term, or with rounding, would show here and nowhere else."""
    counts = np.bincount(drawn(sigma, 100_000) & 15, minlength=16)
    assert chi2.sf(((counts - 6250) ** 2 / 6250).sum(), 15) > LEAST_P


def narrow(size: int) -> Samples:
    return drawn(16 * math.sqrt(0.9), size)


def rounded_half(size: int) -> Samples:
    return np.rint(np.random.default_rng(3).normal(0, 8, size)).astype(np.int64)


def one_sided(size: int) -> Samples:
    return np.abs(drawn(16.0, size))


def cut(size: int) -> Samples:
    return np.clip(drawn(16.0, size), -48, 48)


@pytest.mark.parametrize("wrong", [narrow, rounded_half, one_sided, cut])
def test_the_check_catches_wrong_samplers(wrong: Callable[[int], Samples]) -> None:
    assert fit(drawn(16.0, 200_000), 16.0) > LEAST_P
    assert fit(wrong(200_000), 16.0) < 1e-12


@pytest.mark.claim("he: discrete Gaussian samples are those of OpenDP")
@pytest.mark.parametrize("sigma", [3.2, 16.0, 600.0])
def test_samples_are_those_of_opendp(sigma: float, cases: Cases, soak: bool) -> None:
    size = 500_000 if soak else 50_000
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
    theirs = np.array(dp.m.make_gaussian(*space, scale=width(sigma))([0] * size))
    assert fit(theirs, width(sigma)) > 1e-6  # their randomness cannot be fixed
    edges = cells(width(sigma))
    table = [np.bincount(np.searchsorted(edges, s), minlength=len(edges) + 1) for s in (theirs, drawn(sigma, size))]
    filled = np.array(table)[:, np.sum(table, axis=0) >= 10]
    assert chi2_contingency(filled).pvalue > 1e-6
    cases(size)


def test_ties_of_the_upper_words_are_decided_by_the_lower() -> None:
    """Ties come up once in 2^51 draws, so they are made here: one below and at each threshold."""
    _, thresholds = gaussian._table(3.2)
    for number in (drawn for threshold in thresholds for drawn in (threshold - 1, threshold)):
        words = np.array([number >> 63, (number & (1 << 63) - 1) << 1], dtype=np.uint64)
        expected = sum(threshold <= number for threshold in thresholds)
        assert gaussian._from_table(3.2, words)[0] == expected
        words[1] |= np.uint64(1)
        assert gaussian._from_table(3.2, words)[0] == -expected
    assert abs(gaussian._from_table(3.2, np.full(2, 2**64 - 1, dtype=np.uint64))[0]) == len(thresholds)


def test_entropy_decides_alone() -> None:
    first, again = (discrete_gaussian(2.0**30, 100, SeededEntropy(b"1")) for _ in range(2))
    assert np.array_equal(first, again)
    entropy = SeededEntropy(b"1")
    assert np.array_equal(first, discrete_gaussian(2.0**30, 100, entropy))
    assert not np.any(first == discrete_gaussian(2.0**30, 100, entropy))
    assert len(discrete_gaussian(5.0, 0, entropy)) == 0


@pytest.mark.parametrize("sigma", [0.0, 0.99, 2.0**50 * 1.001, math.inf, math.nan, -3.0])
def test_widths_out_of_range_are_refused(sigma: float) -> None:
    with pytest.raises(InvalidArgument, match="1 to 2\\^50 are drawn"):
        discrete_gaussian(sigma, 1, SeededEntropy(b""))
