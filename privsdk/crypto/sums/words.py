"""Masked vectors and their messages: integers modulo 2^32 where all totals fit into 31 bits and a sign, else 2^64."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.messages import Message
from .base import Integers
from .masks import Words


class Masked32(Message, frozen=True, kw_only=True, tag="fl.masked.Masked32"):
    """A client's masked vector for the sum of this name."""

    SCHEMA = pa.schema([pa.field("word", pa.uint32(), nullable=False)])
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


class Masked64(Message, frozen=True, kw_only=True, tag="fl.masked.Masked64"):
    """The same of longer words."""

    SCHEMA = pa.schema([pa.field("word", pa.uint64(), nullable=False)])
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


Masked = Masked32 | Masked64


def kind_for(largest: int) -> type[Masked32] | type[Masked64]:
    """The message that holds totals within +-`largest`."""
    if not 0 < largest < 1 << 63:
        raise InvalidArgument(
            f"a masked sum with totals up to {largest}", hint="its totals fit into 63 bits and a sign"
        )
    return Masked32 if largest < 1 << 31 else Masked64


def bits_of(kind: type[Masked]) -> int:
    """How long its words are."""
    return 32 if kind is Masked32 else 64


def words_of(kind: type[Masked], vector: Integers, largest: int, name: str) -> Words:
    """A vector as words of this kind: a copy, to be masked in place."""
    if not _within(vector, largest):
        raise InvalidArgument(f"a vector for {name} exceeds the declared largest total of {largest}")
    return vector.astype(np.uint32 if kind is Masked32 else np.uint64)


def message_of(kind: type[Masked], words: Words, name: str) -> Masked:
    """The message that carries these words."""
    return kind(name=name, table=pa.table([pa.array(words)], schema=kind.SCHEMA))


def fits(message: Masked, length: int, name: str) -> bool:
    """Whether it is of this sum."""
    return message.name == name and len(message.table) == length


def add_to(total: Words, message: Masked) -> None:
    """Add a message's words, in place."""
    total += message.table.column("word").to_numpy()


def totals_of(total: Words, largest: int, name: str) -> Integers:
    """The integers that unmasked words stand for."""
    sums: Integers = total.view(np.int32 if total.itemsize == 4 else np.int64).astype(np.int64)
    if not _within(sums, largest):
        raise ProtocolViolation(
            f"the masked vectors of {name} do not add up to totals within {largest}: one was not made as agreed",
            hint="fit again; leave one client out after the other to find whose messages are wrong",
        )
    return sums


def _within(values: Integers, largest: int) -> bool:
    return bool(-largest <= values.min(initial=0) and values.max(initial=0) <= largest)
