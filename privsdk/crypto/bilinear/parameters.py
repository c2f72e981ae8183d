"""Moduli and noise, derived from the terms of a session: nothing here is chosen by hand or by either end.

Both derivations need a bound B on the noise of a result that depends on what is to be hidden, and hide it by noise
that is uniform over 2^f integers. Two such uniform distributions, one shifted by at most B, are at a statistical
distance of at most B / 2^f. With S results shown in a session, f is the least with

    B S / 2^f <= 2^-40,

which bounds the distance over the whole session (union bound), for each matrix and for all row-wise products. A
result is right where noise and flooding together stay below half of what one unit of the result is: 2 p (2^(f-1) + B)
< q, in `slots` with a further bit in hand.

**Matrices** (`linear`). N = 8192, secrets uniform over -1, 0, 1, errors discrete Gaussian of parameter 3.2 and at
most 43 in size, so that the bounds hold always: B = (43 + 1) c n (2^bits - 1) + 43 * 2 N + 2 for the errors and
roundings of n encrypted numbers, where c columns are packed into a polynomial, what is left of both encryptions of
zero, and the share's rounding. q = 2^(16 l). A hint is sent without as many of its lowest words, k, as a further
error of N 2^(16 k) has room in q. c is what sends least, for as many vectors as there may be.

**Row by row** (`slots`). BFV with SEAL, whose fresh noise is at most 21 in size (a centred binomial), and 1/2 for the
rounding of q m / p. Plaintexts are any polynomials of coefficients up to p / 2, so B = 21.5 r N p / 2, and for the
fresh encryption of zero modulo the special prime P, which is divided by it, 21 (2N + 1) / P + (N + 1) / 2, and 1 for
the share's rounding. After flooding the result is brought to its first primes, for which B and the flooding shrink by
what is dropped and a rounding of at most (N + 1) / 2 + 1 is added.

**Security.** 128 bits by the HomomorphicEncryption.org standard (2018), table 1, for ternary secrets: at most 218 and
438 bits of modulus for N = 8192 and 16384, SEAL's special prime included, which can be dropped from no chain of two
primes and is made as short as there is one. The table depends on the size of the modulus, not on its factors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..seal.presets import SECURITY_BITS
from ..seal.ring import Parameters
from .base import MatrixTerms, ProductTerms
from .negacyclic import DEGREE, WORD_BITS

STATISTICAL_BITS = 40
LARGEST_ERROR = 43  # of a discrete Gaussian of parameter 3.2, as `gaussian` draws it
BINOMIAL_ERROR = 21  # of SEAL
MOST_PACKED = 64
SLOT_DEGREES = (8192, 16384)
SPECIAL_BITS = 18
SLOT_PRIME_BITS = (40, 48, 56, 39, 47, 55)  # whole bytes, or nearly


class LinearParameters(NamedTuple):
    """Of the products with one matrix."""

    words: int  # l: the modulus q is 2^(16 l)
    packed: int  # columns in a polynomial
    dropped: int  # of the words of a hint, the lowest, which are not sent
    bound: int  # B
    flood_bits: int  # f

    @property
    def kept(self) -> int:
        """Words of a hint that are sent."""
        return self.words - self.dropped


class SlotParameters(NamedTuple):
    """Of row-wise products."""

    ring: Parameters
    kept: int  # primes of what is returned
    bound: int
    flood_bits: int


@lru_cache(maxsize=64)
def linear(rows: int, matrix: MatrixTerms, prime: int) -> LinearParameters:
    """For a matrix of so many rows."""
    most = min(MOST_PACKED, 1 << (matrix.columns - 1).bit_length())
    packings = [_packed(rows, matrix, prime, 1 << i) for i in range(most.bit_length())]
    fitting = [each for each in packings if each.words * WORD_BITS <= SECURITY_BITS[DEGREE]]
    if not fitting:
        raise ValueError(f"{matrix} needs a modulus of {packings[0].words * WORD_BITS} bits")
    return min(fitting, key=lambda each: _sent(rows, matrix, each))


def _packed(rows: int, matrix: MatrixTerms, prime: int, packed: int) -> LinearParameters:
    entry = (1 << matrix.bits) - 1
    bound = (LARGEST_ERROR + 1) * packed * rows * entry + LARGEST_ERROR * 2 * DEGREE + 2
    flood_bits = _flood_bits(bound, matrix.columns * matrix.vectors)
    words = -(-_bits(prime, bound, flood_bits) // WORD_BITS)
    roundings = [0, *(DEGREE << WORD_BITS * k for k in range(1, words))]  # of hints without so many words
    dropped = max(k for k, each in enumerate(roundings) if _bits(prime, bound + each, flood_bits) <= WORD_BITS * words)
    return LinearParameters(words, packed, dropped, bound, flood_bits)


def _sent(rows: int, matrix: MatrixTerms, chosen: LinearParameters) -> int:
    """Words of all vectors and one hint."""
    vector = sent_rows(rows, chosen.packed) * chosen.words
    return matrix.vectors * vector + -(-matrix.columns // chosen.packed) * DEGREE * chosen.kept


def sent_rows(rows: int, packed: int) -> int:
    """Numbers of an encrypted vector: whole polynomials where columns are packed, and one for the mask."""
    return rows + DEGREE if packed == 1 else (-(-rows * packed // DEGREE) + 1) * DEGREE


@lru_cache(maxsize=64)
def slots(terms: ProductTerms) -> SlotParameters:
    """For the row-wise products of a session: the ring of least bytes, of two alike the smaller."""
    prime = terms.prime
    found = []
    for degree in SLOT_DEGREES:
        zero = BINOMIAL_ERROR * (2 * degree + 1) // (1 << SPECIAL_BITS - 1) + 1 + (degree + 1) // 2 + 1
        bound = (2 * BINOMIAL_ERROR + 1) * terms.rank * degree * (prime // 2 + 1) // 2 + zero + 1
        flood_bits = _flood_bits(bound, -(-terms.rows // degree) * degree * terms.rowwise)
        needed = _bits(prime, bound, flood_bits) + 1
        for bits in SLOT_PRIME_BITS:
            primes = -(-(needed + 1) // bits)  # whose product is above 2^(bits primes - 1): SEAL takes the largest
            too_large = bits * primes + SPECIAL_BITS > SECURITY_BITS[degree]
            if too_large or bits == terms.prime_bits:  # p could be one of the primes
                continue
            ring = Parameters(scheme="bfv", degree=degree, data=(bits,) * primes, special=SPECIAL_BITS, plain=prime)
            fewer = range(1, primes)
            kept = next((k for k in fewer if _holds(prime, bound, flood_bits, degree, bits, primes, k)), primes)
            found.append(SlotParameters(ring, kept, bound, flood_bits))
    if not found:
        raise ValueError(f"{terms} needs a larger ring than there is")
    return min(found, key=lambda each: (len(each.ring.data) * each.ring.width, each.ring.degree))


def _flood_bits(bound: int, shown: int) -> int:
    """The least f with bound * shown / 2^f <= 2^-40."""
    return STATISTICAL_BITS + (bound * shown - 1).bit_length()


def _bits(prime: int, bound: int, flood_bits: int) -> int:
    """Of the least power of two above 2 p (2^(f-1) + B)."""
    return (2 * prime * ((1 << flood_bits - 1) + bound)).bit_length()


def _holds(prime: int, bound: int, flood_bits: int, degree: int, bits: int, primes: int, kept: int) -> bool:
    """Whether so many primes hold the result, with a bit in hand."""
    noise = ((1 << flood_bits - 1) + bound >> bits * (primes - kept) - 1) + 1 + (degree + 1) // 2 + 1
    return 4 * prime * noise < 1 << bits * kept - 1
