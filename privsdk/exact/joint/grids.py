"""How large the products of two encoded columns may be, and on which grid they are told.

Column 0 is the constant 1. For N keys, numbers of f fraction bits have sums of squares below 5 N 4^f: their standard
deviation is below 2 steps, their mean within half a step of 0, and rounding adds less than the rest. Products follow
by the inequality of Cauchy and Schwarz. Counts over two owners' rows are told on a grid of at least the minimum count,
so that no cell of few keys is told as such; an owner's own categories have as many keys by themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...crypto.bilinear.base import bits_for
from ...crypto.bilinear.modular import prime_of
from .encoding import fraction_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Grids:
    """Of one answer.

    Parameters
    ----------
    keys, min_count, bits : int
        All joint keys, the largest of the owners' minimum counts, and how many bits of a figure are asked for.
    numbers : tuple of bool
        For every encoded column of all parties in their order, after the constant, whether it is a number.
    lacking : bool
        Whether keys are left out because some number is missing.
    """

    keys: int
    min_count: int
    bits: int
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

    def grid(self, i: int, j: int) -> int:
        """g, a power of two: the figure is told to at most `bits` + 1 bits."""
        fine = 1 << max(0, math.floor(math.log2(2 * self.largest(i, j)) - self.bits))
        if self._number(i) or self._number(j) or (min(i, j) == 0 and not self.lacking):
            return fine
        return max(fine, 1 << math.ceil(math.log2(self.min_count)))

    def told(self, i: int, j: int) -> int:
        """Bits that the figure tells: there are no more than so many values of it."""
        signs = 2 if self._number(i) or self._number(j) else 1
        return math.ceil(math.log2(signs * self.largest(i, j) // self.grid(i, j) + 2))

    def _number(self, column: int) -> bool:
        return column > 0 and self.numbers[column - 1]
