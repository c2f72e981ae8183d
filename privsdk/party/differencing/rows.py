"""Which row is which, over all that a table ever held: each has a place, in the order in which it was first seen.

A row is known by its unit id, with a number among those of the same, where the dataset's budget names one; else by all
that it holds. Without an id, rows that changed cannot be told from rows that went while others came: those that come
take over the numbers of those that are gone, in their order, and the numbers are kept. A table that got another column
so has other rows of the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..ledger.row_sets import DisclosureTables, Words
from .basis import Integers, Mask

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplying by it is one-to-one


class TableRows(NamedTuple):
    """A table's rows, in its own order.

    Attributes
    ----------
    ids : what each row is known by
    units : whose each row is, where that is an id; else None
    keys : the number of each row's join key, in a joint table; 0 where it has none
    own : the rows that a role sees, by their places here
    """

    ids: Words
    units: Words | None
    keys: Words | None
    own: Integers


class SeenRows(NamedTuple):
    """All rows that a table ever held, by their places.

    Attributes
    ----------
    number : how many there are
    units : for each its unit, numbered; None where each is one
    keys : for each its join key, numbered, in a joint table where keys have several rows; else None
    numbers : for each row its number, where a row was in several places since it changed; else None
    own : the places of the rows that a role sees
    """

    number: int
    units: Integers | None
    keys: Integers | None
    numbers: Integers | None
    own: Integers

    @property
    def keyed(self) -> list[Integers]:
        """The join keys, where they are a kind of unit by themselves."""
        return [] if self.keys is None else [self.keys]


def with_ordinals(hashes: Words) -> Words:
    """Hashes made distinct: the second, third, ... of equal ones are numbered in their order."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    at = np.arange(len(hashes))
    first = np.ones(len(hashes), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    ordinal = np.empty(len(hashes), dtype=np.uint64)
    ordinal[order] = at - np.maximum.accumulate(np.where(first, at, 0))
    return hashes ^ (ordinal * _SPREAD)


class Places:
    """Of one table. Holds what takes long and stays the same."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._units: Words = np.zeros(0, np.uint64)
        self._several: Integers | None = None

    def find(self, tables: DisclosureTables, rows: TableRows) -> SeenRows:
        """Find the rows among those ever seen, and keep those that are new."""
        ids, units, places = _placed(tables, self._table, rows)
        if not np.array_equal(units, self._units):
            self._units, self._several = units, _numbered(units)
        keys = None
        # where each row has a key of its own the units say all; rows that are gone count as of one more key together
        if rows.keys is not None and (len(np.unique(rows.keys)) < len(rows.keys) or len(ids) > len(rows.ids)):
            keys = np.zeros(len(ids), np.int64)
            keys[places] = rows.keys.astype(np.int64)
        numbers = self._several if rows.units is None else None
        return SeenRows(len(ids), self._several, keys, numbers, places[rows.own])


def _numbered(units: Words) -> Integers | None:
    """Each row's unit by a number, in the order of places, which more of them do not change; None: each row is one."""
    _, first, codes = np.unique(units, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes] if len(first) < len(units) else None


def _placed(tables: DisclosureTables, table: str, rows: TableRows) -> tuple[Words, Words, Integers]:
    """Ids and units of all rows ever seen, and the places of these."""
    ids, units = tables.seen(table)
    places = np.arange(len(rows.ids))
    if not (len(ids) and np.array_equal(ids[: len(rows.ids)], rows.ids)):
        order = np.argsort(ids)
        found = np.minimum(np.searchsorted(ids, rows.ids, sorter=order), max(len(ids) - 1, 0))
        at = order[found] if len(ids) else places
        known = ids[at] == rows.ids if len(ids) else np.zeros(len(rows.ids), np.bool_)
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
    gone = units[np.flatnonzero(~np.isin(units, units[present]))]
    free = gone[np.sort(np.unique(gone, return_index=True)[1])][: len(new)]
    new[: len(free)] = free
    return new
