"""Matrix times vectors under encryption, with what does not depend on the vectors computed once.

Papers: encryption by learning with errors and a hint that is X^T A as in SimplePIR (Henzinger, Hong, Corrigan-Gibbs,
Meiklejohn, Vaikuntanathan, "One Server for the Price of Two", USENIX Security 2023, section 3), for a ring
(Lyubashevsky, Peikert, Regev, EUROCRYPT 2010); the coefficients of Cheetah's matrix-vector product (Huang, Lu, Hong,
Ding, USENIX Security 2022, section 3), of which only those are sent that hold a result. That X is hidden, too, is
proved below.

All is modulo q = 2^(16 l); R is Z_q[X] / (X^N + 1), N = 8192; p is the prime of the shares. D is the discrete
Gaussian of parameter 3.2, and T are ternary numbers, uniform. A is public: for each N rows a matrix of N x N that
multiplies by a uniform polynomial, one block more than X has, all from a seed of the vectors' holder.

    matrix's holder, X (n, m)                        vectors' holder, v modulo p
    <------------------------------------------------ seed of A, once
    X' = X over U, U from T^(N, m)
    H = X'^T A + E, E from D^(m, N)                   for each v: s from T^N, e from D^(n + N)
    <------------------------------------------------ b = A s + e + floor((q / p) (v over 0))
    y = X'^T b + floor((q / p) r) + g
      r uniform modulo p, g uniform below 2^f
    - y, and H when X is new ----------------------->
    share: -r                                         share: round((p / q) (y - H s - 2^(f-1)))

Of H the lowest words are not sent, for what they change is small beside g (`parameters`).

Packed. Where vectors are few and columns many, the hint is most of what is sent. Then c columns share a polynomial,
each in N / c of its coefficients, and N / c numbers of a vector are in each polynomial of b, over zeros: a product
holds the results of the c columns at their ends, as in Cheetah. H, E and U have m / c rows, b has about c n numbers,
and the errors of c columns meet in each result. What is said below of X^T b is said of these products.

Correct. y - H s = X'^T (e + floor((q / p) (v over 0))) - E s + floor((q / p) r) + g, and q / p times an integer that
is X^T v + r modulo p is, modulo q, the same for each such integer. So y - H s - (q / p) (X^T v + r mod p) is g and
what is at most B: |X'^T e| <= 43 n max |X| + 43 N, |E s| <= 43 N, roundings below 1 each. `parameters` chooses q.

The matrix's holder sees A, b: n + N ring-LWE samples with a secret for each vector, uniform but for their form (a
hybrid over the vectors). It learns nothing of v.

The vectors' holder sees H once and a y for each v. It knows s and e, so the errors hide nothing from it. Given z =
X^T v + r mod p, uniform and independent of X as r is, y = H s + ceil((q / p) z) + g + d with an integer d in [-B, B]
of X, U, E, s, e, v: replace y by H s + ceil((q / p) z) + g, at a distance of 2^-40 in all results together. Now U and
E are in H alone, whose row j is X^T A' + a u_j + e_j for the last polynomial a of A: a ring-LWE sample with the
secret u_j, uniform by the same assumption. What is left depends on no X. Where X changes, U and E are fresh. Without
U the hint is X^T A, which tells X by linear algebra; without g the d of a few vectors do.

Assumes parties that follow the protocol, ring-LWE, and that the stream of AES-128 stands for uniform numbers, public
ones included (as in FrodoKEM). Not in constant time: who measures processors is not covered.

Cost. The hint: m n / N transforms of 2^12 points, and m l of sums. A vector: n m products of a word by an entry in
float64, l of them; where columns are packed, as a hint.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...protocol.roles import Entropy
from ..aes import KEY_BYTES, derived, stream
from ..gaussian import discrete_gaussian
from ..seal.ring import SIGMA
from .base import Integers
from .modular import Shares, exact_product, quotient_remainder
from .negacyclic import (
    DEGREE,
    GROUP,
    WORD_BITS,
    Limbs,
    Spectrum,
    Words,
    balanced,
    carried,
    integers,
    joined,
    limb_bits,
    spectrum,
    split,
    turned,
)
from .parameters import LinearParameters

SEED_BYTES = 32
SPARE = 64  # bytes drawn beyond those needed: one in 256 is rejected
PART_GROUPS = 8


class MatrixShape(NamedTuple):
    """Of one matrix, and what its products are computed modulo."""

    rows: int
    columns: int
    bits: int
    prime: int
    parameters: LinearParameters

    @property
    def height(self) -> int:
        """Rows in a polynomial: N / c."""
        return DEGREE // self.parameters.packed

    @property
    def blocks(self) -> int:
        """Polynomials of A: as many as the rows fill, and one for what hides the matrix."""
        return -(-self.rows // self.height) + 1

    @property
    def groups(self) -> int:
        """Polynomials of a row of blocks of the matrix: m / c."""
        return -(-self.columns // self.parameters.packed)

    @property
    def parts(self) -> list[slice]:
        """Groups that are computed at a time."""
        return [slice(i, min(i + PART_GROUPS, self.groups)) for i in range(0, self.groups, PART_GROUPS)]


class MatrixMask(NamedTuple):
    """U and E."""

    ternary: npt.NDArray[np.int8]  # (N, groups)
    errors: npt.NDArray[np.int64]  # (groups, N)


def public_matrix(seed: bytes, shape: MatrixShape) -> Limbs:
    """The polynomials of A, by digits that are uniform as all of it is: (blocks, N, l)."""
    size = shape.blocks * DEGREE * shape.parameters.words
    octets = stream(derived(seed, "bilinear.linear.A"), 0, 2 * size)
    return octets.view("<i2").reshape(shape.blocks, DEGREE, shape.parameters.words)


def ternary(key: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """Uniform over -1, 0 and 1, from a key that is used for nothing else: bytes below 255 modulo 3."""
    size = math.prod(shape)
    found = np.empty(0, np.uint8)
    while len(found) < size:
        drawn = stream(key, len(found), size - len(found) + SPARE)  # by a counter that no two draws share
        found = np.concatenate([found, drawn[drawn < 255]])
    return (found[:size] % 3).astype(np.int8).reshape(shape) - np.int8(1)


def scaled(numbers: Shares, prime: int, words: int) -> Words:
    """floor((q / p) x) for numbers modulo p: by long division, a word at a time."""
    result = np.empty((*numbers.shape, words), np.uint16)
    remainder = numbers
    for i in reversed(range(words)):
        quotient, remainder = quotient_remainder(remainder, 1 << WORD_BITS, prime)
        result[..., i] = quotient
    return result


def whole(words: Words) -> npt.NDArray[np.object_]:
    """Numbers as Python's integers."""
    result = np.zeros(words.shape[:-1], object)
    for i in reversed(range(words.shape[-1])):
        result = (result << WORD_BITS) + words[..., i].astype(object)
    return result


class VectorsHolder:
    """Encrypts vectors for one matrix of the other, and opens the results."""

    def __init__(self, shape: MatrixShape, seed: bytes, entropy: Entropy) -> None:
        self._shape = shape
        self._entropy = entropy
        self._public: Spectrum = spectrum(public_matrix(seed, shape).transpose(0, 2, 1))  # (blocks, l, N / 2)
        self._hint: Words | None = None  # (N, groups kept)

    def encrypt(self, vector: Shares) -> tuple[Words, npt.NDArray[np.int8]]:
        """b, of shape (`sent_rows`, l), of a vector of shape (n,), and the secret that opens its result."""
        shape, words = self._shape, self._shape.parameters.words
        secret = ternary(self._entropy.draw(KEY_BYTES), (DEGREE,))
        products = integers(self._public * spectrum(secret))  # (blocks, l, N)
        sums = np.ascontiguousarray(products.transpose(0, 2, 1))
        message = np.zeros(((shape.blocks - 1) * shape.height, words), np.int64)
        message[: shape.rows] = scaled(vector, shape.prime, words)
        sums[:-1, : shape.height] += message.reshape(-1, shape.height, words)
        sums = sums.reshape(-1, words)
        if shape.parameters.packed == 1:
            sums = np.concatenate([sums[: shape.rows], sums[-DEGREE:]])
        sums[:, 0] += discrete_gaussian(SIGMA, len(sums), self._entropy)
        return carried(sums), secret

    def keep(self, hint: Words) -> None:
        """The hint of the matrix that next results are of, (groups, N, kept)."""
        self._hint = np.ascontiguousarray(hint.transpose(1, 0, 2)).reshape(DEGREE, -1)

    @property
    def has_hint(self) -> bool:
        """Whether one came."""
        return self._hint is not None

    def open(self, results: Words, secrets: npt.NDArray[np.int8]) -> Shares:
        """Shares (m, c) of results (m, c, l) under secrets (N, c)."""
        if self._hint is None:
            raise RuntimeError("there is no hint to open results with")
        shape, words, dropped = self._shape, self._shape.parameters.words, self._shape.parameters.dropped
        factors = turned(secrets, shape.height).reshape(DEGREE, -1)
        masks = exact_product(self._hint, factors, WORD_BITS + 1)
        masks = masks.reshape(shape.groups, words - dropped, -1, secrets.shape[1]).transpose(0, 2, 3, 1)
        sums = results.astype(np.int64)
        sums[..., dropped:] -= masks.reshape(-1, *masks.shape[2:])[: shape.columns]
        numbers = whole(carried(sums)) - (1 << shape.parameters.flood_bits - 1)
        modulus = 1 << WORD_BITS * words
        rounded = (numbers * shape.prime + modulus // 2) // modulus % shape.prime
        return np.asarray(rounded, np.int64)


class MatrixHolder:
    """Multiplies a matrix by encrypted vectors; for each matrix another one."""

    def __init__(self, shape: MatrixShape, matrix: Integers, seed: bytes, entropy: Entropy) -> None:
        self._shape = shape
        self._matrix = matrix
        self._entropy = entropy
        self._seed = seed
        self._mask = MatrixMask(
            ternary(entropy.draw(KEY_BYTES), (DEGREE, shape.groups)),
            discrete_gaussian(SIGMA, DEGREE * shape.groups, entropy).reshape(shape.groups, DEGREE),
        )

    def public(self) -> Spectrum:
        """A, as factors of the matrix."""
        return self._factors(public_matrix(self._seed, self._shape))

    def hint(self, public: Spectrum, groups: slice) -> bytes:
        """H of some groups of columns, without its lowest words: (groups, N, kept)."""
        sums = self._products(public, groups)
        sums[..., 0] += self._mask.errors[groups]
        return carried(sums)[..., self._shape.parameters.dropped :].tobytes()

    def multiply(self, encrypted: Words, shares: Shares) -> Words:
        """y, of shape (m, c, l), of vectors (`sent_rows`, c, l), plus shares (m, c)."""
        shape, count, words = self._shape, shares.shape[1], self._shape.parameters.words
        if shape.parameters.packed == 1:
            flat = encrypted.reshape(len(encrypted), -1)
            sums = exact_product(self._matrix, flat[: shape.rows], WORD_BITS + shape.bits)
            sums += exact_product(self._mask.ternary[::-1], flat[shape.rows :], WORD_BITS + 1)
            sums = sums.reshape(-1, count, words)
        else:
            sums = np.empty((shape.columns, count, words), np.int64)
            for i in range(count):
                one = self._factors(balanced(encrypted[:, i].reshape(shape.blocks, DEGREE, words)))
                parts = [self._products(one, groups)[:, shape.height - 1 :: shape.height] for groups in shape.parts]
                sums[:, i] = np.concatenate(parts).reshape(-1, words)[: shape.columns]
        return carried(sums + scaled(shares, shape.prime, words) + self._flood(shares.size).reshape(sums.shape))

    def _factors(self, polynomials: Limbs) -> Spectrum:
        """Polynomials (blocks, N, l) by limbs short enough for products with the matrix: (N / 2, blocks, limbs)."""
        limbs = split(polynomials, limb_bits(self._shape.bits))
        return np.ascontiguousarray(spectrum(limbs.transpose(0, 2, 1)).transpose(2, 0, 1))

    def _products(self, factors: Spectrum, groups: slice) -> npt.NDArray[np.int64]:
        """Sums over all blocks of the matrix times these: (groups, N, l)."""
        blocks = np.stack([self._block(i)[:, groups] for i in range(self._shape.blocks)])
        mine = np.ascontiguousarray(spectrum(blocks.transpose(2, 0, 1)).transpose(2, 0, 1))
        sums = np.zeros((mine.shape[1], DEGREE, factors.shape[2]), np.int64)
        for start in range(0, self._shape.blocks, GROUP):
            part = slice(start, start + GROUP)
            values = mine[:, :, part] @ factors[:, part]  # (N / 2, groups, limbs)
            sums += integers(values.transpose(1, 2, 0)).transpose(0, 2, 1)
        return joined(sums, limb_bits(self._shape.bits))

    def _block(self, number: int) -> npt.NDArray[np.signedinteger]:
        """Polynomials (N, groups) of c columns each, whose products have results at the ends of these; at last U."""
        shape = self._shape
        if number == shape.blocks - 1:
            return self._mask.ternary
        rows = self._matrix[number * shape.height : (number + 1) * shape.height]
        width = shape.groups * shape.parameters.packed
        if rows.shape != (shape.height, width):
            rows = np.pad(rows, ((0, shape.height - len(rows)), (0, width - shape.columns)))
        return rows[::-1].reshape(shape.height, shape.groups, -1).transpose(2, 0, 1).reshape(DEGREE, shape.groups)

    def _flood(self, size: int) -> npt.NDArray[np.int64]:
        """Uniform below 2^f."""
        bits, words = self._shape.parameters.flood_bits, self._shape.parameters.words
        drawn = stream(self._entropy.draw(KEY_BYTES), 0, 2 * size * words).view(np.uint16).reshape(size, words)
        masks = [(1 << min(WORD_BITS, max(0, bits - WORD_BITS * i))) - 1 for i in range(words)]
        return np.bitwise_and(drawn.astype(np.int64), masks, dtype=np.int64)
