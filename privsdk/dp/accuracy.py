"""How far noise goes: the exact probabilities of noise of any scale and shape, from its generating function.

With p = exp(-1 / scale), noise Z of shape r (see `noise`) has, for v between -1 / scale and 1 / scale,

    E exp(v Z) = ((1 - p)^2 / ((1 - p e^v) (1 - p e^-v)))^r = (1 - (sinh(v / 2) / sinh(1 / (2 scale)))^2)^-r,

and for w >= 0, summed up over all z > w the inversion formula of lattice variables (Feller, volume 2, chapter XV) says

    P(Z > w) = 1 / (2 pi i) * integral of E exp(v Z) exp(-(w + 1/2) v) / (2 sinh(v / 2)) dv,

upwards from any -pi i + c to pi i + c with 0 < c < 1 / scale. For shape 1 that is p^(w + 1) / (1 + p). Else it is
computed by the trapezoidal rule, which converges exponentially in both of these ways (Trefethen, Weideman, SIAM Review
2014):

- on the line itself, where the integrand is periodic, if the noise is narrow: so many points that what wraps around is
  below 2^-50;
- if it is wide, on a hyperbola that leaves the line to the right, around the cut from 1 / scale on, so that exp(-w v)
  vanishes along it. It would have to end at +-pi i, but from w = 32 on it is below 2^-50 before. Up to there the
  probability of -w to w is bounded from below: it grows in w, by ever less.

Distances are measured in scale * sqrt(shape), so that noise of many shares, nearly Gaussian, is no special case.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .noise import WHOLE

ROUNDING = 1e-12  # more than all that is left out and rounded, tried against sums of the probabilities
_NARROW = 64.0
_LEAST = 32
_POINTS = 96  # on the line, for each unit of distance
_CROSSING, _SLOPE, _STEP = 0.5, 0.4, 0.05  # of the hyperbola, and between its points


def coverage(scale: float, width: int, shape: Fraction = WHOLE) -> float:
    """P(|Z| <= width), the share of releases whose noise stays within `width`; for other shapes than 1 rounded down."""
    if shape == 1:
        return 1 - 2 * math.exp(-(width + 1) / scale) / (1 + math.exp(-1 / scale))
    if _unit(scale, shape) > _NARROW and width < _LEAST:
        return coverage(scale, _LEAST, shape) * (2 * width + 1) / (2 * _LEAST + 1)
    return max(0.0, 1 - 2 * _beyond(scale, width, shape) - ROUNDING)


@lru_cache(maxsize=1024)
def half_width(scale: float, confidence: float = 0.95, shape: Fraction = WHOLE) -> int:
    """The least integer a for which P(|Z| <= a) is at least `confidence`."""
    most = math.ceil(reach(scale, math.log(1 - confidence), shape))
    return bisect_left(range(most), confidence, key=lambda width: coverage(scale, width, shape))


def reach(scale: float, log_probability: float, shape: Fraction = WHOLE) -> float:
    """A distance that |Z| exceeds with at most this probability.

    Chernoff's bound, at the best of a few v / scale: E exp(v Z / scale) <= (1 - v^2)^-shape, as sinh(x) / x rises in x.
    """
    bounds = [(math.log(2) - shape * math.log1p(-v * v) - log_probability) / v for v in (7 / 8, 1 / 2, 1 / 8, 1 / 32)]
    return scale * min(bounds)


def _unit(scale: float, shape: Fraction) -> float:
    """What distances are measured in."""
    return scale * max(1.0, math.sqrt(shape))


def _beyond(scale: float, width: int, shape: Fraction) -> float:
    """P(Z > width)."""
    unit = _unit(scale, shape)
    if unit <= _NARROW:
        points = math.ceil(_POINTS * max(1.0, unit))
        v = _CROSSING / unit + 2j * math.pi * (np.arange(points) / points - 0.5)
        weights: npt.NDArray[np.complex128] | float = 1 / points
    else:
        last = math.asinh(min(math.pi * unit, 45 / _SLOPE * max(1.0, unit / (width + 0.5))))
        steps = np.arange(-last, last, _STEP)
        v = (_CROSSING + _SLOPE * (np.cosh(steps) - 1) + 1j * np.sinh(steps)) / unit
        weights = (_SLOPE * np.sinh(steps) + 1j * np.cosh(steps)) / unit * (_STEP / (2j * math.pi))
    base = 1 - (np.sinh(v / 2) / math.sinh(0.5 / scale)) ** 2
    values = np.exp(-float(shape) * np.log(base) - (width + 0.5) * v) / (2 * np.sinh(v / 2))
    return float(np.sum(weights * values).real)
