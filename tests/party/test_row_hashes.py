"""Hashes of rows: by what they hold, the same wherever and whenever; distinct for what is distinct."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk.party.row_hashes import RowHash, digest_of, hashes_of

TEXTS = st.text(max_size=40) | st.binary(max_size=40).map(lambda octets: octets.hex() * 3)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        st.none() | TEXTS,
        st.none() | st.floats(allow_nan=False),
        st.none() | st.booleans(),
        st.none() | st.decimals(-100, 100, places=2),
    ),
    min_size=1,
    max_size=30,
)
SCHEMA = pa.schema([("n", "int64"), ("t", "string"), ("x", "float64"), ("b", "bool"), ("d", pa.decimal128(9, 2))])


def of(table: pa.Table) -> list[int]:
    return hashes_of(table, RowHash.WORDS).tolist()


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows), SCHEMA)], schema=SCHEMA)  # noqa: B905


@pytest.mark.claim("differencing: rows have one hash exactly where they hold the same, whatever is beside them")
@given(ROWS, st.integers(1, 7))
def test_rows_have_one_hash_where_they_hold_the_same(rows: list[tuple[Any, ...]], size: int) -> None:
    table = table_of(rows)
    pieces = pa.concat_tables([table.slice(start, size) for start in range(0, len(rows), size)])
    assert of(pieces) == of(table)
    assert digest_of(pieces) == digest_of(table)
    assert [of(table.slice(n, 1))[0] for n in range(len(rows))] == of(table)
    plain = [tuple(0.0 if value == 0 and isinstance(value, float) else value for value in row) for row in rows]
    assert len(set(of(table))) == len({tuple((type(value), value) for value in row) for row in plain})
    assert digest_of(table.slice(0, 0)) != digest_of(table)


def test_they_are_what_they_were() -> None:
    """Of every ledger: known answers."""
    rows = [(1, "north", 0.5, True, Decimal("1.50")), (None, None, None, None, None), (-1, "a" * 30, -0.0, False, None)]
    assert of(table_of(rows)) == KNOWN


KNOWN = [0x02B346049C10440B, 0xA23003F83D38CCF7, 0x37D03E122171C7C2]


@pytest.mark.parametrize(
    ("column", "same"),
    [
        (pa.array([1, None, 3], pa.int8()), pa.array([1, None, 3], pa.int64())),
        (pa.array([0.5, None, np.nan], pa.float16()), pa.array([0.5, None, -np.nan], pa.float64())),
        (pa.array(["a", None, ""], pa.string()), pa.array(["a", None, ""], pa.large_string())),
        (pa.array([True, None, False]), pa.array([1, None, 0], pa.uint16())),
    ],
)
def test_the_width_of_a_type_changes_nothing(column: pa.Array, same: pa.Array) -> None:
    assert of(pa.table({"x": column})) == of(pa.table({"y": same}))
    assert len(set(of(pa.table({"x": column})))) == 3


def test_a_digest_tells_texts_apart_that_are_one_when_joined() -> None:
    tables = [pa.table({"x": texts}) for texts in (["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None])]
    assert len({digest_of(table) for table in tables}) == 4
