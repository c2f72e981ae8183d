"""Products in shares equal Python's integers, whatever is multiplied and whoever provides them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from multiplying import PROVIDERS, dealt, expected, extreme_session, results

from privsdk.crypto.bilinear.base import MatrixTerms, Products, ProductTerms, Shares, bits_for
from privsdk.crypto.bilinear.dealer import Dealer
from privsdk.crypto.bilinear.modular import prime_of, times, transposed_product, uniform
from privsdk.protocol.roles import Role
from privsdk.testing import together

FILLS = ("most", "least", "alternating", "random")
SIZES = st.fixed_dictionaries(
    {
        "rows": st.sampled_from([1, 17, 1000, 8192, 8193]),
        "columns": st.sampled_from([1, 2, 9, 40]),
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


@pytest.mark.parametrize("make", PROVIDERS.values(), ids=PROVIDERS)
def test_both_ends_multiply_and_matrices_change(make: Callable[[str, ProductTerms], Products]) -> None:
    """As a regression does: each end's matrix by the other's vectors, one of them another in each iteration."""
    matrices = tuple(MatrixTerms(holder=end, columns=m, bits=5, vectors=4) for end, m in (("a", 3), ("b", 2)))
    terms = ProductTerms(rows=300, prime_bits=40, matrices=matrices, rank=2, rowwise=4)
    rng = np.random.default_rng(3)
    of_a = rng.integers(-31, 32, (300, 3)).astype(np.int8)
    of_b = [rng.integers(-31, 32, (300, 2)).astype(np.int16) for _ in range(2)]
    vectors = [uniform(bytes([i]) * 16, (300, 2), terms.prime) for i in range(4)]

    def a() -> Role[list[Shares]]:
        products, found = make("a", terms), []
        yield from products.set_up()
        for i in range(2):
            found.append((yield from products.matrix(f"a {i}", of_a)))
            found.append((yield from products.vectors(f"b {i}", vectors[i])))
            found.append((yield from products.rowwise_left(f"left {i}", vectors[0])))
            found.append((yield from products.rowwise_right(f"right {i}", vectors[1])))
        yield from products.finish()
        return found

    def b() -> Role[list[Shares]]:
        products, found, held = make("b", terms), [], np.empty_like(of_b[0])
        yield from products.set_up()
        for i in range(2):
            held[:] = of_b[i]  # in place
            found.append((yield from products.vectors(f"a {i}", vectors[2 + i])))
            found.append((yield from products.matrix(f"b {i}", held)))
            found.append((yield from products.rowwise_right(f"left {i}", vectors[2])))
            found.append((yield from products.rowwise_left(f"right {i}", vectors[3])))
        yield from products.finish()
        return found

    roles: dict[str, Role[Any]] = {"a": a(), "b": b()}
    if make is dealt:
        roles["d"] = Dealer(ends=("a", "b"), terms=terms).serve()
    outputs = together(roles)
    both = [(one + other) % terms.prime for one, other in zip(outputs["a"], outputs["b"], strict=True)]
    for i in range(2):
        product, other, left, right = both[4 * i : 4 * i + 4]
        assert (product == transposed_product(of_a, vectors[2 + i], terms.prime, bits=5)).all()
        assert (other == transposed_product(of_b[i], vectors[i], terms.prime, bits=5)).all()
        assert (left == times(vectors[0], vectors[2], terms.prime).sum(axis=1) % terms.prime).all()
        assert (right == times(vectors[1], vectors[3], terms.prime).sum(axis=1) % terms.prime).all()


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
