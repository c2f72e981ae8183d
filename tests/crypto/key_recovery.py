"""The attack of Li and Micciancio (EUROCRYPT 2021) on decryptions of CKKS that are shown, for keys made here.

A ciphertext (c0, c1) with decryption m satisfies c0 + c1 s = m modulo q. Who sees the ciphertext and m solves for the
key s, root by root of X^N + 1. What is seen are slots in float64; encoding them again gives the integers of m exactly.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt
from polynomials import encoded

from privsdk import he
from privsdk.crypto.seal.flooding import _slots
from privsdk.crypto.seal.serial import Buffer, saved

DEGREE = 4096
SCALE = 2.0**40

Words = npt.NDArray[np.uint64]
Slots = npt.NDArray[np.complex128]


class Victim:
    """A key and what is encrypted under it. `key` is what the attacker is after: only tests compare with it."""

    def __init__(self, reveals: int) -> None:
        preset = he.Preset(
            scheme="ckks", degree=DEGREE, data=(60,), special=49, scale_bits=40, packing="complex", reveals=reveals
        )
        self.context = he.SecretContext.new(preset, owner="victim")
        self.reveals = reveals
        self._ring = preset.rings[0]
        (self.modulus,) = preset.primes
        secret = saved(self.context._secrets[0])
        self.key = _coefficients(np.frombuffer(secret[-8 * 2 * DEGREE : -8 * DEGREE], "<u8"), self.modulus)

    def sum_of(self, vectors: list[npt.NDArray[np.float64]]) -> tuple[he.Column, Slots]:
        """The encrypted sum of these vectors, each encrypted by itself under the public key; and what it should be."""
        columns = [he.encrypt(vector, 1.0, self.context.public) for vector in vectors]
        units = sum(encoded(self.context.preset, vector, SCALE) for vector in vectors)
        return reduce(add, columns), _slots(np.asarray(units), SCALE)

    def decrypt(self, row: Buffer) -> Slots:
        """Raw, as nobody should be shown it."""
        plain = self._ring.new_plain()
        self.context.decryptors[0].decrypt(self._ring.ciphertext(row, 1, scale=SCALE), plain)
        return self._ring.decode(plain)

    def encode(self, slots: Slots) -> Words:
        """The plaintext of these slots at SEAL's roots modulo q; anyone can do this."""
        return np.frombuffer(saved(self._ring.encode(slots.tolist(), scale=SCALE))[-8 * DEGREE :], "<u8")


def parts(row: Buffer) -> tuple[Words, Words]:
    """c0 and c1 at SEAL's roots modulo q."""
    data = np.frombuffer(row, "<u8")
    return data[:DEGREE], data[DEGREE:]


def solve(victim: Victim, ciphertext: Buffer, guesses: list[Slots]) -> list[Words]:
    """For each guess at this ciphertext's decryption, all slots whole, the key's coefficients if it is right."""
    q = victim.modulus
    c0, c1 = parts(ciphertext)
    inverse = _inverse(c1, q)
    return [_coefficients(_times(_less(victim.encode(guess), c0, q), inverse, q), q) for guess in guesses]


def solve_from_real_parts(victim: Victim, ciphertexts: list[Buffer], shown: list[npt.NDArray[np.float64]]) -> Words:
    """The key from two decryptions of which only real parts are shown, which is what TenSEAL's `decrypt` gives.

    Twice the real parts are the slots of m(X) + m(1/X), so that each of the two gives one equation for the values of
    s at a root and at its inverse, which is SEAL's root number N - 1 - i for root i.
    """
    q = victim.modulus
    equations = []
    for ciphertext, real in zip(ciphertexts, shown, strict=True):
        c0, c1 = parts(ciphertext)
        right = _less(_less(victim.encode(2 * real.astype(np.complex128)), c0, q), c0[::-1], q)
        equations.append((c1, c1[::-1], right))
    (a, b, x), (c, d, y) = equations
    determinant = _less(_times(a, d, q), _times(b, c, q), q)
    return _coefficients(_times(_less(_times(x, d, q), _times(b, y, q), q), _inverse(determinant, q), q), q)


def ternary(candidate: Words, q: int) -> npt.NDArray[np.bool_]:
    """Which coefficients of a candidate are -1, 0 or 1, as all those of a key are."""
    return (candidate <= 1) | (candidate == q - 1)


def votes(candidates: list[Words], q: int) -> Words:
    """For each coefficient the value from {-1, 0, 1} that most candidates have."""
    choices = np.array([0, 1, q - 1], dtype=np.uint64)
    counts = (np.array(candidates)[:, None, :] == choices[None, :, None]).sum(axis=0)
    return np.asarray(choices[counts.argmax(axis=0)])


def _less(a: Words, b: Words, q: int) -> Words:
    return (a + (np.uint64(q) - b)) % np.uint64(q)


def _times(a: Words, b: Words, q: int) -> Words:
    """Products modulo q without overflow: 30 bits of b at a time."""
    half = np.uint64(30)
    high = _scaled(_scaled(a, b >> half, q), np.uint64(1 << 30), q)
    return (high + _scaled(a, b & np.uint64((1 << 30) - 1), q)) % np.uint64(q)


def _scaled(a: Words, small: Words | np.uint64, q: int) -> Words:
    """Products with at most 2^30, by a quotient in float64, which is off by one at most; differences wrap."""
    quotient = (a.astype(np.float64) * small / q).astype(np.uint64)
    rest = (a * small - quotient * np.uint64(q)).astype(np.int64)
    return np.where(rest < 0, rest + q, np.where(rest >= q, rest - q, rest)).astype(np.uint64)


def _inverse(a: Words, q: int) -> Words:
    return np.array([pow(int(value), -1, q) for value in a], dtype=np.uint64)


_ROOTS: dict[int, list[Words]] = {}


def _coefficients(values: Words, q: int) -> Words:
    """The polynomial with these values at SEAL's roots: psi^(2 r + 1), r the bits of the index reversed."""
    if q not in _ROOTS:
        _ROOTS[q] = _inverse_powers(q)
    powers = _ROOTS[q]
    work, half = values.copy(), 1
    for level in powers[:-1]:  # Gentleman, Sande: from pairs of neighbours up
        pairs = work.reshape(-1, 2, half)
        low, high = pairs[:, 0], pairs[:, 1]
        work = np.stack([(low + high) % np.uint64(q), _times(_less(low, high, q), level[:, None], q)], axis=1).ravel()
        half *= 2
    return _times(work, powers[-1], q)


def _inverse_powers(q: int) -> list[Words]:
    """For each level the inverse roots that its blocks are divided by, and at last 1 / N."""
    for base in range(2, 100):
        psi = pow(base, (q - 1) // (2 * DEGREE), q)
        if pow(psi, DEGREE, q) == q - 1:
            break
    psi = min(pow(psi, odd, q) for odd in range(1, 2 * DEGREE, 2))  # SEAL takes the smallest
    bits, levels = DEGREE.bit_length() - 1, []
    for count in (DEGREE >> level for level in range(1, bits + 1)):
        reverse = [int(f"{count + i:b}"[::-1].ljust(bits, "0"), 2) for i in range(count)]
        levels.append(np.array([pow(psi, -r, q) for r in reverse], dtype=np.uint64))
    return [*levels, np.array([pow(DEGREE, -1, q)], dtype=np.uint64)]
