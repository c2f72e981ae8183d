"""The error that he.sum and he.mean state covers every rounding on the way: grid, encryption, the final float."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import he
from privsdk.errors import DataError, InvalidArgument

COLUMNS: dict[str, list[list[Any]]] = {
    "real": [[0.4, 0.25, None], [2.4, -1e-9], [0.3]],
    "long": [[1e15 + 0.125], [-1e15], [1e15 + 0.375]],
    "whole": [[2**53 + 1, None, 5], [7], [2**53]],
    "flag": [[True, False, True], [None, True], [False]],
}
TYPES = {"real": pa.float64(), "long": pa.float64(), "whole": pa.int64(), "flag": pa.bool_()}
ZEROS = [0] * 10  # in each column of each party, so that the minimum count is met


@pytest.fixture
def shops() -> Iterator[ps.Federation]:
    tables = {}
    for i, party in enumerate(("north", "south", "east")):
        longest = max(len(values[i]) for values in COLUMNS.values())
        padded = {name: values[i] + [None] * (longest - len(values[i])) for name, values in COLUMNS.items()}
        tables[party] = pa.table(
            {
                name: pa.array(v + pa.array(ZEROS).cast(TYPES[name]).to_pylist(), TYPES[name])
                for name, v in padded.items()
            }
        )
    with ps.embedded({**tables, "notary": {}}, store=None, quiet=True) as federation:
        yield federation


@pytest.mark.parametrize(
    ("column", "options"),
    [
        ("real", {}),
        ("real", {"resolution": 1.0}),
        ("real", {"resolution": 0.3}),
        ("real", {"preset": "ckks", "bound": 10.0}),
        ("real", {"preset": "ckks", "bound": 10.0, "resolution": 1.0}),
        ("long", {"bound": 1e17, "resolution": 0.01}),
        ("whole", {"bound": 2.0**60}),
        ("whole", {"bound": 2.0**60, "resolution": 4.0}),
        ("flag", {}),
    ],
)
def test_the_stated_error_covers_the_difference(shops: ps.Federation, column: str, options: dict[str, Any]) -> None:
    values = [Fraction(v) for party in COLUMNS[column] for v in party + ZEROS if v is not None]
    total = he.sum(shops.tables("table"), column, **options).release().value
    assert abs(Fraction(total.value) - sum(values)) <= Fraction(total.error)
    mean = he.mean(shops.tables("table"), column, max_rows=1000, **options).release().value
    assert abs(Fraction(mean.value) - sum(values) / len(values)) <= Fraction(mean.error)
    assert mean.count == len(values)


def test_small_integers_have_no_error(shops: ps.Federation) -> None:
    total = he.sum(shops.tables("table"), "flag").release().value
    assert (total.value, total.error) == (3.0, 0.0)


def test_fewer_values_than_the_minimum_count_are_refused() -> None:
    enough, few = pa.table({"x": [1.0] * 12}), pa.table({"x": [1.0] * 9 + [None] * 9})
    with ps.embedded(north=enough, south=few, notary={}, store=None, quiet=True) as federation:
        for verb in (he.sum, he.mean):
            with pytest.raises(DataError, match="south has fewer values in x than its minimum count of 10"):
                verb(federation.tables("table"), "x").release()


def test_a_total_beyond_the_bound_is_refused(shops: ps.Federation) -> None:
    with pytest.raises(DataError, match="exceeds the declared bound of 1"):
        he.sum(shops.tables("table"), "real", bound=1.0).release()
    for bound in (float("inf"), float("nan"), 0.0, -1.0):
        with pytest.raises(InvalidArgument):
            he.sum(shops.tables("table"), "real", bound=bound)
