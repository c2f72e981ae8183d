"""Fixed point: real columns as integers on a grid, summed exactly, with the rounding stated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError, InvalidArgument
from ...errors.inputs import BeyondBound
from ...protocol.columns.numbers import unscaled

_MANTISSA = 60  # bits between the declared bound and the finest default grid
_DIGITS = 53  # bits of a float's mantissa
_HALF = 31
_LOW = (1 << _HALF) - 1

Numbers = npt.NDArray[Any]  # of int64, uint64 or float64; of Python integers where decimals need more


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
    def choose(cls, *, bound: float, resolution: float | None, places: int | None) -> FixedPoint:
        """The given resolution; else the last of so many decimal places, 1 for integers. For reals, and where decimals
        would have more than 2**60 steps up to the bound, the power of two 60 bits below the bound."""
        if resolution is None:
            resolution = 1.0 if places is None else float(f"1e-{places}")
            fine = places is None or (places > 0 and bound / resolution > 2.0**_MANTISSA)
            if fine and 0 < bound < math.inf:  # any other bound is refused below
                resolution = 2.0 ** (math.ceil(math.log2(bound)) - _MANTISSA)
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

    def holds(self, places: int) -> bool:
        """Whether all numbers of so many decimal places are on it."""
        return (Fraction(1, 10**places) / self.unit).denominator == 1

    @property
    def rounding(self) -> Fraction:
        """Largest difference between a value within the bound and its number of units, in units.

        Half a unit. Where a value over the resolution is not one float over a power of two, computing it adds three
        relative roundings of 2**-53 each at most: of the value, of the resolution, of the division.
        """
        exact = math.frexp(self.resolution)[0] == 0.5 and self.bound <= 2.0**_DIGITS
        return Fraction(1, 2) + (0 if exact else self.max_units * Fraction(1, 2 ** (_DIGITS - 2)))

    def to_units(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Each value as the nearest integer number of units, half to even; values are finite and within the bound."""
        return np.rint(values / self.resolution).astype(np.int64)

    def each_to_units(self, values: Numbers, scale: int = 0, *, party: str, name: str) -> npt.NDArray[np.int64]:
        """Each of a column's `numbers` as the nearest number of units: integers and decimals by their digits, half to
        even.

        For grids of at most 2**62 units.

        Raises
        ------
        DataError
            A value exceeds the bound. Names party and column, never the value.
        """
        reals, largest = values.dtype.kind == "f", self.max_units
        most = self.bound if reals else math.floor(Fraction(self.bound) * Fraction(10) ** scale)
        if not _within(values, most):
            raise DataError(BeyondBound(party=party, column=name, bound=self.bound, total=False))
        if not reals:
            return _rounded(values, Fraction(10) ** -scale / self.unit)
        return np.clip(self.to_units(values), -largest, largest)

    def from_units(self, units: int) -> float:
        """The value of a number of units, correctly rounded to a float."""
        return float(units * self.unit)

    def total(self, exact: int | Fraction, *, party: str, name: str) -> int:
        """A column's exact sum in units, rounded once to the grid.

        Raises
        ------
        DataError
            It exceeds the bound. Names party and column, never the value.
        """
        units = round(exact / self.unit)
        if abs(units) > self.max_units:
            raise DataError(BeyondBound(party=party, column=name, bound=self.bound, total=True))
        return units


def numbers(column: pa.ChunkedArray, *, party: str, name: str, finite: bool = True) -> Numbers:
    """A numeric or boolean column without nulls as integers or as floats, whichever hold it exactly; decimals as whole
    multiples of their last place, which `scale_of` tells.

    Raises
    ------
    DataError
        The column is of another type, or holds NaN or infinity and is to be `finite`. Names party and column, never the
        value.
    """
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        integers: Numbers = column.cast(pa.uint64() if column.type == pa.uint64() else pa.int64()).to_numpy()
        return integers
    if pa.types.is_decimal(column.type):
        return unscaled(column)
    if not pa.types.is_floating(column.type):
        raise DataError(
            f"{party}'s {name} is {column.type}, which cannot be summed", hint="use a numeric or boolean column"
        )
    reals: Numbers = pc.cast(column, pa.float64()).to_numpy()
    if finite and not np.isfinite(reals).all():
        raise DataError(
            f"{party}'s {name} holds a NaN or infinite value: nothing was encrypted or sent",
            hint="ask its owner to remove it or make it null; nulls are left out",
        )
    return reals


def scale_of(type_: pa.DataType) -> int:
    """The decimal places of what `numbers` counts by ones."""
    return int(type_.scale) if pa.types.is_decimal(type_) else 0


def exact_sums(values: Numbers, codes: npt.NDArray[np.int64], scale: int = 0) -> Iterator[tuple[int, Fraction]]:
    """Pairs of a code and an exact number, which for each code add up to the sum of its values; `codes` never fall.

    A float's mantissa is an integer: mantissas are added apart for each exponent.
    """
    if values.dtype.kind in "iuO":
        step = Fraction(10) ** -scale
        yield from ((code, step * whole) for code, whole in _sums(values, codes))
        return
    mantissas, exponents = np.frexp(values)
    integers = np.ldexp(mantissas, _DIGITS).astype(np.int64)
    for exponent in np.unique(exponents):
        at, unit = exponents == exponent, Fraction(2) ** int(exponent - _DIGITS)
        yield from ((code, total * unit) for code, total in _sums(integers[at], codes[at]))


def exact_products(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], codes: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """As `exact_sums`, for the products of two columns of integers within +-2**62."""
    if all(len(side) == 0 or np.abs(side).max() < 1 << _HALF for side in (left, right)):
        yield from _sums(left * right, codes)
        return
    for a, up in ((left >> _HALF, _HALF), (left & _LOW, 0)):
        for b, further in ((right >> _HALF, _HALF), (right & _LOW, 0)):
            yield from ((code, total << up + further) for code, total in _sums(a * b, codes))


def _within(values: Numbers, most: float) -> bool:
    ends = np.array([values.min(), values.max()], object).tolist() if len(values) else []
    return all(-most <= end <= most for end in ends)


def _rounded(values: Numbers, ratio: Fraction) -> npt.NDArray[np.int64]:
    """Integers times a ratio, each as the nearest integer, half to even; all products are within 62 bits."""
    up, down = ratio.numerator, ratio.denominator
    narrow = up < 2**62 and down < 2**61 and _within(values, 2**62 // up)
    values = values.astype(np.int64 if narrow else object) * up
    if down == 1:
        return values.astype(np.int64)
    whole, twice = values // down, values % down * 2
    return np.asarray(whole + ((twice > down) | ((twice == down) & (whole % 2 == 1)))).astype(np.int64)


def _sums(integers: Numbers, codes: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The sum of the integers of each code as a Python integer, without overflow: high and low halves apart."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(starts):
        high = np.add.reduceat(integers >> _HALF, starts)
        low = np.add.reduceat(integers & _LOW, starts)
        for code, above, below in zip(codes[starts].tolist(), high.tolist(), low.tolist(), strict=True):
            yield code, (above << _HALF) + below
