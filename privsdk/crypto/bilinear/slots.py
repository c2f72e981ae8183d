"""Sums of products row by row under encryption: one end encrypts, the other multiplies by its own numbers.

Paper: the batched plaintext products of BFV (Fan, Vercauteren, ePrint 2012/144; Smart, Vercauteren, "Fully
Homomorphic SIMD Operations", DCC 2014) with SEAL, one row a slot; what is returned is hidden as in Gazelle (Juvekar,
Vaikuntanathan, Chandrakasan, USENIX Security 2018, section 3), by flooding and an encryption of zero, with a bound
that holds always.

    left: f (n, r)                                   right: g (n, r)
    <------------------------------------------------ a public key, once
    <------------------------------------------------ for each N rows r ciphertexts of g, with seeds
    sum of f * ciphertext + encryption of zero
      + s + noise uniform below 2^f, in all slots;
      brought to its first primes
    - the result ----------------------------------->
    share: -s                                         share: what it decrypts to

Why the left's numbers stay hidden. The right knows the secret key t, and the errors and roundings v of its
ciphertexts m: each is c0 + c1 t = (q / p) m + v with |v| <= 21.5. Multiplied by polynomials f of coefficients within
p / 2 and added, it is (q / p) times an integer polynomial that is [f m] modulo p, plus v * f, which `parameters`
bounds whatever f is. The encryption of zero under the public key (-(a t + e), a) modulo q P has the second part a u +
e'', rounded by P, with u ternary and e, e'' errors of SEAL. In c0 + c1 t of the result u occurs in terms that B
bounds, too, and uniform noise below 2^f in each coefficient hides all of them: but for a distance of 2^-40 it is (q /
p) (uniform polynomial modulo p) + noise. Then u is in the second part alone, a ring-LWE sample, so this is uniform
modulo q P, and rounded uniform modulo q: so is the sum with f c1. What is returned depends no more on f. Bringing it
to fewer primes is a function of it and tells no more.

All slots of the last N rows are masked, those that hold no row too. The right's numbers are encrypted with a secret
key.

Assumes parties that follow the protocol, ring-LWE, SEAL's randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from ...protocol.roles import Role, checkpoint
from ...protocol.workers.pool import computed
from ..aes import stream
from ..seal.ring import Ring, ring
from ..seal.serial import Buffer
from .base import ProductTerms
from .modular import PIECE_BITS, Shares, centred, quotient_remainder
from .parameters import slots


class Right:
    """Encrypts, and opens what comes back."""

    def __init__(self, terms: ProductTerms) -> None:
        self._parameters = slots(terms)
        self._ring = ring(self._parameters.ring)
        secret = self._ring.new_secret_key()
        self.public_key = self._ring.public_key_row(secret)
        self._encryptor = self._ring.encryptor(secret)
        self._decryptor = self._ring.decryptor(secret)

    def encrypt(self, numbers: Shares) -> bytes:
        """The row of at most N numbers modulo the prime."""
        plain = encoded(self._ring, numbers)
        return self._ring.seeded_row(self._encryptor.encrypt_symmetric(plain), len(self._parameters.ring.data))

    def open(self, row: Buffer) -> Shares:
        """The numbers of all slots of a result.

        Raises
        ------
        ProtocolViolation
            It is no ciphertext.
        OverflowError
            It has more noise than there can be.
        """
        ciphertext, plain = self._ring.ciphertext(row, self._parameters.kept), self._ring.new_plain()
        if not self._decryptor.invariant_noise_budget(ciphertext):
            raise OverflowError("a result under another key, or with more noise than its terms allow")
        self._decryptor.decrypt(ciphertext, plain)
        return self._ring.decode(plain) % self._parameters.ring.plain


Piece = tuple[Sequence[Buffer], Shares, Shares, bytes]  # the arguments of `Left.multiply`


class Left:
    """Multiplies ciphertexts under the other's key by numbers of its own."""

    def __init__(self, terms: ProductTerms, public_key: bytes) -> None:
        self._terms = terms
        self._key = public_key
        self._parameters = slots(terms)
        self._ring = ring(self._parameters.ring)
        self._encryptor = self._ring.encryptor(self._ring.public_key(public_key))

    def multiply_all(self, pieces: Sequence[Piece]) -> Role[list[bytes]]:
        """The results of `multiply` for N rows each: by the workers where they are several, as SEAL holds the lock."""
        if len(pieces) == 1:
            yield from checkpoint("row by row", 0, 1)
            return [self.multiply(*pieces[0])]
        head = msgspec.msgpack.encode(self._terms), self._key
        sent = (
            (*head, [bytes(row) for row in rows], numbers.tobytes(), shares.tobytes(), key)
            for rows, numbers, shares, key in pieces
        )
        return (yield from computed(multiply_here, sent, "row by row", total=len(pieces)))

    def multiply(self, rows: Sequence[Buffer], numbers: Shares, shares: Shares, noise_key: bytes) -> bytes:
        """The sum of ciphertexts times the columns of numbers (at most N, r), plus shares in all N slots."""
        here, total = self._ring, None
        for row, column in zip(rows, numbers.T, strict=True):
            ciphertext = here.ciphertext(row, len(self._parameters.ring.data))
            if not column.any():
                continue  # SEAL refuses products with zero; the encryption of zero stands for them
            plain = encoded(here, column)
            here.evaluator.transform_to_ntt_inplace(ciphertext)
            here.evaluator.transform_to_ntt_inplace(plain, ciphertext.parms_id())
            here.evaluator.multiply_plain_inplace(ciphertext, plain)
            if total is None:
                total = ciphertext
            else:
                here.evaluator.add_inplace(total, ciphertext)
        result = self._zero()
        if total is not None:
            here.evaluator.transform_from_ntt_inplace(total)
            here.evaluator.add_inplace(result, total)
        here.evaluator.add_plain_inplace(result, encoded(here, shares))
        here.evaluator.add_inplace(result, here.ciphertext(self._flood(noise_key), len(self._parameters.ring.data)))
        for _ in range(len(self._parameters.ring.data) - self._parameters.kept):
            here.evaluator.mod_switch_to_next_inplace(result)
        return here.row(result)

    def _zero(self) -> Any:
        """A fresh encryption of zero."""
        made = self._ring.new_ciphertext()
        self._encryptor.encrypt_zero(made)
        return made

    def _flood(self, key: bytes) -> bytes:
        """A ciphertext with a second polynomial of zero, and a first that is uniform over 2^f integers around zero."""
        degree, bits = self._parameters.ring.degree, self._parameters.flood_bits
        pieces = -(-bits // PIECE_BITS)
        drawn = stream(key, 0, 4 * pieces * degree).view("<u4").astype(np.int64).reshape(pieces, degree)
        drawn &= np.array([(1 << min(PIECE_BITS, bits - PIECE_BITS * i)) - 1 for i in range(pieces)])[:, None]
        residues = np.zeros((2, len(self._ring.primes), degree), np.int64)
        for residue, prime in zip(residues[0], self._ring.primes, strict=True):
            residue[:] = -(1 << bits - 1) % prime
            for i, piece in enumerate(drawn):
                weight = np.full(degree, pow(2, PIECE_BITS * i, prime))
                residue[:] = (residue + quotient_remainder(weight, piece, prime)[1]) % prime
        return self._ring.packed(residues.data)


def multiply_here(
    terms: bytes, public_key: bytes, rows: list[bytes], numbers: bytes, shares: bytes, noise_key: bytes
) -> bytes:
    """A worker's part of `multiply_all`."""
    factors = np.frombuffer(numbers, np.int64).reshape(-1, len(rows))
    return _left(terms, public_key).multiply(rows, factors, np.frombuffer(shares, np.int64), noise_key)


@lru_cache(maxsize=2)
def _left(terms: bytes, public_key: bytes) -> Left:
    return Left(msgspec.msgpack.decode(terms, type=ProductTerms), public_key)


def encoded(here: Ring, numbers: Shares) -> Any:
    """A plaintext with these numbers in its first slots."""
    return here.encode(centred(numbers, here.parameters.plain).tolist())
