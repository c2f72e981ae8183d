"""How large the products of two encoded columns may be, and on which grid they are told.

Column 0 is the constant 1. For N keys, numbers of f fraction bits have sums of squares below 5 N 4^f: their standard
deviation is below 2 steps, their mean within half a step of 0, and rounding adds less than the rest. Products follow
by the inequality of Cauchy and Schwarz.

Each figure is told on a grid of g = 2^ceil(log2 k), k the minimum count, times a step of each number in it: what so
many keys make up that are a step from the centre. Two figures that differ by one key's value, as where a column was
changed there or is missing, tell it to within g steps and no better, at first; who asks again averages, which the
account of bits bounds. A finer grid tells single values: on one of a 400th of a figure's
standard error, differences of products with columns alike at all but one key told that key's value to a hundredth of a
standard deviation. The price is in the figures: rounding has a standard deviation of at most g / 2, 8 steps for k = 10,
beside the sqrt(n) that a sum over n keys has by itself. An owner's counts of its own categories are exact, where no
number is missing: each has k keys by itself, and the guard compares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...crypto.bilinear.base import bits_for
from ...crypto.bilinear.modular import prime_of
from .encoding import fraction_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Grids:
    """Of one answer.

    Parameters
    ----------
    keys, min_count : int
        All joint keys, and the largest of the owners' minimum counts.
    numbers : tuple of bool
        For every encoded column of all parties in their order, after the constant, whether it is a number.
    lacking : bool
        Whether keys are left out because some number is missing.
    """

    keys: int
    min_count: int
    numbers: tuple[bool, ...]
    lacking: bool

    @property
    def fraction(self) -> int:
        return fraction_bits(self.keys, self.min_count)

    @property
    def prime(self) -> int:
        """What shares are modulo: more than eight times any product."""
        return prime_of(self.prime_bits)

    @property
    def prime_bits(self) -> int:
        most = 5 * self.keys << 2 * self.fraction if any(self.numbers) else self.keys
        return bits_for(4 * most)

    def largest(self, i: int, j: int) -> int:
        """V: no product of columns i and j is larger."""
        scales = sum(self._number(each) for each in (i, j))
        return (1, 3, 5)[scales] * self.keys << scales * self.fraction

    @property
    def unit(self) -> int:
        """The minimum count, rounded up to a power of two."""
        return 1 << math.ceil(math.log2(self.min_count))

    def grid(self, i: int, j: int) -> int:
        """g, a power of two."""
        numbers = sum(self._number(each) for each in (i, j))
        if numbers or min(i, j) > 0 or self.lacking:
            return self.unit << numbers * self.fraction
        return 1

    def told(self, i: int, j: int) -> int:
        """Bits that the figure tells: there are no more than so many values of it, and twice where shares wrap."""
        signs = 2 if self._number(i) or self._number(j) else 1
        return math.ceil(math.log2(signs * self.largest(i, j) // self.grid(i, j) + 2)) + 1

    def _number(self, column: int) -> bool:
        return column > 0 and self.numbers[column - 1]


def opened(parts: Sequence[int], grid: int, prime: int) -> int:
    """A figure, of one owner's part of it or two shares, each cut down by (grid - 1) / 2 on average."""
    figure = sum(parts) * grid
    if len(parts) == 1:
        return figure
    figure %= prime
    return figure - (prime if figure > prime // 2 else 0) + grid - 1
