"""Predicates: which rows an aggregate is over, by name and values, never as code.

    where={"age": (20, 30), "is_active": 1, "state": ["NY", "NJ"]}

A conjunction of one condition for each column: a value (equal), a pair (between, both ends included, None for an open
end) or a list (one of). Nulls and NaN never match. The canonical form is what a request carries and the audit keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidArgument

MAX_VALUES = 10_000
_SHOWN = 6  # values of a list in a text
_EXAMPLE = 'where={"age": (20, 30), "is_active": 1, "state": ["NY", "NJ"]}'

Value = bool | int | float | str  # dates and times as ISO text


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
        if any(isinstance(value, float) and not math.isfinite(value) for value in condition.values):
            raise InvalidArgument(f"the condition on {shown} has a value that is not finite", hint="None opens an end")
        ordered = list(condition.values)
        if ordered != sorted(ordered) or (isinstance(condition, OneOf) and len(set(ordered)) != len(ordered)):
            raise InvalidArgument(f"the condition on {shown} is not in order", hint="the lower end comes first")


def text(where: Where, owner: str) -> str:
    """As `age between 20 and 30 and is_active = 1`; the partner's columns are `partner.column`."""
    return " and ".join(condition.text(owner) for condition in where)


def check_type(party: str, condition: Condition, type_: pa.DataType) -> None:
    """Raise InvalidArgument where the values of a condition cannot be compared with a column of this type."""
    try:
        for value in condition.values:
            _as_type(value, type_)
    except (TypeError, pa.ArrowException):
        given = {type(value).__name__ for value in condition.values}
        raise InvalidArgument(
            f"{party}'s {condition.name.column} is {type_}; its condition gives {' and '.join(sorted(given))}",
            hint="numbers for numbers, 0 or 1 or booleans for booleans, text for text, ISO text for dates and times",
        ) from None


def passing(table: pa.Table, where: Sequence[Condition]) -> npt.NDArray[np.bool_]:
    """For each row whether every condition holds, of those whose column the table has."""
    result = np.ones(table.num_rows, dtype=np.bool_)
    for condition in where:
        found = pc.fill_null(_holds(table.column(condition.name.column), condition), False)
        result &= found.to_numpy()
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
        values = tuple(sorted({_plain(name, value) for value in wanted}, key=lambda v: (_kind(v).__name__, v)))
        return Equal(name=name, value=values[0]) if len(values) == 1 else OneOf(name=name, values=values)
    return Equal(name=name, value=_plain(name, wanted))


def _plain(name: Name, value: Any) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    if isinstance(value, bool | int | float | str):
        return value
    raise InvalidArgument(
        f"the condition on {name.column} holds a {type(value).__name__}",
        hint=f"compare with numbers, text, booleans, dates or times, as in {_EXAMPLE}; nulls never match",
    )


def _kind(value: Value) -> type:
    return type(value) if isinstance(value, bool | str) else float


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else f"{value}"


def _as_type(value: Value, type_: pa.DataType) -> Any:
    """A value as what a column of this type is compared with; raises TypeError or ArrowException where it is none."""
    if pa.types.is_boolean(type_) and value in (0, 1) and not isinstance(value, float | str):
        return bool(value)
    if pa.types.is_integer(type_) and isinstance(value, int) and not isinstance(value, bool):
        return value
    if _real(type_) and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if (pa.types.is_string(type_) or pa.types.is_large_string(type_)) and isinstance(value, str):
        return value
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return pa.scalar(value, pa.string()).cast(type_)
    raise TypeError


def _holds(column: pa.ChunkedArray, condition: Condition) -> pa.ChunkedArray:
    """Null where the column is."""
    type_ = column.type
    if _real(type_):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    whole = np.iinfo(type_.to_pandas_dtype()) if pa.types.is_integer(type_) else None
    if not isinstance(condition, Between):
        wanted = [_as_type(value, type_) for value in condition.values]
        if whole:
            wanted = [value for value in wanted if whole.min <= value <= whole.max]
        return pc.is_in(column, value_set=pa.array(wanted, column.type))
    result = pc.is_valid(column)
    for end, holds in ((condition.low, pc.greater_equal), (condition.high, pc.less_equal)):
        if end is None:
            continue
        limit = _as_type(end, type_)
        if whole:  # an end beyond what the column can hold is one that nothing passes, or everything
            inside = min(max(limit, int(whole.min)), int(whole.max))
            if inside < limit if holds is pc.greater_equal else inside > limit:
                return pc.and_(result, pa.scalar(False))
            limit = inside
        result = pc.and_(result, holds(column, pa.scalar(limit, column.type)))
    return result


def _real(type_: pa.DataType) -> bool:
    return bool(pa.types.is_floating(type_) or pa.types.is_decimal(type_))
