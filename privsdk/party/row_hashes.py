"""64 bits for each row by what it holds, the same wherever and whenever they are computed.

Two rows with the same bits that hold different things count as equal rows, two such unit ids as one unit: then the
differencing guard refuses more, not less. So the key is public, and 64 bits are enough.

Numbers are told apart by their value, whatever their width; text and bytes by their bytes; all else by DuckDB's text.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .sources.connection import connected

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
_KEY = b"privsdk row hash"
_NULL = np.uint64(0x243F6A8885A308D3)  # of the digits of pi
_NAN = np.uint64(0x13198A2E03707344)
_SHIFTS = np.uint64(63)
_BLOCK = 1 << 16  # rows at once, while they fit into a processor's cache


class RowHash(StrEnum):
    """How the rows of a table are hashed: kept with them, since the same rows need the same hashes later."""

    TEXT = "md5 of the text of a row"  # of ledgers of before
    WORDS = "aes over the words of a row"


def hashes_of(table: pa.Table, how: RowHash) -> Words:
    """Raises duckdb.Error where DuckDB does not know a column's type; its message may quote a value."""
    return _by_text(table) if how is RowHash.TEXT else _by_words(table)


def _by_text(table: pa.Table) -> Words:
    # as columns c0, c1, ...: the text of a row does not depend on what they are called
    known = [_known_to_duckdb(column) for column in table.columns]
    held = pa.table(known, names=[f"c{n}" for n in range(len(known))])
    hashes: Words = _asked(held, "md5_number_lower(CAST(held AS VARCHAR))").to_numpy()
    return hashes


def digest_of(table: pa.Table) -> str:
    """Of all that a table holds, for tables of the same types; raises as `hashes_of` does."""
    whole = hashlib.sha256(str(table.num_rows).encode())
    for column in _worded(table).columns:
        values, lengths = hashlib.sha256(), hashlib.sha256()
        for chunk in column.chunks:
            if pa.types.is_primitive(chunk.type):
                values.update(_words(chunk).data)
            else:
                octets, _, left = _octets(chunk.cast(pa.large_binary()).fill_null(b""))
                values.update(octets[:-8].data)
                lengths.update(np.where(chunk.is_valid().to_numpy(zero_copy_only=False), left, -1).data)
        whole.update(values.digest() + lengths.digest())
    return whole.hexdigest()


def _worded(table: pa.Table) -> pa.Table:
    """With what `_words` does not know as text."""
    columns = [
        each if _plain(each.type) else _asked(pa.table({"own": _known_to_duckdb(each)}), "CAST(held.own AS VARCHAR)")
        for each in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _by_words(table: pa.Table) -> Words:
    columns = table.num_columns
    hashes, start = np.empty(table.num_rows, np.uint64), 0
    for rows in _worded(table).to_batches(max_chunksize=_BLOCK):
        state = np.zeros((len(rows), 2), np.uint64)
        for number, column in enumerate(rows.columns):
            state[:, number % 2] ^= _words(column)
            if number % 2 or number == columns - 1:
                state = _encrypted(state)
        hashes[start : start + len(rows)] = state[:, 0]
        start += len(rows)
    return hashes


def _plain(type_: pa.DataType) -> bool:
    is_ = pa.types
    text = is_.is_string(type_) or is_.is_large_string(type_) or is_.is_binary(type_) or is_.is_large_binary(type_)
    steps = is_.is_temporal(type_) and not is_.is_interval(type_)
    return bool(text or steps or is_.is_integer(type_) or is_.is_floating(type_) or is_.is_boolean(type_))


def _words(chunk: pa.Array) -> Words:
    is_, nulls = pa.types, chunk.null_count
    known = chunk.is_valid().to_numpy(zero_copy_only=False) if nulls else True
    if is_.is_temporal(chunk.type):
        chunk = chunk.cast(pa.int32() if chunk.type.bit_width == 32 else pa.int64())
    if is_.is_floating(chunk.type):
        chunk = chunk.cast(pa.float64())
        reals = (chunk.fill_null(0.0) if nulls else chunk).to_numpy() + 0.0  # -0.0 is 0.0
        words = np.where(np.isnan(reals), _NAN, reals.view(np.uint64))
    elif is_.is_integer(chunk.type) or is_.is_boolean(chunk.type):
        whole = chunk.fill_null(pa.scalar(0).cast(chunk.type)) if nulls else chunk
        words = whole.to_numpy(zero_copy_only=False).astype(np.uint64)
    else:
        encoded = chunk.dictionary_encode()  # mostly of few distinct texts
        indices = (encoded.indices.fill_null(0) if nulls else encoded.indices).to_numpy()
        words = np.append(_of_octets(encoded.dictionary.cast(pa.large_binary())), _NULL)[indices]
    return np.where(known, words, _NULL) if nulls else words


def _of_octets(chunk: pa.LargeBinaryArray) -> Words:
    """Their number and the first eight, then sixteen at a time."""
    octets, starts, left = _octets(chunk)
    size = len(octets) - 8
    from_each = np.ndarray((size + 1,), "<u8", octets.data, strides=(1,))  # the eight from every byte on

    def eight(starts: Integers, left: Integers) -> Words:
        beyond = (64 - 8 * np.clip(left, 0, 8)).astype(np.uint64)
        return np.where(left > 0, from_each[np.minimum(starts, size)] << (beyond & _SHIFTS), 0)

    state = _encrypted(np.stack([left.astype(np.uint64), eight(starts, left)], axis=1))
    rows = np.flatnonzero(left > 8)
    starts, left = starts[rows] + 8, left[rows] - 8
    while len(rows):
        more = np.stack([eight(starts, left), eight(starts + 8, left - 8)], axis=1)
        state[rows] = _encrypted(state[rows] ^ more)
        further = left > 16
        rows, starts, left = rows[further], starts[further] + 16, left[further] - 16
    return state[:, 0]


def _octets(chunk: pa.LargeBinaryArray) -> tuple[npt.NDArray[np.uint8], Integers, Integers]:
    """All bytes and eight zeros; where each value's begin, and how many it has."""
    _, ends, held = chunk.buffers()
    offsets = np.frombuffer(ends, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    octets = np.zeros(int(offsets[-1] - offsets[0]) + 8, np.uint8)
    if len(octets) > 8:
        octets[:-8] = np.frombuffer(held, np.uint8)[offsets[0] : offsets[-1]]
    return octets, offsets[:-1] - offsets[0], np.diff(offsets)


def _encrypted(blocks: Words) -> Words:
    source = np.ascontiguousarray(blocks).reshape(-1)
    result = np.empty(source.size + 2, np.uint64)  # the library wants room for one block more
    encryptor = Cipher(algorithms.AES(_KEY), modes.ECB()).encryptor()  # noqa: S305
    encryptor.update_into(source.view(np.uint8).data, result.view(np.uint8).data)
    return result[: source.size].reshape(blocks.shape)


def _asked(held: pa.Table, what: str) -> pa.ChunkedArray:
    with connected() as connection:
        connection.register("held", held)
        return connection.sql(f"SELECT {what} AS hash FROM held").to_arrow_table()["hash"]  # noqa: S608


def _known_to_duckdb(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Rows as different as they are, in types that DuckDB has: no half precision and no unions, and of decimals only
    those of up to 38 digits."""
    known = _known_type(column.type)
    if known == column.type:
        return column
    try:
        return column.cast(known)
    except pa.ArrowNotImplementedError:
        return pa.chunked_array([pa.array(map(repr, chunk.to_pylist()), pa.string()) for chunk in column.chunks])


def _known_type(type_: pa.DataType) -> pa.DataType:
    kinds, known = pa.types, type_
    if kinds.is_float16(type_):
        known = pa.float32()
    elif kinds.is_decimal256(type_) or kinds.is_union(type_) or (kinds.is_decimal(type_) and type_.scale < 0):
        known = pa.string()
    elif kinds.is_struct(type_):
        known = pa.struct([_known_field(field) for field in type_])
    elif kinds.is_map(type_):
        known = pa.map_(_known_field(type_.key_field), _known_field(type_.item_field))
    elif kinds.is_fixed_size_list(type_):
        known = pa.list_(_known_field(type_.value_field), type_.list_size)
    elif kinds.is_list(type_) or kinds.is_large_list(type_):
        known = (pa.list_ if kinds.is_list(type_) else pa.large_list)(_known_field(type_.value_field))
    return known


def _known_field(field: pa.Field) -> pa.Field:
    return field.with_type(_known_type(field.type))
