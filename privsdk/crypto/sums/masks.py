"""Masked vectors: their words and messages, and masks of uniformly random words that are added to them in place.

Vectors are of integers modulo 2^32, 2^64, 2^128 or 2^256, the first that all totals fit into. An entry of more than 64
bits is sent as several words of 64, the lowest first, and added with carries, so that a sum shows no more than its
total: sums of the words by themselves would show how many carries there were.

A mask is the stream of AES-256 in counter mode under its seed, from counter 0, as little-endian words: for who does not
know the seed it cannot be told from uniform words (NIST SP 800-38A, section 6.5; AES as a pseudorandom permutation).
The whole seed is the key: nothing is folded into a shorter one. A seed gives one mask and is used for no other.

A vector goes through the processor's cache once for all masks, block by block; whole pieces go to the process's threads
so that a role can be stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Role
from ...protocol.workers.pool import Pipeline, threads
from .base import Vector, within

# of uint32 or uint64; of shape (entries, words), the lowest word first, where one word is too short
Words = npt.NDArray[Any]

SEED_BYTES = 32
AES_BYTES = 16
BLOCK_BYTES = 1 << 16  # of a mask at a time: with the vector's own block it stays in the cache
PIECE_BYTES = 1 << 28  # of all masks: about 0.1 s
SMALL_BYTES = 1 << 20  # of all masks: done sooner than handed to a thread

_ZEROS = memoryview(bytes(BLOCK_BYTES))


class Mask(NamedTuple):
    """The mask of this seed, to be added, or else subtracted."""

    seed: bytes
    plus: bool


def add(vector: Words, masks: Sequence[Mask], phase: str) -> Role[None]:
    """Add masks to a vector, modulo 2 to the bits of an entry, in place; with checkpoints of this phase."""
    if vector.nbytes * len(masks) <= SMALL_BYTES:
        add_from(vector, 0, masks)
        return
    blocks = max(1, PIECE_BYTES // (len(masks) * BLOCK_BYTES))
    entry = entry_bytes(vector)
    size = blocks * BLOCK_BYTES // entry
    starts = range(0, len(vector), size)
    with Pipeline(add_from, phase, total=len(starts), pool=threads()) as pipeline:
        for start in starts:
            if pipeline.full:
                yield from pipeline.next()
            pipeline.submit(vector[start : start + size], start * entry, masks)
        while pipeline.waiting:
            yield from pipeline.next()


def add_from(vector: Words, start: int, masks: Sequence[Mask]) -> None:
    """Add masks from their byte `start` on, which is a multiple of 16."""
    streams = [_stream(mask.seed, start) for mask in masks]
    buffer = np.empty(BLOCK_BYTES + AES_BYTES, np.uint8)  # the library wants room for one block more
    size = BLOCK_BYTES // entry_bytes(vector)
    for at in range(0, len(vector), size):
        block = vector[at : at + size]
        words = buffer[: block.nbytes].view(vector.dtype).reshape(block.shape)
        for mask, stream in zip(masks, streams, strict=True):
            stream.update_into(_ZEROS[: block.nbytes], buffer.data)
            (plus if mask.plus else minus)(block, words)


def entry_bytes(vector: Words) -> int:
    """How long an entry is."""
    return vector.itemsize * (vector.shape[1] if vector.ndim == 2 else 1)


def plus(into: Words, words: Words) -> None:
    """Add entry by entry, in place, with carries from each word of an entry to its next."""
    if into.ndim == 1:
        np.add(into, words, out=into)
        return
    carry = np.zeros(len(into), into.dtype)
    for i in range(into.shape[1]):
        low = into[:, i] + words[:, i]
        total = low + carry
        carry = ((low < words[:, i]) | (total < carry)).astype(into.dtype)
        into[:, i] = total


def minus(into: Words, words: Words) -> None:
    """Subtract entry by entry, in place: a - b is the complement of that of a, plus b."""
    if into.ndim == 1:
        np.subtract(into, words, out=into)
        return
    np.invert(into, out=into)
    plus(into, words)
    np.invert(into, out=into)


def _stream(seed: bytes, start: int) -> CipherContext:
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed of {len(seed)} bytes; masks take {SEED_BYTES}")
    counter = (start // AES_BYTES).to_bytes(AES_BYTES, "big")
    return Cipher(algorithms.AES(seed), modes.CTR(counter)).encryptor()


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
