"""How many bytes products send, both ways together: known from the terms alone, for previews."""

from __future__ import annotations

from typing import NamedTuple

from .base import ProductTerms
from .negacyclic import DEGREE, WORD_BITS
from .parameters import linear, sent_rows, slots

WORD_BYTES = WORD_BITS // 8
NUMBER_BYTES = 8


class Traffic(NamedTuple):
    """Bytes in the tables of messages; headers, offsets and padding add some hundred for each message.

    Attributes
    ----------
    matrix : int
        For each array that is the holder's matrix: once, where it does not change.
    vector : int
        For each vector that it is multiplied with.
    rowwise : int
        For each row-wise product, of the terms' rank.
    key : int
        With the first row-wise product of either direction.
    """

    matrix: int = 0
    vector: int = 0
    rowwise: int = 0
    key: int = 0


def lattice_traffic(terms: ProductTerms, holder: str = "") -> Traffic:
    """By lattices, for the matrix of this holder where one is named."""
    found = Traffic()
    if holder:
        matrix = terms.matrix_of(holder)
        words = linear(terms.rows, matrix, terms.prime)
        vector = (sent_rows(terms.rows, words.packed) + matrix.columns) * words.words
        found = Traffic(-(-matrix.columns // words.packed) * DEGREE * words.kept * WORD_BYTES, vector * WORD_BYTES)
    if terms.rowwise:
        row = slots(terms)
        primes, degree = len(row.ring.data), row.ring.degree
        once = terms.rank * row.ring.row_bytes(primes, seeded=True) + row.ring.row_bytes(row.kept)
        key = 2 * (primes + 1) * degree * row.ring.width
        found = found._replace(rowwise=-(-terms.rows // degree) * once, key=key)
    return found


def dealer_traffic(terms: ProductTerms, holder: str = "") -> Traffic:
    """With a dealer."""
    columns = terms.matrix_of(holder).columns if holder else 0
    matrix, vector = terms.rows * columns, (terms.rows + columns) if holder else 0
    return Traffic(*(NUMBER_BYTES * each for each in (matrix, vector, terms.rows * (2 * terms.rank + 1))))
