"""Groups of rows: those whose keys are public, each row's group, and which groups of an answer are suppressed.

Public keys are named by the caller, so none is found in the data. Rows of other keys and of a null key are in no group.

What is suppressed is decided here alone, for whatever is shown by group: exact aggregates, pooled statistics, scores by
interval, evaluations by group. Suppressed are the small groups, and as many more as keep them from following from a
total.

Setting. Every row belongs to a unit: to an id where the dataset's privacy unit is one, to a joint key in a joint table,
else to itself (`RoleInput.units`). The rows are divided into groups and a remainder, those of no group. A unit may have
rows in several groups. An answer shows sums over groups, and the total over all rows is shown too, beside them or by
another question. A set of groups is large where it has rows of at least k units; whatever contains a large set is
large.

Rule. Primary suppression: a group that is not large is suppressed. Complementary suppression: where the suppressed
groups, if there are any, and the remainder, if it has rows, are not large together, so is the smallest other group. One
is enough, as it is large by itself. A group without rows is suppressed like a small one, so that which groups are does
not tell them apart. Where all rows together are not large, nothing is shown, the total neither.

Theorem. A linear combination of the shown sums and the total either vanishes or depends on values of at least k units:
nothing about 1 to k - 1 units follows from them by addition and subtraction.

Proof. Write it as a T + sum over shown groups g of b_g S_g. A row of a shown group g has the coefficient a + b_g, any
other row a. If a is 0, some b_g is not, and it depends on all units of g, which is large. If a is not 0 and there are
rows outside the shown groups, it depends on all units of those rows, which are large together. If there are none, T is
the sum of all S_g, and a may be taken as 0. QED. So it is for any other size by which sets are large, such as
contributors, and for several at once.

Not covered: what follows from bounds of the values (a sum of numbers that are not negative bounds each), what somebody
knows of others' values beforehand, and what follows from several questions together, which `party.differencing` judges.

Source: A. Hundepool et al., "Statistical Disclosure Control", Wiley 2012, chapter 4 (tables of magnitude: threshold
rule, secondary suppression).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .columns.comparison import NO_VALUE, positions
from .columns.keys import Key, PublicGroups
from .columns.ordering import distinct

Integers = npt.NDArray[np.int64]
NO_GROUP = NO_VALUE


def groups_of(column: pa.ChunkedArray, keys: tuple[Key, ...]) -> Integers:
    """For each row the number of its key, `NO_GROUP` where it is in no group."""
    return positions(column, keys)


def public_groups_of(table: pa.Table, groups: PublicGroups) -> Integers:
    """For each row the number of its key, or that after the last one for all others, `NO_GROUP` where there is neither;
    0 everywhere where there are no groups."""
    found, keyed = np.zeros(table.num_rows, np.int64), np.zeros(len(groups.keys), np.int64)
    for i, (column, values) in enumerate(groups.values.items()):  # of rows and keys alike, by the columns so far
        number = {value: n for n, value in enumerate(values)}
        at = positions(table.column(column), values)
        ends = np.array([number[key[i]] for key in groups.keys], np.int64)
        distinct, keyed = np.unique(keyed * len(values) + ends, return_inverse=True)
        wanted = found * len(values) + at
        place = np.minimum(np.searchsorted(distinct, wanted), len(distinct) - 1)
        found = np.where((found >= 0) & (at != NO_VALUE) & (distinct[place] == wanted), place, NO_GROUP)
    if not groups.columns:
        return found
    key_of = np.empty(len(groups.keys) + 1, np.int64)
    key_of[keyed], key_of[NO_GROUP] = np.arange(len(groups.keys)), len(groups.keys) if groups.others else NO_GROUP
    return key_of[found]


def label_names(columns: Sequence[str], others: Collection[str]) -> list[str]:
    """What the columns of labels are called beside others: as the groups' own, else "key", "key 2" and so on."""
    taken = {*others, *columns}
    spare = (name for name in chain(["key"], (f"key {n}" for n in count(2))) if name not in taken)
    return [name if name not in others and name not in columns[:at] else next(spare) for at, name in enumerate(columns)]


def labelled(
    groups: PublicGroups, types: Sequence[pa.DataType | None], others: Collection[str], times: int = 1
) -> dict[str, pa.Array]:
    """The columns that say which group each row of an answer is of, by names that others do not have; all of them so
    many times."""
    columns = [pa.concat_arrays([each] * times) for each in groups.labels(types or [None] * len(groups.columns))]
    return dict(zip(label_names(groups.columns, others), columns, strict=True))


def rows_by_group(rows: Integers, of: Integers, groups: Sequence[int]) -> list[Integers]:
    """For each of some groups its rows, where the group of each row is given."""
    few = int(of.max(initial=0)) <= np.iinfo(np.int16).max
    order = np.argsort(of.astype(np.int16) if few else of, kind="stable")  # of 16 bits in a quarter of the time
    ordered = of[order]
    starts, ends = (np.searchsorted(ordered, groups, side=side) for side in ("left", "right"))
    return [rows[order[a:b]] for a, b in zip(starts, ends, strict=True)]


def is_large(units: Integers, min_count: int) -> bool:
    """Whether rows of these units are of at least `min_count` units; mostly the first rows are."""
    return any(len(distinct(some)) >= min_count for some in (units[: 4 * min_count], units))


def every_part_is_large(units: Integers, rows: int, min_count: int) -> bool:
    """Whether any so many of the rows are of at least `min_count` units: fewer units do not have as many together."""
    largest = -np.sort(-np.unique(units, return_counts=True)[1])
    return min_count <= 1 or int(largest[: min_count - 1].sum()) < rows


def enough(size: float, min_count: int) -> bool:
    """Whether what so many units make up may be told."""
    return size >= min_count


def shown(size: int, min_count: int) -> int | None:
    """A size that is shown by itself; None where it is small."""
    return size if enough(size, min_count) else None


def suppressed(
    groups: Iterable[int],
    large: Callable[[Collection[int]], bool],
    size: Callable[[int], Any],
    remainder: Collection[int] = (),
) -> frozenset[int]:
    """The groups to suppress, by the module's rule.

    Parameters
    ----------
    groups : iterable of int
        Their numbers.
    large : function
        Whether some of them, with or without the remainder, are large together.
    size : function
        What one is ordered by, smallest first, and by its number where it is equal.
    remainder : collection of int
        The number by which `large` knows the rows of no group; empty where there are none.
    """
    smallest_first = sorted(groups, key=lambda group: (size(group), group))
    hidden = {group for group in smallest_first if not large([group])}
    outside = [*hidden, *remainder]
    if outside and not large(outside):
        hidden.update([group for group in smallest_first if group not in hidden][:1])
    return frozenset(hidden)


def suppressed_of_rows(groups: Iterable[int], of: Integers, units: Integers, min_count: int) -> frozenset[int]:
    """The groups to suppress, where each row's group and unit are known.

    Parameters
    ----------
    groups : iterable of int
        Their numbers, those without rows included where their labels are public.
    of, units : int64 arrays
        For each row the number of its group, `NO_GROUP` for none, and that of its unit.
    min_count : int
        The fewest units; where it is 1 or less nothing is protected.
    """
    if min_count <= 1:
        return frozenset()
    where, unit = _once(of, units)
    sizes = {group: size for group, size in enumerate(np.bincount(where - NO_GROUP).tolist(), NO_GROUP) if size}

    def large(some: Collection[int]) -> bool:
        if len(some) == 1:
            return all(sizes.get(group, 0) >= min_count for group in some)
        return is_large(unit[np.isin(where, list(some))], min_count)

    return suppressed(groups, large, lambda group: sizes.get(group, 0), [NO_GROUP] if NO_GROUP in sizes else [])


def _once(of: Integers, units: Integers) -> tuple[Integers, Integers]:
    """Each unit once in each group."""
    if (units[1:] > units[:-1]).all():  # rows that are units themselves
        return of, units
    number = int(units.max(initial=0)) + 1
    pairs = distinct((of - NO_GROUP) * number + units)
    return pairs // number + NO_GROUP, pairs % number
