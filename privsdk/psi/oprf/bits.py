"""Bit matrices in NumPy: transposition, and a random linear map from wide rows to blocks of 128 bits.

A matrix of r rows and 64k columns is an array of words of shape (k, 64, r/64). By columns, the words at [i, c] hold the
bits of column 64i + c. By rows, the k words at [:, a, b] hold the bits of one row: its number is a*(r/64) + b, so that
a reshape to (k, r) has the rows in order. Which bit of a column is which row follows from that; nobody needs to know.
"""

from __future__ import annotations

import numpy as np

from ...crypto.aes import Words, derived

CHUNK = 1 << 14  # rows whose working set fits a core's cache


def transposed(matrix: Words) -> Words:
    """From columns to rows or back: it is its own inverse.

    Sixty-four by sixty-four bits at a time, by swapping halves of halves (Warren, "Hacker's Delight", section 7-3).
    """
    blocks = matrix.copy()
    width, mask = 32, np.uint64(0xFFFFFFFF)
    while width:
        shift = np.uint64(width)
        pairs = blocks.reshape(len(blocks), 64 // (2 * width), 2, width, -1)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        moved = low >> shift
        moved ^= high
        moved &= mask
        high ^= moved
        moved <<= shift
        low ^= moved
        width >>= 1
        mask ^= mask << np.uint64(width)
    return blocks


class LinearMap:
    """A uniformly random linear map over GF(2) from `width` bits to 128, drawn from a salt that is public.

    For two rows that differ by d & s, s uniform and d of weight h, the images differ by a uniform element of a space of
    random dimension rho with E[2^-rho] <= 2^-h + 2^-128: that many bits of s survive. See `oprf`.
    """

    def __init__(self, salt: bytes, width: int) -> None:
        columns = np.frombuffer(derived(salt, "compression", width * 16), np.uint64).reshape(width // 8, 8, 2)
        self._tables = np.zeros((width // 8, 256, 2), np.uint64)
        for bit in range(8):
            size = 1 << bit
            self._tables[:, size : 2 * size] = self._tables[:, :size] ^ columns[:, bit, None]

    def __call__(self, rows: Words) -> Words:
        """Blocks of shape (n, 2) of rows of shape (k, n)."""
        size = rows.shape[1]
        result = np.zeros((size, 2), np.uint64)
        part = np.empty((min(size, CHUNK), 2), np.uint64)
        for start in range(0, size, CHUNK):
            octets = np.ascontiguousarray(rows[:, start : start + CHUNK]).view(np.uint8).reshape(len(rows), -1, 8)
            into = result[start : start + CHUNK]
            for number, table in enumerate(self._tables):
                index = octets[number // 8, :, number % 8]
                into ^= table.take(index, axis=0, out=part[: len(into)], mode="clip")
        return result
