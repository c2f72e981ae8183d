"""From rows to the exact integer vector of a release. Nothing about a row is an error or changes what is computed.

Values are clamped, null and NaN are left out, of a mean's count too. Rows of no public group are counted nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..protocol.columns.arrow import plain
from ..protocol.columns.numbers import reals
from ..protocol.columns.predicates import check_type, passing
from ..protocol.groups import NO_GROUP, public_groups_of
from ..protocol.roles import Role, checkpoint
from .release import Integers, ReleaseParameters, rounded_shift

ROWS_A_STEP = 1 << 20  # about 0.1 s between checkpoints


def exact_vector(table: pa.Table, release: ReleaseParameters, *, where: str) -> Role[list[Integers]]:
    """Each component's exact totals, of shape (groups * width,) group by group; `where` names the table in errors.

    Raises
    ------
    InvalidArgument
        A column's type does not fit. No value does.
    """
    if table.column_names:  # without any, a table made anew would have no rows
        table = plain(table)
    for name, kind in release.kinds.items():
        kind.check(f"{where}.{name}", str(table.column(name).type))
    for condition in release.where:
        check_type(where, condition, table.column(condition.name.column).type)
    totals = [np.zeros(release.groups * part.width, dtype=np.int64) for part in release.components]
    for start in range(0, max(1, table.num_rows), ROWS_A_STEP):
        yield from checkpoint("summing", start, table.num_rows)
        rows = min(ROWS_A_STEP, table.num_rows - start)  # Arrow slices a table without columns to any length asked for
        parts = _part(table.slice(start, rows), release)
        totals = [total + part for total, part in zip(totals, parts, strict=True)]
    return totals


def _part(table: pa.Table, release: ReleaseParameters) -> Sequence[Integers]:
    """The vector of some rows, as in the order of `ReleaseParameters.components`."""
    groups = _groups(table, release)
    if release.column is None:
        return (_count(groups[groups >= 0], release.groups),)
    values = _values(table.column(release.column))
    enters = (groups >= 0) & ~np.isnan(values)
    groups, values = groups[enters], values[enters]
    if release.edges is not None:
        bins = np.clip(np.searchsorted(release.edges, values, side="right") - 1, 0, release.bins - 1)
        return (_count(groups * release.bins + bins, release.groups * release.bins),)
    distances = _distances(values, release)
    total = _sum(groups, distances, release.groups)
    if release.statistic == "sum":
        return (total,)
    count = _count(groups, release.groups)
    if release.statistic == "mean":
        return (count, total)
    squares = rounded_shift(distances * distances, release.dropped_bits) - release.largest_square // 2
    return (count, total, _sum(groups, squares, release.groups))


def _groups(table: pa.Table, release: ReleaseParameters) -> Integers:
    """For each row the number of its public group, -1 where it is in none or a condition does not hold."""
    groups = public_groups_of(table, release.public)
    return np.where(passing(table, release.where), groups, NO_GROUP) if release.where else groups


def _values(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Numbers, with NaN for null."""
    return reals(column)


def _distances(values: npt.NDArray[np.float64], release: ReleaseParameters) -> Integers:
    """Each value's distance from the centre in units, clamped before and after it is rounded."""
    low, high = release.clamp
    units = np.rint(np.clip(values, *(release.bounds or (0.0, 0.0))) / release.resolution) - float(release.centre)
    distances: Integers = np.clip(units, low - release.centre, high - release.centre).astype(np.int64)
    return distances


def _count(index: Integers, length: int) -> Integers:
    return np.bincount(index, minlength=length)


def _sum(index: Integers, values: Integers, length: int) -> Integers:
    total = np.zeros(length, dtype=np.int64)
    np.add.at(total, index, values)
    return total
