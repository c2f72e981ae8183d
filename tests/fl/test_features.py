"""Features: what columns become, missing values, clipping, lists, and declarations that are refused."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk.errors import DataError, InvalidArgument
from privsdk.fl import Standardised, Vector
from privsdk.fl.models.features import Categories, Feature, Ranged, Scale, features_of, inputs, parts
from privsdk.protocol.columns.numbers import reals


def made(declared: dict[str, Any], columns: dict[str, Any], **scales: Scale) -> list[list[float]]:
    x = inputs(features_of(declared), pa.table(columns), scales, party="north")
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    return x.tolist()  # type: ignore[no-any-return]


def same(found: list[list[float]], wanted: list[list[float]]) -> None:
    assert np.array_equal(np.array(found), np.array(wanted), equal_nan=True)


NAN = math.nan


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.0, 5.0, 10.0, -3.0, math.inf, -math.inf, None, NAN], [-1, 0, 1, -1, 1, -1, NAN, NAN]),
        (pa.array([0, 5, None, 200], pa.uint8()), [-1, 0, NAN, 1]),
        (pa.array([0, 2**64 - 1], pa.uint64()), [-1, 1]),
        (pa.array([0.0, 2.5], pa.float16()), [-1, -0.5]),
        (pa.array([True, False, None]), [-0.8, -1, NAN]),
        (pa.array([Decimal("2.5"), None, Decimal("7.5")], pa.decimal128(5, 1)), [-0.5, NAN, 0.5]),
        (pa.chunked_array([[1.0], [], [9.0, None]]), [-0.8, 0.8, NAN]),
        (pa.nulls(2), [NAN, NAN]),
    ],
)
def test_ranged(values: Any, wanted: list[float]) -> None:
    same(made({"a": (0, 10)}, {"a": values}), [[np.float32(each)] for each in wanted])


def test_ranges_keep_their_precision_far_from_zero() -> None:
    values = 1e9 + np.linspace(0, 1, 11)
    x = np.array(made({"a": (1e9, 1e9 + 1)}, {"a": values}))[:, 0]
    assert x == pytest.approx(np.linspace(-1, 1, 11), abs=1e-6)


def test_standardised_by_scale_after_clipping() -> None:
    columns = {"a": [0.0, 4.0, 12.0, None]}
    same(made({"a": Standardised(0, 10)}, columns, a=Scale(4.0, 2.0)), [[-2.0], [0.0], [3.0], [NAN]])
    same(made({"a": Standardised(0, 10)}, columns), [[-1.0], [np.float32(-0.2)], [1.0], [NAN]])
    same(made({"a": Standardised(0, 10)}, columns, a=Scale(4.0, 0.0)), [[0.0], [0.0], [0.0], [NAN]])


@pytest.mark.parametrize(
    ("categories", "column"),
    [
        (["AA", "UA"], ["UA", "AA", "DL", None]),
        ([1, 2, 7], pa.array([2, 1, 3, None], pa.int16())),
        ([1, 2, 7], pa.array([2, 1, 2**64 - 1, None], pa.uint64())),
        (["AA", "UA"], pa.array(["UA", "AA", "DL", None], pa.large_string())),
    ],
)
def test_categories_are_one_hot_and_others_zero(categories: list[Any], column: Any) -> None:
    width = len(categories)
    hot = np.eye(width)
    same(made({"c": categories}, {"c": column}), [list(hot[1]), list(hot[0]), [0.0] * width, [NAN] * width])


@given(
    st.lists(st.one_of(st.none(), st.sampled_from("abcdé")), max_size=20),
    st.lists(st.sampled_from("abcdé"), min_size=1, max_size=5, unique=True),
)
def test_one_hot_is_equality_with_each_category(values: list[str | None], categories: list[str]) -> None:
    wanted = [[NAN if v is None else float(v == c) for c in categories] for v in values]
    found = made({"c": categories}, {"c": pa.array(values, pa.string())})
    assert len(found) == len(values)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, wanted, strict=True))


LISTS = [[0, 255], None, [51, 102], [300, None]]
WANTED = [[0.0, 1.0], [NAN, NAN], [0.2, 0.4], [1.0, NAN]]


@pytest.mark.parametrize(
    "type_",
    [
        pa.list_(pa.float32(), 2),
        pa.list_(pa.uint16(), 2),
        pa.list_(pa.float64()),
        pa.large_list(pa.int64()),
        pa.list_(pa.float16(), 2),
    ],
)
@pytest.mark.parametrize("chunked", ["whole", "sliced", "chunks"])
def test_vectors_are_scaled_lists(type_: pa.DataType, chunked: str) -> None:
    column: Any = pa.array(LISTS, type_)
    if chunked == "sliced":
        column = pa.array([[9, 9], None, *LISTS, [7, 7]], type_).slice(2, 4)
    elif chunked == "chunks":
        column = pa.chunked_array([column.slice(0, 1), column.slice(1, 0), column.slice(1, 1), column.slice(2)])
    found = np.array(made({"v": Vector(2)}, {"v": column}))
    assert np.allclose(found, WANTED, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("type_", [pa.float64(), pa.int64(), pa.uint32()])
def test_vectors_keep_their_precision_far_from_zero(type_: pa.DataType) -> None:
    column = pa.array([[4_000_000_000, 4_000_000_001, 4_000_000_004]], pa.list_(type_))
    same(made({"v": Vector(3, 4e9, 4e9 + 4)}, {"v": column}), [[0.0, 0.25, 1.0]])


def test_a_vector_column_of_nulls_alone() -> None:
    column = pa.array([None, None], pa.list_(pa.float32(), 3))
    same(made({"v": Vector(3)}, {"v": column}), [[NAN] * 3] * 2)


def test_features_stand_side_by_side_in_their_order() -> None:
    declared = {"c": ["x", "y"], "a": (0, 1), "v": Vector(2, 0, 1), "s": Standardised(0, 2)}
    columns = {"a": [1.0], "c": ["y"], "s": [2.0], "v": pa.array([[0.0, 0.5]], pa.list_(pa.float32(), 2))}
    same(made(declared, columns, s=Scale(1.0, 0.5)), [[0, 1, 1, 0, 0.5, 2]])
    features = features_of(declared)
    names = [name for column, feature in features.items() for name in feature.names(column)]
    assert names == ["c=x", "c=y", "a", "v[0]", "v[1]", "s"]
    widths = [(name, part.shape[1]) for name, _, part in parts(features, np.zeros((3, 6), np.float32))]
    assert widths == [("c", 2), ("a", 1), ("v", 2), ("s", 1)]


@pytest.mark.parametrize(
    ("declared", "column", "reason"),
    [
        ((0, 1), ["4711", "b"], "north's f is string, which is not numeric"),
        (Standardised(0, 1), pa.array([4711, 1], pa.timestamp("s")), r"north's f is timestamp\[s\]"),
        (["a", "b"], [4711, 2], "north's f is int64; its keys are of str"),
        ([1, 2, 3], ["4711", "2"], "north's f is string; its keys are of int"),
        (Vector(2), [4711, 2], "north's f is int64, which is not list of numbers"),
        (Vector(2), [["4711"], ["2"]], "which is not list of numbers"),
        (Vector(2), [[4711, 1], [1, 2, 3]], "north's f holds lists of other lengths than 2"),
        (Vector(2), pa.array([[4711, 1, 2]], pa.list_(pa.int32(), 3)), "north's f holds lists of other lengths than 2"),
    ],
)
def test_columns_that_are_not_what_was_declared_are_an_error_without_the_value(
    declared: Any, column: Any, reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        made({"f": declared}, {"f": column})
    assert "4711" not in str(raised.value)


@pytest.mark.parametrize(
    "declared",
    [
        {}, [], None, {"x": (1.0, 1.0)}, {"x": (2.0, 1.0)}, {"x": (0.0, math.inf)}, {"x": (math.nan, 1.0)},
        {"x": (-1e308, 1e308)}, {"x": (0, 1, 2)}, {"x": (0,)}, {"x": ("a", "b")}, {"x": [0, 5000]}, {"x": [0.0, 1.0]},
        {"x": []}, {"x": ["a", "a"]}, {"x": ["a", 1]}, {"x": [0.5, 1.5, 2.5]}, {"x": "ab"}, {"x": 5}, {"x": None},
        {"x": (True, False)}, {"x": [2**63, 1, 2]},
    ],
)  # fmt: skip
def test_declarations_that_cannot_be_used_are_refused(declared: Any) -> None:
    with pytest.raises(InvalidArgument):
        features_of(declared)


@pytest.mark.parametrize(
    "bad", [lambda: Standardised(1, 1), lambda: Vector(0), lambda: Vector(2**21), lambda: Vector(3, 5, 4)]
)
def test_features_that_cannot_be_used_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument):
        bad()


def test_a_list_of_two_numbers_is_no_range_and_the_error_says_what_is() -> None:
    with pytest.raises(InvalidArgument, match="feature 'x'") as raised:
        features_of({"x": [0, 5000]})
    assert "a range is a tuple" in str(raised.value)


def test_declarations_survive_a_request() -> None:
    declared = features_of({"a": (np.int64(0), np.float32(2)), "c": ["x", "é"], "i": np.array([1, 2, 3]).tolist(),
                            "s": Standardised(0, 5), "v": Vector(4, 0, 1)})  # fmt: skip
    sent = msgspec.json.decode(msgspec.json.encode(declared, order="sorted"), type=dict[str, Feature])
    assert sent == declared
    assert declared["a"] == Ranged(0.0, 2.0)
    assert declared["c"] == Categories(("x", "é"))


def test_types_fix_lengths_before_anything_is_read() -> None:
    Vector(3).check_type("north/t.v", str(pa.list_(pa.float32(), 3)))
    Vector(3).check_type("north/t.v", str(pa.list_(pa.float32())))
    with pytest.raises(InvalidArgument, match=r"north/t\.v has lists of 4, not of 3"):
        Vector(3).check_type("north/t.v", str(pa.list_(pa.float32(), 4)))


def test_numbers_of_nulls_are_nan() -> None:
    assert np.array_equal(reals(pa.chunked_array([[True, None]])), [1.0, NAN], equal_nan=True)
