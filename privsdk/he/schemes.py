"""Two ways to add vectors under encryption: exact integers (BFV) and approximate reals (CKKS).

Exact: an integer total within +-B is carried as residues modulo k primes of 30 bits, a BFV ciphertext each (the Chinese
remainder theorem), so the plaintext that the key holder opens is the total and nothing finer. (Digits in a base would
fit one modulus, but their separate sums show carries, which tell more than the total.) k is the fewest primes whose
product exceeds 2 n B + 1 for n parties: every party's value was checked against B, so no accepted input can wrap.

Noise: a fresh ciphertext's coefficients have standard deviation sigma * sqrt(1 + 4 N / 3) = 237 (Gentry, Halevi, Smart
2012, appendix A, for ternary secrets; N = 4096, sigma = 3.2), decryption is right while a coefficient stays under
q / (2 t) = 2^23: for n = 1000 parties that is 1,100 standard deviations. The noise is not flooded: that of a sum holds
the rounding of each party's plaintext beside far larger random terms, a hint at how the total is split for which there
is neither a known use nor a proof of harmlessness.

Approximate: reals are divided by their bound and packed at scale 2^40. By CKKS17 (Cheon, Kim, Kim, Song, lemma 1, with
h = 2 N / 3 for ternary secrets) a fresh ciphertext's error in any slot is at most 8 sqrt(2) sigma N + 6 sigma sqrt(N) +
16 sigma sqrt(h N) over the scale, except with negligible probability, and errors add; `error_bound` is that sum, plus
N / 2 for rounding the encoding. A key serves one run, in which at most 16 of 2048 slots are revealed, rounded to the
error bound: decryptions of CKKS that are shared in full, with their ciphertexts, give the key away (Li, Micciancio
2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import msgspec

from ..errors import InvalidArgument, ProtocolViolation
from .contexts import CKKS_SCALE_BITS, DEGREE, PRIMES, SIGMA, PublicContext, SecretContext, check_blob

MAX_PARTIES = 1000
MAX_REVEALED_CKKS = 16


class Exact(msgspec.Struct, frozen=True, kw_only=True, tag="exact"):
    """Sums of integer vectors with every party's entries within +-max_units; larger ones are refused.

    With `modular` they are not: sums are then taken modulo the product of the primes, which is more than
    2 * parties * max_units. For entries with unbounded noise, whose size must not decide whether a run ends.
    """

    parties: int
    length: int
    max_units: int
    limbs: int = 0
    modular: bool = False

    def __post_init__(self) -> None:
        _check_shape(self.parties, self.length)
        needed = limbs_for(self.parties, self.max_units)
        if self.limbs not in (0, needed):
            raise InvalidArgument(f"{self.limbs} limbs where {needed} are needed")
        msgspec.structs.force_setattr(self, "limbs", needed)

    def keys(self) -> list[SecretContext]:
        return [SecretContext.exact(prime) for prime in PRIMES[: self.limbs]]

    @property
    def chunks(self) -> int:
        return math.ceil(self.length / DEGREE)

    @property
    def ciphertexts(self) -> int:
        return self.limbs * self.chunks

    def encrypt(self, keys: Sequence[PublicContext], vector: Sequence[int]) -> list[bytes]:
        import tenseal

        if len(vector) != self.length or (not self.modular and any(abs(v) > self.max_units for v in vector)):
            raise InvalidArgument(f"a vector of {self.length} integers within +-{self.max_units} was expected")
        blobs = []
        for prime, key in zip(PRIMES, keys, strict=False):
            for start in range(0, self.length, DEGREE):
                residues = [_centred(v, prime) for v in vector[start : start + DEGREE]]
                residues += [0] * (DEGREE - len(residues))
                blobs.append(tenseal.bfv_vector(key.tenseal, residues).serialize())
        return blobs

    def add(self, keys: Sequence[PublicContext], summands: Sequence[Sequence[bytes]]) -> list[bytes]:
        return _add(keys, summands, self.chunks, "bfv_vector_from")

    def decrypt(self, keys: Sequence[SecretContext], blobs: Sequence[bytes]) -> list[int]:
        """The exact totals."""
        residues: list[list[int]] = []
        for i, key in enumerate(keys):
            chunks = blobs[i * self.chunks : (i + 1) * self.chunks]
            residues.append([int(value) for blob in chunks for value in _open(key, blob, "bfv_vector_from")])
        return [_combine([limb[i] for limb in residues]) for i in range(self.length)]


class Approximate(msgspec.Struct, frozen=True, kw_only=True, tag="approximate"):
    """Sums of real vectors with every party's entry i within +-bounds[i]."""

    parties: int
    length: int
    bounds: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_shape(self.parties, self.length)
        if self.length > MAX_REVEALED_CKKS:
            raise InvalidArgument(
                f"{self.length} values are to be revealed; the CKKS preset reveals at most {MAX_REVEALED_CKKS} a key",
                hint="use the exact preset",
            )
        if len(self.bounds) != self.length or any(not 0 < b < math.inf for b in self.bounds):
            raise InvalidArgument("one positive, finite bound is needed for each value")

    @property
    def ciphertexts(self) -> int:
        return 1

    @property
    def relative_error(self) -> float:
        """Bound on the error of a total, as a share of the entry's bound."""
        h = 2 * DEGREE / 3
        fresh = 8 * math.sqrt(2) * SIGMA * DEGREE + 6 * SIGMA * math.sqrt(DEGREE) + 16 * SIGMA * math.sqrt(h * DEGREE)
        return self.parties * (fresh + DEGREE / 2) * 2.0**-CKKS_SCALE_BITS

    def error_bound(self, entry: int) -> float:
        """Bound on the error of total `entry`, the final rounding included."""
        return 1.5 * self.relative_error * self.bounds[entry]

    def keys(self) -> list[SecretContext]:
        return [SecretContext.approximate()]

    def encrypt(self, keys: Sequence[PublicContext], vector: Sequence[float]) -> list[bytes]:
        import tenseal

        if len(vector) != self.length or any(abs(v) > b for v, b in zip(vector, self.bounds, strict=True)):
            raise InvalidArgument(f"a vector of {self.length} reals within the bounds was expected")
        slots = [v / b for v, b in zip(vector, self.bounds, strict=True)]
        slots += [0.0] * (DEGREE // 2 - len(slots))
        return [tenseal.ckks_vector(keys[0].tenseal, slots).serialize()]

    def add(self, keys: Sequence[PublicContext], summands: Sequence[Sequence[bytes]]) -> list[bytes]:
        return _add(keys, summands, 1, "ckks_vector_from")

    def decrypt(self, keys: Sequence[SecretContext], blobs: Sequence[bytes]) -> list[float]:
        """The totals, rounded to the error bound so that the noise, which depends on the key, stays behind."""
        slots = _open(keys[0], blobs[0], "ckks_vector_from")
        step = self.relative_error
        return [round(slots[i] / step) * step * self.bounds[i] for i in range(self.length)]


Preset = Literal["exact", "ckks"]


def limbs_for(parties: int, max_units: int) -> int:
    """Fewest primes whose product exceeds 2 * parties * max_units + 1."""
    product, needed = 1, 2 * parties * max_units + 1
    for count, prime in enumerate(PRIMES, start=1):
        product *= prime
        if product > needed:
            return count
    raise InvalidArgument(
        f"a total of {parties} x {max_units:.3g} units needs more than {len(PRIMES)} limbs",
        hint="declare a smaller bound or a coarser resolution",
    )


def _check_shape(parties: int, length: int) -> None:
    if not 1 <= parties <= MAX_PARTIES:
        raise InvalidArgument(f"{parties} parties; an encrypted sum takes 1 to {MAX_PARTIES}")
    if length < 1:
        raise InvalidArgument("there is nothing to sum")


def _centred(value: int, prime: int) -> int:
    residue = value % prime
    return residue - prime if residue > prime // 2 else residue


def _combine(residues: Sequence[int]) -> int:
    """The integer of least absolute value with these residues modulo the first primes (Garner's method)."""
    value, modulus = 0, 1
    for residue, prime in zip(residues, PRIMES, strict=False):
        value += modulus * ((residue - value) * pow(modulus, -1, prime) % prime)
        modulus *= prime
    return value - modulus if value > modulus // 2 else value


def _add(keys: Sequence[PublicContext], summands: Sequence[Sequence[bytes]], chunks: int, loader: str) -> list[bytes]:
    totals = []
    for i, column in enumerate(zip(*summands, strict=True)):
        context = keys[i // chunks].tenseal
        total = None
        for blob in column:
            vector = _load(context, blob, loader)
            try:
                total = vector if total is None else total + vector
            except (ValueError, RuntimeError):
                _malformed()
        totals.append(total.serialize() if total is not None else b"")
    return totals


def _open(key: SecretContext, blob: bytes, loader: str) -> list[float]:
    vector = _load(key.tenseal, check_blob(blob, "the aggregator"), loader)
    try:
        values: list[float] = vector.decrypt()
    except (ValueError, RuntimeError):
        _malformed()
    return values


def _load(context: Any, blob: bytes, loader: str) -> Any:
    """A received vector, refused unless it is one fresh-sized ciphertext: TenSEAL crashes on a vector without any."""
    import tenseal

    try:
        vector = getattr(tenseal, loader)(context, blob)
        parts = vector.ciphertext()
        if len(parts) != 1 or parts[0].size() != 2 or vector.size() != _SLOTS[loader]:
            _malformed()
    except (ValueError, RuntimeError):
        _malformed()
    return vector


_SLOTS = {"bfv_vector_from": DEGREE, "ckks_vector_from": DEGREE // 2}


def _malformed() -> NoReturn:
    raise ProtocolViolation("a ciphertext is malformed or of other parameters")
