"""Fixed point: real columns as integers on a grid, summed exactly, with the rounding stated.

Shared by the encrypted sums (he, fl) and the noisy ones (dp), which both need integers that add without surprises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .errors import DataError, InvalidArgument

_MANTISSA = 60  # bits between the declared bound and the finest default grid
_DIGITS = 53  # bits of a float's mantissa
_HALF = 31


class ColumnSum(NamedTuple):
    """An exact sum in units of the grid, and the number of values in it."""

    units: int
    rows: int


class PartialSum(NamedTuple):
    """The exact sum of a piece of a column, and the number of values in it."""

    value: Fraction
    rows: int


class FixedPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grid for values whose total lies within a declared bound.

    Parameters
    ----------
    bound : float
        Largest absolute value of a total, in the column's own unit.
    resolution : float
        Size of one unit of the grid, in the column's own unit.
    """

    bound: float
    resolution: float

    def __post_init__(self) -> None:
        if not (0 < self.bound < math.inf and 0 < self.resolution < math.inf):
            raise InvalidArgument(
                f"bound {self.bound} and resolution {self.resolution}", hint="give positive, finite numbers"
            )
        if self.resolution > self.bound:
            raise InvalidArgument(
                f"a resolution of {self.resolution:g} cannot express a total within {self.bound:g}",
                hint="make resolution smaller than bound",
            )
        if math.isinf(self.bound / self.resolution):
            raise InvalidArgument(
                f"a resolution of {self.resolution:g} is too fine for totals within {self.bound:g}",
                hint="make it coarser",
            )

    @classmethod
    def choose(cls, *, bound: float, resolution: float | None, integers: bool) -> FixedPoint:
        """The given resolution; else 1 for integers, and for reals the power of two 60 bits below the bound."""
        if resolution is None:
            usable = not integers and 0 < bound < math.inf  # any other bound is refused below
            resolution = 2.0 ** (math.ceil(math.log2(bound)) - _MANTISSA) if usable else 1.0
        return cls(bound=float(bound), resolution=float(resolution))

    @property
    def max_units(self) -> int:
        """Largest absolute total in units."""
        return math.ceil(Fraction(self.bound) / self.unit)

    @property
    def unit(self) -> Fraction:
        """The resolution as an exact number; one that is written as 0.01 means a hundredth."""
        inverse = 1 / self.resolution
        if inverse < math.inf and inverse == int(inverse) and 1 / inverse == self.resolution:
            return Fraction(1, int(inverse))
        return Fraction(self.resolution)

    def to_units(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Each value as the nearest integer number of units, half to even; values are finite and within the bound."""
        return np.rint(values / self.resolution).astype(np.int64)

    def from_units(self, units: int) -> float:
        """The value of a number of units, correctly rounded to a float."""
        return float(units * self.unit)

    def sum(self, column: pa.ChunkedArray, *, party: str, name: str) -> ColumnSum:
        """The exact sum of a numeric or boolean column, rounded once to the grid; nulls are left out.

        Raises
        ------
        DataError
            The column is not numeric, holds NaN or infinity, or its total exceeds the bound. Names party and column,
            never the value.
        """
        return self.total([self.part(column, party=party, name=name)], party=party, name=name)

    def part(self, column: pa.ChunkedArray, *, party: str, name: str) -> PartialSum:
        """The sum of a piece of a column, not rounded yet; raises as `sum` does."""
        values = column.drop_null()
        if pa.types.is_boolean(values.type) or pa.types.is_integer(values.type):
            integers = values.cast(pa.uint64() if values.type == pa.uint64() else pa.int64()).to_numpy()
            return PartialSum(Fraction(_sum_integers(integers)), len(values))
        if not pa.types.is_floating(values.type):
            raise DataError(
                f"{party}'s {name} is {values.type}, which cannot be summed", hint="use a numeric or boolean column"
            )
        reals = pc.cast(values, pa.float64()).to_numpy()
        if not np.isfinite(reals).all():
            raise DataError(
                f"{party}'s {name} holds a NaN or infinite value: nothing was encrypted or sent",
                hint="ask its owner to remove it or make it null; nulls are left out of sums",
            )
        return PartialSum(_sum_reals(reals), len(values))

    def total(self, parts: Sequence[PartialSum], *, party: str, name: str) -> ColumnSum:
        """The parts together, rounded once to the grid; raises DataError beyond the bound."""
        units = round(sum((part.value for part in parts), start=Fraction()) / self.unit)
        if abs(units) > self.max_units:
            raise DataError(
                f"{party}'s {name} exceeds the declared bound of {self.bound:g}: nothing was encrypted or sent",
                hint="declare a larger bound",
            )
        return ColumnSum(units, sum(part.rows for part in parts))


def _sum_reals(reals: npt.NDArray[np.float64]) -> Fraction:
    """The exact sum of finite floats: their mantissas are integers, added apart for each exponent."""
    mantissas, exponents = np.frexp(reals)
    integers = np.ldexp(mantissas, _DIGITS).astype(np.int64)
    return sum(
        (_sum_integers(integers[exponents == e]) * Fraction(2) ** int(e - _DIGITS) for e in np.unique(exponents)),
        start=Fraction(),
    )


def _sum_integers(integers: npt.NDArray[np.int64 | np.uint64]) -> int:
    """Sum of 64-bit integers as a Python integer, without overflow: high and low halves apart."""
    high = integers >> _HALF
    low = integers & ((1 << _HALF) - 1)
    return (int(high.sum()) << _HALF) + int(low.sum())
