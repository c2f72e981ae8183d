"""From totals to statistics with bounds on their errors, at the caller's side, in exact arithmetic.

Totals are exact integers, so every statistic is computed as a fraction and rounded to a float once. `error` bounds the
difference from exact arithmetic on the parties' own values, whatever these are. With unit u of the grid, half a unit h
(`FixedPoint.rounding`), P parties, n rows and k delta degrees of freedom:

- sum: each party rounds its exact total once: P u / 2. Mean: that over n.
- variance: the rounded values are x + e with |e_i| <= h, and a standard deviation is a seminorm. So that of x is within
  s = h sqrt(n / (n - k)) of the one found, d, which is the bound for it, and the variance within s (2 d + s) of d^2.
- covariance: cov(x, y) = cov(x + e, y + f) - cov(e, y + f) - cov(x + e, f) + cov(e, f), and by Cauchy and Schwarz
  |cov(a, b)| <= sd(a) sd(b): within s_x d_y + d_x s_y + s_x s_y.
- correlation: the cosine of the angle between centred columns. A column's direction moves by at most 2 s / d (for
  nonzero a and b, |a/|a| - b/|b|| <= 2 |a - b| / |a|), so the cosine by at most the sum of both columns'. Where d <= s
  that says nothing, as the column may be as good as constant: it is taken to have no correlation.

To these comes the one rounding to a float, half of its last place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

_EPSILON = Fraction(1, 2**53)  # relative rounding of a float
_SMALLEST = Fraction(1, 2**1074)  # and absolute, where numbers are subnormal


class Bounded(NamedTuple):
    """A float and a bound on its error."""

    value: float
    error: float


UNKNOWN = Bounded(math.nan, math.nan)


class Rounding(NamedTuple):
    """A column's grid, for exact arithmetic.

    Attributes
    ----------
    unit : Fraction
    rounding : Fraction
        Largest difference of each rounded number from the exact one: of each value, or of each party's total.
    """

    unit: Fraction
    rounding: Fraction


def bounded(exact: Fraction, error: Fraction = Fraction()) -> Bounded:
    """A number that is known to within `error`, rounded to a float."""
    value = float(exact)
    last = 0 if Fraction(value) == exact else abs(exact) * _EPSILON + _SMALLEST
    return Bounded(value, _up(error + last))


class Moments:
    """Means, variances, covariances and correlations from the totals of rounded values and of their products.

    Parameters
    ----------
    rows : int
    sums, products : integers by column, and by pair of columns
    scales : sequence of Rounding
    ddof : int
    """

    def __init__(
        self,
        rows: int,
        sums: Sequence[int],
        products: Mapping[tuple[int, int], int],
        scales: Sequence[Rounding],
        ddof: int,
    ) -> None:
        self.rows = rows
        self._sums = sums
        self._scales = scales
        self._centred = {(i, j): rows * product - sums[i] * sums[j] for (i, j), product in products.items()}
        self._divisor = rows * (rows - ddof)
        self._known = rows > ddof

    def mean(self, i: int) -> Bounded:
        scale = self._scales[i]
        return bounded(self._sums[i] * scale.unit / self.rows, scale.rounding) if self.rows else UNKNOWN

    def covariance(self, i: int, j: int) -> Bounded:
        """Of two columns; the variance where they are the same."""
        if not self._known:
            return UNKNOWN
        moved_i, moved_j = self._moved(i), self._moved(j)
        error = moved_i * self._deviation(j) + self._deviation(i) * moved_j + moved_i * moved_j
        return bounded(self._exact(i, j), error)

    def deviation(self, i: int) -> Bounded:
        """A column's standard deviation."""
        if not self._known:
            return UNKNOWN
        exact = self._exact(i, i)
        value = math.sqrt(float(exact))  # two roundings, of which the root halves the first
        last = 0 if Fraction(value) ** 2 == exact else 2 * Fraction(value) * _EPSILON + _root_up(_SMALLEST)
        return Bounded(value, _up(self._moved(i) + last))

    def varies(self, i: int) -> bool:
        """Whether the column's spread is more than what rounding can make."""
        return self._known and self._spread(i) > self._scales[i].rounding ** 2

    def correlation(self, i: int, j: int) -> Bounded:
        if not (self.varies(i) and self.varies(j)):
            return UNKNOWN
        if i == j:
            return Bounded(1.0, 0.0)
        centred = self._centred[i, j]
        square = Fraction(centred**2, self._centred[i, i] * self._centred[j, j])
        turned = sum((2 * _root_up(self._scales[k].rounding ** 2 / self._spread(k)) for k in (i, j)), start=Fraction())
        last = 0 if square in (0, 1) else 2 * _EPSILON
        return Bounded(math.copysign(math.sqrt(float(square)), centred), _up(min(turned + last, Fraction(2))))

    def _exact(self, i: int, j: int) -> Fraction:
        return Fraction(self._centred[i, j], self._divisor) * self._scales[i].unit * self._scales[j].unit

    def _spread(self, i: int) -> Fraction:
        """The variance among all rows."""
        return Fraction(self._centred[i, i], self.rows**2) * self._scales[i].unit ** 2

    def _deviation(self, i: int) -> Fraction:
        return _root_up(self._exact(i, i))

    def _moved(self, i: int) -> Fraction:
        """How far rounding each value can move the standard deviation."""
        rounding = self._scales[i].rounding
        return rounding * _root_up(Fraction(self.rows**2, self._divisor)) if rounding else Fraction()


def _up(exact: Fraction) -> float:
    """The number as a float that is not below it."""
    value = float(exact)
    return value if Fraction(value) >= exact else math.nextafter(value, math.inf)


def _root_up(exact: Fraction) -> Fraction:
    """A number that is not below the square root, and above it by a few parts in 2**53."""
    if not exact:
        return Fraction()
    shift = 2 * (60 - (exact.numerator.bit_length() - exact.denominator.bit_length()) // 2)  # an even power of two
    scaled = exact * Fraction(2) ** shift
    return Fraction(math.isqrt(math.ceil(scaled)) + 1) / Fraction(2) ** (shift // 2)
