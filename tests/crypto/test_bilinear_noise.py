"""The noise of products is within its derived bound at the extremes, and what hides a matrix is all there.

Checks of what hides are run on leaks that are planted too, and must find each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from harness import looks_uniform
from hypothesis import given
from hypothesis import strategies as st
from polynomials import product
from tenseal import sealapi

from privsdk.crypto.bilinear import linear as lwe
from privsdk.crypto.bilinear import parameters, slots
from privsdk.crypto.bilinear.base import MatrixTerms, ProductTerms
from privsdk.crypto.bilinear.linear import MatrixHolder, MatrixShape, VectorsHolder, public_matrix, scaled, whole
from privsdk.crypto.bilinear.modular import uniform
from privsdk.crypto.bilinear.negacyclic import DEGREE, GROUP, carried, integers, joined, limb_bits, spectrum, split
from privsdk.crypto.gaussian import _table
from privsdk.crypto.seal.presets import SECURITY_BITS
from privsdk.crypto.seal.ring import SIGMA, data_primes, ring
from privsdk.testing import SeededEntropy

ENTROPY = SeededEntropy(b"noise")
SEED = bytes(range(32))
TERMS = st.fixed_dictionaries(
    {
        "rows": st.sampled_from([1, 100, 8192, 8193, 1_000_000, 1 << 22]),
        "prime_bits": st.integers(20, 60),
        "columns": st.sampled_from([1, 300, 10_000]),
        "bits": st.integers(1, 16),
        "vectors": st.sampled_from([1, 1000, 1 << 20]),
        "rank": st.sampled_from([1, 16, 64]),
        "rowwise": st.sampled_from([1, 1000]),
    }
)


def shape_of(rows: int, columns: int, bits: int, packed: int = 1) -> MatrixShape:
    matrix = MatrixTerms(holder="a", columns=columns, bits=bits, vectors=100)
    terms = ProductTerms(rows=rows, prime_bits=50, matrices=(matrix,))
    found = parameters._packed(rows, matrix, terms.prime, packed)
    return MatrixShape(rows, columns, bits, terms.prime, found._replace(dropped=0))  # whole hints, to see the noise by


# parameters


@pytest.mark.claim("bilinear: flooding is 2^40 times what it hides in all results, and every modulus is secure")
def test_parameters_are_derived(cases: Cases) -> None:
    @given(TERMS)
    def derived(sizes: dict[str, int]) -> None:
        matrix = MatrixTerms(holder="a", **{name: sizes[name] for name in ("columns", "bits", "vectors")})
        rest = {name: sizes[name] for name in ("rows", "prime_bits", "rank", "rowwise")}
        terms = ProductTerms(**rest, matrices=(matrix,))
        rows, prime = terms.rows, terms.prime
        found = parameters.linear(rows, matrix, prime)
        assert found.bound >= 44 * found.packed * rows * ((1 << matrix.bits) - 1) + 2 * 43 * DEGREE + 2
        assert found.bound * matrix.columns * matrix.vectors * 2**40 <= 1 << found.flood_bits
        rounding = DEGREE << 16 * found.dropped if found.dropped else 0
        noise = (1 << found.flood_bits - 1) + found.bound + rounding
        assert 2 * prime * noise < 1 << 16 * found.words
        assert 16 * found.words <= SECURITY_BITS[DEGREE]
        row = parameters.slots(terms)
        degree, bits = row.ring.degree, row.ring.data
        assert sum(bits) + row.ring.special <= SECURITY_BITS[degree]
        shown = math.ceil(rows / degree) * degree * terms.rowwise
        errors = terms.rank * degree * 21.5 * (prime / 2)
        zero = 21 * (2 * degree + 1) / 2 ** (row.ring.special - 1) + (degree + 1) / 2
        assert row.bound >= errors + zero + 1
        assert row.bound * shown * 2**40 <= 1 << row.flood_bits
        primes = data_primes(degree, (*bits, row.ring.special))
        noise = (1 << row.flood_bits - 1) + row.bound
        assert 4 * prime * noise < math.prod(primes)
        kept = math.prod(primes[: row.kept])
        assert 4 * prime * (noise / math.prod(primes[row.kept :]) + (degree + 1) / 2 + 1) < kept
        cases()

    derived()


@pytest.mark.parametrize("bits", range(20, 61))
def test_every_prime_has_a_ring(bits: int) -> None:
    """SEAL refuses a plaintext modulus that is one of its primes."""
    for rank in (1, 16):
        terms = ProductTerms(rows=100_000, prime_bits=bits, rank=rank, rowwise=100)
        assert ring(parameters.slots(terms).ring).parameters.plain == terms.prime


def test_errors_are_no_larger_than_supposed() -> None:
    assert len(_table(SIGMA)[1]) == parameters.LARGEST_ERROR


# polynomials


@pytest.mark.parametrize("bits", [1, 9, 16])
@pytest.mark.parametrize("sign", ["random", "most"])
def test_polynomial_products_are_exact(bits: int, sign: str) -> None:
    """GROUP products of random limbs with the largest coefficients, by Python's integers."""
    rng, most, words = np.random.default_rng(bits), (1 << bits) - 1, 2
    limbs = rng.integers(-(1 << 15), 1 << 15, (GROUP, DEGREE, words)).astype(np.int16)
    signs = rng.choice([-1, 1], (GROUP, DEGREE)) if sign == "random" else np.ones((GROUP, DEGREE))
    factors = most * signs.astype(np.float64)
    size = limb_bits(bits)
    values = spectrum(split(limbs, size).transpose(0, 2, 1))
    sums = integers((values * spectrum(factors)[:, None]).sum(axis=0)).T
    numbers = limbs[..., 0].astype(object) + limbs[..., 1].astype(object) * (1 << 16)
    wanted = sum(product(numbers[i], factors[i].astype(int).astype(object)) for i in range(GROUP))
    assert (whole(carried(joined(sums, size))) == wanted % (1 << 16 * words)).all()


# a matrix and vectors


def hint_of(holder: MatrixHolder) -> npt.NDArray[np.uint16]:
    shape = holder._shape
    found = np.frombuffer(holder.hint(holder.public(), slice(0, shape.groups)), np.uint16)
    return found.reshape(shape.groups, DEGREE, -1)


def centred_noise(shape: MatrixShape, holder: MatrixHolder, opener: VectorsHolder, vectors: Any, shares: Any) -> Any:
    """y - H s - ceil((q / p) z), as Python's integers of least absolute value."""
    hint = hint_of(holder)
    pairs = [opener.encrypt(vector) for vector in vectors.T]
    encrypted = np.stack([pair[0] for pair in pairs], axis=1)
    results = holder.multiply(encrypted, shares)
    modulus, ends = 1 << 16 * shape.parameters.words, slice(shape.height - 1, None, shape.height)
    masks = np.zeros((shape.columns, vectors.shape[1]), object)
    for i, (_, secret) in enumerate(pairs):
        for word in range(shape.parameters.words):
            found = integers(spectrum(hint[..., word]) * spectrum(secret))[:, ends].reshape(-1)
            masks[:, i] += found[: shape.columns].astype(object) << 16 * word
    exact = (holder._matrix.astype(object).T @ vectors.astype(object) + shares) % shape.prime
    noise = (whole(results) - masks + -exact * modulus // shape.prime) % modulus
    return np.where(noise > modulus // 2, noise - modulus, noise)


@pytest.mark.claim("bilinear: noise is within the bound that flooding is derived from, at every extreme")
@pytest.mark.parametrize(("bits", "packed"), [(1, 1), (12, 1), (16, 1), (12, 2)])
@pytest.mark.parametrize("sign", [1, -1])
def test_noise_is_within_its_bound(
    bits: int, packed: int, sign: int, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    """Every error, secret and entry as large as it may be, no flooding: most of the bound is reached."""

    def largest(sigma: float, size: int, entropy: Any) -> npt.NDArray[np.int64]:
        of_the_hint = size == 2 // packed * DEGREE  # subtracted, where the others are added
        return np.full(size, -43 * sign if of_the_hint else 43 * sign)

    monkeypatch.setattr(lwe, "discrete_gaussian", largest)
    monkeypatch.setattr(lwe, "ternary", lambda key, shape: np.full(shape, 1, np.int8))
    monkeypatch.setattr(MatrixHolder, "_flood", lambda self, size: np.zeros((size, self._shape.parameters.words), int))
    shape = shape_of(9000, 2, bits, packed)
    matrix = np.full((9000, 2), (1 << bits) - 1)
    matrix[:, 2 - packed :] *= -1
    vectors = np.full((9000, 1), shape.prime - 1)
    shares = uniform(b"k" * 16, (2, 1), shape.prime)
    noise = centred_noise(
        shape, MatrixHolder(shape, matrix, SEED, ENTROPY), VectorsHolder(shape, SEED, ENTROPY), vectors, shares
    )
    assert np.abs(noise).max() <= shape.parameters.bound
    assert np.abs(noise).max() > 0.9 * shape.parameters.bound
    cases(noise.size)


def hidden(shape: MatrixShape, holder: MatrixHolder, vectors: int = 64) -> bool:
    """Whether a holder's hint, results and their noise look as they must: uniform, the noise below 2^f."""
    numbers = uniform(b"v" * 16, (shape.rows, vectors), shape.prime)
    shares = uniform(ENTROPY.draw(16), (shape.columns, vectors), shape.prime)
    noise = centred_noise(shape, holder, VectorsHolder(shape, SEED, ENTROPY), numbers, shares).reshape(-1)
    bits, bound = shape.parameters.flood_bits, shape.parameters.bound
    if not all(-bound <= each < (1 << bits) + bound for each in noise):
        return False
    top = np.array([each >> bits - 16 & 0xFFFF for each in noise.tolist()], np.uint16)
    bare = MatrixHolder(shape, holder._matrix, SEED, ENTROPY)
    bare._mask = lwe.MatrixMask(np.zeros_like(bare._mask.ternary), np.zeros_like(bare._mask.errors))
    difference = carried(hint_of(holder).astype(np.int64) - hint_of(bare))  # from X^T A, which tells X
    return looks_uniform(top) and looks_uniform(difference.reshape(-1, shape.parameters.words))


def narrower(monkeypatch: pytest.MonkeyPatch, holder: MatrixHolder) -> None:
    flood = MatrixHolder._flood

    def half(self: MatrixHolder, size: int) -> npt.NDArray[np.int64]:
        found = flood(self, size)
        bits = self._shape.parameters.flood_bits - 1
        found[:, bits // 16] &= (1 << bits % 16) - 1
        return found

    monkeypatch.setattr(MatrixHolder, "_flood", half)


def none_at_all(monkeypatch: pytest.MonkeyPatch, holder: MatrixHolder) -> None:
    monkeypatch.setattr(MatrixHolder, "_flood", lambda self, size: np.zeros((size, self._shape.parameters.words), int))


def no_mask(monkeypatch: pytest.MonkeyPatch, holder: MatrixHolder) -> None:
    holder._mask = holder._mask._replace(ternary=np.zeros_like(holder._mask.ternary))


LEAKS: dict[str, Callable[[pytest.MonkeyPatch, MatrixHolder], None]] = {
    "half the flooding": narrower,
    "no flooding": none_at_all,
    "no fresh rows behind the matrix": no_mask,
}


@pytest.mark.parametrize("packed", [1, 4])
@pytest.mark.parametrize("leak", [None, *LEAKS])
def test_what_hides_a_matrix_is_there(leak: str | None, packed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(500, 32, 12, packed)
    matrix = np.random.default_rng(1).integers(-4095, 4096, (500, 32))
    holder = MatrixHolder(shape, matrix, SEED, ENTROPY)
    if leak:
        LEAKS[leak](monkeypatch, holder)
    assert hidden(shape, holder) == (leak is None)


def test_a_new_matrix_has_new_masks() -> None:
    shape = shape_of(100, 2, 4)
    one, other = (MatrixHolder(shape, np.ones((100, 2), int), SEED, ENTROPY) for _ in range(2))
    assert (one._mask.ternary != other._mask.ternary).any()
    assert (one._mask.errors != other._mask.errors).any()
    assert set(np.unique(one._mask.ternary)) == {-1, 0, 1}


def test_encryptions_are_fresh_and_right() -> None:
    """b - A s - (q / p) v is the discrete Gaussian's, another for each encryption."""
    shape = shape_of(9000, 1, 1)
    opener, words = VectorsHolder(shape, SEED, ENTROPY), shape.parameters.words
    vector = uniform(b"v" * 16, (9000,), shape.prime)
    public = public_matrix(SEED, shape).astype(object) @ np.array([1 << 16 * i for i in range(words)], object)
    found = []
    for _ in range(2):
        encrypted, secret = opener.encrypt(vector)
        assert set(np.unique(secret)) == {-1, 0, 1}
        masks = np.concatenate([product(block, secret.astype(object)) for block in public])
        masks = np.concatenate([masks[:9000], masks[-DEGREE:]])
        message = np.concatenate([whole(scaled(vector, shape.prime, words)), np.zeros(DEGREE, object)])
        errors = (whole(encrypted) - masks - message) % (1 << 16 * words)
        errors = np.where(errors > 1 << 16 * words - 1, errors - (1 << 16 * words), errors).astype(np.int64)
        assert np.abs(errors).max() <= 43
        assert abs(errors.std() / SIGMA - 1) < 0.05
        found.append((errors.tolist(), secret.tolist(), encrypted))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
    assert looks_uniform(carried(found[0][2].astype(np.int64) - found[1][2]))


# row by row


def extreme_slots(terms: ProductTerms) -> npt.NDArray[np.int64]:
    """The slots of the polynomial whose coefficients are all (p - 1) / 2."""
    here = ring(parameters.slots(terms).ring)
    half = f"{terms.prime // 2:x}"
    polynomial = " + ".join([*(f"{half}x^{i}" for i in range(here.slots - 1, 0, -1)), half])
    return here.decode(sealapi.Plaintext(polynomial)) % terms.prime


@pytest.mark.parametrize("prime_bits", [30, 46, 52, 60])
def test_slots_noise_is_within_its_bound(prime_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By SEAL's own account of what is left, without flooding and with it, before primes are dropped and after."""
    terms = ProductTerms(rows=5000, prime_bits=prime_bits, rank=4, rowwise=100)
    row = parameters.slots(terms)
    primes = data_primes(row.ring.degree, (*row.ring.data, row.ring.special))
    right = slots.Right(terms)
    left = slots.Left(terms, right.public_key)
    factors = np.stack([extreme_slots(terms)] * 4, axis=1)
    rows = [right.encrypt(factors[:, i]) for i in range(4)]
    shares = uniform(b"s" * 16, (row.ring.degree,), terms.prime)

    def budget(kept: int, *, flood: bool) -> int:
        with monkeypatch.context() as patch:
            changed = row._replace(kept=kept)
            patch.setattr(left, "_parameters", changed)
            if not flood:
                patch.setattr(left, "_flood", lambda key: bytes(2 * len(primes) * row.ring.degree * row.ring.width))
            result = left.multiply(rows, factors, shares, b"n" * 16)
        found: int = right._decryptor.invariant_noise_budget(ring(row.ring).ciphertext(result, kept))
        return found

    def bits_left(noise: float, count: int) -> float:
        return math.log2(math.prod(primes[:count])) - math.log2(terms.prime) - math.log2(noise) - 1

    whole_chain = len(primes)
    assert budget(whole_chain, flood=False) >= math.floor(bits_left(row.bound, whole_chain))
    flooded = bits_left((1 << row.flood_bits - 1) + row.bound, whole_chain)
    assert budget(whole_chain, flood=True) == round(flooded)  # narrower or wider flooding would leave another
    assert budget(row.kept, flood=True) >= 1


def second_part(parameters_: parameters.SlotParameters, result: bytes) -> npt.NDArray[np.uint64]:
    """The second polynomial's coefficients modulo the first prime."""
    here = ring(parameters_.ring)
    words = np.frombuffer(here._unpacked(memoryview(result)), np.uint64).reshape(2, parameters_.kept, -1)
    return words[1, 0].astype(np.uint64)


@pytest.mark.parametrize("leak", [False, True])
def test_a_fresh_encryption_of_zero_hides_the_factors(leak: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent twice for the same factors differs by what looks uniform; with one encryption of zero, not."""
    terms = ProductTerms(rows=5000, prime_bits=50, rank=2, rowwise=100)
    row, right = parameters.slots(terms), slots.Right(terms)
    left = slots.Left(terms, right.public_key)
    factors = uniform(b"f" * 16, (5000, 2), terms.prime)
    rows = [right.encrypt(factors[:, i]) for i in range(2)]
    if leak:
        kept = ring(row.ring).row(left._zero())
        monkeypatch.setattr(left, "_zero", lambda: ring(row.ring).ciphertext(kept, len(row.ring.data)))
    prime = data_primes(row.ring.degree, (*row.ring.data, row.ring.special))[0]
    one, other = (
        second_part(row, left.multiply(rows, factors, uniform(key, (row.ring.degree,), terms.prime), key))
        for key in (b"1" * 16, b"2" * 16)
    )
    difference = (one.astype(object) - other.astype(object)) % prime
    low = np.array([int(each) & 0xFFFFFFFF for each in difference], np.uint32)
    assert looks_uniform(low) != leak
