"""Placing keys in a table so that each lies in one of its three cells and no two in the same one.

Cuckoo hashing (Pagh, Rodler, 2004) with one cell in each third of the table and no stash. All keys are thrown at once
and evict each other in rounds; what is left after many rounds is placed one by one along shortest augmenting paths. So
placing fails only where no placement exists; `parameters` says how rarely.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...crypto.aes import Words

Cells = npt.NDArray[np.int64]
FREE = -1
ROUNDS = 200


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
