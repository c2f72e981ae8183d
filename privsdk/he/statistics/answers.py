"""From the key holder's answer to what the verbs return: single values, matrices, tables by column and by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from ...client.matrix import Matrix
from ...crypto.seal.schemes import ApproximateScheme, ExactScheme
from ...protocol.groups import labelled
from .moments import Moments, Rounding, bounded
from .statistic import MATRICES, OF_VALUES, Statistic
from .values import Pooled, Variance

Totals = Mapping[str, int]

_PLACES = 20  # of decimals, more than a default grid has
_DIGITS = Context(prec=40)


def reader(
    statistic: Statistic,
    scheme: ExactScheme | ApproximateScheme,
    ddof: int,
    label_types: Sequence[pa.DataType | None] = (),
    *,
    listed: bool = False,
) -> Callable[[pa.Table], Any]:
    """What makes the plan's value of the key holder's answer; keys are shown as of `label_types`, where they are known,
    and columns that were `listed` as rows, be it one."""
    if isinstance(scheme, ApproximateScheme):
        return lambda answer: _approximate(answer, statistic, scheme)
    parties = scheme.parties
    if statistic.grouped or listed:
        return lambda answer: _table(answer, statistic, parties, ddof, label_types, listed=listed)
    if statistic.name in MATRICES:
        return lambda answer: _matrix(_totals(answer), statistic, ddof)
    if statistic.name == "variance":
        return lambda answer: _variance(_totals(answer), statistic, ddof)
    return lambda answer: _pooled(_totals(answer), statistic, parties)


def _totals(answer: pa.Table) -> Totals:
    return {name: int(column[0].as_py()) for name, column in zip(answer.column_names, answer.columns, strict=True)}


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


def _table(
    answer: pa.Table,
    statistic: Statistic,
    parties: int,
    ddof: int,
    label_types: Sequence[pa.DataType | None],
    *,
    listed: bool,
) -> pa.Table:
    """A row for each group of each column; null where it is suppressed."""
    types = _types(statistic, parties)
    rows, names = list[tuple[float | int | Decimal | None, ...]](), iter(answer.column_names)
    for each in statistic.each:
        parts = {part: answer.column(next(names)).to_pylist() for part in each.parts}
        for totals in zip(*parts.values(), strict=True):
            if totals[0] is None:
                rows.append((None,) * len(types))
                continue
            known = dict(zip(parts, map(int, totals), strict=True))
            rows.append(_row(known, each, parties, ddof, types.get("sum", pa.float64())))
    columns = {name: pa.array([row[i] for row in rows], type_) for i, (name, type_) in enumerate(types.items())}
    if statistic.edges is not None:
        columns = {"from": pa.array(statistic.edges[:-1]), "to": pa.array(statistic.edges[1:]), **columns}
    names_of = {"column": np.repeat(statistic.columns, statistic.groups)} if listed else {}
    columns = {**labelled(statistic.public, label_types, [*names_of, *columns], len(statistic.each)), **columns}
    return pa.table({**names_of, **columns}).replace_schema_metadata(answer.schema.metadata)


def _types(statistic: Statistic, parties: int) -> dict[str, pa.DataType]:
    """The columns of a table of answers."""
    if statistic.name in ("count", "histogram"):
        return {"count": pa.int64()}
    if statistic.name == "sum":
        exact = {_exact_type(each, parties) for each in statistic.each}
        return {"sum": (exact.pop() if len(exact) == 1 else None) or pa.float64(), "error": pa.float64()}
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
        return pa.int64() if largest < 2**63 else pa.decimal128(38, 0) if largest < 10**38 else None
    places = next((n for n in range(1, _PLACES) if statistic.grids[0].unit == Fraction(1, 10**n)), None)
    return pa.decimal128(38, places) if places is not None and largest < 10**38 else None


def _row(
    totals: Totals, statistic: Statistic, parties: int, ddof: int, sum_type: pa.DataType
) -> tuple[float | int | Decimal | None, ...]:
    """One group's values, in the order of `_types`."""
    if statistic.name in ("count", "histogram"):
        return (totals["rows"],)
    if statistic.name == "variance":
        found = _variance(totals, statistic, ddof)
        return (found.value, found.error, found.std, found.std_error, found.mean, found.mean_error, found.count)
    pooled = _pooled(totals, statistic, parties)
    if statistic.name == "sum" and sum_type != pa.float64():
        total = totals["sum 0"]
        return (Decimal(total).scaleb(-sum_type.scale, _DIGITS) if pa.types.is_decimal(sum_type) else total, 0.0)
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
