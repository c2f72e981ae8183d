"""What a column of text may be read as: dates, numbers, truths. For files whose columns have no types of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import UnknownName
from .connection import connected

NULL_WORDS = ("NA", "N/A", "n/a", "NULL", "null", "None", "nan", "NaN", "-", "?")
_SAMPLE = 1000


class Reading(NamedTuple):
    """A type; the format of strptime where dates are not ISO 8601; another decimal mark or null words than declared."""

    type_: pa.DataType
    format: str = ""
    decimal: str = ""
    nulls: tuple[str, ...] = ()

    def declaration(self, column: str) -> str:
        """What says so beside a table's path, in party.toml."""
        said = [f'types = {{ "{column}" = "{self.type_}" }}'] if self.format or self == TEXT else []
        said += [f'dates = "{self.format}"'] if self.format else []
        said += [f'decimal = "{self.decimal}"'] if self.decimal else []
        said += [f"nulls = {json.dumps(['', *self.nulls])}"] if self.nulls else []
        return ", ".join(said)

    def convert(self, text: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
        """The values. Raises ArrowException where one is not of the type; its message may quote it."""
        type_ = self.type_
        if pa.types.is_time(type_):
            return _by_duckdb(text, "TRY_CAST(x AS TIME)").cast(type_)
        if self.format and pa.types.is_temporal(type_):
            moments = _by_duckdb(text, "try_strptime(x, ?)", self.format)
            return moments.cast(pa.timestamp("us", "UTC") if getattr(type_, "tz", None) else pa.timestamp("us")).cast(
                type_
            )
        if pa.types.is_boolean(type_):
            place = pc.index_in(pc.utf8_lower(text), value_set=pa.array(["true", "false"]), skip_nulls=True)
            return pc.equal(_complete(place, text), 0)
        if decimal != "." and (pa.types.is_floating(type_) or pa.types.is_decimal(type_)):
            text = pc.replace_substring(text, decimal, ".")
        return text.cast(type_)


def _by_duckdb(text: pa.ChunkedArray, expression: str, *arguments: str) -> pa.ChunkedArray:
    """An expression over each value: where Arrow has none, or takes 31 February for 2 March."""
    import duckdb

    with connected() as connection:
        connection.register("t", pa.table({"x": text}))
        query = f"SELECT {expression} AS made FROM t"  # noqa: S608 - of this module
        try:
            made = connection.sql(query, params=list(arguments)).to_arrow_table()["made"]
        except duckdb.Error:  # no format of strptime; its message may quote a value
            raise pa.ArrowInvalid("not read") from None
    return _complete(made, text)


def _complete(made: pa.ChunkedArray, text: pa.ChunkedArray) -> pa.ChunkedArray:
    if made.null_count > text.null_count:
        raise pa.ArrowInvalid("not read")
    return made


TEXT = Reading(pa.string())


def type_named(text: str, where: str) -> pa.DataType:
    """The Arrow type that is written so."""
    if decimal := re.fullmatch(r"decimal(?:128)?\((\d{1,2}), ?(\d{1,2})\)", text):
        return pa.decimal128(*map(int, decimal.groups()))
    if zoned := re.fullmatch(r"timestamp\[(s|ms|us|ns), ?tz=([\w/+:-]+)\]", text):
        return pa.timestamp(*zoned.groups())
    try:
        return pa.type_for_alias(text)
    except ValueError:
        known = ("int64", "double", "string", "bool", "date32", "timestamp[us]", "decimal128(12, 2)")
        raise UnknownName.among("type", text, known, where=f"for {where}") from None


def readings_of(text: pa.ChunkedArray, decimal: str) -> list[Reading]:
    """What a column may be: one reading, or all that fit."""
    known = text.drop_null()
    found = _fitting(known, decimal)
    if found == [TEXT]:
        rest = known.filter(pc.invert(pc.is_in(known, value_set=pa.array(NULL_WORDS))))
        others = _fitting(rest, decimal) if len(rest) < len(known) else [TEXT]
        if others != [TEXT]:
            words = tuple(word for word in NULL_WORDS if pc.any(pc.equal(known, word)).as_py())
            return [*(each._replace(nulls=words) for each in others if each != TEXT), TEXT]
    return found


def _fitting(known: pa.ChunkedArray, decimal: str) -> list[Reading]:
    if not len(known):
        return [TEXT]
    for pattern, readings in _PATTERNS:
        shape = f"^(?:{pattern.replace('MARK', re.escape(decimal))})$"
        if _all(known.slice(0, _SAMPLE), shape) and _all(known, shape):
            fitting = [each for each in readings(known) if fits(each, known, each.decimal or decimal)]
            return fitting or [TEXT]
    return [TEXT]


def _all(values: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())


def fits(reading: Reading, known: pa.ChunkedArray, decimal: str) -> bool:
    """Whether all values are of the reading's type."""
    try:
        reading.convert(known, decimal)
    except pa.ArrowException:
        return False
    return True


def _whole(known: pa.ChunkedArray) -> list[Reading]:
    """The first of the types that holds all."""
    types = (pa.int64(), pa.uint64(), pa.string())
    return [next(reading for reading in map(Reading, types) if fits(reading, known, "."))]


def _days(mark: str, year: str) -> list[Reading]:
    """Day first, and month first."""
    return [Reading(pa.date32(), mark.join((*order, year))) for order in (("%d", "%m"), ("%m", "%d"))]


_NUMBER = r"(0|[1-9]\d*)"
_TIME = r"\d\d:\d\d:\d\d(\.\d{1,6})?"
_PATTERNS: tuple[tuple[str, Callable[[pa.ChunkedArray], list[Reading]]], ...] = (
    (r"(?i)true|false", lambda _: [Reading(pa.bool_())]),
    (rf"-?{_NUMBER}", _whole),
    (rf"[+-]?({_NUMBER}(MARK\d*)?|MARK\d+)([eE][+-]?\d+)?", lambda _: [Reading(pa.float64())]),
    (rf"-?{_NUMBER}(,\d+)?", lambda _: [Reading(pa.float64(), decimal=","), TEXT]),
    (r"\d{4}-\d\d-\d\d", lambda _: [Reading(pa.date32())]),
    (rf"\d{{4}}-\d\d-\d\d[T ]{_TIME}", lambda _: [Reading(pa.timestamp("us"))]),
    (rf"\d{{4}}-\d\d-\d\d[T ]{_TIME}(Z|[+-]\d\d:?\d\d)", lambda _: [Reading(pa.timestamp("us", "UTC"))]),
    (_TIME, lambda _: [Reading(pa.time64("us"))]),
    *(
        (rf"\d{{1,2}}[{mark}]\d{{1,2}}[{mark}]\d{{{digits}}}", lambda _, mark=mark, year=year: _days(mark, year))
        for mark in "/.-"
        for digits, year in ((4, "%Y"), (2, "%y"))
    ),
)
