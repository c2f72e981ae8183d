"""Arithmetic modulo a prime of up to 60 bits over whole arrays, exact, and uniform numbers.

Sums of products are computed by float64 matrix products of limbs: exact as long as every partial sum is below 2^53,
whatever order the library adds in. Single products by a quotient estimated in float64: it is off by one at most, and
the remainder is then exact in 64-bit words that wrap around.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..aes import stream

MOST_PRIME_BITS = 60
STEP = 1 << 15  # primes are 1 modulo this: twice the largest ring dimension
LIMB_BITS = 20
PIECE_BITS = 30
BLOCK_ROWS = 4096  # of a matrix that are converted to float64 at a time

Shares = npt.NDArray[np.int64]


@lru_cache(maxsize=64)
def prime_of(bits: int) -> int:
    """The largest prime of so many bits that is 1 modulo 2^15."""
    candidate = (1 << bits) - STEP + 1
    while not _is_prime(candidate):
        candidate -= STEP
    return candidate


def _is_prime(number: int) -> bool:
    """Miller-Rabin with the first twelve primes, which is proof below 2^64 (Sorenson, Webster 2015)."""
    twos = ((number - 1) & -(number - 1)).bit_length() - 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        powers = [pow(base, (number - 1) >> twos - i, number) for i in range(twos + 1)]
        if powers[0] != 1 and number - 1 not in powers[:-1]:
            return False
    return True


def centred(shares: Shares, prime: int) -> Shares:
    """The integers of least absolute value with these residues."""
    return np.where(shares > prime // 2, shares - prime, shares)


def quotient_remainder(numbers: Shares, factors: Any, prime: int) -> tuple[Shares, Shares]:
    """Of numbers * factors by the prime, for numbers in [0, prime) and factors in [0, 2^30]."""
    factors = np.asarray(factors, np.int64)
    quotient = (numbers.astype(np.float64) * factors / prime).astype(np.int64)
    words = numbers.view(np.uint64) * factors.astype(np.uint64) - quotient.view(np.uint64) * np.uint64(prime)
    remainder = words.view(np.int64)
    low, high = remainder < 0, remainder >= prime
    return quotient - low + high, remainder + prime * low - prime * high


def times(one: Shares, other: Shares, prime: int) -> Shares:
    """Products modulo the prime, entry by entry, of numbers in [0, prime)."""
    _, high = quotient_remainder(one, other >> PIECE_BITS, prime)
    _, high = quotient_remainder(high, 1 << PIECE_BITS, prime)
    _, low = quotient_remainder(one, other & ((1 << PIECE_BITS) - 1), prime)
    return (high + low) % prime


def exact_product(matrix: npt.NDArray[Any], limbs: npt.NDArray[Any], bits: int) -> Shares:
    """matrix^T limbs as int64, where products of two entries are less than 2^bits in size."""
    total = np.zeros((matrix.shape[1], limbs.shape[1]), np.int64)
    rows = min(BLOCK_ROWS, 1 << 53 - bits)
    for start in range(0, len(matrix), rows):
        block = matrix[start : start + rows].astype(np.float64)
        total += (block.T @ limbs[start : start + rows].astype(np.float64)).astype(np.int64)
    return total


def transposed_product(matrix: npt.NDArray[Any], vectors: Shares, prime: int, *, bits: int) -> Shares:
    """matrix^T vectors modulo the prime.

    Parameters
    ----------
    matrix : of integers, shape (n, m)
        Less than 2^bits in size; where bits exceed 20, in [0, 2^bits).
    vectors : numpy.ndarray
        Shape (n, c), in [0, prime).
    """
    mask, width = (1 << LIMB_BITS) - 1, vectors.shape[1]
    digits = np.concatenate([vectors >> LIMB_BITS * i & mask for i in range(3)], axis=1)
    result = np.zeros((matrix.shape[1], width), np.int64)
    for i in range(-(-bits // LIMB_BITS)):
        part = matrix if bits <= LIMB_BITS else matrix >> LIMB_BITS * i & mask
        sums = exact_product(part, digits, 2 * LIMB_BITS) % prime
        for j in range(3):
            weight = np.full_like(result, pow(2, LIMB_BITS * (i + j), prime))
            result = (result + times(sums[:, j * width : (j + 1) * width], weight, prime)) % prime
    return result


def uniform(key: bytes, shape: tuple[int, ...], prime: int) -> Shares:
    """Uniform numbers modulo the prime from a key of 16 bytes, which is used for nothing else.

    By rejection from the stream of AES-128 in counter mode: for who does not know the key they cannot be told from
    uniform ones.
    """
    size = int(np.prod(shape))
    found = np.empty(size, np.int64)
    filled, attempt = 0, 0
    while filled < size:
        words = stream(key, attempt, 8 * (size - filled)).view(np.int64) & ((1 << prime.bit_length()) - 1)
        kept = words[words < prime]
        found[filled : filled + len(kept)] = kept
        filled, attempt = filled + len(kept), attempt + 1
    return found.reshape(shape)
