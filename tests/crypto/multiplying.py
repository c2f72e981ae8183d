"""Sessions of products in one thread, and what they should give by Python's integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from privsdk.crypto.bilinear.base import MatrixTerms, Products, ProductTerms, Shares
from privsdk.crypto.bilinear.dealer import Dealer, DealtProducts
from privsdk.crypto.bilinear.lattice import LatticeProducts
from privsdk.protocol.roles import Role
from privsdk.testing import SeededEntropy, Sent, together

Integers = npt.NDArray[Any]
Wrapper = Callable[[Role[Any]], Role[Any]]


class Session(NamedTuple):
    """What a and b multiply: a holds the matrix, then the left factors of each row."""

    terms: ProductTerms
    matrix: Integers
    vectors: Sequence[Shares]  # a product each
    left: Sequence[Shares] = ()
    right: Sequence[Shares] = ()


def lattice(me: str, terms: ProductTerms, seed: bytes = b"") -> Products:
    peer = "b" if me == "a" else "a"
    return LatticeProducts(me=me, peer=peer, terms=terms, entropy=SeededEntropy(seed + me.encode()))


def dealt(me: str, terms: ProductTerms, seed: bytes = b"") -> Products:
    peer = "b" if me == "a" else "a"
    return DealtProducts(me=me, peer=peer, dealer="d", terms=terms, entropy=SeededEntropy(seed + me.encode()))


PROVIDERS = {"lattice": lattice, "dealer": dealt}


def shares_of(
    session: Session,
    make: Callable[[str, ProductTerms], Products] = lattice,
    *,
    wrapped: dict[str, Wrapper] | None = None,
    transcript: list[Sent] | None = None,
) -> dict[str, Any]:
    """What each end has in the end: a list of shares."""

    def a() -> Role[list[Shares]]:
        products, found = make("a", session.terms), []
        yield from products.set_up()
        for number, _ in enumerate(session.vectors):
            found.append((yield from products.matrix(f"product {number}", session.matrix)))
        for number, factors in enumerate(session.left):
            found.append((yield from products.rowwise_left(f"rows {number}", factors)))
        yield from products.finish()
        return found

    def b() -> Role[list[Shares]]:
        products, found = make("b", session.terms), []
        yield from products.set_up()
        for number, vectors in enumerate(session.vectors):
            found.append((yield from products.vectors(f"product {number}", vectors)))
        for number, factors in enumerate(session.right):
            found.append((yield from products.rowwise_right(f"rows {number}", factors)))
        yield from products.finish()
        return found

    wrapped = wrapped or {}
    roles = {name: wrapped.get(name, lambda role: role)(role()) for name, role in (("a", a), ("b", b))}
    if isinstance(make("a", session.terms), DealtProducts):
        roles["d"] = wrapped.get("d", lambda role: role)(Dealer(ends=("a", "b"), terms=session.terms).serve())
    return together(roles, transcript)


def results(session: Session, make: Callable[[str, ProductTerms], Products] = lattice) -> list[list[Any]]:
    """What the shares of both add up to."""
    outputs = shares_of(session, make)
    for shares in (*outputs["a"], *outputs["b"]):
        assert shares.dtype == np.int64
        assert shares.min() >= 0
        assert shares.max() < session.terms.prime
    both = zip(outputs["a"], outputs["b"], strict=True)
    return [((one + other) % session.terms.prime).tolist() for one, other in both]


def expected(session: Session) -> list[list[Any]]:
    prime, matrix = session.terms.prime, session.matrix.astype(object)
    products = [(matrix.T @ vectors.astype(object) % prime).tolist() for vectors in session.vectors]
    pairs = zip(session.left, session.right, strict=True)
    return products + [((f.astype(object) * g.astype(object)).sum(axis=1) % prime).tolist() for f, g in pairs]


def extreme_session(
    *, rows: int, columns: int, bits: int, prime_bits: int, vectors: int, rank: int, fill: str, seed: int
) -> Session:
    """A session whose numbers are as large as they may be, all alike ("most", "least"), alternating, or random."""
    matrix_terms = MatrixTerms(holder="a", columns=columns, bits=bits, vectors=2 * vectors)
    terms = ProductTerms(rows=rows, prime_bits=prime_bits, matrices=(matrix_terms,), rank=rank, rowwise=1)
    rng = np.random.default_rng(seed)
    most, half = (1 << bits) - 1, terms.prime // 2

    def filled(shape: tuple[int, ...], low: int, high: int) -> Shares:
        if fill == "random":
            return rng.integers(low, high, shape, endpoint=True)
        if fill == "alternating":
            return np.where(np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 2, low, high)
        return np.full(shape, high if fill == "most" else low, np.int64)

    numbers = {"random": (0, terms.prime - 1), "alternating": (0, terms.prime - 1), "most": (1, terms.prime - 1)}
    low, high = numbers.get(fill, (half, half + 1))
    return Session(
        terms,
        filled((rows, columns), -most, most),
        [filled((rows, vectors), low, high), filled((rows, vectors), low, high)],
        [filled((rows, rank), low, high)],
        [filled((rows, rank), low, high)],
    )
