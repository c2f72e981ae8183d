"""A batched, related-key oblivious PRF of one bucket of keys: the mathematics of KKRT16, without messages.

Paper: V. Kolesnikov, R. Kumaresan, M. Rosulek, N. Trieu, "Efficient Batched Oblivious PRF with Applications to Private
Set Intersection", CCS 2016, figures 2 and 3.

    receiver (keys x in cells i, seeds k0_j, k1_j)         sender (keys y, bits s_j, seeds k_j: k0_j or k1_j by s_j)
    T_j = G(k0_j);  U_j = T_j ^ G(k1_j) ^ C_j              Q_j = G(k_j) ^ s_j U_j
    row i:  t_i                                            row i:  q_i = t_i ^ (C(x_i) & s)
    F(i, x_i) = H(i, t_i)                                  F(i, y) = H(i, q_i ^ (C(y) & s))

C_j is column j of the matrix whose row i is the code C(x_i), zero where cell i is empty: either way U_j is masked by
the one of both streams that the sender does not know. F(i, y) equals F(i, x_i) where y = x_i; otherwise the codes
differ in 128 bits or more (`parameters`), and of q_i ^ (C(y) & s) the receiver knows no more than of these bits of s.

The pieces: keys are 128-bit blocks, uniform and distinct (`blocks`). C(x) is `width` bits of AES of x under keys from
the run's salt. G is AES in counter mode. H(i, r) = p(p(z) ^ i) ^ p(z), where z = L(r) is a random linear map of the row
to 128 bits drawn from the salt, and p is AES under a key from the salt.

Why H is enough, p being a random permutation. Let an adversary who knows everything but s ask p or its inverse P times,
and let there be Q evaluations k = (i, y) with y != x_i. Write d_k = C(x_i) ^ C(y), so that z_k = L(t_i) ^ L(d_k & s).
As long as no z_k is among its questions, no two z_k are equal, and no p(z_k) ^ i is a question or another z_l or
p(z_l) ^ j, every F is a value of p at a new point: uniform but for Q(P + 2Q) / 2^128.

1. For a fixed L, L(d & s) is uniform on a space of dimension rho(d), the rank of L on the bits of d. Two uniform s have
   the same image with probability 2^-rho, and over L with probability 2^-|d| + (1 - 2^-|d|) 2^-128: that is E[2^-rho].
   So some z_k is among P questions with probability at most the sum of P (2^-|d_k| + 2^-128), at most 2PQ / 2^128.
2. For d_k != d_l, z_k = z_l with probability at most 2^-|d_k ^ d_l| + 2^-128 likewise; over random codes 2^-|d| is on
   average (3/4)^width, below 2^-166 from 400 bits up, the least. For d_k = d_l the cells differ, and z_k ^ z_l =
   L(t_i ^ t_j) with t_i, t_j from a stream: zero with probability 2^-128. Together at most Q^2 / 2^128.
3. p(z_k) is uniform but for what was asked, so p(z_k) ^ i is a point met before with probability (P + 3Q) / 2^127.

In all at most (4PQ + 9Q^2) / 2^127. It is the argument for TMMO (Guo, Katz, Wang, Yu, "Efficient and Secure Multiparty
Computation from Fixed-Key Block Ciphers", IEEE S&P 2020, section 7.4) with a family of offsets in place of one, after
L. Hashing the row itself in the random-oracle model, as the paper has it, loses PQ / 2^128, and one call for each row
costs more than all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...crypto.aes import Words, derived, encrypted, hashed, stream
from .blocks import Cells, NoPlacement, cells_of, placed
from .parameters import unlucky

CHUNK = 1 << 14  # rows whose working set fits a core's cache


class Setting(NamedTuple):
    """What both parties know of the OPRF of one bucket."""

    salt: bytes
    bucket: int
    third: int
    width: int

    @property
    def cells(self) -> int:
        return 3 * self.third


class Placement(NamedTuple):
    """A receiver's keys in their cells: the cell of each, and their codes by columns."""

    cells: Cells
    columns: Words


class Masked(NamedTuple):
    """What a receiver makes for one sender: the matrix U by columns, shape (width, cells/64), and F of each key."""

    corrections: Words
    outputs: Words


def place(setting: Setting, blocks: Words) -> Placement:
    """The receiver, once for all senders.

    Raises
    ------
    DataError
        There is no placement: once in 2^40 runs.
    """
    try:
        cells = placed(cells_of(blocks, setting.third), setting.cells)
    except NoPlacement:
        raise unlucky("the keys could not be placed in their table") from None
    codes = np.zeros((_words(setting), setting.cells), np.uint64)
    for word, code in zip(codes, _codes(setting, blocks), strict=True):
        word[cells] = code
    return Placement(cells, transposed(codes.reshape(len(codes), 64, -1)))


def mask(setting: Setting, keys: Placement, zero: Sequence[bytes], one: Sequence[bytes]) -> Masked:
    """The receiver, for a sender with whom it has these pairs of seeds; `outputs` has shape (n, 2)."""
    own = _streams(setting, zero)
    columns = _streams(setting, one)
    columns ^= keys.columns
    columns ^= own
    rows = transposed(own).reshape(-1, setting.cells).take(keys.cells, axis=1)  # several times faster than by index
    compression = LinearMap(setting.salt, setting.width)
    outputs = hashed(derived(setting.salt, "hash"), compression(rows), _tweaks(setting, keys.cells))
    return Masked(columns.reshape(-1, setting.cells // 64)[: setting.width], outputs)


def evaluate(
    setting: Setting, blocks: Words, corrections: Words, bits: npt.NDArray[np.bool_], keys: Sequence[bytes]
) -> Words:
    """The sender: F of each key in each of its three cells, shape (n, 3, 2)."""
    streams = _streams(setting, keys)
    columns = streams.reshape(-1, setting.cells // 64)
    columns[: setting.width][bits] ^= corrections[bits]
    rows = transposed(streams).reshape(_words(setting), setting.cells)
    compression = LinearMap(setting.salt, setting.width)
    of_cells = compression(rows)
    secret = np.packbits(np.pad(bits, (0, 64 * _words(setting) - len(bits))), bitorder="little").view(np.uint64)
    of_keys = compression(_codes(setting, blocks) & secret[:, None])
    cells = cells_of(blocks, setting.third).T
    return hashed(
        derived(setting.salt, "hash"), of_cells.take(cells, axis=0) ^ of_keys[:, None], _tweaks(setting, cells)
    )


def _words(setting: Setting) -> int:
    return -(-setting.width // 64)


def _codes(setting: Setting, blocks: Words) -> Words:
    """C of each key, shape (words, n)."""
    count = _words(setting)
    codes = np.empty((count + count % 2, len(blocks)), np.uint64)
    for number in range(0, count, 2):
        codes[number : number + 2] = encrypted(derived(setting.salt, f"code {number}"), blocks).T
    unused = 64 * count - setting.width
    codes[count - 1] &= np.uint64(2**64 - 1 >> unused)
    return codes[:count]


def _streams(setting: Setting, keys: Sequence[bytes]) -> Words:
    """A stream of bits for each key, by columns."""
    size = setting.cells // 8
    columns = np.zeros((64 * _words(setting), size), np.uint8)
    for column, key in zip(columns[: setting.width], keys, strict=True):
        column[:] = stream(key, setting.bucket, size)
    return columns.view(np.uint64).reshape(_words(setting), 64, -1)


def _tweaks(setting: Setting, cells: Cells) -> Words:
    """A number for each cell that no other cell of any bucket has."""
    return (cells + setting.bucket * setting.cells).astype(np.uint64)


# Bit matrices: one of r rows and 64k columns is an array of words of shape (k, 64, r/64). By columns, the words at
# [i, c] hold the bits of column 64i + c. By rows, the k words at [:, a, b] hold the bits of one row: its number is
# a*(r/64) + b, so that a reshape to (k, r) has the rows in order. Which bit of a column is which row follows; nobody
# needs to know.


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
    random dimension rho with E[2^-rho] <= 2^-h + 2^-128: that many bits of s survive.
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
