"""Predicates: one canonical form, a text, and types that are checked against the column's."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from asking import name_of, request_for
from hypothesis import given
from hypothesis import strategies as st

from privsdk.errors import InvalidArgument
from privsdk.protocol.columns.predicates import (
    Between,
    Equal,
    Name,
    OneOf,
    Where,
    canonical,
    check,
    check_type,
    passing,
    text,
)
from privsdk.protocol.operation import operation_of

AGE = Name(party="bank", column="age")


def make(**where: Any) -> Where:
    return canonical(where, name_of)


def test_texts() -> None:
    where = canonical({"is_active": 1, "age": (20, 30), "shop.state": ["NY", "NJ", "NY"], "name": "O'Hara"}, name_of)
    assert text(where, "bank") == (
        "age between 20 and 30 and is_active = 1 and name = 'O''Hara' and shop.state in ('NJ', 'NY')"
    )
    assert text(make(age=(20, None), pay=(None, 2.5), ok=True), "bank") == "age >= 20 and ok = true and pay <= 2.5"
    assert text(make(id=list(range(100))), "bank") == "id in (100 values)"
    assert text(make(day=(date(2024, 1, 2), None)), "bank") == "day >= '2024-01-02'"
    assert text((), "bank") == ""


def test_one_form_for_one_condition() -> None:
    assert make(age=[20]) == make(age=20) == make(age=(20, 20)) == (Equal(name=AGE, value=20),)
    assert make(age={3, 1, 2}) == make(age=[2, 3, 3, 1]) == (OneOf(name=AGE, values=(1, 2, 3)),)
    assert make(b=1, a=2) == make(a=2, b=1)
    assert make(age=np.int64(20)) == make(age=20)
    assert make(age=(None, 5)) == (Between(name=AGE, low=None, high=5),)


values = st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.text()


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "shop.c"]),
        values | st.lists(st.text(), min_size=1) | st.tuples(st.none() | st.integers(), st.integers(50, 60)),
    )
)
def test_what_is_sent_is_what_was_meant(where: dict[str, Any]) -> None:
    made = canonical(where, name_of)
    sent = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(made)))
    assert msgspec.convert(sent, Where) == made
    try:
        check(made)
    except InvalidArgument:  # the lower end of a range above the other
        assert any(isinstance(c, Between) and c.low is not None and c.low > c.high for c in made)


@pytest.mark.parametrize(
    "where",
    [
        {"age": None},
        {"age": (1, 2, 3)},
        {"age": (None, None)},
        {"age": (30, 20)},
        {"age": []},
        {"age": [1, "a"]},
        {"age": [True, 2]},
        {"age": float("nan")},
        {"age": (0, float("inf"))},
        {"age": object()},
        {"age": {"min": 3}},
        {"age": list(range(10_001))},
        "age > 3",
        [("age", 3)],
    ],
)
def test_conditions_that_cannot_be_meant(where: Any) -> None:
    with pytest.raises(InvalidArgument):
        check(canonical(where, name_of))


@pytest.mark.parametrize(
    "conditions",
    [
        [{"type": "equal", "name": {"party": "bank", "column": "x"}, "value": 1}] * 2,
        [{"type": "equal", "name": {"party": "bank", "column": "x"}, "value": None}],
        [{"type": "one of", "name": {"party": "bank", "column": "x"}, "values": [2, 1]}],
        [{"type": "sql", "name": {"party": "bank", "column": "x"}, "value": "1=1"}],
        "x = 1",
    ],
)
def test_a_request_in_another_form_is_refused(conditions: Any) -> None:
    good = request_for("count", None, None, {"x": 1})
    operation_of(good)
    with pytest.raises(InvalidArgument):
        operation_of(msgspec.structs.replace(good, parameters={**good.parameters, "where": conditions}))


TYPES: list[tuple[pa.DataType, list[Any], list[Any]]] = [
    (pa.int8(), [5, -1000, (0, 10**30), 5.5], ["5", True]),
    (pa.uint64(), [2**64 - 1, -1], ["1"]),
    (pa.float32(), [5, 0.5, [1, 2.5]], ["0.5", False]),
    (pa.decimal128(9, 2), [5, 0.5], ["5"]),
    (pa.bool_(), [True, 0, [0, 1]], [2, 1.0, "true"]),
    (pa.string(), ["x", ["x", "y"], ("a", "b")], [1, True]),
    (pa.large_string(), ["x"], [1]),
    (pa.date32(), ["2024-01-02", date(2024, 1, 2)], ["yesterday", 20240102]),
    (pa.timestamp("us"), [datetime(2024, 1, 2, 3), date(2024, 1, 2)], ["soon", 1.5]),
    (pa.list_(pa.int64()), [], [1, "a"]),
    (pa.binary(), [], ["a"]),
]


@pytest.mark.parametrize(("type_", "right", "wrong"), TYPES, ids=lambda value: str(value)[:20])
def test_values_must_be_of_the_columns_kind(type_: pa.DataType, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        for condition in make(x=value):
            check_type("bank", condition, type_)
    for value in wrong:
        with pytest.raises(InvalidArgument, match="bank's x is") as refused:
            check_type("bank", make(x=value)[0], type_)
        assert repr(value) not in refused.value.message.partition("; ")[2]


def passes(column: pa.Array, wanted: Any) -> list[bool]:
    return passing(pa.table({"x": column}), make(x=wanted)).tolist()


def test_rows_that_pass() -> None:
    assert passes(pa.array([1, None, 3], pa.int8()), (1, 1000)) == [True, False, True]
    assert passes(pa.array([1, None, 3], pa.int8()), (200, 1000)) == [False] * 3
    assert passes(pa.array([1, None, 3], pa.int8()), (None, -200)) == [False] * 3
    assert passes(pa.array([1, 2], pa.uint64()), (-5, None)) == [True, True]
    assert passes(pa.array([1, 2], pa.uint64()), [-1, 2]) == [False, True]
    assert passes(pa.array([0.5, float("nan"), None, float("inf")]), (0, None)) == [True, False, False, True]
    assert passes(pa.array([True, False, None]), 1) == [True, False, False]
    assert passes(pa.array([True, False, None]), (0, 1)) == [True, True, False]
    assert passes(pa.array(["a", "", None]), "") == [False, True, False]
    assert passes(pa.array([date(2024, 1, 1), date(2025, 1, 1), None]), (date(2024, 6, 1), None)) == [
        False,
        True,
        False,
    ]
    assert passes(pa.array([datetime(2024, 1, 1, 5)], pa.timestamp("ns")), (None, date(2024, 1, 1))) == [False]
    assert passes(pa.array([], pa.int64()), 1) == []
