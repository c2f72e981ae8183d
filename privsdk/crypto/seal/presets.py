"""Presets: everything a key fixes, and what follows from it. Chosen from a circuit by `he.choose`, not by hand.

Two schemes. **Exact** is BFV (Fan, Vercauteren, ePrint 2012/144) over fixed-point integers: sums are exact, a
ciphertext is the smallest there is, and decryptions can be shown to others, because they hold nothing but the answer.
An integer total within +-B is carried as residues modulo k primes of 30 bits (the Chinese remainder theorem). **CKKS**
(Cheon, Kim, Kim, Song, ASIACRYPT 2017) is for arithmetic: products of reals, with an error that is bounded beforehand.

Security is 128 bits by the HomomorphicEncryption.org standard (2018), table 1, for ternary secrets: at most 109, 218,
438 and 881 bits of modulus, the special prime included, for ring dimensions 4096, 8192, 16384 and 32768. SEAL refuses
more.

A CKKS product has the square of the scale. With `drop` > 0 so many primes are dropped after each product, which brings
the scale back (rescaling). With `drop` = 0 the scale is left to grow: nothing is rounded, and a circuit of depth 1
needs no more primes than its answer.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from ...errors import InvalidArgument
from .ring import Parameters, Ring, data_primes, ring

MAX_REVEALS = 1024
MAX_LIMBS = 8
LIMB_BITS = 30
SECURITY_BITS = {4096: 109, 8192: 218, 16384: 438, 32768: 881}  # of the modulus, for 128 bits of security
PRIME_BITS = (20, 60)
_FRESH_NOISE_BITS = 9

# The largest primes of 30 bits congruent to 1 modulo 2 N, which is what packing integers into slots asks for.
PLAIN_PRIMES = {
    4096: (1073692673, 1073668097, 1073651713, 1073643521, 1073569793, 1073479681, 1073430529, 1073299457),
    8192: (1073692673, 1073643521, 1073479681, 1073430529, 1073299457, 1073233921, 1073184769, 1073135617),
}

Scheme = Literal["exact", "ckks"]
Packing = Literal["integer", "real", "complex"]


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a key fixes.

    Parameters
    ----------
    scheme : "exact" or "ckks"
    degree : int
        Ring dimension N.
    data, special : bits of the primes for data, and of the one for keys
    limbs : int
        Exact: how many primes of 30 bits carry a total.
    resolution : float
        Exact: size of one unit of the grid, in the column's unit.
    scale_bits : int
        CKKS: bits behind the binary point of a fresh ciphertext.
    drop : int
        CKKS: primes dropped after each product.
    packing : "integer", "real" or "complex"
        What a slot holds. "complex" puts two reals into one, so that sums and products with one number for all rows
        need half the ciphertexts; products row by row need "real".
    products : bool
        Whether ciphertexts are multiplied with each other, which needs another key.
    reveals : int
        How many answers may be revealed under one key: CKKS's noise grows with its root.
    """

    scheme: Scheme
    degree: int
    data: tuple[int, ...]
    special: int
    limbs: int = 0
    resolution: float = 0.0
    scale_bits: int = 0
    drop: int = 0
    packing: Packing = "integer"
    products: bool = False
    reveals: int = MAX_REVEALS

    def __post_init__(self) -> None:
        if not 1 <= self.reveals <= MAX_REVEALS:
            raise InvalidArgument(
                f"{self.reveals} reveals a key", hint=f"use 1 to {MAX_REVEALS:,}, and a new key after them"
            )
        if not (self._secure() and (self._fits_exact() if self.scheme == "exact" else self._fits_ckks())):
            raise InvalidArgument("a preset whose parts do not fit together", hint="let he.choose make it")

    def _secure(self) -> bool:
        bits = (*self.data, self.special)
        return (
            self.degree in SECURITY_BITS
            and len(bits) > 1
            and all(PRIME_BITS[0] <= one <= PRIME_BITS[1] for one in bits)
            and sum(bits) <= SECURITY_BITS[self.degree]
        )

    def _fits_exact(self) -> bool:
        powers = math.frexp(self.resolution)[0] == 0.5  # so that whole numbers of units are float64 numbers
        shape = self.degree in PLAIN_PRIMES and 1 <= self.limbs <= MAX_LIMBS and self.packing == "integer"
        return powers and shape and not (self.scale_bits or self.drop or self.products)

    def _fits_ckks(self) -> bool:
        """Dropping brings the scale back, so what is dropped after a product has the scale's bits."""
        if self.packing == "integer" or self.limbs or self.resolution or self.drop not in (0, 1, 2):
            return False
        if not 0 < self.scale_bits < sum(self.data):
            return False
        levels = range((len(self.data) - 1) // self.drop if self.drop else 0)
        dropped = {sum(self.data[self.primes_at(level + 1) : self.primes_at(level)]) for level in levels}
        return dropped <= {self.scale_bits}

    @property
    def rings(self) -> tuple[Ring, ...]:
        """One ring for each limb; one for CKKS."""
        return tuple(ring(parameters) for parameters in self.parameters)

    @property
    def primes(self) -> tuple[int, ...]:
        """The primes for data."""
        return data_primes(self.degree, (*self.data, self.special))

    @property
    def parameters(self) -> tuple[Parameters, ...]:
        if self.scheme == "ckks":
            return (Parameters(scheme="ckks", degree=self.degree, data=self.data, special=self.special),)
        return tuple(
            Parameters(scheme="bfv", degree=self.degree, data=self.data, special=self.special, plain=prime)
            for prime in self.plain_primes
        )

    @property
    def plain_primes(self) -> tuple[int, ...]:
        return PLAIN_PRIMES[self.degree][: self.limbs]

    @property
    def modulus(self) -> int:
        """Exact: what totals are computed modulo."""
        return math.prod(self.plain_primes)

    @property
    def values_a_row(self) -> int:
        """Values in one ciphertext."""
        return self.degree // 2 if self.packing == "real" else self.degree

    @property
    def depth(self) -> int:
        """Products one after the other that there is room for; how large the values are may allow fewer.

        Exact: products row by row with plain numbers, each of which multiplies the noise by half of N 2^30.
        """
        if self.scheme == "exact":
            return int((sum(self.data) - LIMB_BITS - _FRESH_NOISE_BITS) / (math.log2(self.degree) + LIMB_BITS - 1))
        depth, scale = 0, self.scale_bits
        while 2 * scale < sum(self.data[: self.primes_at(depth)]):  # of the product, before any prime is dropped
            scale = scale if self.drop else 2 * scale
            depth += 1
            if scale >= sum(self.data[: max(0, self.primes_at(depth))]):
                return depth - 1
        return depth

    def primes_at(self, level: int) -> int:
        """Data primes that are left after so many products."""
        return len(self.data) - self.drop * level

    def scale(self, level: int) -> float:
        """The scale of a rescaled ciphertext after so many products."""
        scale = 2.0**self.scale_bits
        primes = self.primes
        for past in range(level):
            scale *= scale
            for dropped in primes[self.primes_at(past + 1) : self.primes_at(past)][::-1]:
                scale /= dropped
        return scale

    def capacity(self, level: int) -> float:
        """Half the modulus after so many products: what a value times its scale must stay below."""
        return math.prod(float(prime) for prime in self.primes[: self.primes_at(level)]) / 2

    def row_bytes(self, level: int = 0, *, seeded: bool = False) -> int:
        """Bytes of one chunk's ciphertexts, all limbs."""
        return sum(limb.row_bytes(self.primes_at(level), seeded=seeded) for limb in self.parameters)

    @property
    def bytes_a_value(self) -> float:
        """Of a full ciphertext under a public key; a seed-compressed one under a secret key takes half."""
        return self.row_bytes() / self.values_a_row

    def __str__(self) -> str:
        if self.scheme == "exact":
            limbs = f"{self.limbs} limb{'s' if self.limbs > 1 else ''} of {LIMB_BITS} bits"
            what = f"exact (BFV), {limbs} on a grid of {self.resolution:.3g}"
        else:
            what = f"CKKS, {self.packing} slots, scale 2^{self.scale_bits}, depth {self.depth}"
        return f"{what}, ring {self.degree} [{', '.join(map(str, (*self.data, self.special)))}]"

    def __repr__(self) -> str:
        return f"Preset({self})"


def exact_chains(depth: int) -> list[dict[str, Any]]:
    """Rings for exact columns: sums, and one product with plain integers row by row."""
    if depth == 0:
        return [{"degree": 4096, "data": (54,), "special": 55}, {"degree": 8192, "data": (54, 54), "special": 55}]
    return [{"degree": 8192, "data": (54, 54), "special": 55}, {"degree": 8192, "data": (54, 54, 54), "special": 55}]


def ckks_chains() -> list[dict[str, Any]]:
    """Rings for CKKS, cheapest first: by ring dimension, then primes, then how they are dropped."""
    chains: list[dict[str, Any]] = [{"degree": 4096, "data": (60,), "special": 49, "drop": 0}]
    for data, special in (((54, 54), 55), ((60, 60), 60), ((54, 54, 54), 55)):
        chains.append({"degree": 8192, "data": data, "special": special, "drop": 0})
    chains.append({"degree": 8192, "data": (60, 40, 40), "special": 60, "drop": 1})
    for count in range(3, 8):
        chains += [{"degree": 16384, "data": (54,) * count, "special": 56, "drop": drop} for drop in (0, 1, 2)]
    chains += [{"degree": 16384, "data": (60,) * count, "special": 60, "drop": 1} for count in range(3, 7)]
    for count in range(8, 16):
        chains += [{"degree": 32768, "data": (54,) * count, "special": 56, "drop": drop} for drop in (0, 1, 2)]
    chains += [{"degree": 32768, "data": (60,) * count, "special": 60, "drop": 1} for count in range(7, 14)]
    return chains
