"""The 95% interval of every release holds the true statistic as often as the noise's own distribution says.

The exact coverage is a sum over all noise that has any probability: each outcome of the vector is turned into its
interval, and the probabilities of those that hold the truth are added. Nothing is simulated in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, lengthy
from releasing import PARAMETERS, Released, copies, pooled, release, shared_pmf

from privsdk.dp import quantiles
from privsdk.dp.intervals import confidence, finished
from privsdk.dp.noise import WHOLE
from privsdk.dp.quantiles import rank_widths
from privsdk.dp.release import ReleaseParameters

TIMES = 4_000
CLAIM = pytest.mark.claim("dp: coverage of the 95% interval, within 4 standard errors of the exact one")

# The rows of every group, and the true statistic: several where a release has several numbers for each group.
ROWS: dict[str, list[float | None]] = {
    "count": [0.0, 1.0, None],
    "sum": [-1.0, 2.75, 9.0, None],
    "mean": [0.0, 2.0, None, 1.0] * 6,
    "variance": [0.0, 2.0, 4.0, 2.0] * 100,
    "quantile": [0.5] * 7 + [1.5] + [2.5] * 7 + [None],
    "histogram": [0.5] * 3 + [1.5] * 2 + [None],
}
TRUE: dict[str, list[float]] = {
    "count": [3],
    "sum": [-1.0 + 2.75 + 3.0],
    "mean": [1.0],
    "variance": [2.0],
    "quantile": [1.5],
    "histogram": [3, 2, 0],
}


def held(released: Released, true: list[float]) -> npt.NDArray[np.bool_]:
    truth = np.tile(true, released.table.num_rows // len(true))
    ends = [released.table[name].to_numpy() for name in ("low", "high")]
    return (ends[0] <= truth) & (truth <= ends[1])


def every_noise(scales: list[float], shape: Fraction) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.float64]]:
    """All vectors of independent noise with a probability worth speaking of (1e-6 is left out), and those."""
    widths = [math.ceil(17 * scale) for scale in scales]
    grids = np.meshgrid(*(np.arange(-width, width + 1) for width in widths), indexing="ij")
    each = [shared_pmf(scale, float(shape), width) for scale, width in zip(scales, widths, strict=True)]
    mass = math.prod(np.meshgrid(*each, indexing="ij"))
    return [grid.ravel() for grid in grids], np.asarray(mass).ravel()


def exact_coverage(
    statistic: str, exact: list[npt.NDArray[np.int64]], scales: tuple[float, ...], shape: Fraction = WHOLE
) -> float:
    """By summation over the noise of one group's vector; for each of its numbers if there are several."""
    single = ReleaseParameters(statistic=statistic, **PARAMETERS[statistic])
    true = TRUE[statistic]
    if statistic == "quantile":
        noise, mass = every_noise([scales[0]] * single.bins, shape)
        counts = np.stack(noise, axis=1) + exact[0]
        found = quantiles.invert(counts, edges=np.array(single.edges), level=0.5, scale=scales[0], shape=shape)
        return float(mass[(found.low <= true[0]) & (true[0] <= found.high)].sum())
    noise, mass = every_noise(list(scales), shape)
    if statistic == "histogram":  # the same for every bin
        single, true = ReleaseParameters(statistic="count", epsilon=single.epsilon), true[:1]
    table = finished(single, scales, [n + part[0] for n, part in zip(noise, exact, strict=True)], shape)
    return float(mass[(table["low"].to_numpy() <= true[0]) & (true[0] <= table["high"].to_numpy())].sum())


def noiseless(statistic: str) -> Released:
    """The exact vector of one group; its interval is around the truth."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("privsdk.dp.noise.add_noise", lambda values, scale: list(values))
        without = release(copies(ROWS[statistic], 1), statistic, **PARAMETERS[statistic])
    assert held(without, TRUE[statistic]).all()
    return without


def check_coverage(statistic: str, *without: str) -> tuple[float, float]:
    """The share of intervals that hold the truth, within 4 standard errors of what is due; both are returned.

    With parties that have no rows the release is pooled, of noise in shares.
    """
    options: dict[str, Any] = PARAMETERS[statistic] | {"by": "g", "keys": list(range(TIMES))}
    frame = copies(ROWS[statistic], TIMES)
    if without:
        released = pooled({"north": frame, **dict.fromkeys(without, frame.slice(0, 0))}, statistic, **options)
    else:
        released = release(frame, statistic, **options)
    within = held(released, TRUE[statistic])
    due = exact_coverage(statistic, noiseless(statistic).noisy, released.scales, released.shape)
    assert abs(within.mean() - due) <= 4 * math.sqrt(due * (1 - due) / len(within))
    return float(within.mean()), due


@CLAIM
@pytest.mark.parametrize("statistic", PARAMETERS)
def test_intervals_hold_the_true_value_as_often_as_they_say(statistic: str, cases: Cases, soak: bool) -> None:
    for _ in range(10 if soak else 1):
        found, due = check_coverage(statistic)
        assert due >= 0.95
        cases(TIMES)
    cases.say(f"{statistic} {found:.2%} where {due:.2%} is due")


@CLAIM
@pytest.mark.parametrize("shares", [2, 5, *lengthy(3)])
@pytest.mark.parametrize("statistic", PARAMETERS)
def test_pooled_intervals_are_of_all_shares_together(statistic: str, shares: int, cases: Cases) -> None:
    found, due = check_coverage(statistic, *("south", "east", "west", "home")[: shares - 1])
    assert due >= 0.95
    cases(TIMES)
    cases.say(f"{statistic} of {shares} {found:.2%} where {due:.2%} is due")


@CLAIM
@pytest.mark.parametrize("statistic", ["count", "mean", "quantile"])
def test_intervals_of_one_share_alone_are_found_too_narrow(
    statistic: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what they would be if a pooled release were taken for one of a single party."""
    monkeypatch.setattr("privsdk.dp.operation.NoisyRelease.shape", WHOLE)
    with pytest.raises(AssertionError):
        check_coverage(statistic, "south")
    cases(TIMES)


@CLAIM
@pytest.mark.parametrize("factor", [0.5, 1.5])
@pytest.mark.parametrize("statistic", PARAMETERS)
def test_noise_of_another_scale_is_found(
    statistic: str, factor: float, cases: Cases, noise_times: Callable[[float], None]
) -> None:
    noise_times(factor)
    with pytest.raises(AssertionError):
        check_coverage(statistic)
    cases(TIMES)


@pytest.mark.parametrize("statistic", ["count", "sum", "mean", "variance", "histogram"])
def test_the_stated_confidence_is_exact_for_counts_and_a_lower_bound_for_ratios(statistic: str) -> None:
    without = noiseless(statistic)
    for shape in (WHOLE, Fraction(3, 2)):
        stated = confidence(without.scales, shape)
        due = exact_coverage(statistic, without.noisy, without.scales, shape)
        assert 0.95 <= stated <= due + 5e-6
        if statistic in ("count", "sum", "histogram"):
            assert stated == pytest.approx(due, abs=5e-6)


def sums(scale: float, terms: int, shape: Fraction) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The distribution of a sum of independent noise, by convolution."""
    mass, far = np.ones(1), math.ceil((25 + 5 * shape) * scale)
    for _ in range(terms):
        mass = np.convolve(mass, shared_pmf(scale, float(shape), far))
    return np.arange(len(mass)) - len(mass) // 2, mass


@pytest.mark.parametrize(
    ("scale", "level", "bins"),
    [(1.0, 0.5, 4), (0.3, 0.5, 3), (2.0, 0.25, 8), (3.0, 0.9, 10), (0.1, 0.3, 3), (6, 0.5, 1)],
)
@pytest.mark.parametrize("shape", [WHOLE, Fraction(3, 2), Fraction(4)], ids=str)
def test_rank_widths_are_beyond_all_but_a_fortieth_of_the_noise(
    scale: float, level: float, bins: int, shape: Fraction
) -> None:
    widths = rank_widths(scale, level, bins, shape)
    for edge in range(bins + 1):
        (left, p), (right, q) = sums(scale, edge, shape), sums(scale, bins - edge, shape)
        noise = ((1 - level) * left[:, None] - level * right[None, :]).ravel()
        mass = (p[:, None] * q[None, :]).ravel()
        assert mass[noise > widths[edge] + 1e-9].sum() <= 0.025
        slack = 0.03 * widths[edge] + max(level, 1 - level)  # the lattice of the noise is about as wide as that
        assert mass[noise > widths[edge] - slack].sum() >= 0.025 or widths[edge] < 1


def test_rank_widths_of_many_bins_take_the_wider_of_two_edges() -> None:
    some, few = rank_widths(2.0, 0.8, 200), rank_widths.__wrapped__(2.0, 0.8, 200)
    assert np.array_equal(some, few)
    assert (np.diff(some) <= 0).all()
    for edge in (0, 1, 3, 99, 100, 199, 200):
        assert some[edge] >= quantiles._rank_width(2.0, 0.8, edge, 200) * (1 - 1e-9)
