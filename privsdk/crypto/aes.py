"""AES-128 over whole columns of 128-bit blocks, and keys for it: what makes symmetric protocols fast in NumPy.

Blocks are arrays of uint64 of shape (..., 2). Not a cipher for messages: no modes, no authentication.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Words = npt.NDArray[np.uint64]
KEY_BYTES = 16


def derived(salt: bytes, label: str, size: int = KEY_BYTES) -> bytes:
    """Bytes by the salt and the label: for different labels independent, in the random-oracle model."""
    head = blake2b(label.encode(), key=salt, digest_size=32).digest()
    return head[:size] if size <= len(head) else stream(head[:KEY_BYTES], 0, size).tobytes()


def encrypted(key: bytes, blocks: Words) -> Words:
    """AES of every block under one key: with a public key a random permutation of blocks, in the ideal-cipher model."""
    source = np.ascontiguousarray(blocks).reshape(-1)
    result = np.empty(source.size + 2, np.uint64)  # the library wants room for one block more
    octets = source.view(np.uint8).data, result.view(np.uint8).data  # of no blocks too: a bucket may be empty
    Cipher(algorithms.AES(key), modes.ECB()).encryptor().update_into(*octets)  # noqa: S305
    return result[: source.size].reshape(blocks.shape)


def stream(key: bytes, number: int, size: int) -> npt.NDArray[np.uint8]:
    """Bytes of AES in counter mode; streams of one key with different numbers do not overlap below 2^68 bytes."""
    result = np.zeros(size + KEY_BYTES, np.uint8)
    start = modes.CTR(number.to_bytes(8, "big") + bytes(8))
    Cipher(algorithms.AES(key), start).encryptor().update_into(bytes(size), result.data)
    return result[:size]


def hashed(key: bytes, blocks: Words, tweaks: Words) -> Words:
    """p(p(x) ^ t) ^ p(x) for every block x and tweak t, p being AES under the key.

    Tweakable and correlation-robust where p is a random permutation (Guo, Katz, Wang, Yu: "Efficient and Secure
    Multiparty Computation from Fixed-Key Block Ciphers", IEEE S&P 2020, section 7.4, TMMO).

    Parameters
    ----------
    blocks : array of shape (..., 2)
    tweaks : array of shape (...)
    """
    once = encrypted(key, blocks)
    mixed = once.copy()
    mixed[..., 0] ^= tweaks
    twice = encrypted(key, mixed)
    twice ^= once
    return twice


def shuffled(seed: bytes, size: int) -> npt.NDArray[np.int64]:
    """A uniformly random order of `size` things, drawn from a 16-byte seed."""
    for attempt in range(1 << 16):
        draws = stream(seed, attempt, 8 * size).view(np.uint64)
        order = np.argsort(draws)
        ordered = draws[order]
        if not (ordered[1:] == ordered[:-1]).any():  # equal draws would keep an order of their own
            return order
    raise AssertionError("a stream cipher that repeats itself")
