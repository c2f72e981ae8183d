"""From a party's rows to its vector of a pooled statistic: exact integers, computed in the clear.

Real values of a sum or mean are added exactly and each total is rounded once to the grid. Where second moments are
taken each value is rounded to its grid before it is multiplied: all that follows, at the parties, under encryption and
at the caller, is then exact for the rounded values, and no cancellation can make a small rounding a large error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import DataError
from ...protocol.groups import NO_GROUP, groups_of, is_large, rows_by_group, suppressed_of_rows
from ...protocol.operation import RoleInput
from ...protocol.roles import Role, checkpoint
from ...protocol.services import RowSet
from .fixedpoint import Numbers, exact_products, exact_sums, numbers, scale_of
from .statistic import OF_VALUES, Statistic

ROWS_A_STEP = 1 << 20  # of one part: about 0.1 s of summing between checkpoints
LEAST_ROWS_A_STEP = 1 << 12

Integers = npt.NDArray[np.int64]
Piece = tuple[int, int | Fraction]  # a group and what is added to its total


class PartTotals(NamedTuple):
    """A party's part of a pooled statistic.

    Attributes
    ----------
    totals : list of list of int
        For each part of the statistic, group by group; zero in the groups that are left out.
    present : list of int
        For each group 1 where the party has a part in it; last, whether it has rows in none, left out or of no group.
    """

    totals: list[list[int]]
    present: list[int]

    def of(self, shown: Sequence[bool]) -> list[int]:
        """The totals as one vector, part by part; zero in groups that are not shown."""
        return [total * here for part in self.totals for total, here in zip(part, shown, strict=True)]


def contribution(given: RoleInput, statistic: Statistic) -> Role[PartTotals]:
    """A party's totals, without those of its groups that are small or would follow from its whole total.

    Raises
    ------
    DataError
        A value or total exceeds its bound, a value is NaN or infinite, or there are fewer units than the owner's
        minimum count or more rows than declared. Names party and column, never a value.
    """
    table, party = given.table, given.party
    totals: list[list[int | Fraction]] = [[0] * statistic.groups for _ in statistic.parts]
    entering: list[Integers] = []
    groups: list[Integers] = []
    step = max(LEAST_ROWS_A_STEP, ROWS_A_STEP // (len(totals) + 1))
    for start in range(0, max(1, table.num_rows), step):
        yield from checkpoint("summing", start, table.num_rows)
        rows = min(step, table.num_rows - start)  # Arrow slices a table without columns to any length asked for
        complete, of, parts = _pieces(table.slice(start, rows), statistic, party)
        entering.append(start + np.flatnonzero(complete))
        groups.append(of)
        for total, pieces in zip(totals, parts, strict=True):
            for group, amount in pieces:
                total[group] += amount
    rows = np.concatenate(entering)
    units = given.units(rows)
    _check_rows(units, given, statistic)
    own = [_to_integers(total, part, statistic, party) for total, part in zip(totals, statistic.parts, strict=True)]
    if not statistic.grouped:
        _screen(given, [rows])
        return PartTotals(own, [])
    every, of = range(statistic.groups), np.concatenate(groups)
    hidden = suppressed_of_rows(every, of, units, given.min_count)
    filled = set(np.unique(of).tolist())
    outside = not filled.isdisjoint({*hidden, NO_GROUP})
    _screen(given, rows_by_group(rows, of, sorted(filled - {*hidden, NO_GROUP})))
    return PartTotals(
        [[0 if group in hidden else total[group] for group in every] for total in own],
        [int(group in filled and group not in hidden) for group in every] + [int(outside)],
    )


def _screen(given: RoleInput, sets: Sequence[Integers]) -> None:
    """Before they enter a sum: who has the other contributors' parts knows what they add up to."""
    given.services.screen([RowSet.counted(rows, "part of a pooled total") for rows in sets], given.min_count)


def _pieces(
    table: pa.Table, statistic: Statistic, party: str
) -> tuple[npt.NDArray[np.bool_], Integers, list[Iterator[Piece]]]:
    """Which rows are complete, the group of each of those, and what they add to each part."""
    columns = [table.column(name) for name in statistic.columns]
    complete = np.ones(table.num_rows, dtype=np.bool_)
    for column in columns:
        complete &= column.is_valid().to_numpy()
    keep = pa.array(complete)
    values = [
        numbers(column.filter(keep), party=party, name=column_name)
        for column, column_name in zip(columns, statistic.columns, strict=True)
    ]
    scales = [scale_of(column.type) for column in columns]
    if statistic.name in OF_VALUES:
        values = [
            grid.each_to_units(column, scale, party=party, name=name)
            for column, scale, grid, name in zip(values, scales, statistic.grids, statistic.columns, strict=True)
        ]
        scales = [0] * len(scales)
    of = groups = _groups(table, values, scales, complete, statistic)
    if statistic.grouped:
        order = np.argsort(groups, kind="stable")
        order = order[np.searchsorted(groups[order], 0) :]  # -1 is no group
        groups, values = groups[order], [column[order] for column in values]
    parts: list[Iterator[Piece]] = [
        exact_sums(column, groups, scale) for column, scale in zip(values[: len(statistic.grids)], scales, strict=False)
    ]
    parts += [exact_products(values[i], values[j], groups) for i, j in statistic.pairs]
    if "rows" in statistic.parts:
        parts.append(exact_sums(np.ones(len(groups), dtype=np.int64), groups))
    return complete, of, parts


def _groups(
    table: pa.Table, values: list[Numbers], scales: list[int], complete: npt.NDArray[np.bool_], statistic: Statistic
) -> Integers:
    """The group of each complete row, -1 where it is in none."""
    if statistic.edges is not None:
        return bins_of(values[0], statistic.edges, scales[0])
    if statistic.by is not None and statistic.keys is not None:
        return groups_of(table.column(statistic.by), statistic.keys)[complete]
    return np.zeros(np.count_nonzero(complete), dtype=np.int64)


def bins_of(values: Numbers, edges: Sequence[float], scale: int = 0) -> Integers:
    """The bin of each value as `numpy.histogram` has it, -1 where it is in none; exact for 64-bit integers too, and for
    decimals, to which an edge is what its digits say."""
    last = len(edges) - 1
    top: Fraction | float = edges[-1]
    if values.dtype.kind in "iuO":  # as floats, those beyond 2**53 could pass an edge; but an integer is at or above an
        steps = [_by_digits(float(edge)) * Fraction(10) ** scale for edge in edges]  # edge exactly if it is at or above
        top = steps[-1]  # the next integer
        least, most = (-math.inf, math.inf) if values.dtype == object else _limits(values.dtype)
        rounded = [max(math.ceil(edge), least) for edge in steps]
        reached = np.array([edge for edge in rounded if edge <= most], dtype=values.dtype)
        held = top.denominator == 1 and least <= top <= most
        closing = values == int(top) if held else np.zeros(len(values), dtype=np.bool_)
    else:
        reached, closing = np.array(edges), values == top
    bins = np.searchsorted(reached, values, side="right") - 1
    bins[bins == last] = -1
    bins[closing] = last - 1
    return bins.astype(np.int64)


def _by_digits(edge: float) -> Fraction:
    """As it is written, unless it is a whole number."""
    return Fraction(edge) if edge.is_integer() else Fraction(repr(edge))


def _limits(type_: np.dtype[Any]) -> tuple[int, int]:
    whole = np.iinfo(type_)
    return int(whole.min), int(whole.max)


def _check_rows(units: Integers, given: RoleInput, statistic: Statistic) -> None:
    names = " and ".join(statistic.columns)
    if not is_large(units, given.min_count):
        rows = "rows" if given.keys is None else "units"
        what = f"values in {names}" if len(statistic.columns) == 1 else f"{rows} with {names}" if names else rows
        raise DataError(
            f"{given.party} has fewer {what} than its minimum count of {given.min_count}: nothing was sent",
            hint="leave this party out",
        )
    if len(units) > statistic.max_rows:
        raise DataError(
            f"{given.party} has more rows than the declared {statistic.max_rows:,}: nothing was sent",
            hint="declare a larger max_rows",
        )


def _to_integers(totals: list[int | Fraction], part: str, statistic: Statistic, party: str) -> list[int]:
    """Totals as integers: those of reals rounded once to the grid, and within its bound."""
    if statistic.name in OF_VALUES or not part.startswith("sum"):
        return [int(total) for total in totals]
    (grid,), (name,) = statistic.grids, statistic.columns
    return [grid.total(total, party=party, name=name) for total in totals]
