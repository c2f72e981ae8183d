"""What the verbs' plans return, made from the key holder's answer; the arithmetic is that of `moments`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.seal.schemes import ApproximateScheme, ExactScheme
from ...display.cards import Card, Displayed, Grid, at_most, cell
from ...display.tabular import Tabular
from .moments import Bounded, Moments, Rounding, bounded, mean_of
from .statistic import MATRICES, OF_VALUES, Statistic

Totals = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pooled:
    """A count, sum or mean over all parties' rows.

    Attributes
    ----------
    value : float
        The statistic, in the column's unit; NaN for a mean of no rows.
    count : int or None
        Rows in it, for a mean.
    error : float
        Bound on the difference from exact arithmetic: rounding to the grid, and CKKS noise where that preset was used.
    count_error : float
        Bound on the error of `count`: 0 but for the CKKS preset.
    """

    value: float
    count: int | None
    error: float
    count_error: float = 0.0

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        over = "" if self.count is None else f" over {self.count:,} rows"
        if self.count_error:
            over = f" over about {self.count:,} rows (within {at_most(self.count_error)})"
        return f"{self.value:.10g}{over} (error at most {at_most(self.error)})"

    __repr__ = __str__


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Variance:
    """A variance over all parties' rows, with what the same totals give besides.

    Attributes
    ----------
    value, std, mean : float
        Variance, in the square of the column's unit, standard deviation and mean; NaN where there are not enough rows.
    error, std_error, mean_error : float
        Bounds on their differences from exact arithmetic; not statistical errors.
    count : int
        Rows in it.
    ddof : int
        Delta degrees of freedom: squares are divided by count - ddof.
    """

    value: float
    error: float
    std: float
    std_error: float
    mean: float
    mean_error: float
    count: int
    ddof: int

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return (
            f"{self.value:.10g} over {self.count:,} rows (error at most {at_most(self.error)}); standard deviation "
            f"{self.std:.10g}, mean {self.mean:.10g}"
        )

    __repr__ = __str__


class Matrix(Displayed, Tabular):
    """Covariances or correlations of each two columns, over all parties' complete rows.

    Attributes
    ----------
    columns : tuple of str
    values : float64 array of shape (columns, columns)
        NaN where there is none: too few rows, or for a correlation a column that is constant to within its grid.
    errors : float64 array of the same shape
        Bounds on the differences from exact arithmetic; NaN where the value is.
    count : int
        Rows in which no column is null.
    undefined : tuple of str
        Columns that have no correlations because they are constant to within their grid.
    """

    def __init__(
        self,
        *,
        name: str,
        columns: tuple[str, ...],
        values: npt.NDArray[np.float64],
        errors: npt.NDArray[np.float64],
        count: int,
        undefined: tuple[str, ...] = (),
    ) -> None:
        self.columns = columns
        self.values = values
        self.errors = errors
        self.count = count
        self.undefined = undefined
        self._name = name

    def _card(self) -> Card:
        known = self.errors[~np.isnan(self.errors)]
        facts = [("error", f"at most {at_most(float(known.max()))}")] if len(known) else []
        if self.undefined:
            facts.append(("undefined", f"of {', '.join(self.undefined)}: constant to within the grid"))
        rows = [(name, *map(cell, line)) for name, line in zip(self.columns, self.values.tolist(), strict=True)]
        grid = Grid(header=("", *self.columns), rows=rows)
        return Card(
            title=f"{self._name} of {len(self.columns)} columns over {self.count:,} rows",
            answers=(("matrix", grid),),
            facts=facts,
        )

    def to_arrow(self) -> pa.Table:
        """A row for each column: its name, then its values with the others, null where there is none."""
        values = {name: pa.array(line, from_pandas=True) for name, line in zip(self.columns, self.values, strict=True)}
        return pa.table([pa.array(self.columns), *values.values()], names=["column", *self.columns])


def reader(statistic: Statistic, scheme: ExactScheme | ApproximateScheme, ddof: int) -> Callable[[pa.Table], Any]:
    """What makes the plan's value of the key holder's answer."""
    if isinstance(scheme, ApproximateScheme):
        return lambda answer: _approximate(answer, statistic, scheme)
    parties = scheme.parties
    if statistic.grouped:
        return lambda answer: _table(answer, statistic, parties, ddof)
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


def _sum_or_mean(totals: Totals, statistic: Statistic, parties: int) -> Bounded:
    (scale,) = _scales(statistic)
    if statistic.name == "sum":
        return bounded(totals["sum 0"] * scale.unit, parties * scale.rounding)
    return mean_of(totals["sum 0"], totals["rows"], scale, parties)


def _pooled(totals: Totals, statistic: Statistic, parties: int) -> Pooled:
    if statistic.name == "count":
        return Pooled(value=float(totals["rows"]), count=None, error=0.0)
    found = _sum_or_mean(totals, statistic, parties)
    return Pooled(value=found.value, count=totals.get("rows"), error=found.error)


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


def _table(answer: pa.Table, statistic: Statistic, parties: int, ddof: int) -> pa.Table:
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
        by = "key" if statistic.by in columns else statistic.by
        columns = {by: pa.array(list(statistic.keys)), **columns}
    return pa.table(columns).replace_schema_metadata(answer.schema.metadata)


def _types(statistic: Statistic, parties: int) -> dict[str, pa.DataType]:
    """The columns of an answer by group."""
    if statistic.name in ("count", "histogram"):
        return {"count": pa.int64()}
    if statistic.name == "sum":
        whole = all(statistic.whole) and parties * statistic.max_units < 2**63
        return {"sum": pa.int64() if whole else pa.float64(), "error": pa.float64()}
    if statistic.name == "mean":
        return {"mean": pa.float64(), "error": pa.float64(), "count": pa.int64()}
    reals = ("variance", "error", "std", "std_error", "mean", "mean_error")
    return {**dict.fromkeys(reals, pa.float64()), "count": pa.int64()}


def _row(totals: Totals, statistic: Statistic, parties: int, ddof: int) -> tuple[float | int | None, ...]:
    """One group's values, in the order of `_types`."""
    if statistic.name in ("count", "histogram"):
        return (totals["rows"],)
    if statistic.name == "variance":
        found = _variance(totals, statistic, ddof)
        return (found.value, found.error, found.std, found.std_error, found.mean, found.mean_error, found.count)
    pooled = _pooled(totals, statistic, parties)
    if pa.types.is_integer(_types(statistic, parties)[statistic.name]):
        return (totals["sum 0"], 0.0)
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
