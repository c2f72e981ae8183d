"""How the values of a question compare with a column: one rule for each Arrow type, in conditions and in public keys.

    column                     what it is compared with                     rule
    whole numbers, decimals    numbers                                      by value; a float stands for its digits
    float16, float32, float64  numbers                                      as the nearest value of the column's type
    booleans                   booleans, 0, 1                               false is below true
    text                       text                                         by code points
    date32, date64             ISO dates                                    by value, a date being its midnight
    timestamp without a zone   ISO dates and times without an offset        by value
    timestamp with a zone      ISO dates and times with an offset           as instants, whatever the offsets
    time32, time64             ISO times                                    by value
    duration                   Python's timedelta, NumPy's timedelta64      by value

"By value" is exact: all but floats and text are whole multiples of the type's own step (a cent, a day, a millisecond).
A value between two of them equals none, and as the end of a range it is rounded inwards. Ends beyond what a type holds
let everything pass, or nothing. -0.0 is 0.0. Null and NaN equal nothing. Other types compare with nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .values import NotComparable, Value, duration_of, instant_of, number_of, refuse, time_of_day_of

NO_VALUE = -1


def check_value(value: Value, type_: pa.DataType) -> None:
    """Raise NotComparable where a column of this type is not compared with such a value."""
    if not pa.types.is_null(type_):
        _form_of(type_).read(value)


def as_column(values: Sequence[Value], type_: pa.DataType) -> pa.Array:
    """The values as a column of this type holds them, null where it holds no equal one."""
    if pa.types.is_null(type_):
        return pa.nulls(len(values))
    form = _form_of(type_)
    return pa.array([form.equal(form.read(value)) for value in values], form.held).cast(type_)


def positions(column: pa.ChunkedArray, values: Sequence[Value]) -> npt.NDArray[np.int64]:
    """For each row the index of the value that it equals, `NO_VALUE` where there is none."""
    if pa.types.is_null(column.type):
        return np.full(len(column), NO_VALUE)
    form = _form_of(column.type)
    known = [(n, held) for n, value in enumerate(values) if (held := form.equal(form.read(value))) is not None]
    array = form.array(column)
    value_set = pa.array([value for _, value in known], array.type)
    index = pc.fill_null(pc.index_in(array, value_set=value_set, skip_nulls=True), len(known)).to_numpy()
    found: npt.NDArray[np.int64] = np.array([*(n for n, _ in known), NO_VALUE], np.int64)[index]
    return found


def within(column: pa.ChunkedArray, low: Value | None, high: Value | None) -> npt.NDArray[np.bool_]:
    """For each row whether it is between these, both included; None for an open end."""
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.bool_)
    form = _form_of(column.type)
    array = form.array(column)
    result = array.is_valid()
    for end, holds, is_low in ((low, pc.greater_equal, True), (high, pc.less_equal, False)):
        if end is None:
            continue
        limit = form.end(form.read(end), low=is_low)
        if limit is None:
            return np.zeros(len(column), np.bool_)
        result = pc.and_(result, holds(array, pa.scalar(limit, array.type)))
    inside: npt.NDArray[np.bool_] = pc.fill_null(result, False).to_numpy()
    return inside


def groupable(type_: pa.DataType) -> bool:
    """Whether the values of a column of this type can be told apart, ordered and shown as labels of groups."""
    if pa.types.is_null(type_) or pa.types.is_large_binary(type_) or pa.types.is_binary(type_):
        return True
    try:
        _form_of(type_)
    except NotComparable:
        return bool(pa.types.is_fixed_size_binary(type_))
    return True


def labels_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of a groupable type with equal values equal for Arrow too: -0.0 as 0.0, and no half precision, which
    Arrow does not sort."""
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    return pc.add(column, pa.scalar(0.0, column.type)) if pa.types.is_floating(column.type) else column


class _Form(Protocol):
    """How columns of one type are compared."""

    @property
    def held(self) -> pa.DataType:
        """The type of the array."""

    def array(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The column as Arrow compares it, null where it is null or NaN."""

    def read(self, value: Value) -> Any:
        """The value for a column of this type. Raises NotComparable."""

    def equal(self, value: Any) -> Any:
        """What in the array equals a value that was read; None where nothing can."""

    def end(self, value: Any, *, low: bool) -> Any:
        """The end of a range in the array's type; None where nothing can be beyond it."""


@dataclass(frozen=True, slots=True)
class _Text:
    held: pa.DataType

    def array(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        return column

    def read(self, value: Value) -> str:
        return value if isinstance(value, str) else refuse("compare text with text")

    def equal(self, value: str) -> str:
        return value

    def end(self, value: str, *, low: bool) -> str:
        return value


@dataclass(frozen=True, slots=True)
class _Float:
    held: pa.DataType

    def array(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        column = labels_of(column)
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)

    def read(self, value: Value) -> float:
        """Infinite for a value that the type does not reach."""
        return _nearest(number_of(value), self.held.to_pandas_dtype())

    def equal(self, value: float) -> float | None:
        return value if math.isfinite(value) else None

    def end(self, value: float, *, low: bool) -> float:
        if math.isinf(value) and (value > 0) != low:  # a column's own infinity is beyond the value
            return math.copysign(float(np.finfo(self.held.to_pandas_dtype()).max), value)
        return value


@dataclass(frozen=True, slots=True)
class _Multiples:
    """Whole multiples of a step, held as whole numbers or decimals; `number` reads a value in the step's unit."""

    held: pa.DataType
    number: Callable[[Value], Fraction]
    step: Fraction = Fraction(1)

    @property
    def most(self) -> tuple[int, int]:
        """The least and the largest multiple."""
        if pa.types.is_decimal(self.held):
            return 1 - 10**self.held.precision, 10**self.held.precision - 1
        whole = np.iinfo(self.held.to_pandas_dtype())
        return int(whole.min), int(whole.max)

    def array(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        return column.cast(self.held)

    def read(self, value: Value) -> Fraction:
        return self.number(value) / self.step

    def equal(self, value: Fraction) -> int | Decimal | None:
        least, largest = self.most
        return self._held(value.numerator) if value.denominator == 1 and least <= value <= largest else None

    def end(self, value: Fraction, *, low: bool) -> int | Decimal | None:
        least, largest = self.most
        steps = math.ceil(value) if low else math.floor(value)
        if steps > largest if low else steps < least:
            return None
        return self._held(min(max(steps, least), largest))

    def _held(self, steps: int) -> int | Decimal:
        if not pa.types.is_decimal(self.held):
            return steps
        return Decimal((int(steps < 0), tuple(map(int, str(abs(steps)))), -self.held.scale))


_UNITS = {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)}


def _form_of(type_: pa.DataType) -> _Form:
    for is_kind, form in _FORMS:
        if is_kind(type_):
            return form(type_)
    raise NotComparable("compare numbers, booleans, text, dates, times and durations: such a column equals nothing")


def _truth(value: Value) -> Fraction:
    if not isinstance(value, int) or value not in (0, 1):
        refuse("compare booleans with True, False, 1 or 0")
    return Fraction(int(value))


def _local(value: Value) -> Fraction:
    has_offset, seconds = instant_of(value)
    if has_offset:
        refuse("the column has no time zone: leave out the offset, as in 2024-01-31T12:00:00")
    return seconds


def _zoned(value: Value) -> Fraction:
    has_offset, seconds = instant_of(value)
    if not has_offset:
        refuse("the column has a time zone: say which offset is meant, as in 2024-01-31T12:00:00+01:00")
    return seconds


def _nearest(number: Fraction, kind: type[np.floating[Any]]) -> float:
    """Rounded once, ties to even: by way of Python's float alone it could be rounded twice."""
    try:
        first = kind(float(number))
    except OverflowError:
        return math.inf if number > 0 else -math.inf
    if not np.isfinite(first):
        return float(first)
    with np.errstate(over="ignore"):
        near = [first, np.nextafter(first, kind(-np.inf)), np.nextafter(first, kind(np.inf))]
    return float(min(filter(np.isfinite, near), key=lambda each: abs(Fraction(float(each)) - number)))


_FORMS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], _Form]], ...] = (
    (pa.types.is_string, _Text),
    (pa.types.is_large_string, _Text),
    (pa.types.is_floating, _Float),
    (pa.types.is_boolean, lambda _: _Multiples(pa.int8(), _truth)),
    (pa.types.is_integer, lambda type_: _Multiples(type_, number_of)),
    (pa.types.is_decimal, lambda type_: _Multiples(type_, number_of, Fraction(10) ** -type_.scale)),
    (pa.types.is_date32, lambda _: _Multiples(pa.int32(), _local, Fraction(86_400))),
    (pa.types.is_date64, lambda _: _Multiples(pa.int64(), _local, _UNITS["ms"])),
    (pa.types.is_timestamp, lambda type_: _Multiples(pa.int64(), _zoned if type_.tz else _local, _UNITS[type_.unit])),
    (pa.types.is_time32, lambda type_: _Multiples(pa.int32(), time_of_day_of, _UNITS[type_.unit])),
    (pa.types.is_time64, lambda type_: _Multiples(pa.int64(), time_of_day_of, _UNITS[type_.unit])),
    (pa.types.is_duration, lambda type_: _Multiples(pa.int64(), duration_of, _UNITS[type_.unit])),
)
