"""Features as public declarations: how columns of a table become the inputs of a network, the same at every party.

A declaration says all that must be known beforehand, ranges and categories: measured on the data they would be a
disclosure of their own. What is measured, means and deviations, comes from sums over all parties: see `preparation`.

A missing value is a null or NaN, in a list also one of its numbers. Where missing values are filled, it becomes the
input 0: the middle of a range, the mean of a standardised feature, none of the categories, a vector's lowest number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError, InvalidArgument
from ...protocol.columns.keys import HasKeys, Key, check_keys, plain_keys
from ...protocol.columns.kinds import Kind, TypeCheck
from ...protocol.columns.numbers import reals
from ...protocol.groups import groups_of
from .network import Matrix

Reals = npt.NDArray[np.float64]
Missing = Literal["drop", "fill"]
MOST_INPUTS = 1 << 20
EXACT_BITS = 16  # integers of so many bits, and halves and singles, lose nothing as float32


class Scale(NamedTuple):
    """Mean and standard deviation of a standardised feature, in its own unit; deviation 0 where it does not vary."""

    mean: float
    deviation: float


class _Single(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A numeric or boolean column that becomes one input."""

    low: float
    high: float
    kind: ClassVar[Kind] = Kind.NUMBER
    width: ClassVar[int] = 1
    square: ClassVar[float] = 1.0  # of its inputs, the largest sum of squares; of a standardised one the mean

    def __post_init__(self) -> None:
        plain_range(self)

    def names(self, column: str) -> tuple[str, ...]:
        """What its inputs are called."""
        return (column,)


class Ranged(_Single, frozen=True, forbid_unknown_fields=True, tag="Ranged"):
    """A numeric or boolean column, clipped to a public range and scaled from it to [-1, 1]; written (low, high)."""

    def write(self, column: pa.ChunkedArray, out: Matrix, scale: Scale | None) -> None:
        """Write its inputs into the columns of `out`, NaN where the value is missing. Raises DataError."""
        out[:, 0] = in_range(reals(column), self.low, self.high)


class Standardised(_Single, frozen=True, forbid_unknown_fields=True, tag="Standardised"):
    """A numeric or boolean column, clipped to a public range, less its mean and over its standard deviation.

    Mean and standard deviation are those of all parties' training rows together; everyone learns them.

    Parameters
    ----------
    low, high : float
        Bounds that are publicly known. The narrower, the less the mean is off: by no more than (high - low) times
        parties / (rows * 2^30) + 2^-48, and the variance by no more than 1.5 (high - low)^2 times that.
    """

    def write(self, column: pa.ChunkedArray, out: Matrix, scale: Scale | None) -> None:
        """Write its inputs, by `scale` or before that is known by the range."""
        values = reals(column)
        out[:, 0] = in_range(values, self.low, self.high) if scale is None else self.standardised(values, scale)

    def standardised(self, values: Reals, scale: Scale) -> Reals:
        """The inputs of these values; 0 where the feature does not vary."""
        centred: Reals = np.clip(values, self.low, self.high) - scale.mean
        return centred / scale.deviation if scale.deviation else centred * 0.0


class Categories(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="Categories"):
    """A column with publicly known categories, an input for each: 1 for the row's own, else 0. They are texts,
    integers, decimals, dates or times.

    Written as a list of the categories. A row of another category has 0 in all of them, as the intercept stands for it.
    """

    values: tuple[Key, ...]
    square: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_keys("feature", self.values)

    @property
    def kind(self) -> TypeCheck:
        return HasKeys(self.values)

    @property
    def width(self) -> int:
        return len(self.values)

    def names(self, column: str) -> tuple[str, ...]:
        return tuple(f"{column}={value}" for value in self.values)

    def write(self, column: pa.ChunkedArray, out: Matrix, scale: Scale | None) -> None:
        codes = groups_of(column, self.values)
        known = np.flatnonzero(codes >= 0)
        out[:] = 0
        out[known, codes[known]] = 1
        out[column.is_null().to_numpy()] = math.nan


class Vector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="Vector"):
    """A column of lists, all of one length: an image's pixels, the hours of a day, an embedding.

    Each of their numbers is clipped to the same public range and scaled from it to [0, 1], so that an image's
    background stays 0.

    Parameters
    ----------
    length : int
        Numbers in each list; the column is a list or a fixed-size list of numbers.
    low, high : float
        For example 0 and 255 for pixels of 8 bits.
    """

    length: int
    low: float = 0.0
    high: float = 255.0
    kind: ClassVar[Kind] = Kind.VECTOR

    def __post_init__(self) -> None:
        plain_range(self)
        if not 0 < self.length <= MOST_INPUTS:
            raise InvalidArgument(f"a vector of {self.length} numbers", hint=f"give 1 to {MOST_INPUTS:,}")

    @property
    def square(self) -> float:
        return float(self.length)

    @property
    def width(self) -> int:
        return self.length

    def names(self, column: str) -> tuple[str, ...]:
        return tuple(f"{column}[{i}]" for i in range(self.length))

    def write(self, column: pa.ChunkedArray, out: Matrix, scale: Scale | None) -> None:
        """Write its inputs, a chunk of the column at a time."""
        at = 0
        for chunk in column.chunks:
            self._write(chunk, out[at : at + len(chunk)])
            at += len(chunk)

    def check_type(self, where: str, type_: str) -> None:
        """Raise InvalidArgument where a type, as text, fixes another length."""
        fixed = re.search(r"\[(\d+)\]$", type_)
        if fixed and int(fixed[1]) != self.length:
            raise InvalidArgument(
                f"{where} has lists of {fixed[1]}, not of {self.length}", hint=f"declare fl.Vector({fixed[1]}, ...)"
            )

    def _write(self, lists: pa.Array, out: Matrix) -> None:
        there = lists.is_valid().to_numpy(zero_copy_only=False)
        out[~there] = math.nan
        if not there.any():
            return
        if (pc.list_value_length(lists.drop_null()).to_numpy(zero_copy_only=False) != self.length).any():
            raise DataError(f"lists of other lengths than {self.length}", hint="give Vector the length of the lists")
        flat = lists.flatten()  # without those of null lists
        type_ = flat.type
        narrow = pa.types.is_float32(type_) or type_.bit_width <= EXACT_BITS
        found = flat.cast(pa.float32() if narrow else pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        scaled = in_range(found.reshape(-1, self.length), self.low, self.high)
        out[there] = (scaled + 1) / 2


Feature = Ranged | Standardised | Categories | Vector


def features_of(given: Mapping[str, object]) -> dict[str, Feature]:
    """Declarations from what a notebook writes: (low, high), a list of categories, or one of the classes here."""
    if not isinstance(given, Mapping) or not given:
        raise InvalidArgument(
            "a model needs features", hint='for example fl.Logistic(features={"distance": (0, 5000)})'
        )
    declared = {name: _declared(name, feature) for name, feature in given.items()}
    if sum(feature.width for feature in declared.values()) > MOST_INPUTS:
        raise InvalidArgument(f"features of more than {MOST_INPUTS:,} inputs", hint="leave some out")
    return declared


def _declared(name: str, given: object) -> Feature:
    try:
        if isinstance(given, Feature):
            return given
        if isinstance(given, tuple) and len(given) == 2 and all(_is_number(bound) for bound in given):
            return Ranged(float(given[0]), float(given[1]))
        if isinstance(given, list) and not (len(given) == 2 and all(_is_number(value) for value in given)):
            return Categories(plain_keys(name, given) or ())
    except InvalidArgument as error:
        raise InvalidArgument(f"feature {name!r}: {error.message}", hint=error.hint) from None
    raise InvalidArgument(
        f"feature {name!r} is declared by neither a range nor categories",
        hint="a range is a tuple, such as (0, 5000); categories are a list of texts or of more than two integers, "
        'such as ["AA", "UA"]; for others there are fl.Standardised and fl.Vector',
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def plain_range(feature: _Single | Vector) -> None:
    """Make a feature's bounds plain floats."""
    low, high = checked_range(feature.low, feature.high)
    msgspec.structs.force_setattr(feature, "low", low)
    msgspec.structs.force_setattr(feature, "high", high)


def checked_range(low: Any, high: Any) -> tuple[float, float]:
    """A range as plain floats; raises InvalidArgument unless it is one."""
    if not (_is_number(low) and _is_number(high) and low < high and math.isfinite(float(high) - float(low))):
        raise InvalidArgument(f"the range is ({low}, {high})", hint="give two finite numbers, the lower one first")
    return float(low), float(high)


def in_range(values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.floating]:
    """Clipped to a range and scaled from it to [-1, 1], in the precision of the values; NaN stays."""
    scaled = values - values.dtype.type(low)
    scaled *= values.dtype.type(2 / (high - low))
    scaled -= 1
    return np.clip(scaled, -1, 1, out=scaled)


def inputs(features: Mapping[str, Feature], table: pa.Table, scales: Mapping[str, Scale], *, party: str) -> Matrix:
    """A C-contiguous matrix of shape (rows, inputs), with NaN in all rows where something is missing.

    A standardised feature whose scale is not given is scaled by its range instead.

    Raises
    ------
    DataError
        A column does not hold what was declared. Names party and column, no value.
    """
    x = np.empty((table.num_rows, sum(feature.width for feature in features.values())), np.float32)
    for name, feature, part in parts(features, x):
        column = table.column(name)
        if pa.types.is_null(column.type):
            part[:] = math.nan
            continue
        try:
            feature.kind.check(f"{party}'s {name}", str(column.type))
            with np.errstate(over="ignore"):  # beyond float32 is beyond the range
                feature.write(column, part, scales.get(name))
        except InvalidArgument as error:
            raise DataError(error.message, hint=error.hint) from None
        except DataError as error:
            raise DataError(f"{party}'s {name} holds {error.message}", hint=error.hint) from None
    return x


def without_misfits(features: Mapping[str, Feature], table: pa.Table) -> pa.Table:
    """A table whose lists of other lengths than declared are missing."""
    for name, feature in features.items():
        column = table.column(name)
        if isinstance(feature, Vector) and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            lengths = pc.list_value_length(column)
            kept = pc.if_else(pc.equal(lengths, feature.length), column, pa.scalar(None, column.type))
            table = table.set_column(table.column_names.index(name), name, kept)
    return table


def parts(features: Mapping[str, Feature], x: Matrix) -> Iterator[tuple[str, Feature, Matrix]]:
    """Each feature with its columns of the inputs."""
    at = 0
    for name, feature in features.items():
        width = feature.width
        yield name, feature, x[:, at : at + width]
        at += width
