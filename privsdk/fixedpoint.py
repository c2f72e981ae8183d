"""Fixed point: real columns as integers on a grid, summed exactly, with the rounding stated.

Shared by the encrypted sums (he, fl) and the noisy ones (dp), which both need integers that add without surprises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .errors import DataError, InvalidArgument

_MANTISSA = 60  # bits between the declared bound and the finest default grid
_LIMIT = float(1 << 62)  # units a single value may have, so that int64 holds it
_HALF = 31


class ColumnSum(NamedTuple):
    """An exact sum in units of the grid, and the number of values in it."""

    units: int
    rows: int


class PartialSum(NamedTuple):
    """A piece of a sum in units: a whole number, what is left to it, and the number of values."""

    whole: int
    rest: float
    rows: int


class FixedPoint(msgspec.Struct, frozen=True, kw_only=True):
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

    @classmethod
    def choose(cls, *, bound: float, resolution: float | None, integers: bool) -> FixedPoint:
        """The given resolution; else 1 for integers, and for reals the power of two 60 bits below the bound."""
        if resolution is None:
            resolution = 1.0 if integers else 2.0 ** (math.ceil(math.log2(bound)) - _MANTISSA) if bound > 0 else 1.0
        return cls(bound=float(bound), resolution=float(resolution))

    @property
    def max_units(self) -> int:
        """Largest absolute total in units."""
        return math.ceil(self.bound / self.resolution)

    def to_units(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Each value as the nearest integer number of units, half to even; values are finite and within the bound."""
        return np.rint(values / self.resolution).astype(np.int64)

    def from_units(self, units: int) -> float:
        """A number of units as a value; a power-of-two resolution makes this a single correct rounding."""
        if self.resolution >= 1 and self.resolution == int(self.resolution):
            return float(units * int(self.resolution))
        inverse = 1 / self.resolution
        if inverse == int(inverse) and 1 / inverse == self.resolution:
            return units / int(inverse)
        return units * self.resolution

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
            try:
                values = values.cast(pa.int64())
            except pa.ArrowInvalid:  # its message would quote the value
                raise self._too_large(party, name) from None
            if self.resolution == 1.0:
                return PartialSum(_sum_integers(values.to_numpy()), 0.0, len(values))
            values = values.cast(pa.float64(), safe=False)
        elif not pa.types.is_floating(values.type):
            raise DataError(
                f"{party}'s {name} is {values.type}, which cannot be summed", hint="use a numeric or boolean column"
            )
        reals = pc.cast(values, pa.float64()).to_numpy()
        if not np.isfinite(reals).all():
            raise DataError(
                f"{party}'s {name} holds a NaN or infinite value: nothing was encrypted or sent",
                hint="ask its owner to remove it or make it null; nulls are left out of sums",
            )
        units = reals / self.resolution
        if units.size and not float(np.abs(units).max()) < _LIMIT:
            raise self._too_large(party, name)
        whole = np.rint(units)
        return PartialSum(_sum_integers(whole.astype(np.int64)), math.fsum((units - whole).tolist()), len(values))

    def total(self, parts: Sequence[PartialSum], *, party: str, name: str) -> ColumnSum:
        """The parts together, rounded once to the grid; raises DataError beyond the bound."""
        units = sum(part.whole for part in parts) + round(math.fsum(part.rest for part in parts))
        if abs(units) > self.max_units:
            raise self._too_large(party, name)
        return ColumnSum(units, sum(part.rows for part in parts))

    def _too_large(self, party: str, name: str) -> DataError:
        return DataError(
            f"{party}'s {name} exceeds the declared bound of {self.bound:g}: nothing was encrypted or sent",
            hint="declare a larger bound",
        )


def _sum_integers(integers: npt.NDArray[np.int64]) -> int:
    """Sum of int64 values as a Python integer, without overflow: high and low halves apart."""
    high = integers >> _HALF
    low = integers & ((1 << _HALF) - 1)
    return (int(high.sum()) << _HALF) + int(low.sum())
