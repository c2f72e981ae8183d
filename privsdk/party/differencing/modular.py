"""Integers modulo a prime of 31 bits: products of two fit into 64 bits."""

from __future__ import annotations

import secrets
from math import isqrt, lcm

import numpy as np
import numpy.typing as npt

Residues = npt.NDArray[np.int64]
_BASES = (2, 3, 5, 7)  # enough below 3,215,031,751: Pomerance, Selfridge, Wagstaff 1980


def random_prime() -> int:
    """One that nobody else knows, so that nobody chooses sets by it."""
    while True:
        candidate = (1 << 30) + secrets.randbelow(1 << 30) | 1
        if is_prime(candidate):
            return candidate


def is_prime(n: int) -> bool:
    """Whether an odd number between 9 and 2^31 is prime."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in _BASES:
        x = pow(base, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def inverses(residues: Residues, prime: int) -> Residues:
    """Of several that are not 0: their powers to the prime less 2."""
    power, found = residues % prime, np.ones_like(residues)
    for bit in reversed(f"{prime - 2:b}"):
        found = found * power % prime if bit == "1" else found
        power = power * power % prime
    return found


def rational(residue: int, prime: int) -> tuple[int, int] | None:
    """The fraction of small numerator and denominator that has this residue; None where there is none.

    Source: Wang, Guy, Davenport, SIGSAM Bulletin 1982.
    """
    most = isqrt(prime // 2)
    before, now, s_before, s_now = prime, residue % prime, 0, 1
    while now > most:
        times = before // now
        before, now = now, before - times * now
        s_before, s_now = s_now, s_before - times * s_now
    if not 0 < abs(s_now) <= most:
        return None
    return (now, s_now) if s_now > 0 else (-now, -s_now)


def solved(rows: Residues, wanted: Residues, prime: int) -> Residues | None:
    """The coefficients by which rows, independent by themselves, make another; None where they do not."""
    equations = np.vstack([rows, wanted]).T % prime
    equations = equations[np.sort(np.unique(equations, axis=0, return_index=True)[1])]
    if len(equations) < len(rows):
        return None
    for i in range(len(rows)):
        usable = np.flatnonzero(equations[i:, i])
        if not len(usable):
            return None
        at = i + int(usable[0])
        equations[[i, at]] = equations[[at, i]]
        right = equations[:, i:]  # left of it the row has zeros by now
        right[i] = right[i] * pow(int(right[i, 0]), -1, prime) % prime
        others = np.flatnonzero(right[:, 0])
        others = others[others != i]
        right[others] = (right[others] - right[others, 0][:, None] * right[i] % prime) % prime
    return None if equations[len(rows) :, -1].any() else equations[: len(rows), -1]


def whole(residues: Residues, prime: int) -> tuple[int, list[int]] | None:
    """Small fractions that have these residues, as a denominator and numerators; None where there are none."""
    found = [rational(int(each), prime) for each in residues]
    fractions = [each for each in found if each is not None]
    common = lcm(*(denominator for _, denominator in fractions))
    numbers = [numerator * (common // denominator) for numerator, denominator in fractions]
    return None if len(fractions) < len(found) or sum(map(abs, numbers)) + common >= 1 << 62 else (common, numbers)
