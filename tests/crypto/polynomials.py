"""Exact arithmetic in Z[X] / (X^N + 1), by Python's integers, and slots of real polynomials back to coefficients.

SEAL computes modulo primes and shows floating-point slots; what it should have computed comes from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from privsdk.crypto.seal.circuit import slots_of
from privsdk.crypto.seal.flooding import _positions, _twists
from privsdk.crypto.seal.keys import SecretContext
from privsdk.crypto.seal.noise import NoiseEstimate, NoiseEstimator
from privsdk.crypto.seal.presets import Preset
from privsdk.crypto.seal.serial import Buffer
from privsdk.he.columns.expression import Node

Integers = npt.NDArray[Any]
Slots = npt.NDArray[np.complex128]


def coefficients_of(slots: Slots) -> npt.NDArray[np.float64]:
    """The polynomial with these values: m_n z^n is the discrete Fourier transform of the values at z^(2k+1)."""
    degree, at = 2 * len(slots), _positions(2 * len(slots))
    values = np.empty(degree, dtype=np.complex128)
    values[at], values[degree - 1 - at] = slots, np.conj(slots)
    return np.asarray((np.fft.fft(values, norm="forward") * np.conj(_twists(degree))).real)


def product(one: Integers, other: Integers) -> Integers:
    """Modulo X^N + 1, by a product of two long integers that hold a coefficient every `size` bytes."""
    degree = len(one)
    largest = [max(abs(int(c)) for c in factor) for factor in (one, other)]
    size = (sum(c.bit_length() for c in largest) + degree.bit_length() + 9) // 8
    half = 1 << 8 * size - 1
    lifted = int.from_bytes(half.to_bytes(size, "little") * (2 * degree), "little")
    whole = (_joined(one, size) * _joined(other, size) + lifted).to_bytes(2 * degree * size + 1, "little")
    found = np.array(
        [int.from_bytes(whole[i * size : (i + 1) * size], "little") - half for i in range(2 * degree)], dtype=object
    )
    return np.asarray(found[:degree] - found[degree:])


def _joined(polynomial: Integers, size: int) -> int:
    signs = [[max(0, sign * int(c)).to_bytes(size, "little") for c in polynomial] for sign in (1, -1)]
    return int.from_bytes(b"".join(signs[0]), "little") - int.from_bytes(b"".join(signs[1]), "little")


@dataclass(frozen=True, slots=True)
class Exact:
    """What a ciphertext's polynomial is without noise: integers over the product of the primes that were dropped."""

    numerators: Integers
    dropped: int = 1

    def __add__(self, other: Exact) -> Exact:
        common = math.lcm(self.dropped, other.dropped)
        mine, theirs = self.numerators * (common // self.dropped), other.numerators * (common // other.dropped)
        return Exact(mine + theirs, common)

    def __mul__(self, other: Exact) -> Exact:
        return Exact(product(self.numerators, other.numerators), self.dropped * other.dropped)

    def less(self, integers: Integers) -> Integers:
        """Integers less this, as floats: each is far smaller than what it is the difference of."""
        return np.array([float(Fraction(int(c), self.dropped)) for c in integers * self.dropped - self.numerators])


def encoded(preset: Preset, values: Any, scale: float, level: int = 0) -> Integers:
    """The integers that SEAL encodes one chunk of values as, or one number for all."""
    ring, primes = preset.rings[0], preset.primes_at(level)
    slots = slots_of(values, preset) if isinstance(values, np.ndarray) else values
    return ring.coefficients(ring.encode(slots, scale=scale, primes=primes), primes)


def exactly(node: Node, inputs: dict[int, Exact], preset: Preset) -> Exact:
    """An expression over encoded plaintexts, step by step as the evaluator runs it; its columns have one chunk.

    `inputs` gives the encoded values for the identity of each node that loads ciphertexts.
    """
    if id(node) in inputs:
        return inputs[id(node)]
    args = [exactly(arg, inputs, preset) for arg in node.args]
    estimate = node.args[0].estimate
    if node.op == "negate":
        found = Exact(-args[0].numerators, args[0].dropped)
    elif node.op == "add":
        found = args[0] + args[1]
    elif node.op == "times":
        found = args[0] * args[1]
    elif node.op == "add_plain":
        found = args[0] + Exact(
            encoded(preset, node.operand, NoiseEstimator(preset).scale_of(estimate), estimate.level)
        )
    elif node.op == "times_plain":
        found = args[0] * Exact(encoded(preset, node.operand, preset.scale(estimate.level), estimate.level))
    else:
        kept = (preset.primes_at(level) for level in (node.estimate.level, estimate.level))
        found = Exact(args[0].numerators, args[0].dropped * math.prod(preset.primes[slice(*kept)]))
    inputs[id(node)] = found
    return found


def decrypted(row: Buffer, estimate: NoiseEstimate, key: SecretContext) -> Integers:
    """The coefficients of a raw decryption."""
    preset, ring = key.preset, key.preset.rings[0]
    primes, plain = preset.primes_at(estimate.level), ring.new_plain()
    key.decryptors[0].decrypt(ring.ciphertext(row, primes, scale=NoiseEstimator(preset).scale_of(estimate)), plain)
    return ring.coefficients(plain, primes)
