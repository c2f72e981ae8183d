"""Public keys: their one form, the columns that have them, and the labels that answers show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import dp, he
from privsdk.errors import InvalidArgument
from privsdk.protocol.columns.keys import HasKeys, check_keys, labels, plain_keys, type_named
from privsdk.protocol.groups import groups_of

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "dates": (pa.date32(), [date(2024, 2, 29), date(1900, 1, 1)]),
    "dates in milliseconds": (pa.date64(), [date(2024, 2, 29)]),
    "local times": (pa.timestamp("s"), [datetime(2024, 2, 29, 12)]),
    "instants": (pa.timestamp("us", "Asia/Tokyo"), [NOON]),
    "times of day": (pa.time64("us"), [time(12, 30, 0, 5)]),
    "durations": (pa.duration("ms"), [timedelta(days=-1), timedelta(milliseconds=3)]),
    "decimals": (pa.decimal128(9, 3), [Decimal("1.500"), Decimal(-2)]),
    "wide decimals": (pa.decimal256(60, 30), [Decimal("1.500"), Decimal(10**20)]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_labels_are_of_the_columns_type(kind: str) -> None:
    type_, values = COLUMNS[kind]
    keys = plain_keys("g", values)
    assert keys is not None
    check_keys("g", keys)
    HasKeys(keys).check("north/t.g", str(type_))
    assert labels(keys, type_).equals(pa.array(values, type_))
    column = pa.chunked_array([pa.array([None, *values], type_)])
    assert groups_of(column, keys).tolist() == [-1, *range(len(values))]
    assert len(labels(keys)) == len(values)


def test_keys_that_the_type_does_not_hold_are_shown_as_given() -> None:
    keys = plain_keys("g", [Decimal("1.5"), Decimal("0.001")])
    assert keys is not None
    assert labels(keys, pa.decimal128(9, 2)).to_pylist() == [Decimal("1.5"), Decimal("0.001")]
    assert labels(("2024-02-29T12:00:00",), pa.date32()).to_pylist() == ["2024-02-29T12:00:00"]


REFUSED: dict[str, tuple[list[Any], pa.DataType, str]] = {
    "text of a number": (["a"], pa.decimal128(9, 2), "is decimal.*its keys are of str.*compare numbers with numbers"),
    "no date": (["yesterday"], pa.date32(), "is date32.*as ISO text"),
    "no offset": ([datetime(2024, 1, 1)], pa.timestamp("us", "UTC"), "say which offset is meant"),
    "an offset": ([NOON], pa.timestamp("us"), "leave out the offset"),
    "a list": ([1], pa.list_(pa.int64()), "is list.*use a column of text, whole numbers"),
    "a decimal of text": ([Decimal(1)], pa.string(), "keys are of Decimal.*compare text with text"),
    "one instant": (["2024-01-01", "2024-01-01T00:00:00"], pa.date32(), "two keys are one value"),
    "one float": ([2**53, 2**53 + 1], pa.float64(), "two keys are one value"),
    "one half": ([4096, 4097], pa.float16(), "two keys are one value"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_keys_that_a_column_cannot_have_are_refused(case: str) -> None:
    given, type_, said = REFUSED[case]
    keys = plain_keys("g", given)
    assert keys is not None
    with pytest.raises(InvalidArgument, match=f"(?s){said}"):
        HasKeys(keys).check("north/t.g", str(type_))


@pytest.mark.parametrize("key", [1.5, None, object(), np.datetime64("NaT"), Decimal("NaN"), np.float32(1)])
def test_what_is_no_key(key: Any) -> None:
    with pytest.raises(InvalidArgument, match="a group key is a"):
        plain_keys("g", [key])


def test_whole_numbers_beside_decimals_are_decimals() -> None:
    assert plain_keys("g", [1, Decimal("0.50")]) == plain_keys("g", [Decimal("1.0"), Decimal("0.5")])
    keys = plain_keys("g", [1, "a"])
    with pytest.raises(InvalidArgument, match="keys of different types"):
        check_keys("g", keys)


@pytest.mark.parametrize(
    "type_",
    [*(type_ for type_, _ in COLUMNS.values()), pa.null(), pa.large_string(), pa.float16(), pa.bool_(), pa.uint8()],
    ids=str,
)
def test_types_are_named_as_arrow_writes_them(type_: pa.DataType) -> None:
    assert type_named(str(type_)) == type_


VERBS: dict[str, Callable[..., Any]] = {
    "he": lambda tables, **how: he.count(tables, **how),
    "dp": lambda tables, **how: dp.count(tables, epsilon=100, **how),
}


@pytest.mark.parametrize("verb", VERBS)
def test_answers_by_day_have_days(verb: str) -> None:
    days = [date(2024, 1, 1), date(2024, 1, 2)]
    table = pa.table({"day": pa.array(days * 20)})
    budget = ps.Budget(epsilon=1000, exact=100)
    policy = ps.Policy(
        operations=("*",),
        grants=(ps.Grant(table="*", columns={"*": tuple(ps.Disclosure)}, min_count=2, max_epsilon=100.0),),
        min_parties=1,
    )
    with ps.embedded(a=table, b=table, k={}, store=None, quiet=True, policy=policy, budget=budget) as federation:
        tables = federation.tables("table")
        answer = VERBS[verb](tables, by="day", keys=days).release().value
        assert answer["day"].combine_chunks().equals(pa.array(days))
        assert answer["count"].to_pylist() == [40, 40]
        with pytest.raises(InvalidArgument, match="as ISO text"):
            VERBS[verb](tables, by="day", keys=["today"])
