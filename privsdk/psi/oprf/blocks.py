"""From canonical keys of any length to uniform blocks of 128 bits, and from blocks to buckets.

The map depends on the run's salt, which was drawn after every party had read its keys. Keys of at most 15 bytes are
padded to a block and encrypted under a key from the salt: different keys have different blocks. Longer ones are hashed
by BLAKE2b, salted likewise. Two of n keys have the same block with probability below n^2 / 2^128.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.aes import Words, derived, encrypted
from ...protocol.roles import Role, checkpoint
from .parameters import unlucky

SHORT = 15
BATCH = 1 << 17  # keys between checkpoints: less than 0.1 s


def blocks_of(keys: pa.LargeBinaryArray, salt: bytes) -> Role[Words]:
    """A block for each key, shape (n, 2)."""
    result = np.empty((len(keys), 2), np.uint64)
    for start in range(0, len(keys), BATCH):
        yield from checkpoint("hashing keys", start, len(keys))
        result[start : start + BATCH] = _blocks(keys.slice(start, BATCH), salt)
    return result


def _blocks(keys: pa.LargeBinaryArray, salt: bytes) -> Words:
    _, offsets_buffer, data_buffer = keys.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[keys.offset : keys.offset + len(keys) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    blocks = encrypted(derived(salt, "short key"), _padded(offsets, data))
    long = np.flatnonzero(np.diff(offsets) > SHORT)
    if len(long):
        state = blake2b(digest_size=16, salt=derived(salt, "long key"), person=b"privsdk long key")
        view = data.data
        digests = bytearray()
        for start, end in zip(offsets[long].tolist(), offsets[long + 1].tolist(), strict=True):
            each = state.copy()
            each.update(view[start:end])
            digests += each.digest()
        blocks[long] = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    return blocks


def _padded(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> Words:
    """The bytes of each short key, zeros and its length as one block; long keys leave theirs empty."""
    lengths = np.diff(offsets)
    short = lengths <= SHORT
    blocks = np.zeros((len(lengths), SHORT + 1), np.uint8)
    blocks[:, SHORT] = np.where(short, lengths, 0)
    longest = int(lengths.max(initial=0))
    if longest <= SHORT and (lengths == longest).all():  # as ids mostly are
        blocks[:, :longest] = data[offsets[0] : offsets[-1]].reshape(len(lengths), longest)
        return blocks.view(np.uint64)
    for place in range(min(SHORT, longest)):
        held = np.flatnonzero((lengths > place) & short)
        blocks[held, place] = data[offsets[held] + place]
    return blocks.view(np.uint64)


def bucketed(blocks: Words, buckets: int, most: int) -> list[npt.NDArray[np.int64]]:
    """For each bucket the positions of its keys, at most so many: a block's first 32 bits choose its bucket."""
    first = blocks.view(np.uint32)[:, 0].astype(np.uint64)
    bucket = ((first * np.uint64(buckets)) >> np.uint64(32)).astype(np.uint16)
    order = np.argsort(bucket, kind="stable")
    parts = np.split(order, np.searchsorted(bucket[order], np.arange(1, buckets)))
    if max(map(len, parts)) > most:
        raise unlucky("the keys fell too unevenly into buckets")
    return parts
