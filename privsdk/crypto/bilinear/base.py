"""Products of what two parties hold, in shares that tell neither anything: one seam, whoever provides it.

One end holds an integer matrix X of n rows, the other vectors v modulo a prime p: each ends with a matrix of numbers
modulo p, and the two add up to X^T v. Row by row, one end holds f and the other g, and the two add up to the sum of
f * g over each row. Either number by itself is uniform. Providers differ in who helps, and in what crosses the link:

    provider         module   helped by                     once                   a vector         rank r, a row
    LatticeProducts  lattice  nobody                        16,384 m l, for an X   2 l (n + 8,192)  about 24 r + 24
    DealtProducts    dealer   who colludes with neither end 8 n m, for an X        8 (n + m)        16 r + 8

in bytes, for m columns and l = 7 to 13 (words of 16 bits of a modulus, see `parameters`); by lattices less for an X and
more for a vector where there are few vectors. `traffic` has the exact numbers. Both ends are assumed to
follow the protocol; each module's header has it, with proofs.

What is multiplied, how often and how large it is are the session's `ProductTerms`. Parameters, and with them what is
promised, follow from the terms alone, so both ends compare theirs before anything else is sent.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import ProtocolViolation
from ...errors.sessions import ProductUnfit, TermsDiffer
from ...protocol.roles import Role
from .modular import MOST_PRIME_BITS, prime_of

Shares = npt.NDArray[np.int64]
Integers = npt.NDArray[np.signedinteger]

LEAST_PRIME_BITS = 20
MOST_BITS = 16
MOST_ROWS = 1 << 22
MOST_PRODUCTS = 1 << 20


class MatrixTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The matrix of one end.

    Parameters
    ----------
    holder : str
        Who holds it.
    columns : int
    bits : int
        Its entries are less than 2^bits in size: 1 for 0 and 1.
    vectors : int
        How many vectors it is multiplied with in the whole session, at most.
    """

    holder: str
    columns: int
    bits: int
    vectors: int

    def __post_init__(self) -> None:
        if self.columns < 1 or not 1 <= self.bits <= MOST_BITS or not 1 <= self.vectors <= MOST_PRODUCTS:
            raise ValueError(f"{self} is out of range")


class ProductTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session multiplies, the same at both ends.

    Parameters
    ----------
    rows : int
        n.
    prime_bits : int
        Shares are modulo the largest prime of so many bits congruent to 1 modulo 2^15, `prime`: `bits_for` says how
        many a result needs.
    matrices : tuple of MatrixTerms
        At most one for each end.
    rank : int
        Products in each row of a row-wise product, at most.
    rowwise : int
        How many row-wise products there are in the whole session, at most.
    """

    rows: int
    prime_bits: int
    matrices: tuple[MatrixTerms, ...] = ()
    rank: int = 0
    rowwise: int = 0

    def __post_init__(self) -> None:
        holders = {matrix.holder for matrix in self.matrices}
        fits = 1 <= self.rows <= MOST_ROWS and LEAST_PRIME_BITS <= self.prime_bits <= MOST_PRIME_BITS
        if not fits or len(holders) < len(self.matrices) or not 0 <= self.rowwise <= MOST_PRODUCTS or self.rank < 0:
            raise ValueError(f"{self} is out of range")

    @property
    def prime(self) -> int:
        """What shares are taken modulo."""
        return prime_of(self.prime_bits)

    def matrix_of(self, holder: str) -> MatrixTerms:
        """The terms of this end's matrix."""
        for matrix in self.matrices:
            if matrix.holder == holder:
                return matrix
        raise ValueError(f"the terms have no matrix of {holder}")


class Products(Protocol):
    """One end of a session of products between two parties; one object serves it through a whole run.

    `name` tells a product from every other of the session. Where one end calls `matrix` or `rowwise_left`, the other
    calls `vectors` or `rowwise_right`.
    """

    def set_up(self) -> Role[None]:
        """Compare terms, once before the first product."""

    def matrix(self, name: str, matrix: Integers) -> Role[Shares]:
        """Multiply this end's matrix, of shape (n, m), by the other's vectors.

        It is prepared at its first use, and again where it has other entries than at the last.

        Returns
        -------
        This end's shares of matrix^T vectors, of shape (m, c).
        """

    def vectors(self, name: str, vectors: Shares) -> Role[Shares]:
        """Multiply the other's matrix by these vectors, of shape (n, c), modulo the prime."""

    def rowwise_left(self, name: str, factors: Shares) -> Role[Shares]:
        """Multiply numbers modulo the prime, of shape (n, r), by the other's and add up each row: shares (n,)."""

    def rowwise_right(self, name: str, factors: Shares) -> Role[Shares]:
        """The other side of `rowwise_left`."""

    def finish(self) -> Role[None]:
        """Let whoever helps go, once after the last product."""


class ProductChecks:
    """What either end of any provider checks of its own arguments, and counts; ValueError where they are wrong."""

    def __init__(self, me: str, peer: str, terms: ProductTerms) -> None:
        self.terms = terms
        self._peer = peer
        self._names: set[str] = set()
        self._vectors = {matrix.holder: matrix.vectors for matrix in terms.matrices}
        self._rowwise = terms.rowwise
        if any(matrix.holder not in (me, peer) for matrix in terms.matrices):
            raise ValueError(f"the terms have matrices of others than {me} and {peer}")

    def matrix(self, name: str, matrix: Integers, holder: str) -> None:
        """Before a product with one's matrix."""
        self._once(name)
        terms = self.terms.matrix_of(holder)
        shape = (self.terms.rows, terms.columns)
        small = matrix.dtype.kind in "iu" and -(1 << terms.bits) < matrix.min() and matrix.max() < 1 << terms.bits
        if matrix.shape != shape or not small:
            raise ValueError(f"{name} needs a matrix of {shape} integers of {terms.bits} bits")

    def vectors(self, name: str, vectors: Shares, holder: str) -> None:
        """Before a product of one's vectors."""
        self._once(name)
        self._modulo(name, vectors)
        if not self.count(holder, vectors.shape[1]):
            raise ValueError(f"{name} is more vectors than the matrix of {holder} is multiplied with by the terms")

    def count(self, holder: str, vectors: int) -> bool:
        """Take so many vectors of those that a matrix is multiplied with; False where there are not as many left."""
        self._vectors[holder] -= vectors
        return vectors >= 1 and self._vectors[holder] >= 0

    def rows(self, name: str, factors: Shares) -> None:
        """Before a row-wise product."""
        self._once(name)
        self._modulo(name, factors)
        if not self._rowwise or factors.shape[1] > self.terms.rank:
            raise ValueError(f"{name} is one row-wise product more, or of more rank, than by the terms")
        self._rowwise -= 1

    def opened(self, terms: ProductTerms) -> None:
        """Compare the peer's terms."""
        if terms != self.terms:
            raise ProtocolViolation(TermsDiffer(peer=self._peer))

    def unfit(self, name: str, peer: str = "") -> ProtocolViolation:
        """The error of a message that does not fit a product."""
        return ProtocolViolation(ProductUnfit(peer=peer or self._peer, name=name))

    def _once(self, name: str) -> None:
        if name in self._names:
            raise ValueError(f"two products named {name}: their masks would be the same")
        self._names.add(name)

    def _modulo(self, name: str, numbers: Shares) -> None:
        fits = numbers.ndim == 2 and len(numbers) == self.terms.rows and numbers.shape[1] and numbers.dtype == np.int64
        if not fits or numbers.min() < 0 or numbers.max() >= self.terms.prime:
            raise ValueError(f"{name} needs {self.terms.rows} rows of int64 numbers modulo {self.terms.prime}")


def bits_for(largest: int) -> int:
    """The `prime_bits` of results within +-largest."""
    needed = max(LEAST_PRIME_BITS, (2 * largest + 1).bit_length())
    while needed <= MOST_PRIME_BITS and prime_of(needed) < 2 * largest + 1:
        needed += 1
    if needed > MOST_PRIME_BITS:
        raise ValueError(f"results within {largest} need a prime of {needed} bits; {MOST_PRIME_BITS} are the most")
    return needed
