"""Sums, means, minima and maxima of groups of values, exact: whole numbers and decimals by their digits, floats as if
added without rounding and rounded once (as Python's fsum), means rounded once from that. Variances are of floats,
within a few units of the last place.

A figure is kept in the ledger as a number or text: a decimal as its digits, a date or time as its number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..client.aggregates import EXTREMES, Statistic
from ..errors import DataError
from ..protocol.columns import comparison
from ..protocol.columns.numbers import reals, whole_sums

Figure: TypeAlias = int | float | str
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
_LEAST = -1074  # the exponent of the smallest float
_BLOCK = 1 << 16  # values added at once
_FEW = 4_096  # values that Python's fsum adds sooner
_DIGITS = Context(prec=100)  # more than any decimal type has


def check_type(party: str, column: str, statistic: Statistic, type_: pa.DataType) -> None:
    """Raise DataError where the statistic of a column of this type cannot be taken."""
    is_ = pa.types
    adds = is_.is_boolean(type_) or is_.is_integer(type_) or is_.is_floating(type_) or is_.is_decimal(type_)
    orders = adds or (is_.is_temporal(type_) and not is_.is_interval(type_))
    if statistic == "count" or adds or (orders and statistic in EXTREMES):
        return
    raise DataError(
        f"{party} cannot take the {statistic} of {column}, which is {type_}",
        hint="use a numeric or boolean column; minima, maxima and quantiles are of dates, times and durations too",
    )


def figures_of(values: pa.ChunkedArray, starts: Integers, statistic: Statistic) -> list[Figure | None]:
    """One figure for each group.

    Parameters
    ----------
    values : Arrow column of n values without nulls or NaN, group by group
        Of a type that `check_type` lets pass, booleans aside.
    starts : int64 array
        Where each group begins; none is empty.
    statistic : "sum", "mean", "variance", "min" or "max"
    """
    if statistic in ("min", "max") and len(starts):
        return _extremes(values, starts, statistic)
    if statistic == "variance" or not len(starts):
        return [_variance(part) for part in np.split(reals(values), starts[1:])] if len(starts) else []
    sizes = np.diff(starts, append=len(values)).tolist()
    if pa.types.is_floating(values.type):
        floats = values.cast(pa.float64()).to_numpy()
        return [_float_sum(part, 1 if statistic == "sum" else len(part)) for part in np.split(floats, starts[1:])]
    scale = values.type.scale if pa.types.is_decimal(values.type) else 0
    sums = whole_sums(values, starts)
    if statistic == "mean":
        return [_rounded(Fraction(total, size) / 10**scale) for total, size in zip(sums, sizes, strict=True)]
    if pa.types.is_decimal(values.type):
        return [str(_decimal(total, scale)) for total in sums]
    return list(sums)


def up_to_quantile(values: pa.ChunkedArray, level: float) -> tuple[Booleans, Booleans]:
    """For each value, none null or NaN, whether it is up to the quantile, and whether from it on: the least value with
    at least `level` of all up to it."""
    values = comparison.labels_of(values)
    at = math.ceil(len(values) * Fraction(repr(level))) - 1
    quantile = values[pc.sort_indices(values)[at].as_py()]
    return pc.less_equal(values, quantile).to_numpy(), pc.greater_equal(values, quantile).to_numpy()


def column_of(figures: Sequence[Figure | None], statistic: Statistic, type_: pa.DataType) -> pa.Array:
    """The figures as a column of an answer.

    A mean and a variance are floats; a sum of whole numbers has 64 bits, of decimals 38 digits, and where one of its
    column needs more they are decimals of 38 or 76 digits; minima and quantiles are of their column's type, numbers in
    64 bits. Raises OverflowError where a sum does not fit.
    """
    if statistic in ("mean", "variance") or pa.types.is_floating(type_):
        return pa.array(figures, pa.float64())
    if pa.types.is_temporal(type_):
        return pa.array(figures, _steps(type_)).cast(type_)
    decimal = pa.types.is_decimal(type_)
    types = [type_ if decimal else pa.uint64() if pa.types.is_uint64(type_) else pa.int64()]
    if statistic == "sum":
        scale = type_.scale if decimal else 0
        narrow = [] if pa.types.is_decimal256(type_) else [pa.decimal128(38, scale)]
        types = [*([] if decimal else types), *narrow, pa.decimal256(76, scale)]
    for each in types:
        read = Decimal if pa.types.is_decimal(each) else int
        try:
            return pa.array([None if figure is None else read(figure) for figure in figures], each)
        except (OverflowError, pa.ArrowInvalid):
            continue
    raise OverflowError


def _extremes(values: pa.ChunkedArray, starts: Integers, statistic: Statistic) -> list[Figure | None]:
    if pa.types.is_decimal(values.type):
        group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))
        table = pa.table({"group": group, "value": values})
        found = table.group_by("group", use_threads=False).aggregate([("value", statistic)]).sort_by("group")
        return [str(each) for each in found[f"value_{statistic}"].to_pylist()]
    if pa.types.is_temporal(values.type):
        values = values.cast(_steps(values.type))
    reduce: Callable[..., npt.NDArray[np.generic]] = {"min": np.minimum, "max": np.maximum}[statistic].reduceat
    figures: list[Figure | None] = reduce(values.to_numpy(), starts).tolist()
    return figures


def _steps(type_: pa.DataType) -> pa.DataType:
    """What dates and times are whole numbers of steps in."""
    return pa.int32() if type_.bit_width == 32 else pa.int64()


def _variance(values: npt.NDArray[np.float64]) -> float | None:
    """Of a sample, in two passes of exactly rounded sums, so that no large mean takes its digits; None of one value."""
    if len(values) < 2:
        return None
    with np.errstate(over="ignore"):
        distances = values - _float_sum(values, len(values))
        squares = distances**2
    if not np.isfinite(squares).all():
        return math.inf
    drift = _float_sum(distances, 1) ** 2 / len(values)  # of the mean, which is rounded
    return (_float_sum(squares, 1) - drift) / (len(values) - 1)


def _float_sum(values: npt.NDArray[np.float64], divisor: int) -> float:
    """The sum, divided and then rounded once where the sum itself is beyond floats."""
    try:
        if len(values) < _FEW:
            return math.fsum(values) / divisor
    except OverflowError:  # on the way or in the end
        pass
    total = _float_total(values)
    try:
        return float(total) / divisor
    except OverflowError:
        return _rounded(total / divisor)


def _float_total(values: npt.NDArray[np.float64]) -> Fraction:
    """The sum without any rounding: added in whole numbers of 32 bits, those of the largest values first."""
    total = 0  # in units of 2^_LEAST
    for start in range(0, len(values), _BLOCK):
        rest = values[start : start + _BLOCK]
        exponent = int(np.frexp(np.abs(rest).max())[1])
        while rest.any():
            exponent = max(exponent - 32, _LEAST)
            part = np.trunc(_times_power(rest, -exponent))
            rest = rest - _times_power(part, exponent)
            total += int(part.sum()) << exponent - _LEAST  # below 2^53: exact
    return Fraction(total, 1 << -_LEAST)


def _times_power(values: npt.NDArray[np.float64], exponent: int) -> npt.NDArray[np.float64]:
    """Times a power of two; where that is a float itself, in a fraction of the time."""
    times: npt.NDArray[np.float64] = values * 2.0**exponent if abs(exponent) < 1000 else np.ldexp(values, exponent)
    return times


def _rounded(value: Fraction) -> float:
    """The nearest float, infinite beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _decimal(unscaled: int, scale: int) -> Decimal:
    return Decimal(unscaled).scaleb(-scale, _DIGITS)
