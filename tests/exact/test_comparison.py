"""How values compare with columns: as in DuckDB, for every type that it has, and as in Python for the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from asking import name_of
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st

from privsdk.protocol.columns import comparison
from privsdk.protocol.columns.predicates import canonical, check, passing
from privsdk.protocol.columns.values import DecimalText, NotComparable, is_plain
from privsdk.protocol.groups import groups_of

CLAIM = pytest.mark.claim("exact: conditions, groups and public keys compare as the column's own type does (DuckDB)")


class Kind(NamedTuple):
    """A type, what its columns hold, what conditions on it may give, and such a value as DuckDB reads it."""

    type_: pa.DataType
    held: st.SearchStrategy[Any]
    asked: st.SearchStrategy[Any]
    sql: Callable[[Any], str] = str


def decimals(places: int, whole: int = 99) -> st.SearchStrategy[Decimal]:
    return st.decimals(-whole, whole, places=places)


def moments(step: int, zone: timezone | None = None) -> st.SearchStrategy[datetime]:
    """Around one moment, whole multiples of so many microseconds apart."""
    start = datetime(2020, 1, 31, 23, 59, 59, tzinfo=zone)
    return st.integers(-3, 3).map(lambda n: start + n * timedelta(microseconds=step))


ZONES = [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))]
NUMBERS = st.integers(-300, 300) | decimals(1, 5) | st.sampled_from([0.1, 0.5, -0.0, 1e30, -1e30, 126.5, 127.5])
REALS = st.sampled_from([0.1, -0.1, 0.0, -0.0, 0.5, 1.0, 2.0**-24, 65504.0, 1e-30])
DAYS = st.dates(date(2020, 1, 30), date(2020, 2, 2))
MOMENTS = st.one_of(moments(1), moments(10**3), moments(10**6), DAYS)


def number_sql(value: Any) -> str:
    return f"{Decimal(repr(value) if isinstance(value, float) else value):f}"


def moment_sql(value: Any) -> str:
    return f"TIMESTAMP '{value.isoformat(sep=' ') if isinstance(value, datetime) else value}'"


KINDS = {
    str(kind.type_): kind
    for kind in [
        Kind(pa.int8(), st.integers(-128, 127), NUMBERS, number_sql),
        Kind(pa.uint64(), st.integers(0, 2**64 - 1) | st.integers(0, 5), NUMBERS | st.just(2**64), number_sql),
        Kind(pa.decimal128(5, 2), decimals(2), decimals(3) | NUMBERS, number_sql),
        Kind(pa.decimal128(38, 0), decimals(0, 10**19), decimals(1, 10**19), number_sql),
        Kind(pa.float32(), REALS.map(lambda x: float(np.float32(x))), REALS | NUMBERS, lambda v: f"CAST({v} AS FLOAT)"),
        Kind(pa.float64(), REALS, REALS | NUMBERS, lambda v: f"CAST({v} AS DOUBLE)"),
        Kind(pa.bool_(), st.booleans(), st.booleans(), str),
        Kind(
            pa.string(),
            st.text("aAé'", max_size=2),
            st.text("aAé'", max_size=2),
            lambda v: "'" + v.replace("'", "''") + "'",
        ),
        Kind(pa.date32(), DAYS, MOMENTS, moment_sql),
        Kind(pa.timestamp("s"), moments(10**6), MOMENTS, moment_sql),
        Kind(pa.timestamp("ms"), moments(10**3), MOMENTS, moment_sql),
        Kind(pa.timestamp("us"), moments(1), MOMENTS, moment_sql),
        Kind(
            pa.timestamp("us", "Europe/Berlin"),
            moments(10**6, UTC),
            st.tuples(moments(10**6, UTC), st.sampled_from(ZONES)).map(lambda pair: pair[0].astimezone(pair[1])),
            lambda v: f"TIMESTAMPTZ '{v.isoformat(sep=' ')}'",
        ),
        Kind(
            pa.time64("us"),
            st.times().map(lambda t: t.replace(hour=1, minute=2, second=3, microsecond=t.microsecond % 3)),
            st.sampled_from([time(1, 2, 3), time(1, 2, 3, 1), time(1, 2)]),
            lambda v: f"TIME '{v}'",
        ),
        Kind(
            pa.duration("us"),
            st.integers(-3, 3).map(lambda n: timedelta(seconds=n)),
            st.integers(-3, 3).map(lambda n: timedelta(seconds=n)),
            lambda v: f"INTERVAL '{v // timedelta(seconds=1)} seconds'",
        ),
    ]
}


@st.composite
def wanted(draw: st.DrawFn, asked: st.SearchStrategy[Any]) -> Any:
    """A value, a list, or a range with open ends."""
    form = draw(st.sampled_from(["equal", "list", "range"]))
    if form == "equal":
        return draw(asked)
    if form == "list":
        return draw(st.lists(asked, min_size=1, max_size=3))
    return draw(st.tuples(asked, asked) | st.tuples(asked, st.none()) | st.tuples(st.none(), asked))


def condition_sql(given: Any, sql: Callable[[Any], str]) -> str:
    if isinstance(given, list):
        return "(" + " OR ".join(f"x = {sql(each)}" for each in given) + ")"
    if not isinstance(given, tuple):
        return f"x = {sql(given)}"
    low, high = given
    return " AND ".join(
        [*([f"x >= {sql(low)}"] if low is not None else []), *([f"x <= {sql(high)}"] if high is not None else [])]
    )


def passes(column: pa.Array, given: Any) -> list[bool]:
    where = canonical({"x": given}, name_of)
    check(where)
    return passing(pa.table({"x": column}), where).tolist()


def ordered(given: Any) -> Any:
    """A range whose ends are in order."""
    if not isinstance(given, tuple) or None in given:
        return given
    low, high = given
    at = [_naive(end) for end in given]
    return (high, low) if at[0] > at[1] else (low, high)


def _naive(end: Any) -> Any:
    if isinstance(end, date) and not isinstance(end, datetime):
        return datetime(end.year, end.month, end.day)
    return Fraction(repr(end)) if isinstance(end, float) else end


@CLAIM
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_conditions_are_duckdbs(kind: Kind, cases: Cases) -> None:
    connection = duckdb.connect()

    @given(st.lists(st.none() | kind.held, max_size=6), wanted(kind.asked).map(ordered))
    def compare(held: list[Any], given: Any) -> None:
        column = pa.array(held, kind.type_)
        connection.register("t", pa.table({"x": column}))
        query = f"SELECT coalesce({condition_sql(given, kind.sql)}, false) FROM t"  # noqa: S608
        assert passes(column, given) == [passed for (passed,) in connection.sql(query).fetchall()]
        cases()

    with connection:
        compare()


HALVES = st.integers(0, 2**16 - 1).map(lambda bits: float(np.array(bits, np.uint16).view(np.float16)))
HUGE = decimals(3, 10**50)


def python_holds(value: Any, given: Any, exact: Callable[[Any], Any]) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return False
    held = exact(value)
    if isinstance(given, list):
        return any(held == exact(each) for each in given)
    if not isinstance(given, tuple):
        return bool(held == exact(given))
    low, high = given
    return (low is None or held >= exact(low)) and (high is None or held <= exact(high))


@CLAIM
@pytest.mark.parametrize(
    ("type_", "held", "asked", "exact"),
    [
        (pa.float16(), HALVES | REALS.map(lambda x: float(np.float16(x))), REALS, lambda v: float(np.float16(v))),
        (pa.decimal256(60, 3), HUGE | decimals(3), HUGE | decimals(5), Fraction),
        (pa.timestamp("ns"), moments(1), MOMENTS, _naive),
        (pa.date64(), DAYS, MOMENTS, _naive),
        (pa.time32("ms"), st.just(time(1, 2, 3)), st.sampled_from([time(1, 2, 3), time(1, 2, 3, 1)]), lambda v: v),
    ],
    ids=["float16", "decimal256", "timestamp[ns]", "date64", "time32"],
)
def test_conditions_are_pythons(
    type_: pa.DataType, held: st.SearchStrategy[Any], asked: st.SearchStrategy[Any], exact: Any, cases: Cases
) -> None:
    @given(st.lists(st.none() | held, max_size=6), wanted(asked).map(ordered))
    def compare(values: list[Any], given: Any) -> None:
        column = pa.array(np.array(values, np.float16) if pa.types.is_float16(type_) else values, type_)
        assert passes(column, given) == [python_holds(each, given, exact) for each in values]
        cases()

    compare()


@CLAIM
@pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))
def test_a_label_given_back_as_a_value_or_key_finds_its_own_rows(kind: Kind, cases: Cases) -> None:
    """So that what a group shows can be asked for."""

    @given(st.lists(kind.held, min_size=1, max_size=8))
    def compare(held: list[Any]) -> None:
        column = pa.chunked_array([pa.array(held, kind.type_)])
        groups = comparison.labels_of(column).combine_chunks().dictionary_encode()
        labels = groups.dictionary.to_pylist()
        for n, label in enumerate(labels):
            assert passes(column, label) == (groups.indices.to_numpy() == n).tolist()
            if type(label) in (str, int, bool):
                found = groups_of(column, tuple(labels))
                assert found.tolist() == groups.indices.to_pylist()
            cases()

    compare()


@pytest.mark.parametrize(
    ("type_", "value", "hint"),
    [
        (pa.timestamp("us", "Europe/Berlin"), datetime(2020, 1, 1, 12), "say which offset is meant"),
        (pa.timestamp("us", "Europe/Berlin"), date(2020, 1, 1), "say which offset is meant"),
        (pa.timestamp("us"), datetime(2020, 1, 1, 12, tzinfo=UTC), "leave out the offset"),
        (pa.date32(), "31.01.2020", "ISO text"),
        (pa.time64("us"), time(12, tzinfo=UTC), "leave out the offset"),
        (pa.duration("s"), 5, "timedelta"),
        (pa.decimal128(5, 2), "1.5", "numbers with numbers"),
        (pa.binary(), "a", "equals nothing"),
        (pa.month_day_nano_interval(), "P1M", "equals nothing"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_says_what_is_missing(type_: pa.DataType, value: Any, hint: str) -> None:
    (condition,) = canonical({"x": value}, name_of)
    for each in condition.values:
        with pytest.raises(NotComparable, match=hint):
            comparison.check_value(each, type_)


def test_a_float_stands_for_its_digits() -> None:
    cents = pa.array([Decimal("0.10"), Decimal("0.30")], pa.decimal128(5, 2))
    assert passes(cents, 0.1) == [True, False]
    assert passes(cents, (0.1, 0.3)) == [True, True]


def test_nanoseconds_and_numpys_own_times() -> None:
    column = pa.array([1_000_000_001, 1_000_000_002], pa.timestamp("ns"))
    assert passes(column, np.datetime64("1970-01-01T00:00:01.000000002")) == [False, True]
    assert passes(column, ("1970-01-01T00:00:01.000000002", None)) == [False, True]
    assert passes(pa.array([5, 6], pa.duration("ns")), np.timedelta64(6, "ns")) == [False, True]


@pytest.mark.parametrize(
    "given", [Decimal("NaN"), Decimal("1e1000"), b"x", np.timedelta64("NaT"), np.datetime64("NaT")]
)
def test_values_that_nothing_compares_with(given: Any) -> None:
    with pytest.raises(Exception, match="condition"):
        check(canonical({"x": given}, name_of))


@pytest.mark.parametrize("text", ["1e5", "1.50", "", "--1", "1.", "9" * 500, "NaN"])
def test_decimals_of_another_form_are_refused(text: str) -> None:
    assert not is_plain(DecimalText(decimal=text))
