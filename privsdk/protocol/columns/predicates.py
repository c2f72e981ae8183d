"""Predicates: which rows an aggregate is over, by name and values, never as code.

    where={"age": (20, 30), "is_active": 1, "state": ["NY", "NJ"]}

A conjunction of one condition for each column: a value (equal), a pair (between, both ends included, None for an open
end) or a list (one of). Nulls and NaN never match; how values compare with a column is `comparison`. The canonical form
is what a request carries and the audit keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InvalidArgument
from .comparison import NO_VALUE, check_value, positions, within
from .values import DecimalText, NotComparable, Value, is_plain, plain_value, sort_keys

MAX_VALUES = 10_000
_SHOWN = 6  # values of a list in a text
_EXAMPLE = 'where={"age": (20, 30), "is_active": 1, "state": ["NY", "NJ"]}'


class Name(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
    """A column, and whose it is."""

    party: str
    column: str

    def text(self, owner: str) -> str:
        """As `owner`'s side of a join calls it: the partner's columns with its name before."""
        return self.column if self.party == owner else f"{self.party}.{self.column}"


class Equal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="equal"):
    name: Name
    value: Value

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.value,)

    def text(self, owner: str) -> str:
        return f"{self.name.text(owner)} = {_literal(self.value)}"


class Between(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="between"):
    name: Name
    low: Value | None
    high: Value | None

    @property
    def values(self) -> tuple[Value, ...]:
        return tuple(end for end in (self.low, self.high) if end is not None)

    def text(self, owner: str) -> str:
        name = self.name.text(owner)
        if self.low is None or self.high is None:
            return f"{name} {'<=' if self.low is None else '>='} {_literal(self.values[0])}"
        return f"{name} between {_literal(self.low)} and {_literal(self.high)}"


class OneOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="one of"):
    name: Name
    values: tuple[Value, ...]

    def text(self, owner: str) -> str:
        listed = ", ".join(map(_literal, self.values)) if len(self.values) <= _SHOWN else f"{len(self.values)} values"
        return f"{self.name.text(owner)} in ({listed})"


Condition = Equal | Between | OneOf
Where = tuple[Condition, ...]


def canonical(where: Mapping[str, Any] | None, name_of: Callable[[str], Name]) -> Where:
    """Conditions in the order of their names, each in its only form, as a request carries them."""
    if where is not None and not isinstance(where, Mapping):
        raise InvalidArgument(f"where is a {type(where).__name__}", hint=f"give a mapping: {_EXAMPLE}")
    conditions = [_condition(name_of(column), wanted) for column, wanted in (where or {}).items()]
    return tuple(sorted(conditions, key=lambda condition: condition.name))


def check(where: Where) -> None:
    """Raise InvalidArgument unless these are conditions as `canonical` makes them."""
    names = [condition.name for condition in where]
    if names != sorted(set(names)):
        raise InvalidArgument("the conditions are not in order, one for each column", hint=f"as in {_EXAMPLE}")
    for condition in where:
        shown = condition.name.column
        if not 0 < len(condition.values) <= MAX_VALUES or len({_kind(value) for value in condition.values}) != 1:
            raise InvalidArgument(
                f"the condition on {shown} has no values, too many or of several kinds",
                hint=f"give 1 to {MAX_VALUES} values of the column's kind, as in {_EXAMPLE}",
            )
        if not all(map(is_plain, condition.values)):
            raise InvalidArgument(f"the condition on {shown} has a value that is not finite", hint="None opens an end")
        keys = sort_keys(condition.values)
        if keys != sorted(keys) or (isinstance(condition, OneOf) and len(set(condition.values)) != len(keys)):
            raise InvalidArgument(f"the condition on {shown} is not in order", hint="the lower end comes first")


def own(column: str) -> Name:
    """A column of each party's own table, in a question over tables of several."""
    return Name(party="", column=column)


def check_own(where: Where) -> None:
    """Raise InvalidArgument unless these are conditions on columns that each party has."""
    check(where)
    if any(condition.name.party for condition in where):
        raise InvalidArgument("a condition on another party's column", hint="name a column that every table has")


def columns_of(where: Where) -> tuple[str, ...]:
    """The columns that the conditions are on."""
    return tuple(condition.name.column for condition in where)


def text(where: Where, owner: str = "") -> str:
    """As `age between 20 and 30 and is_active = 1`; the partner's columns are `partner.column`."""
    return " and ".join(condition.text(owner) for condition in where)


def check_type(party: str, condition: Condition, type_: pa.DataType) -> None:
    """Raise InvalidArgument where the values of a condition cannot be compared with a column of this type."""
    try:
        for value in condition.values:
            check_value(value, type_)
    except NotComparable as error:
        given = {"Decimal" if isinstance(value, DecimalText) else type(value).__name__ for value in condition.values}
        raise InvalidArgument(
            f"{party}'s {condition.name.column} is {type_}; its condition gives {' and '.join(sorted(given))}",
            hint=str(error),
        ) from None


def passing(table: pa.Table, where: Sequence[Condition]) -> npt.NDArray[np.bool_]:
    """For each row whether every condition holds, of those whose column the table has."""
    result = np.ones(table.num_rows, dtype=np.bool_)
    for condition in where:
        column = table.column(condition.name.column)
        if isinstance(condition, Between):
            result &= within(column, condition.low, condition.high)
        else:
            result &= positions(column, condition.values) != NO_VALUE
    return result


def _condition(name: Name, wanted: Any) -> Condition:
    if isinstance(wanted, tuple):
        if len(wanted) != 2 or wanted == (None, None):
            raise InvalidArgument(
                f"the condition on {name.column} is a tuple of {len(wanted)}", hint="a pair is a range, a list a choice"
            )
        low, high = (None if end is None else _plain(name, end) for end in wanted)
        if low is not None and low == high:
            return Equal(name=name, value=low)
        return Between(name=name, low=low, high=high)
    if isinstance(wanted, list | set | frozenset):
        values = _sorted({_plain(name, value) for value in wanted})
        return Equal(name=name, value=values[0]) if len(values) == 1 else OneOf(name=name, values=values)
    return Equal(name=name, value=_plain(name, wanted))


def _plain(name: Name, value: Any) -> Value:
    try:
        return plain_value(value)
    except TypeError:
        raise InvalidArgument(
            f"the condition on {name.column} holds a {type(value).__name__}",
            hint=f"compare with numbers, text, booleans, dates or times, as in {_EXAMPLE}; nulls never match",
        ) from None


def _sorted(values: set[Value]) -> tuple[Value, ...]:
    if len({_kind(value) for value in values}) > 1:  # which `check` refuses
        return tuple(values)
    listed = sorted(values, key=repr)
    keys = sort_keys(listed)
    return tuple(listed[n] for n in sorted(range(len(listed)), key=keys.__getitem__))


def _kind(value: Value) -> type:
    return type(value) if isinstance(value, bool | str) else float


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, DecimalText):
        return value.decimal
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else f"{value}"
