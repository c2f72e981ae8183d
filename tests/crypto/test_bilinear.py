"""Products in shares equal Python's integers, whatever is multiplied and whoever provides them."""

from __future__ import annotations

import numpy as np
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from multiplying import PROVIDERS, expected, extreme_session, results

from privsdk.crypto.bilinear.base import ProductTerms, bits_for
from privsdk.crypto.bilinear.modular import prime_of, times, transposed_product, uniform

FILLS = ("most", "least", "alternating", "random")
SIZES = st.fixed_dictionaries(
    {
        "rows": st.sampled_from([1, 2, 17, 1000, 8191, 8192, 8193, 20000]),
        "columns": st.integers(1, 9),
        "bits": st.sampled_from([1, 2, 8, 9, 12, 16]),
        "prime_bits": st.integers(20, 60),
        "vectors": st.integers(1, 3),
        "rank": st.integers(1, 3),
        "fill": st.sampled_from(FILLS),
        "seed": st.integers(0, 1 << 32),
    }
)


@pytest.mark.claim("bilinear: products in shares equal Python's integers at every extreme")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_products_equal_pythons(provider: str, cases: Cases) -> None:
    @given(SIZES)
    def exact(sizes: dict[str, object]) -> None:
        session = extreme_session(**sizes)  # type: ignore[arg-type]
        assert results(session, PROVIDERS[provider]) == expected(session)
        cases()

    exact()


@given(st.integers(20, 60), st.integers(0, 1 << 32))
def test_arithmetic_modulo_a_prime(bits: int, seed: int) -> None:
    prime = prime_of(bits)
    edges = [0, 1, prime // 2, prime // 2 + 1, prime - 2, prime - 1, (1 << 30) % prime]
    drawn = uniform(seed.to_bytes(16, "big"), (200,), prime).tolist()
    one = np.array([*(edge for edge in edges for _ in edges), *drawn[:100]])
    other = np.array([*(edges * len(edges)), *drawn[100:]])
    assert times(one, other, prime).tolist() == [int(a) * int(b) % prime for a, b in zip(one, other, strict=True)]
    matrix, vectors = one[:144].reshape(-1, 3), other[:144].reshape(-1, 3)
    wanted = (matrix.astype(object).T @ vectors.astype(object) % prime).tolist()
    assert transposed_product(matrix, vectors, prime, bits=bits).tolist() == wanted


@pytest.mark.parametrize("bits", range(20, 61))
def test_primes(bits: int) -> None:
    from tenseal import sealapi

    assert prime_of(bits) == sealapi.PlainModulus.Batching(16384, bits).value()


def test_enough_bits_for_a_result() -> None:
    for largest in (1, 1 << 20, (1 << 43) - 5000, (1 << 44) + 1, (1 << 58) - 1):
        assert prime_of(bits_for(largest)) > 2 * largest
        assert bits_for(largest) == 20 or prime_of(bits_for(largest) - 1) <= 2 * largest
    with pytest.raises(ValueError, match="60 are the most"):
        bits_for(1 << 59)


def test_terms_out_of_range() -> None:
    for wrong in ({"rows": 0}, {"prime_bits": 61}, {"prime_bits": 19}, {"rank": -1}):
        with pytest.raises(ValueError, match="out of range"):
            ProductTerms(**({"rows": 10, "prime_bits": 40} | wrong))  # type: ignore[arg-type]
