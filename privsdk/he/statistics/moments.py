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
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ...crypto.seal.schemes import ApproximateScheme, ExactScheme
from ...protocol.columns.keys import labels
from ...protocol.groups import label_name
from .statistic import MATRICES, OF_VALUES, Statistic
from .values import Matrix, Pooled, Variance

Totals = Mapping[str, int]

_PLACES = 20  # of decimals, more than a default grid has
_DIGITS = Context(prec=40)
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


def reader(
    statistic: Statistic,
    scheme: ExactScheme | ApproximateScheme,
    ddof: int,
    label_type: pa.DataType | None = None,
) -> Callable[[pa.Table], Any]:
    """What makes the plan's value of the key holder's answer; keys are shown as of `label_type`, where it is known."""
    if isinstance(scheme, ApproximateScheme):
        return lambda answer: _approximate(answer, statistic, scheme)
    parties = scheme.parties
    if statistic.grouped:
        return lambda answer: _table(answer, statistic, parties, ddof, label_type)
    if statistic.name in MATRICES:
        return lambda answer: _matrix(_totals(answer, 0), statistic, ddof)
    if statistic.name == "variance":
        return lambda answer: _variance(_totals(answer, 0), statistic, ddof)
    return lambda answer: _pooled(_totals(answer, 0), statistic, parties)


def _totals(answer: pa.Table, group: int) -> Totals:
    return {name: int(column[group].as_py()) for name, column in zip(answer.column_names, answer.columns, strict=True)}


def _scales(statistic: Statistic) -> list[Rounding]:
    """The rounding of each value where second moments are taken, of each party's total otherwise."""
    half = Fraction(1, 2)
    return [
        Rounding(
            grid.unit, Fraction() if whole else grid.unit * (grid.rounding if statistic.name in OF_VALUES else half)
        )
        for grid, whole in zip(statistic.grids, statistic.whole, strict=True)
    ]


def _pooled(totals: Totals, statistic: Statistic, parties: int) -> Pooled:
    if statistic.name == "count":
        return Pooled(value=float(totals["rows"]), count=None, error=0.0)
    (scale,), rows = _scales(statistic), totals.get("rows")  # None for a sum
    if rows == 0:
        return Pooled(value=math.nan, count=0, error=0.0)
    found = bounded(totals["sum 0"] * scale.unit / (rows or 1), parties * scale.rounding / (rows or 1))
    return Pooled(value=found.value, count=rows, error=found.error)


def _moments(totals: Totals, statistic: Statistic, ddof: int) -> Moments:
    sums = [totals[f"sum {i}"] for i in range(len(statistic.columns))]
    products = {(i, j): totals[f"product {i} {j}"] for i, j in statistic.pairs}
    return Moments(totals["rows"], sums, products, _scales(statistic), ddof)


def _variance(totals: Totals, statistic: Statistic, ddof: int) -> Variance:
    moments = _moments(totals, statistic, ddof)
    variance, deviation, mean = moments.covariance(0, 0), moments.deviation(0), moments.mean(0)
    return Variance(
        value=variance.value,
        error=variance.error,
        std=deviation.value,
        std_error=deviation.error,
        mean=mean.value,
        mean_error=mean.error,
        count=moments.rows,
        ddof=ddof,
    )


def _matrix(totals: Totals, statistic: Statistic, ddof: int) -> Matrix:
    moments, size = _moments(totals, statistic, ddof), len(statistic.columns)
    values, errors = np.empty((size, size)), np.empty((size, size))
    of = moments.correlation if statistic.name == "correlation" else moments.covariance
    for i, j in statistic.pairs:
        values[i, j], errors[i, j] = values[j, i], errors[j, i] = of(i, j)
    constant = [name for i, name in enumerate(statistic.columns) if not moments.varies(i)]
    return Matrix(
        name=statistic.name,
        columns=statistic.columns,
        values=values,
        errors=errors,
        count=moments.rows,
        undefined=tuple(constant) if statistic.name == "correlation" else (),
    )


def _table(answer: pa.Table, statistic: Statistic, parties: int, ddof: int, label_type: pa.DataType | None) -> pa.Table:
    """One row for each group; null where it is suppressed."""
    rows = []
    for group in range(statistic.groups):
        known = answer.column(0)[group].is_valid
        rows.append(_row(_totals(answer, group), statistic, parties, ddof) if known else None)
    columns = {
        name: pa.array([None if row is None else row[i] for row in rows], type_)
        for i, (name, type_) in enumerate(_types(statistic, parties).items())
    }
    if statistic.edges is not None:
        columns = {"from": pa.array(statistic.edges[:-1]), "to": pa.array(statistic.edges[1:]), **columns}
    elif statistic.by is not None and statistic.keys is not None:
        columns = {label_name(statistic.by, columns): labels(statistic.keys, label_type), **columns}
    return pa.table(columns).replace_schema_metadata(answer.schema.metadata)


def _types(statistic: Statistic, parties: int) -> dict[str, pa.DataType]:
    """The columns of an answer by group."""
    if statistic.name in ("count", "histogram"):
        return {"count": pa.int64()}
    if statistic.name == "sum":
        return {"sum": _exact_type(statistic, parties) or pa.float64(), "error": pa.float64()}
    if statistic.name == "mean":
        return {"mean": pa.float64(), "error": pa.float64(), "count": pa.int64()}
    reals = ("variance", "error", "std", "std_error", "mean", "mean_error")
    return {**dict.fromkeys(reals, pa.float64()), "count": pa.int64()}


def _exact_type(statistic: Statistic, parties: int) -> pa.DataType | None:
    """The type of a sum of whole numbers, or of decimals whose last place is the grid; None where it is rounded."""
    largest = parties * statistic.max_units
    if not all(statistic.whole):
        return None
    if statistic.grids[0].resolution == 1.0:
        return pa.int64() if largest < 2**63 else None
    places = next((n for n in range(1, _PLACES) if statistic.grids[0].unit == Fraction(1, 10**n)), None)
    return pa.decimal128(38, places) if places is not None and largest < 10**38 else None


def _row(totals: Totals, statistic: Statistic, parties: int, ddof: int) -> tuple[float | int | Decimal | None, ...]:
    """One group's values, in the order of `_types`."""
    if statistic.name in ("count", "histogram"):
        return (totals["rows"],)
    if statistic.name == "variance":
        found = _variance(totals, statistic, ddof)
        return (found.value, found.error, found.std, found.std_error, found.mean, found.mean_error, found.count)
    pooled = _pooled(totals, statistic, parties)
    if statistic.name == "sum" and (exact := _exact_type(statistic, parties)) is not None:
        total = totals["sum 0"]
        return (Decimal(total).scaleb(-exact.scale, _DIGITS) if pa.types.is_decimal(exact) else total, 0.0)
    return (pooled.value, pooled.error) if pooled.count is None else (pooled.value, pooled.error, pooled.count)


def _approximate(answer: pa.Table, statistic: Statistic, scheme: ApproximateScheme) -> Pooled:
    """A sum or mean by CKKS: each total within the scheme's error bound of the exact one."""
    found = {name: float(column[0].as_py()) for name, column in zip(answer.column_names, answer.columns, strict=True)}
    total, rounding = found["sum 0"], scheme.parties * float(_scales(statistic)[0].rounding)
    error = rounding + scheme.error_bound(0)
    if statistic.name == "sum":
        return Pooled(value=total, count=None, error=error)
    rows, count_error = found["rows"], scheme.error_bound(1)
    count = round(rows)
    if count < 1:
        return Pooled(value=math.nan, count=max(0, count), error=math.inf, count_error=count_error)
    mean, least = total / rows, max(rows - count_error, 0.5)
    error = (error + abs(mean) * count_error) / least + abs(mean) * 2.0**-53
    return Pooled(value=mean, count=count, error=error, count_error=count_error)
