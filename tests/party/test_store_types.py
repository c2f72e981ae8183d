"""Text of any Arrow type is plain text to every operation, as frames of other libraries bring views and categories."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import privsdk as ps
from privsdk import dp, psi
from privsdk.party.tables import Store

TEXTS: dict[str, Callable[[], Any]] = {
    "string": pa.string,
    "large_string": pa.large_string,
    "string_view": pa.string_view,
    "dictionary": lambda: pa.dictionary(pa.int32(), pa.string()),
    "dictionary of large_string": lambda: pa.dictionary(pa.uint8(), pa.large_string()),
}


def test_polars_categories_and_empty_columns_are_plain_too() -> None:
    frame = pl.DataFrame({"g": ["a", None, "b"]}, schema={"g": pl.Categorical})
    store = Store("north", {"full": frame, "empty": frame.clear()})
    assert store.read("full", ("g",)).column("g").to_pylist() == ["a", None, "b"]
    assert store.schema("full").field("g").type == store.schema("empty").field("g").type == pa.large_string()
    empty = pa.chunked_array([], pa.dictionary(pa.int8(), pa.string_view()))
    assert Store("north", {"none": pa.table({"g": empty})}).schema("none").field("g").type == pa.large_string()


@pytest.mark.parametrize("kind", TEXTS)
def test_text_of_any_arrow_type_joins_groups_and_labels(kind: str) -> None:
    ids, groups = [f"k{n}" for n in range(40)], ["a", "b", "a", "b"] * 10
    wanted = TEXTS[kind]()

    def column(values: list[str]) -> Any:
        encoded = pa.array(values)
        return encoded.dictionary_encode().cast(wanted) if "dictionary" in kind else encoded.cast(wanted)

    typed = pa.table({"id": column(ids), "g": column(groups), "x": list(range(40))})
    with ps.embedded(north=typed, south=pa.table({"id": ids}), store=None, quiet=True) as fed:
        joint = psi.join(fed["north"]["table"], fed["south"]["table"], on="id").release().value
        assert joint.size == 40
        counted = joint["north"].mean("x", by="g").release().value
        assert counted.to_pydict() == {"g": ["a", "b"], "count": [20, 20], "mean": [19.0, 20.0]}
        noisy = dp.count(fed["north"]["table"], by="g", keys=["a", "b", "c"], epsilon=1).release().value
        assert noisy.column("g").to_pylist() == ["a", "b", "c"]


OTHERS: dict[str, tuple[pa.Array, pa.DataType, list[Any]]] = {
    "uuid": (
        pa.array([UUID(int=5).bytes, None], pa.uuid()),
        pa.large_string(),
        ["00000000-0000-0000-0000-000000000005", None],
    ),
    "json": (pa.array(['{"a": 1}', None], pa.json_()), pa.string(), ['{"a": 1}', None]),
    "bool8": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([2, None], pa.int8())), pa.bool_(), [True, None]),
    "decimal32": (pa.array([Decimal("1.50")], pa.decimal32(5, 2)), pa.decimal128(5, 2), [Decimal("1.50")]),
    "decimal64": (pa.array([Decimal("1.50")], pa.decimal64(12, 2)), pa.decimal128(12, 2), [Decimal("1.50")]),
    "run ends": (pc.run_end_encode(pa.array([7, 7, 8])), pa.int64(), [7, 7, 8]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_types_are_what_they_stand_for(kind: str) -> None:
    column, type_, values = OTHERS[kind]
    store = Store("north", {"t": pa.table({"x": column, "n": range(len(column))})})
    assert store.schema("t").field("x").type == type_
    assert store.read("t", ("x",)).column("x").to_pylist() == values
    assert len(store.hashes("t", ("x", "n"))) == len(column)


def test_a_slice_of_uuids() -> None:
    ids = [UUID(int=n) for n in range(5)]
    column = pa.array([each.bytes for each in ids], pa.uuid()).slice(2, 2)
    held = Store("north", {"t": pa.table({"x": column})}).read("t", ("x",)).column("x")
    assert held.to_pylist() == [str(each) for each in ids[2:4]]


def test_rows_with_decimals_of_any_size_are_told_apart() -> None:
    column = pa.array([Decimal(10**60), Decimal(10**60 + 1)], pa.decimal256(61, 0))
    assert len(set(Store("north", {"t": pa.table({"x": column})}).hashes("t", ("x",)).tolist())) == 2


HALVES = pa.array(np.array([0, 1], np.float16))
LARGE = pa.array([Decimal(10**60), Decimal(10**60 + 1)], pa.decimal256(61, 0))
NESTED = [
    *(pa.ListArray.from_arrays([0, 1, 2], each) for each in (HALVES, LARGE)),
    *(pa.StructArray.from_arrays([each], ["a"]) for each in (HALVES, LARGE)),
    pa.FixedSizeListArray.from_arrays(HALVES, 1),
    pa.MapArray.from_arrays([0, 1, 2], pa.array(["a", "a"]), LARGE),
    pa.array([Decimal(1200), Decimal(100)], pa.decimal128(5, -2)),
    pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["1"])]
    ),
]


@pytest.mark.parametrize("column", NESTED, ids=lambda column: str(column.type))
def test_rows_that_differ_in_a_nested_column_are_told_apart(column: pa.Array) -> None:
    held = pa.concat_tables([pa.table({"x": column})] * 2)
    hashes = Store("north", {"t": held}).hashes("t", ("x",)).tolist()
    assert hashes[:2] == hashes[2:]
    assert len(set(hashes)) == 2


def test_views_of_lists_and_extensions_are_what_they_stand_for() -> None:
    rows = [[1, 2], None, [], [3]]
    for view in (pa.list_view(pa.int8()), pa.large_list_view(pa.int8())):
        for at in range(len(rows)):
            held = Store("north", {"t": pa.table({"x": pa.array(rows, view).slice(at)})}).read("t", ("x",))
            assert held.schema.field("x").type == pa.large_list(pa.int8())
            assert held["x"].to_pylist() == rows[at:]
    points = pa.opaque(pa.binary(), "point", "gis").wrap_array(pa.array([b"a", None]))
    assert Store("north", {"t": pa.table({"x": points})}).read("t", ("x",))["x"].to_pylist() == [b"a", None]
