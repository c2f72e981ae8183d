"""Keys have equal encodings exactly where their values are equal, and nulls have none.

The oracle is DuckDB where it knows the type, else Python's own equality.
"""

from __future__ import annotations

import datetime
import itertools
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from privsdk.errors import DataError, InvalidArgument
from privsdk.psi.keys import normalise
from privsdk.psi.keys.distinct import DistinctKeys, distinct_keys

LOW, HIGH = -(2**63), 2**64 - 1
DAY_ONE = datetime.date(1970, 1, 1)
INTEGERS = [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]
STRINGS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
BINARIES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3), pa.dictionary(pa.uint16(), pa.binary())]
DECIMALS = [
    pa.decimal32(5, 1), pa.decimal64(15, 4), pa.decimal128(20, 0), pa.decimal128(30, 10), pa.decimal128(12, -2),
    pa.decimal256(70, 12), pa.decimal256(76, 70),
]  # fmt: skip

LARGE = {"string_view": pa.large_string(), "binary_view": pa.large_binary()}

strings = st.sampled_from(["", "a", "A", "a\0", "\0a", "é", "e\u0301", "1", "01", "\U0001f600"]) | st.text(max_size=5)
integers = st.sampled_from([LOW, LOW + 1, -1, 0, 1, 255, 256, 2**63 - 1, 2**63, HIGH]) | st.integers(LOW, HIGH)
binaries = st.binary(max_size=4) | st.binary(min_size=3, max_size=3)
dates = st.sampled_from([-1, 0, 1, -719162, 2932896]).map(lambda n: DAY_ONE + datetime.timedelta(n)) | st.dates()
decimals = st.sampled_from(["0", "-0", "0.0", "1.5", "-1.5", "15", "150", "1500", "0.0001", "-100"]).map(
    Decimal
) | st.decimals(-99999, 99999, places=4)
FAMILIES: dict[str, tuple[st.SearchStrategy[Any], list[pa.DataType]]] = {
    "string": (strings, STRINGS),
    "integer": (integers, INTEGERS),
    "binary": (binaries, BINARIES),
    "date": (dates, [pa.date32(), pa.date64(), pa.dictionary(pa.int32(), pa.date32())]),
    "decimal": (decimals, DECIMALS),
}
family_names = st.sampled_from(sorted(FAMILIES))


def fits(value: Any, type_: pa.DataType) -> bool:
    try:
        return bool(pa.array([value], type_)[0].as_py() == value)
    except (pa.ArrowInvalid, OverflowError):
        return False


@st.composite
def columns(draw: st.DrawFn, family: str, rows: int) -> pa.ChunkedArray:
    """So many rows of any type of a family, in one or two chunks that are slices of longer arrays."""
    values, types = FAMILIES[family]
    type_ = draw(st.sampled_from(types))
    plain = type_.value_type if pa.types.is_dictionary(type_) else type_
    held = [value for value in draw(st.lists(values, max_size=8)) if fits(value, plain)]
    drawn = draw(st.lists(st.sampled_from([*held, None]), min_size=rows, max_size=rows))
    cut, before, after = draw(st.tuples(st.integers(0, rows), st.integers(0, 3), st.integers(0, 3)))
    chunks = []
    for part in (drawn[:cut], drawn[cut:]):
        padded = pa.array([*(held or [None])[:1] * before, *part, *(held or [None])[-1:] * after], plain)
        if pa.types.is_dictionary(type_):
            padded = repeated_dictionary(padded, type_)
        chunks.append(padded.slice(before, len(part)))
    return pa.chunked_array([chunk for chunk in chunks if len(chunk)] or chunks[:1], type_)


def repeated_dictionary(array: pa.Array, type_: pa.DictionaryType) -> pa.Array:
    """A dictionary array whose dictionary is the array twice over, and null, which a dictionary may be."""
    entries = pa.concat_arrays([array, array, pa.nulls(1, array.type)])
    indices = [
        2 * len(array) if n % 3 == 2 and not array[n].is_valid else n + n % 2 * len(array) for n in range(len(array))
    ]
    return pa.DictionaryArray.from_arrays(pa.array(indices, type_.index_type), entries)


def row_keys(keys: DistinctKeys) -> list[bytes | None]:
    """Of each row the encoding, None where it has no key."""
    encodings = [*keys.encoded.to_pylist(), None]
    return [encodings[code] for code in keys.codes]


def row_values(parts: Sequence[pa.ChunkedArray]) -> list[tuple[Any, ...] | None]:
    """Of each row what Python holds of it, None where anything is null."""
    rows = zip(*(part.to_pylist() for part in parts), strict=True)
    return [None if None in row else row for row in rows]


def check_consistent(keys: DistinctKeys, parts: Sequence[pa.ChunkedArray]) -> None:
    """What holds of any key: distinct, in the order of first rows, and all rows come back from their keys."""
    encodings = keys.encoded.to_pylist()
    assert keys.encoded.type == pa.large_binary()
    assert keys.encoded.null_count == 0
    assert len(set(encodings)) == len(encodings) == keys.size == keys.values.num_rows
    assert keys.codes.dtype == np.int64
    assert list(dict.fromkeys(code for code in keys.codes.tolist() if code >= 0)) == list(range(keys.size))
    assert keys.values.schema.types == [LARGE.get(str(part.type), part.type) for part in parts]
    first = {code: row for row, code in reversed(list(enumerate(keys.codes.tolist())))}
    held = row_values(keys.values.columns)
    assert held == [row_values(parts)[first[number]] for number in range(keys.size)]
    rows, joint = keys.rows_of(np.arange(keys.size)[::-1])
    assert sorted(rows.tolist()) == [row for row, code in enumerate(keys.codes.tolist()) if code >= 0]
    assert [keys.size - 1 - code for code in keys.codes[rows].tolist()] == joint.tolist()


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_encodings_are_equal_exactly_where_values_are(family: str, data: st.DataObject) -> None:
    left, right = (data.draw(columns(family, data.draw(st.integers(0, 8)))) for _ in range(2))
    sides = [distinct_keys(left), distinct_keys(right)]
    assert {side.kind for side in sides} == {family}
    check_consistent(sides[0], [left])
    encodings = row_keys(sides[0]) + row_keys(sides[1])
    values = row_values([left]) + row_values([right])
    for (one, a), (other, b) in itertools.combinations(zip(encodings, values, strict=True), 2):
        assert (one is not None and one == other) == (a is not None and a == b)
    assert [encoding is None for encoding in encodings] == [value is None for value in values]


@given(data=st.data())
def test_keys_of_several_columns_match_where_every_column_does(data: st.DataObject) -> None:
    families = data.draw(st.lists(family_names, min_size=2, max_size=4))
    sides = [
        [data.draw(columns(family, rows)) for family in families]
        for rows in data.draw(st.tuples(*[st.integers(0, 8)] * 2))
    ]
    keys = [distinct_keys(parts) for parts in sides]
    assert {each.kind for each in keys} == {" + ".join(families)}
    check_consistent(keys[0], sides[0])
    encodings = row_keys(keys[0]) + row_keys(keys[1])
    values = row_values(sides[0]) + row_values(sides[1])
    for (one, a), (other, b) in itertools.combinations(zip(encodings, values, strict=True), 2):
        assert (one is not None and one == other) == (a is not None and a == b)
    assert [encoding is None for encoding in encodings] == [value is None for value in values]


@given(st.lists(strings, min_size=2, max_size=2), st.lists(strings, min_size=2, max_size=2))
@example(["a", "bc"], ["ab", "c"])
@example(["", "a"], ["a", ""])
@example(["a\0\0\0\0\0\0\0\1b", "c"], ["a", "b\0\0\0\0\0\0\0\1c"])
def test_no_two_keys_share_bytes_by_where_a_column_ends(left: list[str], right: list[str]) -> None:
    one, other = (distinct_keys([pa.array([a]), pa.array([b])]).encoded[0].as_py() for a, b in (left, right))
    assert (one == other) == (left == right)


@given(st.data())
def test_matches_are_those_of_duckdb(data: st.DataObject) -> None:
    """DuckDB knows neither views nor decimals of 256 bits, and unsigned keys meet signed ones in it as HUGEINT."""
    known = [f for f in FAMILIES if f != "integer"]
    families = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
    sides = [[data.draw(columns(family, 6)) for family in families] for _ in range(2)]
    casts = {"string": "VARCHAR", "binary": "BLOB", "date": "DATE", "decimal": "DECIMAL(38, 12)"}
    tables = [
        pa.table([duckable(part) for part in parts], names=[f"c{n}" for n in range(len(parts))]) for parts in sides
    ]
    same = " AND ".join(f"l.c{n}::{casts[f]} = r.c{n}::{casts[f]}" for n, f in enumerate(families))
    with duckdb.connect() as connection:
        for name, table in zip("lr", tables, strict=True):
            connection.register(name, table.append_column("row", pa.array(range(6))))
        expected = set(connection.execute(f"SELECT l.row, r.row FROM l JOIN r ON {same}").fetchall())  # noqa: S608
    left, right = (row_keys(distinct_keys(parts)) for parts in sides)
    found = {(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if a is not None and a == b}
    assert found == expected


def duckable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in types that DuckDB reads: through Python, not through the code under test."""
    values = column.to_pylist()
    if any(isinstance(value, Decimal) for value in values):
        short = [None if value is None else Decimal(format(value.normalize(), "f")) for value in values]
        return pa.chunked_array([pa.array(short, pa.decimal128(38, 12))])
    return (
        pa.chunked_array([pa.array(values)])
        if any(v is not None for v in values)
        else pa.chunked_array([pa.nulls(len(values), pa.int32())])
    )


@pytest.mark.parametrize(
    ("column", "encoding"),
    [
        (pa.array(["zoë"]), "zoë".encode()),
        (pa.array([b"\0\xff"]), b"\0\xff"),
        (pa.array([-1], pa.int8()), b"\xff" * 8),
        (pa.array([2**63 - 1], pa.uint64()), struct.pack(">q", 2**63 - 1)),
        (pa.array([2**63], pa.uint64()), b"\0\x80" + bytes(7)),
        (pa.array([HIGH], pa.uint64()), b"\0" + b"\xff" * 8),
        (pa.array([DAY_ONE + datetime.timedelta(-2)]), struct.pack(">q", -2)),
        (pa.array([86_400_000 * 3 + 5], pa.int64()).view(pa.date64()), struct.pack(">q", 3)),
        (pa.array([-1], pa.int64()).view(pa.date64()), struct.pack(">q", -1)),
        (pa.array([2**62], pa.int64()).view(pa.date64()), struct.pack(">q", 2**62 // 86_400_000)),
        (pa.array([Decimal("1.500")]), b"15e-1"),
        (pa.array([Decimal("-1500")]), b"-15e2"),
        (pa.array([Decimal("-0.00")]), b"0"),
        (pa.array([Decimal("1e-70")], pa.decimal256(76, 75)), b"1e-70"),
        (pa.array([Decimal("-" + "9" * 76)], pa.decimal256(76, 0)), b"-" + b"9" * 76 + b"e0"),
    ],
)
def test_encodings_are_these(column: pa.Array, encoding: bytes) -> None:
    """Both parties' versions must agree on them, so they do not change."""
    assert distinct_keys(column).encoded.to_pylist() == [encoding]


def test_the_encoding_of_several_columns_is_this() -> None:
    keys = distinct_keys(pa.table({"name": ["ab"], "n": pa.array([1], pa.int16())}))
    assert keys.encoded.to_pylist() == [struct.pack(">q", 2) + b"ab" + struct.pack(">qq", 8, 1)]


def test_large_unsigned_integers_are_not_negative_ones() -> None:
    unsigned = distinct_keys(pa.array([2**63, HIGH, 5, HIGH, None], pa.uint64()))
    signed = distinct_keys(pa.array([LOW, -1, 5], pa.int64()))
    assert set(unsigned.encoded.to_pylist()) & set(signed.encoded.to_pylist()) == {struct.pack(">q", 5)}
    assert unsigned.codes.tolist() == [0, 1, 2, 1, -1]


def test_a_null_in_any_column_is_no_key() -> None:
    keys = distinct_keys([pa.array(["a", "a", None, None, "a"]), pa.array([1, None, 1, None, 1])])
    assert keys.codes.tolist() == [0, -1, -1, -1, 0]
    assert keys.values.to_pylist() == [{"key column 1": "a", "key column 2": 1}]
    assert keys.rows_of(np.array([0]))[0].tolist() == [0, 4]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [0, 3])
def test_a_column_without_values_has_no_keys(family: str, rows: int) -> None:
    for type_ in FAMILIES[family][1]:
        for column in (pa.nulls(rows, type_), pa.chunked_array([pa.nulls(rows, type_)] if rows else [], type_)):
            keys = distinct_keys([column, column])
            assert (keys.size, keys.kind, keys.codes.tolist()) == (0, f"{family} + {family}", [-1] * rows)
            assert distinct_keys(column).size == 0


def test_dictionary_entries_of_no_row_are_no_keys() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([3, 1, None, 0], pa.int8()), pa.array(["a", "b", "c", "a"]))
    keys = distinct_keys(column)
    assert keys.encoded.to_pylist() == [b"a", b"b"]
    assert keys.codes.tolist() == [0, 1, -1, 0]
    assert distinct_keys(column[1:3]).encoded.to_pylist() == [b"b"]


def test_many_columns_of_many_values_stay_apart() -> None:
    """256 values in each of 12 columns: numbered in 64 bits together, the first four columns would not count."""
    each = np.arange(256)
    columns = [np.concatenate([each, np.roll(each, 1) if place == 0 else each, each]) for place in range(12)]
    keys = distinct_keys([pa.array(column) for column in columns])
    assert keys.size == 512
    assert keys.codes.tolist() == [*range(512), *range(256)]


@pytest.mark.parametrize("rows", [7, 200_000])
def test_repeats_among_integers_are_found(rows: int) -> None:
    """Also one that a sample of the column misses."""
    values = np.random.default_rng(0).permutation(10 * rows)[:rows]
    assert distinct_keys(pa.array(values)).codes.tolist() == list(range(rows))
    values[-1] = values[1]
    keys = distinct_keys(pa.array(values))
    assert keys.codes.tolist() == [*range(rows - 1), 1]
    assert keys.size == rows - 1


def test_ids_of_any_length() -> None:
    long = "x" * 3_000_000
    keys = distinct_keys([pa.array([long, long + "y", long, ""]), pa.array([1, 1, 1, 1])])
    assert keys.codes.tolist() == [0, 1, 0, 2]
    assert distinct_keys(pa.array([long])).encoded.to_pylist() == [long.encode()]


def test_chunks_are_joined_with_wide_offsets() -> None:
    """Strings of more than 2 GiB in all: too large to test, but the types that make them possible are there."""
    column = pa.chunked_array([["a"], ["b", "a"]], pa.string())
    assert distinct_keys(column).encoded.type == pa.large_binary()
    assert distinct_keys(column).values.column(0).type == pa.string()
    assert distinct_keys(column).codes.tolist() == [0, 1, 0]


def test_a_column_of_type_null_is_an_error() -> None:
    with pytest.raises(DataError, match="key column 2 holds nothing but nulls"):
        distinct_keys([pa.array([1]), pa.nulls(1)])


def test_what_is_no_key_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="key column 1 is double, which cannot be a join key"):
        distinct_keys(pa.array([1.5]))
    with pytest.raises(InvalidArgument, match="lower can only apply to strings"):
        distinct_keys(pa.array([1]), normalise="lower")


def test_no_error_quotes_bytes_that_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("=ii", 0, 2)), pa.py_buffer(b"\xffQ")]
    )
    assert distinct_keys(broken).encoded.to_pylist() == [b"\xffQ"]
    for name, composes in (("nfc", True), ("nfc", False), ("lower", True)):
        monkeypatch.setattr(normalise, "_arrow_composes", lambda composes=composes: composes)
        with pytest.raises(DataError, match="not UTF-8") as caught:
            distinct_keys(broken, normalise=name)
        assert "Q" not in str(caught.value)
