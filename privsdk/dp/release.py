"""A release as a value: a statistic, public grids, and how far one row can move each component of its integer vector.

Every release is one integer vector, of groups times components, with independent noise on each entry; the statistic is
made from the noisy vector afterwards. `ReleaseParameters` says which vector that is. It never sees data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from ..protocol.columns.keys import By, Key, PublicGroups
from ..protocol.columns.kinds import Kind, TypeCheck
from ..protocol.columns.predicates import Where, check_own, columns_of

Statistic = Literal["count", "sum", "mean", "variance", "quantile", "histogram"]

MAX_ENTRIES = 1 << 20  # of a vector: sampling takes 10 s, and 20 s in shares
MAX_BINS = 1 << 12
MAX_STEPS = 1 << 30  # of the grid between centre and bound: 2**33 rows sum without overflow in 64 bits
FINEST = 20  # bits of a default grid below the clamping bound
WIDEST = 2.0**50  # units of noise scale: samples stay far within int64, and half-widths within exact floats


Integers = npt.NDArray[np.int64]
N = TypeVar("N", int, Integers)


class Component(NamedTuple):
    """A part of the vector: so many integers for each group, and the largest L1 change of them all by one row, and by
    one row in place of another."""

    name: str
    width: int
    sensitivity: int
    exchange: int


class ReleaseParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a release, public to all.

    Parameters
    ----------
    epsilon : float
        Of the whole release; components share it evenly.
    column, bounds, resolution : str, (float, float), float
        Values are clamped to the bounds and rounded to this grid, for a sum, mean or variance.
    edges : tuple of float
        Public bins of a histogram, or candidates of a quantile: bin i is [edges[i], edges[i + 1]). Values beyond the
        first and last edge are clamped to them.
    quantile : float
        The level of a quantile.
    by, keys, others : str or tuple of str, tuple, bool
        Group columns, their public keys, and whether all other rows are a group.
    where : tuple of conditions
        Of each party's own columns. Rows enter only where all hold, after those of one unit were bounded: a filter
        leaves rows out, and moves no sensitivity.
    collusion : int
        Of several contributors: so many may tell others what noise they drew, and the rest of it is what is charged.
    side : str
        Of a joint table: the party whose rows they are.
    """

    statistic: Statistic
    epsilon: float
    column: str | None = None
    bounds: tuple[float, float] | None = None
    resolution: float = 1.0
    edges: tuple[float, ...] | None = None
    quantile: float | None = None
    by: By = None
    keys: tuple[Key | tuple[Key, ...], ...] | None = None
    others: bool = False
    where: Where = ()
    collusion: int = 1
    side: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 100:
            raise InvalidArgument(
                f"epsilon is {self.epsilon:g}", hint="give a number above 0, usually between 0.01 and 1"
            )
        binned, bounded = self.statistic in ("quantile", "histogram"), self.statistic in ("sum", "mean", "variance")
        if (self.column is not None) != (binned or bounded):
            raise InvalidArgument(f"a {self.statistic} takes {'no' if self.column else 'a'} column")
        if (self.bounds is not None) != bounded:
            raise InvalidArgument(
                f"a {self.statistic} {'needs' if bounded else 'takes no'} bounds", hint="bounds=(low, high), public"
            )
        if (self.edges is not None) != binned:
            raise InvalidArgument(
                f"a {self.statistic} {'needs public bins' if binned else 'takes no bins'}",
                hint="bounds=(low, high) and bins=, or edges=[...]",
            )
        if (self.quantile is not None) != (self.statistic == "quantile"):
            raise InvalidArgument(f"a {self.statistic} with the quantile {self.quantile}")
        self.public.check()
        check_own(self.where)
        self._check_bounds()
        self._check_bins()
        if self.length > MAX_ENTRIES:
            raise InvalidArgument(
                f"{self.groups} groups of {self.length // self.groups} numbers each",
                hint=f"a release holds at most {MAX_ENTRIES}: give fewer keys or bins",
            )

    def _check_bounds(self) -> None:
        if self.bounds is None:
            return
        low, high = self.bounds
        if not (low < high and np.isfinite([low, high, high - low]).all()):
            raise InvalidArgument(
                f"bounds=({low:g}, {high:g}) is not a range", hint="give finite bounds, the lower one first"
            )
        largest = max(abs(low), abs(high)) if self.statistic == "sum" else high - low
        if not 0 < self.resolution <= largest:
            raise InvalidArgument(
                f"resolution is {self.resolution:g}",
                hint=f"give a number above 0 and at most {largest:g}, by the bounds",
            )
        if largest / self.resolution > 2 * MAX_STEPS or self.reach > MAX_STEPS:
            raise InvalidArgument(
                f"a resolution of {self.resolution:g} for bounds of ({low:g}, {high:g}) is too fine",
                hint=f"2**{MAX_STEPS.bit_length() - 1} steps are allowed",
            )
        if self.reach < 1:
            raise InvalidArgument(
                f"a resolution of {self.resolution:g}, to which both bounds round alike", hint="give a finer one"
            )

    def _check_bins(self) -> None:
        if self.edges is None:
            return
        if not 1 <= len(self.edges) - 1 <= MAX_BINS:
            raise InvalidArgument(f"{max(0, len(self.edges) - 1)} bins are asked for", hint=f"give 1 to {MAX_BINS}")
        if not (np.isfinite(self.edges).all() and (np.diff(self.edges) > 0).all()):
            raise InvalidArgument(
                "edges are not finite and in rising order", hint="give finite edges of bins, each above the one before"
            )
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise InvalidArgument(f"a quantile at {self.quantile:g}", hint="give a level between 0 and 1; 0.5: median")

    @property
    def columns(self) -> tuple[str, ...]:
        """All that it reads."""
        named = [self.column, *self.public.columns, *columns_of(self.where)]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    # The grid of a sum, mean or variance

    @property
    def clamp(self) -> tuple[int, int]:
        """The bounds in units of the grid."""
        low, high = self.bounds or (0.0, 0.0)
        return round(low / self.resolution), round(high / self.resolution)

    @property
    def centre(self) -> int:
        """What is taken from each value, in units: nothing for a sum; else the midpoint, which halves the noise."""
        low, high = self.clamp
        return 0 if self.statistic == "sum" else int(float((low + high) // 2))  # a float, as the values are

    @property
    def reach(self) -> int:
        """Largest distance of a value from the centre, in units."""
        return max(abs(bound - self.centre) for bound in self.clamp)

    @property
    def dropped_bits(self) -> int:
        """Squares of distances are rounded to this power of two: 0 where they are small enough to be exact."""
        return max(0, (self.reach**2).bit_length() - MAX_STEPS.bit_length())

    @property
    def largest_square(self) -> int:
        return rounded_shift(self.reach**2, self.dropped_bits)

    # The vector

    @property
    def public(self) -> PublicGroups:
        """The groups by public keys."""
        return PublicGroups.of(self.by, self.keys, self.others)

    @property
    def groups(self) -> int:
        return 1 if self.keys is None else len(self.keys) + self.others

    @property
    def bins(self) -> int:
        return 0 if self.edges is None else len(self.edges) - 1

    @property
    def length(self) -> int:
        """Integers in the vector."""
        return sum(self.groups * component.width for component in self.components)

    @property
    def components(self) -> tuple[Component, ...]:
        if self.edges is not None:
            return (self._component("count", 0, 1, width=self.bins),)
        count = self._component("count", 0, 1)
        if self.statistic == "count":
            return (count,)
        total = self._component("sum", *(bound - self.centre for bound in self.clamp))
        if self.statistic == "sum":
            return (total,)
        if self.statistic == "mean":
            return (count, total)
        # squares less half of the largest: as with the centre, half the range is half the noise
        half = self.largest_square // 2
        return (count, total, self._component("squares", -half, self.largest_square - half))

    def _component(self, name: str, least: int, most: int, *, width: int = 1) -> Component:
        """One to whose entries a row adds nothing, or something from `least` to `most`."""
        farthest = max(-least, most)
        range_ = max(most, 0) - min(least, 0)
        return Component(name, width, farthest, range_ if self.groups * width == 1 else 2 * farthest)

    def moved(self, rows: int) -> tuple[int, ...]:
        """How far so many rows move each component."""
        return tuple(rows * part.sensitivity for part in self.components)

    def exchanged(self, rows: int) -> tuple[int, ...]:
        """How far so many rows do that may each be there in place of another."""
        return tuple(rows * max(part.sensitivity, part.exchange) for part in self.components)

    def scales(self, moves: Sequence[int]) -> tuple[float, ...]:
        """The noise scale of each component, which one unit moves so far: each spends its share of epsilon."""
        return tuple(move * len(moves) / self.epsilon for move in moves)

    @property
    def kinds(self) -> Mapping[str, TypeCheck]:
        """What the columns must hold."""
        value: dict[str, TypeCheck] = {} if self.column is None else {self.column: Kind.NUMBER}
        return {**value, **self.public.kinds}


def rounded_shift(value: N, bits: int) -> N:
    """value / 2**bits to the nearest integer, halves up; for a numpy array of integers too."""
    return value + (1 << bits >> 1) >> bits


def default_resolution(statistic: Statistic, bounds: tuple[float, float], *, places: int | None) -> float:
    """Integers and decimals by their last place (halves of it around a midpoint), reals, and decimals that would need
    more than 2**28 steps, 20 bits below the distance from the centre."""
    low, high = bounds
    half = max(abs(low), abs(high)) if statistic == "sum" else (high - low) / 2
    if not 0 < half < math.inf:  # refused by ReleaseParameters
        return 1.0
    if places is not None and half * 10.0**places <= MAX_STEPS // 4:
        return float(f"1e-{places}") / (1 if statistic == "sum" else 2)
    return 2.0 ** (math.ceil(math.log2(half)) - FINEST)
