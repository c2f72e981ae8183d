"""From a party's rows to its vector of a pooled statistic: exact integers, computed in the clear.

Real values of a sum or mean are added exactly and each total is rounded once to the grid. Where second moments are
taken each value is rounded to its grid before it is multiplied: all that follows, at the parties, under encryption and
at the caller, is then exact for the rounded values, and no cancellation can make a small rounding a large error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import DataError
from ...protocol.columns.predicates import passing, text
from ...protocol.groups import NO_GROUP, is_large, public_groups_of, rows_by_group, suppressed_of_rows
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


class _Entering(NamedTuple):
    """A party's rows in the groups that it does not leave out.

    Attributes
    ----------
    rows, of : int64 arrays
        Which, and the group of each.
    present : list of int
        As in `PartTotals`.
    """

    rows: Integers
    of: Integers
    present: list[int]


def contribution(given: RoleInput, statistic: Statistic) -> Role[list[PartTotals]]:
    """A party's totals of each statistic in the vector, without those of its groups that are small or would follow from
    its whole total.

    A refusal for a value tells of the rows that entered, as a total does. So they are enough, and the guard lets them
    out, before any value is looked at; and none is of a group that is left out.

    Raises
    ------
    DataError
        There are fewer units than the owner's minimum count or more rows than declared, a value is NaN or infinite, or
        a value or total exceeds its bound. Names party and column, never a value.
    """
    entering = [
        _without_small(given, each, rows, of)
        for each, (rows, of) in zip(statistic.each, (yield from _choose(given, statistic)), strict=True)
    ]
    sets = [rows for each in entering for rows in rows_by_group(each.rows, each.of, np.unique(each.of).tolist())]
    # who has the other contributors' parts knows what these add up to
    given.services.screen([RowSet.counted(each, "part of a pooled total") for each in sets], given.min_count)
    if max(len(each.rows) for each in entering) > statistic.max_rows:
        raise DataError(
            f"{given.party} has more rows than the declared {statistic.max_rows:,}: nothing was sent",
            hint="declare a larger max_rows",
        )
    found = []
    for each, rows in zip(statistic.each, entering, strict=True):
        found.append(PartTotals((yield from _totals(given, each, rows)), rows.present))
    return found


def _choose(given: RoleInput, statistic: Statistic) -> Role[list[tuple[Integers, Integers]]]:
    """For each statistic in the vector the complete rows that pass, and the group of each."""
    table = given.table
    found: list[list[tuple[Integers, Integers]]] = [[] for _ in statistic.each]
    for start in range(0, max(1, table.num_rows), ROWS_A_STEP):
        yield from checkpoint("choosing rows", start, table.num_rows)
        part = table.slice(start, min(ROWS_A_STEP, table.num_rows - start))  # without columns of any length asked for
        passes, groups = passing(part, statistic.where), public_groups_of(part, statistic.public)
        for each, pieces in zip(statistic.each, found, strict=True):
            enters = passes.copy()
            for name in each.columns:
                enters &= part.column(name).is_valid().to_numpy()
            of = groups[enters] if statistic.edges is None else _bins(part, enters, statistic, given.party)
            pieces.append((start + np.flatnonzero(enters), of))
    return [(np.concatenate(rows), np.concatenate(of)) for rows, of in (zip(*each, strict=True) for each in found)]


def _without_small(given: RoleInput, statistic: Statistic, rows: Integers, of: Integers) -> _Entering:
    """Without the rows of no group, and of those that are left out; refused where all are too few."""
    units = given.units(rows)
    if not is_large(units, given.min_count):
        _refuse_few(given, statistic)
    if not statistic.grouped:
        return _Entering(rows, of, [])
    every = range(statistic.groups)
    hidden = suppressed_of_rows(every, of, units, given.min_count)
    filled = set(np.unique(of).tolist())
    shown = filled - {*hidden, NO_GROUP}
    keep = np.isin(of, sorted(shown))
    return _Entering(rows[keep], of[keep], [int(group in shown) for group in every] + [int(filled != shown)])


def _totals(given: RoleInput, statistic: Statistic, entering: _Entering) -> Role[list[list[int]]]:
    """For each part, group by group."""
    table, totals = given.table, [[Fraction()] * statistic.groups for _ in statistic.parts]
    step = max(LEAST_ROWS_A_STEP, ROWS_A_STEP // (len(totals) + 1))
    for start in range(0, max(1, table.num_rows), step):
        yield from checkpoint("summing", start, table.num_rows)
        rows = min(step, table.num_rows - start)
        here = slice(*np.searchsorted(entering.rows, (start, start + rows)))
        keep = np.zeros(rows, np.bool_)
        keep[entering.rows[here] - start] = True
        parts = _pieces(table.slice(start, rows), keep, entering.of[here], statistic, given.party)
        for total, pieces in zip(totals, parts, strict=True):
            for group, amount in pieces:
                total[group] += amount
    return [
        _to_integers(total, part, statistic, given.party) for total, part in zip(totals, statistic.parts, strict=True)
    ]


def _pieces(
    table: pa.Table, keep: npt.NDArray[np.bool_], of: Integers, statistic: Statistic, party: str
) -> list[Iterator[Piece]]:
    """What the rows to keep, each of the group that `of` says, add to each part."""
    if statistic.edges is not None:
        return [exact_sums(np.ones(len(of), dtype=np.int64), np.sort(of))]
    columns = [table.column(name).filter(pa.array(keep)) for name in statistic.columns]
    values = [numbers(column, party=party, name=name) for column, name in zip(columns, statistic.columns, strict=True)]
    scales = [scale_of(column.type) for column in columns]
    if statistic.name in OF_VALUES:
        values = [
            grid.each_to_units(column, scale, party=party, name=name)
            for column, scale, grid, name in zip(values, scales, statistic.grids, statistic.columns, strict=True)
        ]
        scales = [0] * len(scales)
    if statistic.grouped:
        order = np.argsort(of, kind="stable")
        of, values = of[order], [column[order] for column in values]
    parts: list[Iterator[Piece]] = [exact_sums(column, of, scale) for column, scale in zip(values, scales, strict=True)]
    parts += [exact_products(values[i], values[j], of) for i, j in statistic.pairs]
    if "rows" in statistic.parts:
        parts.append(exact_sums(np.ones(len(of), dtype=np.int64), of))
    return parts


def _bins(table: pa.Table, enters: npt.NDArray[np.bool_], statistic: Statistic, party: str) -> Integers:
    """The bin of each row that enters, -1 where it is in none, as a NaN is."""
    (name,) = statistic.columns
    column = table.column(name).filter(pa.array(enters))
    return bins_of(numbers(column, party=party, name=name, finite=False), statistic.edges or (), scale_of(column.type))


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


def _refuse_few(given: RoleInput, statistic: Statistic) -> NoReturn:
    names = " and ".join(statistic.columns)
    rows = "rows" if given.keys is None else "units"
    what = f"values in {names}" if len(statistic.columns) == 1 else f"{rows} with {names}" if names else rows
    where = f" where {text(statistic.where)}" if statistic.where else ""
    raise DataError(
        f"{given.party} has fewer {what}{where} than its minimum count of {given.min_count}: nothing was sent",
        hint=f"leave this party out{', or let more rows pass' if where else ''}",
    )


def _to_integers(totals: Sequence[Fraction], part: str, statistic: Statistic, party: str) -> list[int]:
    """Totals as integers: those of reals rounded once to the grid, and within its bound."""
    if statistic.name in OF_VALUES or not part.startswith("sum"):
        return [int(total) for total in totals]
    (grid,), (name,) = statistic.grids, statistic.columns
    return [grid.total(total, party=party, name=name) for total in totals]
