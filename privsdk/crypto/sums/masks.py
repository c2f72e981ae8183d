"""Masks: vectors of uniformly random words, each expanded from a seed of 32 bytes, and added to a vector in place.

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
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from ...protocol.roles import Role
from ...protocol.workers.pipeline import Pipeline, threads

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
