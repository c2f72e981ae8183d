"""What one table's exact answers let out, as its ledger keeps it and as the guard has it in memory.

The ledger is what holds: in memory is what follows from it, read anew where the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ledger.row_sets import DisclosureTables, Extent
from .basis import Integers, Mask
from .history import MOST_SETS, SMALL, Admission, History
from .partition import Codes, LargeClasses, Partition
from .rows import SeenRows
from .search import SearchWork

_NOTHING = Extent(0, 0, b"")


class Asked(NamedTuple):
    """A set that an answer lets out for the first time, or of which it tells an extreme for the first time."""

    member: Mask
    new: bool
    extreme: bool


def allowance(units: int, k: int) -> int:
    """How many independent sets of a table of so many units are let out: one for k of them, as in one answer by groups.

    No rule on sums alone is enough where values are known to be few: n numbers of 0 or 1 are rebuilt from about
    2n / log2(n) exact sums of chosen sets, however large each is (Lindstrom, Canad. Math. Bull. 1965; with sums a
    little off too: Dinur, Nissim, PODS 2003). That is more than n / k where k is more than half of log2(n).
    """
    return min(MOST_SETS, units // k)


class Disclosed:
    """Of one table."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._places = 0
        self._extent = _NOTHING
        self._rows = History()
        self._numbers: History | None = None  # by the rows' numbers, where those are not their places
        self._numbers_read = 0
        self._extremes = Partition.one(0)
        self._extreme: Mask = np.zeros(0, np.bool_)  # places in sets of which an extreme was told

    @property
    def bytes_held(self) -> int:
        """Memory."""
        return self._rows.bytes_held + (self._numbers.bytes_held if self._numbers else 0)

    @property
    def depends(self) -> list[bool]:
        """Of the new sets that were let out last, whether each is a combination of earlier ones."""
        return self._rows.depends

    def screen(self, tables: DisclosureTables, seen: SeenRows, asked: Sequence[Asked], k: int) -> Admission:
        """Whether these may be let out together: then the ledger is to keep them, and `keep` is called."""
        self._read(tables, seen, k)
        units, new = self._codes(seen), [self._padded(each.member) for each in asked if each.new]
        most = allowance(seen.number if seen.units is None else int(seen.units.max(initial=-1)) + 1, k)
        work = SearchWork()
        extremes = [self._padded(each.member) for each in asked if each.extreme]
        refined, inside, verdict = self._extremes, self._extreme, Admission.ADMITTED
        if extremes:
            refined, inside = refined.refined(extremes), np.logical_or.reduce([inside, *extremes])
            verdict = Admission.ADMITTED if self._atoms_allow(refined, inside, units, k) else Admission.LIGHT
        if verdict is Admission.ADMITTED and self._numbers is not None and seen.numbers is not None:
            by_number = [_by_number(each.member, seen.numbers) for each in asked if each.new]
            verdict = self._numbers.admit(by_number, [None], k, most, work)
        if verdict is Admission.ADMITTED:
            verdict = self._rows.admit(new, units, k, most, work)
        if verdict is Admission.ADMITTED:
            self._extremes, self._extreme = refined, inside
        else:
            self._numbers, self._numbers_read = None, 0  # it may have what the rows have not
        return verdict

    def keep(self, tables: DisclosureTables) -> None:
        """The ledger has what was let out."""
        self._extent = tables.extent(self._table)
        self._numbers_read = self._extent.last if self._numbers is not None else 0

    def _forget(self) -> None:
        self._places, self._extent, self._rows = 0, _NOTHING, History()
        self._numbers, self._numbers_read = None, 0
        self._extremes, self._extreme = Partition.one(0), np.zeros(0, np.bool_)

    def _read(self, tables: DisclosureTables, seen: SeenRows, k: int) -> None:
        """What the ledger has and is not in memory: of another process, or of before."""
        other = tables.extent(self._table, until=self._extent.last) != self._extent
        if other or self._places <= SMALL < seen.number:  # `History` decides otherwise for large tables
            self._forget()
        grown = max(seen.number - self._places, 0)
        self._places += grown
        self._rows.grow(self._places)
        self._extremes = self._extremes.grown(self._places)
        self._extreme = np.append(self._extreme, np.zeros(grown, np.bool_))
        for bits, extreme in tables.sets_after(self._table, self._extent.last, every=False):
            member = self._padded(np.unpackbits(bits)[: self._places].astype(np.bool_))
            self._rows.keep([member], self._codes(seen), k)
            if extreme:
                self._extremes, self._extreme = self._extremes.refined([member]), self._extreme | member
        self._extent = tables.extent(self._table)
        if seen.numbers is not None:
            self._numbers = self._numbers or History()
            self._numbers.grow(int(seen.numbers.max(initial=-1)) + 1)
            for bits, _ in tables.sets_after(self._table, self._numbers_read):
                member = np.unpackbits(bits)[: seen.number].astype(np.bool_)
                self._numbers.keep([_by_number(member, seen.numbers)], [None], k)
            self._numbers_read = self._extent.last

    def _atoms_allow(self, refined: Partition, inside: Mask, units: Codes, k: int) -> bool:
        """Whether no new class of rows that sets with an extreme tell apart is of few units."""
        view, before = LargeClasses(refined, units, k), self._extremes.sizes(None)[self._extremes.of]
        split = refined.sizes(None)[refined.of] != before
        entered = inside & ~self._extreme
        return not (inside & (split | entered) & (view.sizes[refined.of] < k)).any()

    def _codes(self, seen: SeenRows) -> Codes:
        return [each if each is None else self._padded(each, -1) for each in (seen.units, *seen.keyed)]

    def _padded(self, values: Any, filled: int = 0) -> Any:
        """For places too that were seen by a run whose answer was refused: they are in no set."""
        more = self._places - len(values)
        if not more:
            return values
        return np.append(values, np.full(more, values.max(initial=-1) + 1 if filled else 0, values.dtype))


def _by_number(member: Mask, numbers: Integers) -> Mask:
    """The numbers of a set's rows."""
    found = np.zeros(int(numbers.max(initial=-1)) + 1, np.bool_)
    found[numbers[np.flatnonzero(member)]] = True
    return found
