"""The values of a question in their one form: numbers, text, and dates, times and durations as ISO text; and what they
are: exact numbers, and seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import msgspec
import numpy as np

MAX_DIGITS = 400  # of a decimal's text
_MICROSECOND = timedelta(microseconds=1)
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d{1,9})", re.A)
_DURATION = re.compile(r"(-?)PT(\d{1,20}(?:\.\d{1,9})?)S", re.A)
_EPOCH = datetime(1970, 1, 1)


class DecimalText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
    """A decimal by its digits, as in 12.5, without an exponent."""

    decimal: str

    def __str__(self) -> str:
        return self.decimal


Value = bool | int | float | str | DecimalText  # dates, times and durations as ISO text


class NotComparable(TypeError):
    """A value that columns of a type are not compared with; says with what they are."""


def plain_value(value: Any) -> Value:
    """What a notebook gives, in its one form. Raises TypeError for what no column compares with."""
    if isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value):
        raise TypeError
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.timedelta64):
        return _duration_text(int(value.astype("timedelta64[ns]").astype(np.int64)))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, timedelta):
        return _duration_text(value // _MICROSECOND * 1000)
    if isinstance(value, date | time):  # a datetime too
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < MAX_DIGITS // 2:
        return DecimalText(decimal=_digits(value))
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError


def is_plain(value: Value) -> bool:
    """Whether a value that came over the wire is as `plain_value` makes them."""
    if isinstance(value, DecimalText):
        return len(value.decimal) <= MAX_DIGITS and re.fullmatch(r"-?\d+(\.\d*[1-9])?", value.decimal, re.A) is not None
    return not isinstance(value, float) or math.isfinite(value)


def sort_keys(values: Sequence[Value]) -> list[Any]:
    """What values of one kind are ordered by: instants and durations by themselves, not by their text."""
    if not all(isinstance(value, str) for value in values):
        return [Fraction(value) if isinstance(value, bool) else number_of(value) for value in values]
    for read in (instant_of, duration_of):
        try:
            return [read(value) for value in values]
        except NotComparable:
            continue
    return list(values)


def refuse(hint: str) -> NoReturn:
    raise NotComparable(hint)


def number_of(value: Value) -> Fraction:
    """By value; of a float its shortest digits."""
    if isinstance(value, bool | str):
        refuse("compare numbers with numbers")
    if isinstance(value, DecimalText):
        return Fraction(value.decimal)
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def instant_of(value: Value) -> tuple[bool, Fraction]:
    """Whether an offset is given; seconds since 1970-01-01, without one as the clock shows them."""
    try:
        text, fraction = _without_fraction(value)
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse("give dates and times as Python's or NumPy's, or as ISO text, as in 2024-01-31 or 2024-01-31T12:00:00")
    offset = moment.utcoffset()
    since = moment.replace(tzinfo=None) - _EPOCH - (offset or timedelta())
    return offset is not None, Fraction(since // _MICROSECOND, 10**6) + fraction


def time_of_day_of(value: Value) -> Fraction:
    try:
        text, fraction = _without_fraction(value)
        moment = time.fromisoformat(text)
    except ValueError:
        refuse("give times as Python's, or as ISO text, as in 12:30:00")
    if moment.tzinfo is not None:
        refuse("the column has no time zone: leave out the offset, as in 12:30:00")
    return moment.hour * 3600 + moment.minute * 60 + moment.second + fraction


def _without_fraction(value: Value) -> tuple[str, Fraction]:
    """ISO text without its fraction of a second, which Python reads to microseconds only."""
    if not isinstance(value, str):
        raise ValueError
    found = _FRACTION.search(value)
    if found is None:
        return value, Fraction(0)
    return value[: found.start()] + value[found.end() :], Fraction(f"0.{found[1]}")


def duration_of(value: Value) -> Fraction:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        refuse("give durations as Python's timedelta or NumPy's timedelta64")
    return Fraction(found[1] + found[2])


def _duration_text(nanoseconds: int) -> str:
    """ISO 8601, in seconds alone."""
    whole, rest = divmod(abs(nanoseconds), 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}PT{whole}{fraction}S"


def _digits(value: Decimal) -> str:
    text = f"{value:f}" if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text
