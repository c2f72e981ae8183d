"""AES in bulk gives the standards' known answers, and bit matrices what NumPy computes bit by bit."""

from __future__ import annotations

import itertools
from hashlib import blake2b

import numpy as np
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chisquare

from privsdk.crypto import aes
from privsdk.crypto.aes import Words, derived, encrypted, hashed, shuffled, stream
from privsdk.psi.oprf.oprf import LinearMap, transposed
from privsdk.testing import SeededEntropy

ALPHA = 1e-6
KNOWN = pytest.mark.claim("psi.kkrt: AES by FIPS 197 and SP 800-38A, its hash by the formula")
BITS = pytest.mark.claim("psi.kkrt: bit matrices equal NumPy's, bit by bit")
SALT = SeededEntropy(b"salt").draw(32)

# FIPS 197, appendix C.1; SP 800-38A, appendix F.1.1
ANSWERS = [
    (
        "000102030405060708090a0b0c0d0e0f",
        ["00112233445566778899aabbccddeeff"],
        ["69c4e0d86a7b0430d8cdb78070b4c55a"],
    ),
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        [
            "6bc1bee22e409f96e93d7e117393172a",
            "ae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52ef",
            "f69f2445df4f9b17ad2b417be66c3710",
        ],
        [
            "3ad77bb40d7a3660a89ecaf32466ef97",
            "f5d3d58503b9699de785895a96fdbaaf",
            "43b1cd7f598ece23881b00e3ed030688",
            "7b0c785e27e8ad3f8223207104725dd4",
        ],
    ),
]


def words(octets: bytes) -> Words:
    return np.frombuffer(octets, np.uint64).reshape(-1, 2)


def random_words(seed: bytes, *shape: int) -> Words:
    count = int(np.prod(shape))
    return np.frombuffer(SeededEntropy(seed).draw(8 * count), np.uint64).reshape(shape).copy()


@KNOWN
@pytest.mark.parametrize(("key", "plain", "cipher"), ANSWERS)
def test_aes_of_known_blocks(key: str, plain: list[str], cipher: list[str], cases: Cases) -> None:
    blocks = words(bytes.fromhex("".join(plain)))
    before = blocks.copy()
    result = encrypted(bytes.fromhex(key), blocks)
    assert result.tobytes().hex() == "".join(cipher)
    assert result.shape == blocks.shape
    assert (blocks == before).all()
    cases(len(plain))


def test_blocks_of_any_shape_and_order_in_memory() -> None:
    key, blocks = bytes(range(16)), random_words(b"blocks", 12, 2)
    flat = encrypted(key, blocks)
    assert (encrypted(key, blocks.reshape(3, 4, 2)) == flat.reshape(3, 4, 2)).all()
    assert (encrypted(key, blocks[::2]) == flat[::2]).all()
    assert encrypted(key, blocks[:0]).shape == (0, 2)


@KNOWN
def test_streams_are_counter_mode_and_do_not_overlap(cases: Cases) -> None:
    key = bytes.fromhex(ANSWERS[1][0])
    blocks: list[bytes] = []
    for number in (0, 1, 2, 1 << 16, (1 << 32) - 1, 1 << 32):
        counters = b"".join(number.to_bytes(8, "big") + n.to_bytes(8, "big") for n in range(5))
        expected = encrypted(key, words(counters)).tobytes()
        for size in (0, 1, 15, 16, 17, 80):
            assert stream(key, number, size).tobytes() == expected[:size]
            cases()
        blocks += [expected[i : i + 16] for i in range(0, 80, 16)]
    assert len(set(blocks)) == len(blocks)


@KNOWN
def test_hash_is_its_formula(cases: Cases) -> None:
    key, blocks = bytes(range(16)), random_words(b"blocks", 4, 3, 2)
    tweaks = random_words(b"tweaks", 4, 3)

    def p(block: bytes) -> bytes:
        return encrypted(key, words(block)).tobytes()

    def xor(one: bytes, other: bytes) -> bytes:
        return bytes(a ^ b for a, b in zip(one, other, strict=True))

    result = hashed(key, blocks, tweaks)
    for at in itertools.product(range(4), range(3)):
        once = p(blocks[at].tobytes())
        tweak = int(tweaks[at]).to_bytes(16, "little")
        assert result[at].tobytes() == xor(p(xor(once, tweak)), once)
        cases()


def test_derived_bytes_are_independent_for_labels_salts_and_known() -> None:
    assert derived(SALT, "hash") == blake2b(b"hash", key=SALT, digest_size=32).digest()[:16]
    assert derived(SALT, "x", 32) == blake2b(b"x", key=SALT, digest_size=32).digest()
    long = derived(SALT, "x", 100)
    assert long == stream(derived(SALT, "x"), 0, 100).tobytes()
    labels = ["hash", "short key", "compression", *(f"code {n}" for n in range(0, 8, 2))]
    assert len({derived(salt, label) for salt in (SALT, bytes(32)) for label in labels}) == 2 * len(labels)


def test_shuffled_is_an_order_of_all() -> None:
    for size in (0, 1, 2, 100, 5000):
        assert sorted(shuffled(bytes(16), size)) == list(range(size))


def test_every_order_is_equally_frequent() -> None:
    entropy, orders = SeededEntropy(b"orders"), list(itertools.permutations(range(4)))
    counts = dict.fromkeys(orders, 0)
    for _ in range(4800):
        counts[tuple(shuffled(entropy.draw(16), 4).tolist())] += 1
    assert chisquare(list(counts.values())).pvalue > ALPHA


def test_equal_draws_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def repeats_itself(key: bytes, number: int, size: int) -> np.ndarray:
        asked.append(number)
        draws = [[5, 9, 5], [1, 1, 1], [9, 5, 7]][number]
        return np.array(draws, np.uint64).view(np.uint8)

    monkeypatch.setattr(aes, "stream", repeats_itself)
    assert shuffled(bytes(16), 3).tolist() == [1, 2, 0]
    assert asked == [0, 1, 2]


def unpacked(matrix: Words) -> np.ndarray:
    """Columns as rows of bits: matrix[i, c] is column 64i+c, bit b of its word w is number 64w+b."""
    octets = matrix.reshape(matrix.shape[0] * 64, -1).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")


@BITS
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.integers(1, 4), many=st.integers(1, 5), seed=st.binary(max_size=8))
def test_transposition(groups: int, many: int, seed: bytes, cases: Cases) -> None:
    """Which column's bit is which row's does not matter, but all rows' bits are the columns' in the same order."""
    matrix = random_words(seed, groups, 64, many)
    before = matrix.copy()
    rows = transposed(matrix)
    assert (matrix == before).all()
    assert (transposed(rows) == matrix).all()
    bits = unpacked(matrix)  # (columns, rows)
    expected = {}
    for a in range(64):
        for b in range(many):
            # the row at [:, a, b] takes bit a of word b of every column
            expected[a * many + b] = bits[:, 64 * b + a]
    flat = rows.reshape(groups, -1)
    for number, column_bits in expected.items():
        got = np.unpackbits(np.ascontiguousarray(flat[:, number]).view(np.uint8), bitorder="little")
        assert (got == column_bits).all()
    cases()


def matrix_of(salt: bytes, width: int) -> np.ndarray:
    """The map's columns as bits, shape (width, 128)."""
    octets = np.frombuffer(derived(salt, "compression", width * 16), np.uint8).reshape(width, 16)
    return np.unpackbits(octets, axis=1, bitorder="little")


@BITS
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.sampled_from([8, 64, 72, 128, 416, 448]), size=st.sampled_from([0, 1, 5, 40]), seed=st.binary(max_size=8)
)
def test_compression_is_the_product_with_its_matrix(width: int, size: int, seed: bytes, cases: Cases) -> None:
    count = -(-width // 64)
    rows = random_words(seed, count, size)
    if width % 64:
        rows[-1] &= np.uint64((1 << (width % 64)) - 1)
    compression = LinearMap(SALT, width)
    bits = np.unpackbits(
        np.ascontiguousarray(rows.T).view(np.uint8).reshape(size, 8 * count), axis=1, bitorder="little"
    )
    product = bits[:, :width].astype(np.int64) @ matrix_of(SALT, width) % 2
    images = compression(rows)
    assert images.shape == (size, 2)
    assert (np.unpackbits(images.view(np.uint8).reshape(size, 16), axis=1, bitorder="little") == product).all()
    assert (compression(rows ^ rows[:, ::-1]) == images ^ images[::-1]).all()
    cases()


def test_compression_of_more_rows_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_words(b"rows", 7, 50)
    whole = LinearMap(SALT, 448)(rows)
    monkeypatch.setattr("privsdk.psi.oprf.oprf.CHUNK", 16)
    assert (LinearMap(SALT, 448)(rows) == whole).all()


@BITS
def test_a_difference_survives_compression_but_for_its_weight(cases: Cases) -> None:
    """Two uniform s have the same image with 2^-h + 2^-128 for a difference of weight h, as the proof counts."""
    trials, entropy = 300, SeededEntropy(b"universal")
    for weight in (1, 2, 4, 6):
        same = 0
        for _ in range(trials):
            compression = LinearMap(entropy.draw(32), 64)
            s = np.frombuffer(entropy.draw(16), np.uint64).reshape(1, 2) & np.uint64((1 << weight) - 1)
            one, other = compression(s)
            same += bool((one == other).all())
        chance = 2.0**-weight
        assert binom.cdf(same, trials, chance) > ALPHA
        assert binom.sf(same - 1, trials, chance) > ALPHA
        cases(trials)
    images = LinearMap(SALT, 416)(random_words(b"many", 7, 4096) & np.uint64((1 << 32) - 1))
    assert len(np.unique(images, axis=0)) == 4096
