"""Which row is which, over all that a table ever held: each has a place, in the order in which it was first seen.

A row is known by its unit id, with a number among those of the same, where the dataset's budget names one; else by all
that it holds. Without an id, rows that changed cannot be told from rows that went while others came: those that come
take over the numbers of those that are gone, in their order, and the numbers are kept. A table that got another column
so has other rows of the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...protocol.columns.ordering import all_distinct, begins, stable_order
from ..ledger.row_sets import DisclosureTables
from ..row_hashes import Words
from .basis import Integers, Mask

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying by it is one-to-one


class TableRows(NamedTuple):
    """A table's rows, in its own order.

    Attributes
    ----------
    ids : what each row is known by
    units : whose each row is, where that is an id; else None
    numbers : of these units, in the order of rows; None where each is one
    keys : the number of each row's join key, in a joint table; 0 where it has none
    own : the rows that a role sees, by their places here; None where it sees them as they are
    """

    ids: Words
    units: Words | None
    numbers: Integers | None
    keys: Words | None
    own: Integers | None


class SeenRows(NamedTuple):
    """All rows that a table ever held, by their places.

    Attributes
    ----------
    number : how many there are
    units : for each its unit, numbered; None where each is one
    keys : for each its join key, numbered, in a joint table where keys have several rows; else None
    numbers : for each row its number, where a row was in several places since it changed; else None
    own : the places of the rows that a role sees; None where the first, in their order
    """

    number: int
    units: Integers | None
    keys: Integers | None
    numbers: Integers | None
    own: Integers | None

    @property
    def keyed(self) -> list[Integers]:
        """The join keys, where they are a kind of unit by themselves."""
        return [] if self.keys is None else [self.keys]


def told_apart(hashes: Words) -> tuple[Words, Integers | None]:
    """Hashes made distinct, the second, third, ... of equal ones being numbered in their order; and each one's number.

    Equal hashes have one number, in the order of places, which more of them do not change; None where all are distinct.
    """
    if all_distinct(hashes):
        return hashes, None
    order = stable_order(hashes)
    starts = np.flatnonzero(begins(hashes[order]))
    sizes = np.diff(starts, append=len(order))
    ids, codes = np.empty_like(hashes), np.empty(len(order), np.int64)
    ordinal = (np.arange(len(order)) - np.repeat(starts, sizes)).astype(np.uint64)
    ids[order] = hashes[order] ^ (ordinal * _SPREAD)
    is_first = np.zeros(len(order), np.bool_)
    is_first[order[starts]] = True
    codes[order] = np.repeat((np.cumsum(is_first) - 1)[order[starts]], sizes)
    return ids, codes


class Places:
    """Of one table. Holds what takes long and stays the same."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._seen: tuple[Words, Words] = np.zeros(0, np.uint64), np.zeros(0, np.uint64)  # as the ledger has them
        self._units: Words = np.zeros(0, np.uint64)
        self._several: Integers | None = None
        self._found: tuple[Words, Words, Integers | None] | None = None  # of which ids among which, at what places

    def find(self, tables: DisclosureTables, rows: TableRows) -> SeenRows:
        """Find the rows among those ever seen, and keep those that are new."""
        if tables.rows_seen(self._table) != len(self._seen[0]):
            self._seen = tables.seen(self._table)
        (ids, units), places = self._seen, None
        if self._found is not None and self._found[0] is rows.ids and self._found[1] is ids:
            places = self._found[2]
        else:
            ids, units, places = _placed(tables, self._table, self._seen, rows)
            self._found = rows.ids, ids, places
        if units is not self._units:
            if not np.array_equal(units, self._units):
                same = rows.units is not None and np.array_equal(units, rows.units)
                self._several = rows.numbers if same else None if units is ids else told_apart(units)[1]
            self._units = units
        keys = None
        # where each row has a key of its own the units say all; rows that are gone count as of one more key together
        if rows.keys is not None and (len(ids) > len(rows.ids) or not all_distinct(rows.keys)):
            keys = np.zeros(len(ids), np.int64)
            keys[slice(None) if places is None else places] = rows.keys.astype(np.int64)
        numbers = self._several if rows.units is None else None
        own = rows.own if places is None else places if rows.own is None else places[rows.own]
        return SeenRows(len(ids), self._several, keys, numbers, own)


def _placed(
    tables: DisclosureTables, table: str, seen: tuple[Words, Words], rows: TableRows
) -> tuple[Words, Words, Integers | None]:
    """Ids and units of all rows ever seen, and the places of these; None where they are the first, in their order."""
    ids, units = seen
    if not len(ids):
        new_units = rows.ids if rows.units is None else rows.units
        tables.see(table, 0, rows.ids, new_units)
        return rows.ids, new_units, None
    if np.array_equal(ids[: len(rows.ids)], rows.ids):
        return ids, units, None
    order = stable_order(ids)
    at = order[np.minimum(np.searchsorted(ids[order], rows.ids), len(ids) - 1)]
    known = ids[at] == rows.ids
    places = np.where(known, at, 0)
    places[~known] = np.arange(len(ids), len(ids) + np.count_nonzero(~known))
    if not known.all():
        new = rows.ids[~known], _units(ids, units, rows, at, known)
        tables.see(table, len(ids), *new)
        ids, units = np.append(ids, new[0]), np.append(units, new[1])
    return ids, units, places


def _units(ids: Words, units: Words, rows: TableRows, at: Integers, known: Mask) -> Words:
    """Of new rows: their ids' owner; without one, the number of a row that is gone, as long as there are such, or a new
    one, which is their own id."""
    if rows.units is not None:
        return rows.units[~known]
    new = rows.ids[~known].copy()
    present = np.zeros(len(ids), np.bool_)
    present[at[known]] = True
    if present.all():
        return new
    gone = units[np.flatnonzero(~np.isin(units, units[present]))]
    free = gone[np.sort(np.unique(gone, return_index=True)[1])][: len(new)]
    new[: len(free)] = free
    return new
