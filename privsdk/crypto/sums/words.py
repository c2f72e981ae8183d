"""Masked vectors and their messages: integers modulo 2^32, 2^64, 2^128 or 2^256, the first that all totals fit into.

An entry of more than 64 bits is sent as several words of 64, the lowest first, and added with carries, so that a sum
shows no more than its total: sums of the words by themselves would show how many carries there were.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.messages import Message
from .base import Vector, within
from .masks import Words, plus

BITS = (32, 64, 128, 256)


class Masked32(Message, frozen=True, kw_only=True, tag="fl.masked.Masked32"):
    """A client's masked vector for the sum of this name."""

    SCHEMA = pa.schema([pa.field("word", pa.uint32(), nullable=False)])
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


class Masked64(Message, frozen=True, kw_only=True, tag="fl.masked.Masked64"):
    """The same of longer words, one or more for each entry."""

    SCHEMA = pa.schema([pa.field("word", pa.uint64(), nullable=False)])
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


Masked = Masked32 | Masked64


def bits_for(largest: int) -> int:
    """How long an entry is whose totals are within +-`largest`."""
    for bits in BITS:
        if 0 < largest < 1 << (bits - 1):
            return bits
    raise InvalidArgument(
        f"a masked sum with totals up to {largest}", hint=f"its totals fit into {BITS[-1] - 1} bits and a sign"
    )


def kind_of(bits: int) -> type[Masked32] | type[Masked64]:
    """The message that carries such entries."""
    return Masked32 if bits == 32 else Masked64


def zeros(length: int, bits: int) -> Words:
    """So many entries."""
    return np.zeros((length, bits // 64) if bits > 64 else length, np.uint32 if bits == 32 else np.uint64)


def words_of(vector: Vector, largest: int, bits: int, name: str) -> Words:
    """A vector as words: a copy, to be masked in place."""
    if not within(vector, largest):
        raise InvalidArgument(f"a vector for {name} exceeds the declared largest total of {largest}")
    if bits <= 64:
        return vector.astype(np.int64).astype(np.uint32 if bits == 32 else np.uint64)
    entries = b"".join((entry % (1 << bits)).to_bytes(bits // 8, "little") for entry in vector.tolist())
    return np.frombuffer(entries, "<u8").reshape(-1, bits // 64).astype(np.uint64)


def message_of(words: Words, name: str) -> Masked:
    """The message that carries these words."""
    kind = kind_of(8 * words.itemsize)
    return kind(name=name, table=pa.table([pa.array(words.reshape(-1))], schema=kind.SCHEMA))


def fits(message: Masked, length: int, bits: int, name: str) -> bool:
    """Whether it is of this sum."""
    return message.name == name and len(message.table) == length * max(1, bits // 64)


def add_to(total: Words, message: Masked) -> None:
    """Add a message's words, in place."""
    plus(total, message.table.column("word").to_numpy().reshape(total.shape))


def totals_of(total: Words, largest: int, name: str) -> Vector:
    """The integers that unmasked words stand for: int64, or Python's where they are longer."""
    if total.ndim == 1:
        sums: Vector = total.view(np.int32 if total.itemsize == 4 else np.int64).astype(np.int64)
    else:
        entries = (row.astype("<u8").tobytes() for row in total)
        sums = np.array([int.from_bytes(entry, "little", signed=True) for entry in entries], object)
    if not within(sums, largest):
        raise ProtocolViolation(
            f"the masked vectors of {name} do not add up to totals within {largest}: one was not made as agreed",
            hint="ask again; leave one client out after the other to find whose messages are wrong",
        )
    return sums
