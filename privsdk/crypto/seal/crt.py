"""Integers as residues modulo several primes, and back: the Chinese remainder theorem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def residues(units: npt.NDArray[Any], prime: int) -> npt.NDArray[Any]:
    """Integers of any size modulo a prime, or a product of primes, those of least absolute value."""
    half = prime // 2
    if units.dtype == np.int64 and -half <= units.min(initial=0) and units.max(initial=0) <= half:
        return units
    reduced = units % prime
    if prime < 1 << 62:
        reduced = reduced.astype(np.int64)
    return np.where(reduced > half, reduced - prime, reduced)


def combined(residues: Sequence[npt.NDArray[Any]], primes: Sequence[int]) -> npt.NDArray[Any]:
    """The integers of least absolute value with these residues modulo the primes (Garner's method).

    int64 while products fit, Python's integers beyond.
    """
    modulus = primes[0]
    value = residues[0].astype(np.int64 if max(primes) < 1 << 31 else object) % modulus
    for residue, prime in zip(residues[1:], primes[1:], strict=True):
        digit = (residue - value % prime) % prime * pow(modulus, -1, prime) % prime
        if modulus * prime >= 1 << 62:
            value, digit = value.astype(object), digit.astype(object)
        value = value + digit * modulus
        modulus *= prime
    return np.where(value > modulus // 2, value - modulus, value)
