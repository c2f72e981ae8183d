"""What models predict: how a label's column becomes the targets of a network, and its outputs predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError
from ...protocol.columns.keys import HasKeys, Key
from ...protocol.columns.kinds import Kind, TypeCheck
from ...protocol.columns.numbers import reals
from ...protocol.groups import groups_of
from .features import in_range
from .network import Matrix, Output, Targets


class Labels(NamedTuple):
    """The targets of a column's rows, and which of them are missing: null or NaN.

    A value that a label cannot be is an error, or is missing where an error would tell of it: unless `strict`.
    """

    y: Targets
    missing: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Binary:
    """Whether something is so: a boolean column, or one of 0 and 1; or of any values, whether it is the positive one.
    Predicted is the probability that it is."""

    positive: Key | None = None
    output = Output.SIGMOID
    outputs = 1
    classes: ClassVar[tuple[Key, ...]] = (False, True)
    unit = 1.0

    @property
    def kind(self) -> TypeCheck:
        return Kind.NUMBER if self.positive is None else HasKeys((self.positive,))

    def encode(self, column: pa.ChunkedArray, *, party: str, name: str, strict: bool = True) -> Labels:
        """Labels 0.0 and 1.0. Raises DataError, without the value."""
        if self.positive is not None:
            y = groups_of(column, (self.positive,)) == 0
            return Labels(y.astype(np.float32), pc.is_null(column, nan_is_null=True).to_numpy())
        values = reals(column)
        missing, other = np.isnan(values), ~np.isin(values, (0.0, 1.0))
        if strict and (other & ~missing).any():
            raise DataError(
                f"{party}'s label {name} holds other values than 0 and 1",
                hint="use a boolean column, or say which value is the positive one: fl.Logistic(..., positive=2)",
            )
        return Labels(values.astype(np.float32), missing | other)

    def decode(self, outputs: Matrix) -> pa.Array:
        """P(label)."""
        return pa.array(outputs[:, 0].astype(np.float64))


@dataclass(frozen=True, slots=True)
class Classes:
    """One of publicly known classes: a text or integer column. Predicted is the most probable class."""

    classes: tuple[Key, ...]
    output = Output.SOFTMAX
    unit = 1.0

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def kind(self) -> TypeCheck:
        return HasKeys(self.classes)

    def encode(self, column: pa.ChunkedArray, *, party: str, name: str, strict: bool = True) -> Labels:
        """The classes' numbers. Raises DataError, without the value."""
        codes = groups_of(column, self.classes)
        missing = column.is_null().to_numpy()
        if strict and ((codes < 0) & ~missing).any():
            raise DataError(
                f"{party}'s label {name} holds a value that is none of the {len(self.classes)} classes",
                hint="name every class that occurs at any party, or leave that party's other rows out",
            )
        return Labels(codes, missing | (codes < 0))

    def decode(self, outputs: Matrix) -> pa.Array:
        """The most probable class; of equals the first."""
        return pa.array(list(self.classes)).take(pa.array(outputs.argmax(axis=1)))


@dataclass(frozen=True, slots=True)
class Number:
    """A number with a publicly known range: clipped to it, and scaled from it to [-1, 1] for training.

    Predicted is a number in the label's own unit; it may be beyond the range.
    """

    low: float
    high: float
    output = Output.IDENTITY
    outputs = 1
    kind = Kind.NUMBER
    classes: ClassVar[tuple[Key, ...]] = ()

    @property
    def unit(self) -> float:
        """What 1 of the scaled label is in the label's own unit."""
        return (self.high - self.low) / 2

    def encode(self, column: pa.ChunkedArray, *, party: str, name: str, strict: bool = True) -> Labels:
        """Scaled labels."""
        values = in_range(reals(column), self.low, self.high)
        return Labels(values.astype(np.float32), np.isnan(values))

    def decode(self, outputs: Matrix) -> pa.Array:
        """Numbers in the label's own unit."""
        return pa.array(self.low + (outputs[:, 0].astype(np.float64) + 1) * self.unit)


Target = Binary | Classes | Number
