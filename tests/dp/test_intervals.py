"""Intervals of ratios are what the statistic takes on the box of its components, by trying every point of the box."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk.dp.intervals import finished, half_widths
from privsdk.dp.release import ReleaseParameters

MEAN = ReleaseParameters(statistic="mean", epsilon=2.0, column="x", bounds=(-3.0, 2.0))
VARIANCE = ReleaseParameters(statistic="variance", epsilon=6.0, column="x", bounds=(-3.0, 2.0))


def box(release: ReleaseParameters, noisy: list[int]) -> tuple[np.ndarray, ...]:
    """Every true vector that the components' intervals allow, each entry as an array."""
    widths = half_widths(release.scales(release.moved(1)))
    ranges = [range(n - width, n + width + 1) for n, width in zip(noisy, widths, strict=True)]
    return tuple(np.array(list(itertools.product(*ranges))).T)


def interval(release: ReleaseParameters, noisy: list[int]) -> tuple[float, float]:
    table = finished(release, release.scales(release.moved(1)), [np.array([n]) for n in noisy])
    value, low, high = (table[name][0].as_py() for name in (release.statistic, "low", "high"))
    assert low <= high
    assert value is None or low - 1e-9 <= value <= high + 1e-9
    return low, high


@given(count=st.integers(-20, 60), total=st.integers(-150, 150))
def test_a_mean_is_within_exactly_what_its_box_allows(count: int, total: int) -> None:
    low, high = interval(MEAN, [count, total])
    counts, totals = box(MEAN, [count, total])
    if counts.min() < 1:
        assert (low, high) == (-3, 2)
        return
    means = np.clip(MEAN.centre + totals / counts, -3, 2)
    assert (low, high) == pytest.approx((means.min(), means.max()))


@given(count=st.integers(-10, 40), total=st.integers(-80, 80), squares=st.integers(-150, 150))
def test_a_variance_is_within_no_less_than_its_box_allows(count: int, total: int, squares: int) -> None:
    low, high = interval(VARIANCE, [count, total, squares])
    counts, totals, halves = box(VARIANCE, [count, total, squares])
    if counts.min() < 1:
        assert (low, high) == (0, 6.25)
        return
    spread = (halves / counts + VARIANCE.largest_square // 2) - np.clip(
        totals / counts, *(bound - VARIANCE.centre for bound in VARIANCE.clamp)
    ) ** 2
    possible = np.clip(spread, 0, 6.25)
    assert low <= possible.min() + 1e-9
    assert high >= possible.max() - 1e-9


def test_the_interval_of_a_variance_is_tight_in_a_large_group() -> None:
    low, high = interval(VARIANCE, [100_000, 0, 0])  # values at the centre and the bounds, half and half
    width = half_widths(VARIANCE.scales(VARIANCE.moved(1)))[2] / 100_000
    assert high - low <= 2 * width * 1.1 + 4 * half_widths(VARIANCE.scales(VARIANCE.moved(1)))[1] / 100_000
