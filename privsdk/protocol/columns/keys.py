"""Public keys: values of a column that a caller names, for groups, categories and classes; what a column must be to
have them is `comparison`'s rule for its type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Self

import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.inputs import GroupKeysMisfit
from .comparison import as_column, check_value
from .values import DecimalText, NotComparable, is_plain, plain_value

Key = str | int | bool | DecimalText  # dates, times and durations as ISO text
GivenKey = str | int | bool | Decimal | date | time | timedelta
GroupColumns = str | Sequence[str]
By = str | tuple[str, ...] | None  # columns of groups, as a request has them
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


def public_groups(by: Any, keys: Any, *, others: bool = False) -> PublicGroups:
    """Groups by one column or several, as a notebook gives them; of several each key is a tuple."""
    columns = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    if len(columns) < 2 or isinstance(keys, str) or not isinstance(keys, Iterable):
        plain = plain_keys(columns[0] if columns else None, keys)
        return PublicGroups(columns, tuple((key,) for key in plain or ()), others)
    rows = tuple(tuple(key) if isinstance(key, tuple | list) else (key,) for key in keys)
    PublicGroups(columns, rows).check_shape()
    of_columns = [plain_keys(*each) or () for each in zip(columns, zip(*rows, strict=True), strict=True)]
    return PublicGroups(columns, tuple(zip(*of_columns, strict=True)), others)


def check_keys(by: str | None, keys: tuple[Key, ...] | None) -> None:
    """Raise InvalidArgument unless there are neither, or a column and different keys of one type."""
    PublicGroups.of(by, keys).check()


@dataclass(frozen=True, slots=True)
class PublicGroups:
    """Groups by public keys of columns, and one of all other rows, null keys too, where `others` are asked for; none
    without columns."""

    columns: tuple[str, ...] = ()
    keys: tuple[tuple[Key, ...], ...] = ()
    others: bool = False

    @classmethod
    def of(cls, by: By, keys: tuple[Key | tuple[Key, ...], ...] | None, others: bool = False) -> Self:
        """As a request has them, not checked."""
        if (by is None) != (keys is None):
            raise InvalidArgument("by and keys belong together")
        columns = () if by is None else (by,) if isinstance(by, str) else by
        return cls(columns, tuple(key if isinstance(key, tuple) else (key,) for key in keys or ()), others)

    def check_shape(self) -> None:
        """Raise InvalidArgument unless there are different columns, and different keys of a value for each."""
        keys, columns = set(self.keys), self.columns
        one_for_each = len(set(columns)) == len(columns) and all(len(key) == len(columns) for key in keys)
        if not 0 < len(self.keys) <= MAX_KEYS or len(keys) != len(self.keys) or not one_for_each:
            raise InvalidArgument(
                GroupKeysMisfit(by=columns, entries=len(self.keys), different=len(keys), most=MAX_KEYS)
            )

    def check(self) -> None:
        """Raise InvalidArgument unless there are none, or different columns and different keys of one type each."""
        if not self.columns and not self.others:
            return
        self.check_shape()
        for values in self.values.values():
            if len({type(key) for key in values}) != 1 or not all(map(is_plain, values)):
                raise InvalidArgument("keys of different types", hint="give all keys in the group column's type")
            if any(isinstance(key, int) and not -(2**63) <= key < 2**63 for key in values):
                raise InvalidArgument("a key that no 64-bit integer column can hold", hint="leave it out")

    @property
    def by(self) -> By:
        """As a request has it."""
        return self.columns if len(self.columns) > 1 else self.columns[0] if self.columns else None

    @property
    def plain(self) -> tuple[Key | tuple[Key, ...], ...] | None:
        """The keys as a request has them."""
        if not self.columns:
            return None
        return self.keys if len(self.columns) > 1 else tuple(key for (key,) in self.keys)

    @property
    def values(self) -> dict[str, tuple[Key, ...]]:
        """Of each column the different keys."""
        return {column: tuple(dict.fromkeys(row[i] for row in self.keys)) for i, column in enumerate(self.columns)}

    @property
    def kinds(self) -> dict[str, HasKeys]:
        """What the columns must be."""
        return {column: HasKeys(values) for column, values in self.values.items()}

    def labels(self, types: Sequence[pa.DataType | None]) -> list[pa.Array]:
        """The columns of an answer that say which group each row is of; null for all others."""
        columns = [labels([row[i] for row in self.keys], type_) for i, type_ in enumerate(types)]
        return [pa.concat_arrays([each, pa.nulls(1, each.type)]) if self.others else each for each in columns]


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
