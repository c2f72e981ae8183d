"""Products between two parties by lattices alone: `linear` for a matrix and vectors, `slots` row by row.

    either end                                        the other
    <-- ProductOpening: terms, seed of a public matrix -->        compared before anything else is sent
    matrix                                            vectors
    <-- Vectors: one encrypted vector after the other ----
    --- Product: results; the hint, for a new matrix ---->
    rowwise_left                                      rowwise_right
    <-- RowFactors: ciphertexts; a public key, at first --
    --- RowProducts: a ciphertext for each N rows ------->

Each end keeps count of what its own terms allow, as the noise that hides its numbers is for so many results.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ...errors import ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, ask, checkpoint, hear, tell
from ...protocol.workers.pool import computed, threads
from ..aes import KEY_BYTES
from ..seal.serial import Buffer
from ..sums.encrypted import BLOBS
from .base import Integers, ProductChecks, Products, ProductTerms, Shares
from .linear import SEED_BYTES, MatrixHolder, MatrixShape, VectorsHolder
from .modular import uniform
from .negacyclic import DEGREE, WORD_BITS, Words
from .parameters import linear, sent_rows, slots
from .slots import Left, Right

WORD_BYTES = WORD_BITS // 8


class ProductOpening(Message, frozen=True, kw_only=True, tag="bilinear.Opening"):
    """An end's terms, and the seed of the public matrix under which it encrypts vectors."""

    terms: ProductTerms
    seed: bytes


class Vectors(Message, frozen=True, kw_only=True, tag="bilinear.Vectors"):
    """Encrypted vectors."""

    SCHEMA = BLOBS
    MAX_BYTES = 1 << 31
    name: str
    table: pa.Table


class Product(Message, frozen=True, kw_only=True, tag="bilinear.Product"):
    """Encrypted results, and behind them the hint where the matrix is another than at the last."""

    SCHEMA = BLOBS
    MAX_BYTES = 1 << 31
    name: str
    table: pa.Table


class RowFactors(Message, frozen=True, kw_only=True, tag="bilinear.RowFactors"):
    """Encrypted numbers, rank by rank of N rows after the other; before the first of a session the public key."""

    SCHEMA = BLOBS
    MAX_BYTES = 1 << 31
    name: str
    table: pa.Table


class RowProducts(Message, frozen=True, kw_only=True, tag="bilinear.RowProducts"):
    """Encrypted results, one ciphertext for each N rows."""

    SCHEMA = BLOBS
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


class LatticeProducts(Products):
    """One end.

    Parameters
    ----------
    me, peer : str
    terms : ProductTerms
        The same at both ends.
    entropy : Entropy
        For masks, noise and keys; SEAL draws its own besides.
    """

    def __init__(self, *, me: str, peer: str, terms: ProductTerms, entropy: Entropy) -> None:
        self._me = me
        self._peer = peer
        self._terms = terms
        self._checks = ProductChecks(me, peer, terms)
        self._entropy = entropy
        self._seed = entropy.draw(SEED_BYTES)
        self._peer_seed = b""
        self._prepared: tuple[Integers, MatrixHolder] | None = None
        self._opens: VectorsHolder | None = None
        self._left: Left | None = None
        self._right: Right | None = None

    def set_up(self) -> Role[None]:
        """Compare terms, and tell the seed of one's public matrix."""
        opening = yield from ask(self._peer, ProductOpening(terms=self._terms, seed=self._seed), ProductOpening)
        self._checks.opened(opening.terms)
        if len(opening.seed) != SEED_BYTES:
            raise self._checks.unfit("set-up")
        self._peer_seed = opening.seed

    # a matrix and vectors

    def matrix(self, name: str, matrix: Integers) -> Role[Shares]:
        """See `Products`."""
        shape = self._shape_of(self._me)
        self._checks.matrix(name, matrix, self._me)
        asked = yield from hear(self._peer, Vectors)
        blobs = self._blobs(asked, name)
        size = sent_rows(shape.rows, shape.parameters.packed) * shape.parameters.words
        if any(len(blob) != size * WORD_BYTES for blob in blobs) or not self._checks.count(self._me, len(blobs)):
            raise self._checks.unfit(name)
        encrypted = np.stack([_words(blob, (-1, shape.parameters.words)) for blob in blobs], axis=1)
        hint: list[bytes] = []
        if self._prepared is None or not np.array_equal(self._prepared[0], matrix):
            holder = MatrixHolder(shape, matrix, self._peer_seed, self._entropy)
            public = holder.public()
            parts = [(public, groups) for groups in shape.parts]
            hint = yield from computed(holder.hint, parts, "hint", total=len(parts), pool=threads())
            self._prepared = matrix.copy(), holder
        multiply = self._prepared[1].multiply
        shares = uniform(self._entropy.draw(KEY_BYTES), (shape.columns, len(blobs)), shape.prime)
        (results,) = yield from computed(multiply, [(encrypted, shares)], "products", total=1, pool=threads())
        yield from tell(self._peer, Product(name=name, table=_table([results.tobytes(), b"".join(hint)])))
        return -shares % shape.prime

    def vectors(self, name: str, vectors: Shares) -> Role[Shares]:
        """See `Products`."""
        shape = self._shape_of(self._peer)
        self._checks.vectors(name, vectors, self._peer)
        count, words = vectors.shape[1], shape.parameters.words
        if self._opens is None:
            self._opens = VectorsHolder(shape, self._seed, self._entropy)
        encrypted, secrets = [], []
        for i in range(count):
            yield from checkpoint("encrypting", i, count)
            one, secret = self._opens.encrypt(vectors[:, i])
            encrypted.append(one.tobytes())
            secrets.append(secret)
        answer = yield from ask(self._peer, Vectors(name=name, table=_table(encrypted)), Product)
        blobs = self._blobs(answer, name)
        sizes = [len(blob) for blob in blobs]
        kept = shape.parameters.kept
        results, hint = shape.columns * count * words * WORD_BYTES, shape.groups * DEGREE * kept * WORD_BYTES
        if sizes not in ([results, 0], [results, hint]) or (not self._opens.has_hint and not sizes[1]):
            raise self._checks.unfit(name)
        if sizes[1]:
            self._opens.keep(_words(blobs[1], (shape.groups, DEGREE, kept)))
        sealed = _words(blobs[0], (shape.columns, count, words)), np.stack(secrets, axis=1)
        (opened,) = yield from computed(self._opens.open, [sealed], "opening", total=1, pool=threads())
        return opened

    # row by row

    def rowwise_left(self, name: str, factors: Shares) -> Role[Shares]:
        """See `Products`."""
        self._checks.rows(name, factors)
        degree, rank = slots(self._terms).ring.degree, factors.shape[1]
        asked = yield from hear(self._peer, RowFactors)
        blobs = self._blobs(asked, name)
        starts = range(0, self._terms.rows, degree)
        if len(blobs) != len(starts) * rank + (self._left is None):
            raise self._checks.unfit(name)
        key = b"" if self._left else blobs.pop(0)
        shares = uniform(self._entropy.draw(KEY_BYTES), (len(starts) * degree,), self._terms.prime)
        pieces = [
            (
                blobs[i * rank : (i + 1) * rank],
                factors[start : start + degree],
                shares[start : start + degree],
                self._entropy.draw(KEY_BYTES),
            )
            for i, start in enumerate(starts)
        ]
        try:
            if self._left is None:
                self._left = Left(self._terms, bytes(key))
            sent = yield from self._left.multiply_all(pieces)
        except ProtocolViolation:
            raise self._checks.unfit(name) from None
        yield from tell(self._peer, RowProducts(name=name, table=_table(sent)))
        return -shares[: self._terms.rows] % self._terms.prime

    def rowwise_right(self, name: str, factors: Shares) -> Role[Shares]:
        """See `Products`."""
        self._checks.rows(name, factors)
        degree, rows = slots(self._terms).ring.degree, self._terms.rows
        sent: list[bytes] = []
        if self._right is None:
            self._right = Right(self._terms)
            sent.append(self._right.public_key)
        for start in range(0, rows, degree):
            yield from checkpoint("encrypting", start, rows)
            sent += [self._right.encrypt(column) for column in factors[start : start + degree].T]
        answer = yield from ask(self._peer, RowFactors(name=name, table=_table(sent)), RowProducts)
        blobs = self._blobs(answer, name)
        if len(blobs) != -(-rows // degree):
            raise self._checks.unfit(name)
        try:
            return np.concatenate([self._right.open(blob) for blob in blobs])[:rows]
        except (ProtocolViolation, OverflowError):
            raise self._checks.unfit(name) from None

    def finish(self) -> Role[None]:
        """Nobody helps."""
        yield from ()

    def _shape_of(self, holder: str) -> MatrixShape:
        matrix, rows, prime = self._terms.matrix_of(holder), self._terms.rows, self._terms.prime
        return MatrixShape(rows, matrix.columns, matrix.bits, prime, linear(rows, matrix, prime))

    def _blobs(self, message: Vectors | Product | RowFactors | RowProducts, name: str) -> list[Buffer]:
        if message.name != name:
            raise self._checks.unfit(name)
        return [memoryview(blob.as_buffer() or b"") for blob in message.table.column("blob")]


def _words(blob: Buffer, shape: tuple[int, ...]) -> Words:
    return np.frombuffer(blob, "<u2").astype(np.uint16, copy=False).reshape(shape)


def _table(blobs: Sequence[bytes]) -> pa.Table:
    return pa.table({"blob": pa.array(blobs, pa.large_binary())}, schema=BLOBS)
