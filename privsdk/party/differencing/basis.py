"""Linearly independent sets of places, as bits.

Modulo 2, three sets of which each place is in two or in none add up to nothing, and over the rationals they do not. In
place of the third the basis has half of such a sum, as whole numbers: it spans the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_AT_ONCE = 64  # sets, while they fit into a processor's cache


class Basis:
    """Sets in the order in which they were added; new places, where no set has rows, may come at any time."""

    def __init__(self) -> None:
        self._bits: Bits = np.zeros((0, 0), np.uint8)
        self._numbers: dict[int, Integers] = {}  # of what is no set
        self._size = 0
        self.places = 0

    def __len__(self) -> int:
        return self._size

    @property
    def bytes_held(self) -> int:
        """Memory."""
        return self._bits.nbytes + sum(each.nbytes for each in self._numbers.values())

    @property
    def sets_only(self) -> bool:
        """Whether there are no other numbers than 0 and 1."""
        return not self._numbers

    def grow(self, places: int) -> None:
        """There are so many places now."""
        self.places = max(places, self.places)
        width = (self.places + 7) // 8
        if width > self._bits.shape[1]:
            self._bits = np.pad(self._bits, ((0, 0), (0, width - self._bits.shape[1])))

    def add(self, member: Mask | Integers) -> None:
        """One more set, or numbers for each place."""
        if self._size == len(self._bits):
            self._bits = np.pad(self._bits, ((0, max(16, self._size // 4)), (0, 0)))
        if member.dtype != np.bool_:
            self._numbers[self._size] = member.astype(np.int64)
        self._bits[self._size] = np.packbits(is_odd(member))
        self._size += 1

    def cut(self, size: int) -> None:
        """Forget all but the first."""
        self._size = size
        self._numbers = {i: numbers for i, numbers in self._numbers.items() if i < size}

    def member(self, i: int) -> Mask:
        """Whether each place is in a set, or its number is odd."""
        return np.unpackbits(self._bits[i], count=self.places).astype(np.bool_)

    def at(self, places: Integers) -> Bits:
        """For each set whether these places are in it, or their numbers are odd."""
        found: Bits = self._bits[: self._size, places >> 3] >> (7 - (places & 7)).astype(np.uint8) & np.uint8(1)
        return found

    def numbers(self, chosen: Integers, places: Integers) -> Integers:
        """The numbers of some places in the chosen sets."""
        found = self.at(places)[chosen].astype(np.int64)
        for row, i in enumerate(chosen):
            if i in self._numbers:
                found[row] = self._number(i)[places]
        return found

    def total(self, chosen: Integers, times: Sequence[int]) -> Integers:
        """The sum of so many times each chosen set, at every place."""
        total = np.zeros(self.places, np.int64)
        short = np.zeros(self.places, np.int16)  # of sets a few times: a quarter of the memory to go through
        room = np.iinfo(np.int16).max
        for i, number in zip(chosen.tolist(), times, strict=True):
            if i in self._numbers or abs(number) > room:
                total += number * (self._number(i) if i in self._numbers else self.member(i))
                continue
            room -= abs(number)
            bits = np.unpackbits(self._bits[i], count=self.places)
            if number in (1, -1):
                (np.add if number == 1 else np.subtract)(short, bits, out=short)
            else:
                short += np.int16(number) * bits
        return total + short

    def odd(self, chosen: Mask) -> Bits:
        """The places that are in an odd number of the chosen sets, as bits."""
        total = np.zeros(self._bits.shape[1], np.uint8)
        which = np.flatnonzero(chosen)
        for start in range(0, len(which), _AT_ONCE):
            total ^= np.bitwise_xor.reduce(self._bits[which[start : start + _AT_ONCE]], axis=0)
        return total

    def _number(self, i: int) -> Integers:
        numbers = self._numbers[i]
        return np.append(numbers, np.zeros(self.places - len(numbers), np.int64))


def is_odd(member: Mask | Integers) -> Mask:
    """A set as it is; of numbers, which are odd."""
    return member.astype(np.bool_) if member.dtype == np.bool_ else (member & 1).astype(np.bool_)
