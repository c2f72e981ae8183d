"""Public keys: values of a column that a caller names, for groups, categories and classes; what a column must be to
have them is `comparison`'s rule for its type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from ...errors import InvalidArgument
from .comparison import as_column, check_value
from .values import DecimalText, NotComparable, is_plain, plain_value

Key = str | int | bool | DecimalText  # dates, times and durations as ISO text
GivenKey = str | int | bool | Decimal | date | time | timedelta
MAX_KEYS = 100_000
_KINDS = "text, whole numbers, booleans, decimals, dates or times"


def plain_keys(by: str | None, keys: Any) -> tuple[Key, ...] | None:
    """The keys that a notebook gave, each in its one form; None where there are no groups."""
    if by is not None and keys is None:
        raise InvalidArgument(
            f"the groups of {by!r} must be public: groups found in the data would themselves disclose who is in it",
            hint=f'list them, for example keys=["a", "b"] for the values of {by!r} that are known to all',
        )
    if keys is None:
        return None
    if by is None:
        raise InvalidArgument("keys are given without by", hint="name the group column: by=...")
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise InvalidArgument(f"keys is {keys!r}", hint=f"give a list: keys=[{keys!r}]")
    plain = tuple(map(_plain, keys))
    if any(isinstance(key, DecimalText) for key in plain):
        whole = (isinstance(key, int) and not isinstance(key, bool) for key in plain)
        return tuple(DecimalText(decimal=str(key)) if n else key for key, n in zip(plain, whole, strict=True))
    return plain


def _plain(key: Any) -> Key:
    try:
        plain = plain_value(key)
    except TypeError:
        plain = 0.0
    if isinstance(plain, float):
        raise InvalidArgument(f"a group key is a {type(key).__name__}", hint=f"give {_KINDS}")
    return plain


def check_keys(by: str | None, keys: tuple[Key, ...] | None) -> None:
    """Raise InvalidArgument unless there are neither, or a column and different keys of one type."""
    if (by is None) != (keys is None):
        raise InvalidArgument("by and keys belong together")
    if keys is None:
        return
    if not 0 < len(keys) <= MAX_KEYS or len(set(keys)) != len(keys):
        raise InvalidArgument(
            f"keys has {len(keys)} entries, {len(set(keys))} of them different",
            hint=f"give 1 to {MAX_KEYS} different keys",
        )
    if len({type(key) for key in keys}) != 1 or not all(map(is_plain, keys)):
        raise InvalidArgument("keys of different types", hint="give all keys in the group column's type")
    if any(isinstance(key, int) and not -(2**63) <= key < 2**63 for key in keys):
        raise InvalidArgument("a key that no 64-bit integer column can hold", hint="leave it out")


@dataclass(frozen=True, slots=True)
class HasKeys:
    """What a column must be for its values to be compared with these keys."""

    keys: tuple[Key, ...]

    def check(self, where: str, type_: str) -> None:
        """Raise InvalidArgument unless the column at `where`, of this Arrow type as text, is compared with each, and
        no two are one value to it."""
        try:
            self._compare(type_named(type_))
        except NotComparable as error:
            kind = "Decimal" if isinstance(self.keys[0], DecimalText) else type(self.keys[0]).__name__
            raise InvalidArgument(
                f"{where} is {type_}; its keys are of {kind}",
                hint=f"give the keys in the column's own type: {error}",
            ) from None

    def _compare(self, type_: pa.DataType | None) -> None:
        """Raise NotComparable."""
        if type_ is None:
            raise NotComparable(f"use a column of {_KINDS}")
        for key in self.keys:
            check_value(key, type_)
        values = as_column(self.keys, type_).drop_null()
        if len(values.unique()) != len(values):
            raise NotComparable("two keys are one value of it, leave one out")


def labels(keys: Sequence[Key], type_: pa.DataType | None = None) -> pa.Array:
    """The keys as a column of an answer: dates, times and decimals of this type, where that is known and holds all."""
    if type_ is not None and (pa.types.is_temporal(type_) or pa.types.is_decimal(type_)):
        values = as_column(keys, type_)
        if not values.null_count:
            return values
    return pa.array([Decimal(key.decimal) if isinstance(key, DecimalText) else key for key in keys])


def type_named(text: str) -> pa.DataType | None:
    """The Arrow type that is written so; None for one with which nothing is compared."""
    if found := re.fullmatch(r"decimal(128|256)\((\d+), (-?\d+)\)", text):
        return (pa.decimal128 if found[1] == "128" else pa.decimal256)(int(found[2]), int(found[3]))
    if found := re.fullmatch(r"timestamp\[(s|ms|us|ns), tz=(.+)\]", text):
        return pa.timestamp(found[1], found[2])
    try:
        return pa.type_for_alias(text)
    except ValueError:
        return None
