"""Text of any Arrow type is plain text to every operation, as frames of other libraries bring views and categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa
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
