"""Numeric columns as NumPy arrays: decimals by their digits, and the nearest floats, as Python has them."""

from __future__ import annotations

import random
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from privsdk.protocol.columns.numbers import places, reals, unscaled

TYPES = [
    pa.decimal128(5, 2),
    pa.decimal128(18, 6),
    pa.decimal128(38, 20),
    pa.decimal128(38, 0),
    pa.decimal128(20, -3),
    pa.decimal256(60, 25),
]


def decimals(type_: pa.DataType, rows: int, seed: int) -> list[Decimal | None]:
    """Of every length, both signs and the ends."""
    draw, most = random.Random(seed), 10**type_.precision - 1
    whole = [draw.randint(-(10**n), 10**n) for n in draw.choices(range(type_.precision), k=rows)]
    exact = Context(prec=100)
    return [None, *(Decimal(n).scaleb(-type_.scale, exact) for n in [0, most, -most, *whole])]


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_decimals_are_their_digits_and_the_nearest_floats(type_: pa.DataType) -> None:
    given = decimals(type_, 400, seed=7)
    column = pa.chunked_array([pa.array(given[:50], type_), pa.array(given[50:], type_).slice(3)])
    values = [value for value in given[:50] + given[53:] if value is not None]
    whole = unscaled(column.drop_null())
    assert whole.tolist() == [int(Fraction(value) * Fraction(10) ** type_.scale) for value in values]
    assert whole.dtype == (np.int64 if type_.precision <= 18 else object)
    found = reals(column)
    assert np.isnan(found).tolist() == column.is_null().to_pylist()
    assert found[~np.isnan(found)].tolist() == [float(value) for value in values]


def test_columns_without_rows_are_empty() -> None:
    assert len(unscaled(pa.chunked_array([], pa.decimal256(60, 2)))) == 0
    assert reals(pa.chunked_array([], pa.decimal128(6, 2))).tolist() == []


def test_the_last_place_is_the_finest_of_all() -> None:
    assert places(["int8", "decimal128(9, 2)", "decimal256(60, 4)", "bool", "null"]) == 4
    assert places(["decimal128(9, -2)", "uint64"]) == 0
    assert places(["decimal128(9, 2)", "float"]) is None
    assert places(["string"]) is None
