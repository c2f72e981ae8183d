"""TenSEAL as its tutorials use it: CKKS at 8192 and [60, 40, 40, 60], scale 2^40, vectors of whole lists."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import tenseal as ts


def context() -> ts.Context:
    made = ts.context(ts.SCHEME_TYPE.CKKS, poly_modulus_degree=8192, coeff_mod_bit_sizes=[60, 40, 40, 60], n_threads=1)
    made.global_scale = 2**40
    made.generate_galois_keys()
    return made


@contextmanager
def unheard() -> Iterator[None]:
    """Without the warning that TenSEAL prints, from C++, for every vector of more than one ciphertext."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def encrypt(key: ts.Context, values: np.ndarray) -> bytes:
    """A party's vector as it is sent."""
    return ts.ckks_vector(key, values.tolist()).serialize()


def add(key: ts.Context, received: Sequence[bytes]) -> bytes:
    total = ts.ckks_vector_from(key, received[0])
    for blob in received[1:]:
        total += ts.ckks_vector_from(key, blob)
    return total.serialize()


def decrypt(key: ts.Context, blob: bytes) -> np.ndarray:
    return np.array(ts.ckks_vector_from(key, blob).decrypt())


def scores(key: ts.Context, rows: Sequence[bytes], weights: Sequence[float], intercept: float) -> list[bytes]:
    """One ciphertext for each row, dot product by rotations."""
    made = []
    for row in rows:
        score = ts.ckks_vector_from(key, row).dot(list(weights))
        score += [intercept]
        made.append(score.serialize())
    return made


def scores_mm(key: ts.Context, rows: Sequence[bytes], weights: Sequence[float], intercept: float) -> list[bytes]:
    """The same by a product with a matrix of one column."""
    matrix, made = [[weight] for weight in weights], []
    for row in rows:
        score = ts.ckks_vector_from(key, row).mm(matrix)
        score += [intercept]
        made.append(score.serialize())
    return made


def gradient(key: ts.Context, residuals: Sequence[bytes], matrix: np.ndarray) -> bytes:
    """The sum over rows of each encrypted residual, repeated for every feature, times the row."""
    total = None
    for blob, row in zip(residuals, matrix.tolist(), strict=True):
        term = ts.ckks_vector_from(key, blob) * row
        total = term if total is None else total + term
    return total.serialize()
