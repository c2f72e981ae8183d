"""From canonical keys of any length to uniform blocks of 128 bits, to buckets, and each key to a cell of its own.

The map depends on the run's salt, which was drawn after every party had read its keys. Keys of at most 15 bytes are
padded to a block and encrypted under a key from the salt: different keys have different blocks. Longer ones are hashed
by BLAKE2b, salted likewise. Two of n keys have the same block with probability below n^2 / 2^128.

Cuckoo hashing (Pagh, Rodler, 2004) with one cell in each third of the table and no stash. All keys are thrown at once
and evict each other in rounds; what is left after many rounds is placed one by one along shortest augmenting paths. So
placing fails only where no placement exists; `parameters` says how rarely.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.aes import Words, derived, encrypted
from ...protocol.roles import Role, checkpoint
from .parameters import unlucky

Cells = npt.NDArray[np.int64]
FREE = -1
ROUNDS = 200
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


class NoPlacement(Exception):
    """There is no placement of these keys in this table."""


def cells_of(blocks: Words, third: int) -> Cells:
    """The three cells of each key, shape (3, n): by its last three words of 32 bits, in each third one."""
    words = blocks.view(np.uint32).reshape(-1, 4)
    offsets = np.arange(3, dtype=np.int64) * third
    reduced = (words.T[1:].astype(np.uint64) * np.uint64(third)) >> np.uint64(32)
    return reduced.astype(np.int64) + offsets[:, None]


def placed(cells: Cells, size: int) -> Cells:
    """For each key the one of its cells, of `size` in the table, where it lies alone.

    Raises
    ------
    NoPlacement
        Some keys have fewer cells between them than they are.
    """
    keys = cells.shape[1]
    table = np.full(size, FREE, dtype=np.int64)
    choice = np.zeros(keys, dtype=np.int64)
    homeless = np.arange(keys, dtype=np.int64)
    for _ in range(ROUNDS):
        if not len(homeless):
            break
        wanted = cells[choice[homeless], homeless]
        before = table[wanted]
        table[wanted] = homeless
        moved_in = table[wanted] == homeless
        evicted = before[moved_in]
        homeless = np.concatenate([homeless[~moved_in], evicted[evicted != FREE]])
        choice[homeless] = (choice[homeless] + 1) % 3
    for key in homeless.tolist():
        _augment(int(key), cells, table)
    result = np.empty(keys, dtype=np.int64)
    taken = np.flatnonzero(table != FREE)
    result[table[taken]] = taken
    return result


def _augment(key: int, cells: Cells, table: Cells) -> None:
    """Place one more key, moving others along a shortest path to a free cell (breadth first)."""
    comes: dict[int, int] = {}  # cell: the key that would move into it
    queue = [key]
    for mover in queue:
        for cell in cells[:, mover].tolist():
            if cell not in comes:
                comes[cell] = mover
                if table[cell] == FREE:
                    return _move(cell, comes, cells, table)
                queue.append(int(table[cell]))
    raise NoPlacement


def _move(cell: int, comes: Mapping[int, int], cells: Cells, table: Cells) -> None:
    """Move the key that comes into this cell, then the one that comes into the cell it left, and so on."""
    while True:
        mover = comes[cell]
        left = [other for other in cells[:, mover].tolist() if table[other] == mover]
        table[cell] = mover
        if not left:
            return
        (cell,) = left
