"""Noise is discrete Laplace, and its 95% intervals hold the true value as often as they say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from releasing import PARAMETERS, release

from privsdk.dp.releases import add_noise, coverage, half_width
from privsdk.dp.verbs import _with_interval


def check_coverage(within: Sequence[bool], scale: float) -> None:
    """The share of intervals that hold the true value is what was promised, within 4 standard errors."""
    promised = coverage(scale, half_width(scale))
    assert promised >= 0.95
    error = math.sqrt(promised * (1 - promised) / len(within))
    assert abs(np.mean(within) - promised) <= 4 * error


GROUPS = list(range(200))


@pytest.mark.claim("dp: coverage of the 95% interval")
@pytest.mark.parametrize("statistic", PARAMETERS)
def test_intervals_cover_the_true_value(statistic: str, cases: Cases, soak: bool) -> None:
    rng = np.random.default_rng(3)
    table = pa.table({"group": rng.integers(0, 200, 1000), "x": rng.integers(-8, 13, 1000) / 4})
    groups = table["group"].to_numpy()
    true = np.bincount(groups, weights=None if statistic == "count" else table["x"].to_numpy(), minlength=200)
    within: list[bool] = []
    for _ in range(400 if soak else 20):
        result, parsed = release(table, statistic, by="group", keys=GROUPS, **PARAMETERS[statistic])
        shown = _with_interval(result, statistic, half_width(parsed.noise_scale) * parsed.resolution)
        within += ((shown["low"].to_numpy() <= true) & (true <= shown["high"].to_numpy())).tolist()
    check_coverage(within, parsed.noise_scale)
    cases(len(within))
    cases.say(f"{np.mean(within):.2%} where {coverage(parsed.noise_scale, half_width(parsed.noise_scale)):.2%} is due")


@pytest.mark.claim("dp: coverage of the 95% interval")
@pytest.mark.parametrize("scale", [2.0, 12.0])
def test_too_little_or_too_much_noise_is_found(scale: float, cases: Cases) -> None:
    for wrong in (scale / 2, scale * 2):
        noise = np.array(add_noise([0] * 4000, scale=wrong))
        with pytest.raises(AssertionError):
            check_coverage((np.abs(noise) <= half_width(scale)).tolist(), scale)
        cases(4000)


def pmf(scale: float, z: int) -> float:
    r = math.exp(-1 / scale)
    return (1 - r) / (1 + r) * r ** abs(z)


@pytest.mark.parametrize("scale", [0.1, 0.7, 2.0, 25.0])
def test_noise_is_discrete_laplace_of_its_scale(scale: float) -> None:
    noise = np.array(add_noise([7] * 8000, scale=scale)) - 7
    for z in range(-4, 5):
        p = pmf(scale, z)
        assert abs(np.mean(noise == z) - p) <= 5 * math.sqrt(p * (1 - p) / len(noise)) + 1e-3


@given(st.floats(0.05, 300), st.floats(0.5, 0.999))
def test_half_width_is_the_least_that_suffices(scale: float, confidence: float) -> None:
    total, width = pmf(scale, 0), 0
    while total < confidence:
        width += 1
        total += 2 * pmf(scale, width)
    assert coverage(scale, width) == pytest.approx(total, rel=1e-9)
    if abs(total - confidence) > 1e-9 and abs(total - 2 * pmf(scale, width) - confidence) > 1e-9:  # no tie in floats
        assert half_width(scale, confidence) == width


@pytest.mark.parametrize("scale", [1e3, 2.0**32, 2.0**50])
def test_half_width_of_wide_noise(scale: float) -> None:
    width = half_width(scale)
    assert coverage(scale, width) >= 0.95 > coverage(scale, width - max(1, round(scale * 1e-12)))
    assert width / scale == pytest.approx(math.log(20), rel=1e-3)
