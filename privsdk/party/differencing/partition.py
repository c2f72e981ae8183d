"""Places by the sets that they are in: those that no set tells apart form a class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ...protocol.columns.ordering import distinct
from .basis import Bits, Integers, Mask
from .search import Units

Codes = Sequence[Integers | None]  # by kind of unit: for each place its unit; None where each place is one
_LOOKED_AT = 512  # large classes that are looked at first
_A_WORD = 32  # rows of bits that are told apart at once


class Partition:
    """The class of each place.

    Attributes
    ----------
    of : int64 array
        For each place the number of its class, 0 to `number` - 1.
    """

    def __init__(self, of: Integers, number: int) -> None:
        self.of = of
        self.number = number

    @classmethod
    def one(cls, places: int) -> Partition:
        """All places together."""
        return cls(np.zeros(places, np.int64), min(1, places))

    def grown(self, places: int) -> Partition:
        """With new places, which are in no set yet, and so in a class of their own."""
        more = places - len(self.of)
        if not more:
            return self
        return Partition(np.append(self.of, np.full(more, self.number)), self.number + 1)

    def refined(self, members: Sequence[Mask]) -> Partition:
        """Told apart by these sets too."""
        codes, left = np.zeros(len(self.of), np.int64), list[Mask]()
        for number, member in enumerate(members, start=1):
            if codes[member].any():
                left.append(member)
            else:
                codes[member] = number  # of those that have no place in common, a few bits each
        for bit in range(int(codes.max(initial=0)).bit_length()):
            left.append((codes >> bit & 1).astype(np.bool_))
        of, number = self.of, self.number
        for member in left:
            found = of * 2 + member
            present = np.bincount(found, minlength=2 * number) > 0
            renumbered = np.cumsum(present) - 1
            of, number = renumbered[found], int(renumbered[-1]) + 1 if number else 0
        return Partition(of, number)

    def representatives(self) -> Integers:
        """The first place of each class."""
        first = np.empty(self.number, np.int64)
        first[self.of[::-1]] = np.arange(len(self.of))[::-1]
        return first

    def sizes(self, units: Integers | None) -> Integers:
        """For each class the number of units that have places in it; None: each place is one."""
        if units is None:
            return np.bincount(self.of, minlength=self.number)
        most = int(units.max(initial=0)) + 1
        return np.bincount(distinct(self.of * most + units) // most, minlength=self.number)


class LargeClasses:
    """Partition as one request sees them: which are large by its minimum count of its units."""

    def __init__(self, classes: Partition, units: Codes, k: int) -> None:
        self.classes = classes
        self.k = k
        self.tried = k if len(units) == 1 else 0  # by another kind of unit too fewer classes are large
        self.places = classes.representatives()
        self._units = units
        sizes = [classes.sizes(kind) for kind in units]
        self.sizes = np.minimum.reduce(sizes)
        largest = np.argsort(-self.sizes, kind="stable")[:_LOOKED_AT]
        self.looked_at = self.places[largest[self.sizes[largest] >= k]]

    def is_light(self, columns: Integers) -> bool:
        """Whether these classes have rows of fewer than k units of some kind."""
        inside = np.flatnonzero(np.isin(self.classes.of, columns))
        return any(len(inside if kind is None else distinct(kind[inside])) < self.k for kind in self._units)

    def units_of(self, columns: Integers) -> Units:
        """By kind, the units behind each of these classes, or k of them where there are more."""
        rank = np.full(self.classes.number, -1)
        rank[columns] = np.arange(len(columns))
        inside = np.flatnonzero(rank[self.classes.of] >= 0)
        of = rank[self.classes.of[inside]]
        return [first_units(of, len(columns), inside if kind is None else kind[inside], self.k) for kind in self._units]


def first_units(of: Integers, number: int, whose: Integers, k: int) -> list[Integers]:
    """For each of so many columns the units of its places, or k of them where there are more; `of` and `whose` are the
    column and the unit of each place."""
    most = int(whose.max(initial=0)) + 1
    pairs = distinct(of * most + whose)
    starts = np.searchsorted(pairs, np.arange(number + 1) * most)
    return [pairs[a : min(b, a + k)] % most for a, b in pairwise(starts)]


def distinct_columns(values: Bits) -> tuple[Bits, Integers]:
    """The distinct columns of zeros and ones, and for each column which of them it is."""
    of, first = np.zeros(values.shape[1], np.int64), np.zeros(1, np.int64)
    for start in range(0, len(values), _A_WORD):
        word = np.zeros(values.shape[1], np.int64)
        for row in values[start : start + _A_WORD]:
            word = word * 2 + row
        _, first, of = np.unique((of << _A_WORD) + word, return_index=True, return_inverse=True)
    return values[:, first], of


def at_places(rows: list[Bits], places: Integers) -> Bits:
    """Whether each of these places is in each row, of one bit a place."""
    byte, bit = places >> 3, (7 - (places & 7)).astype(np.uint8)
    return np.stack([each[byte] >> bit & 1 for each in rows])
