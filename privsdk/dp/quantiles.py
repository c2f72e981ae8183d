"""Quantiles from a noisy histogram over public candidates.

With c_i values in bin i, C_j those below edge j and N in all, the rank error of edge j is D_j = C_j - q N. It rises
from -q N to (1 - q) N; the q-quantile x (the least value with at least q N values up to it) is in the bin j* with
D_j* < 0 <= D_(j*+1). Noisy counts give each D_j with the noise W_j = (1 - q) (Z_0 + ... + Z_(j-1)) - q (Z_j + ...),
whose spread is public.

Interval: let w_j be such that P(W_j > w_j) <= 2.5%, the same as P(W_j < -w_j). The interval goes from the first bin
whose upper edge is not significantly low (D_(j+1) + W_(j+1) >= -w_(j+1)) to the last whose lower edge is not
significantly high (D_j + W_j <= w_j). If both hold at j*, which they do with at least 95% probability, the interval
holds bin j* and so x. This asks for two inequalities at the one true bin, so it needs no correction for their number.

Value: running maximum from the left and running minimum from the right, averaged, is a monotone fit of the noisy D
(the least in the largest error); the value is where it crosses zero, linear between edges.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .noise import WHOLE

TAIL = 0.025
_POINTS = 1 << 15
_NODES = 32

Reals = npt.NDArray[np.float64]


class Quantiles(NamedTuple):
    """For each group the value and the ends of its interval; arrays of shape (groups,)."""

    values: Reals
    low: Reals
    high: Reals


def invert(
    counts: npt.NDArray[np.int64], *, edges: Reals, level: float, scale: float, shape: Fraction = WHOLE
) -> Quantiles:
    """The quantile at `level` of each row of `counts`, of shape (groups, bins)."""
    groups, bins = counts.shape
    below = np.concatenate([np.zeros((groups, 1)), np.cumsum(counts, axis=1)], axis=1)
    errors = below - level * below[:, -1:]
    widths = rank_widths(scale, level, bins, shape)
    may_start = errors[:, 1:] >= -widths[1:]
    may_end = errors[:, :-1] <= widths[:-1]
    first = np.where(may_start.any(axis=1), may_start.argmax(axis=1), bins - 1)
    last = np.where(may_end.any(axis=1), bins - 1 - may_end[:, ::-1].argmax(axis=1), 0)
    rising = np.maximum.accumulate(errors, axis=1)
    falling = np.minimum.accumulate(errors[:, ::-1], axis=1)[:, ::-1]
    fit = (rising + falling) / 2
    values = np.array([np.interp(0.0, row, edges) for row in fit])
    return Quantiles(values, edges[np.minimum(first, last)], edges[np.maximum(first, last) + 1])


@lru_cache(maxsize=64)
def rank_widths(scale: float, level: float, bins: int, shape: Fraction = WHOLE) -> Reals:
    """For each edge j = 0 ... bins a width w_j, in ranks, with P(W_j > w_j) <= 2.5%, little larger than need be.

    W_j changes with j by swapping a term weighted 1 - q for one weighted q. Terms are symmetric and unimodal (from
    shape 1 on, as negative binomials are log-concave there), so that the larger weight spreads more (Birnbaum, Ann.
    Math. Statist. 1948) and w_j is monotone in j: it is computed at some edges, and between two of them the larger is
    taken.
    """
    if level == 0.5:
        return np.full(bins + 1, _rank_width(scale, 0.5, 0, bins, float(shape)))
    nodes = np.unique(np.linspace(0, bins, min(bins, _NODES) + 1).round().astype(int))
    widths = np.array([_rank_width(scale, level, int(node), bins, float(shape)) for node in nodes])
    after = np.searchsorted(nodes, np.arange(bins + 1))
    result: Reals = np.maximum(widths[after], widths[after - (nodes[after] != np.arange(bins + 1))])
    return result


def _rank_width(scale: float, level: float, left: int, bins: int, shape: float = 1.0) -> float:
    """The width at one edge, by inverting the characteristic function of W on a grid.

    W is a mixture of lattices. A Gaussian of two grid steps makes it smooth enough for the grid; four of its standard
    deviations are added to the quantile, and the probability that it is beyond them is taken from the tail.
    """
    r = math.exp(-1 / scale)
    gap = -math.expm1(-1 / scale)
    variance = shape * 2 * r / gap**2 * ((1 - level) ** 2 * left + level**2 * (bins - left))
    span = 10 * math.sqrt(variance) + 25 * scale + 1  # beyond it there is less than 1e-9
    step = 2 * span / _POINTS
    turns = 2 * math.pi * np.fft.rfftfreq(_POINTS, d=step)

    def log_characteristic(weight: float) -> Reals:
        # of one term: ((1 - r)^2 / ((1 - r)^2 + 2 r (1 - cos)))^shape, in a form that keeps its digits
        result: Reals = -shape * np.log1p(4 * r * (np.sin(weight * turns / 2) / gap) ** 2)
        return result

    log_phi = left * log_characteristic(1 - level) + (bins - left) * log_characteristic(level)
    density = np.fft.fftshift(np.fft.irfft(np.exp(log_phi - (2 * step * turns) ** 2 / 2), _POINTS))
    beyond = np.cumsum(density[::-1])[::-1]  # P(smoothed W >= the point, within half a step)
    at = int(np.argmax(beyond <= TAIL * (1 - 1e-4)))
    return (at - _POINTS // 2 + 1 + 8) * step
