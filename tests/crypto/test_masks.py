"""Masks equal the published stream of AES-256, whole or in pieces, and depend on every bit of their seed."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from harness import looks_uniform, play
from hypothesis import given
from hypothesis import strategies as st

from privsdk.crypto.sums import masks
from privsdk.crypto.sums.masks import Mask, add, add_from
from privsdk.protocol.roles import Role

SEED = bytes(range(32))
# FIPS 197, appendix C.3: AES-256 under the key 00 01 .. 1f
BLOCK, CIPHER = bytes.fromhex("00112233445566778899aabbccddeeff"), bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")


def expanded(seed: bytes, size: int, dtype: type = np.uint32) -> np.ndarray:
    vector = np.zeros(size, dtype)
    add_from(vector, 0, [Mask(seed, True)])
    return vector


def test_known_answer() -> None:
    """The counter that makes FIPS 197's block gives its ciphertext; AES-256, and not a shorter key."""
    vector = np.zeros(4, np.uint32)
    add_from(vector, 16 * int.from_bytes(BLOCK, "big"), [Mask(SEED, True)])
    assert vector.tobytes() == CIPHER


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_equals_the_library_in_one_go(dtype: type) -> None:
    size = 2 * masks.BLOCK_BYTES // np.dtype(dtype).itemsize + 5
    plain = bytes(size * np.dtype(dtype).itemsize)
    stream = Cipher(algorithms.AES(SEED), modes.CTR(bytes(16))).encryptor().update(plain)
    assert expanded(SEED, size, dtype).tobytes() == stream


def test_every_bit_of_a_seed_counts() -> None:
    """Nothing is folded: each of the 256 bits, and each pair of bits 32 apart, changes the mask."""
    seen = {expanded(SEED, 4).tobytes()}
    number = int.from_bytes(SEED, "big")
    changes = [1 << bit for bit in range(256)] + [(1 << bit) ^ (1 << (bit + 32)) for bit in range(224)]
    seen |= {expanded((number ^ change).to_bytes(32, "big"), 4).tobytes() for change in changes}
    assert len(seen) == 1 + len(changes)


@given(
    size=st.integers(0, 200),
    signs=st.lists(st.booleans(), max_size=5),
    wide=st.booleans(),
    blocks=st.integers(1, 4),
)
def test_pieces_are_the_whole(size: int, signs: list[bool], wide: bool, blocks: int) -> None:
    dtype = np.uint64 if wide else np.uint32
    many = [Mask(bytes([number]) * 32, plus) for number, plus in enumerate(signs)]
    expected = np.arange(size, dtype=dtype)
    for mask in many:
        change = expanded(mask.seed, size, dtype)
        expected = expected + change if mask.plus else expected - change
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "SMALL_BYTES", 0)
        patch.setattr(masks, "BLOCK_BYTES", 16 * blocks)
        patch.setattr(masks, "PIECE_BYTES", 64)
        found = np.arange(size, dtype=dtype)
        play(add(found, many, "masks"))
    assert (found == expected).all()


@given(
    entries=st.lists(st.tuples(*[st.integers(0, 7) | st.integers(1 << 64, 1 << 256)] * 2), min_size=1, max_size=5),
    bits=st.sampled_from([128, 256]),
    steps=st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_long_entries_are_added_with_carries(entries: list[tuple[int, int]], bits: int, steps: list[bool]) -> None:
    """As Python's integers are; what is near 0 and near the modulus makes every word carry."""
    modulus = 1 << bits

    def words(numbers: list[int]) -> np.ndarray:
        return np.frombuffer(b"".join((n % modulus).to_bytes(bits // 8, "little") for n in numbers), "<u8").reshape(
            -1, bits // 64
        )

    found, expected = words([one for one, _ in entries]).copy(), [one for one, _ in entries]
    other = [-number if number < 8 else number for _, number in entries]
    for up in steps:
        (masks.plus if up else masks.minus)(found, words(other))
        expected = [one + (number if up else -number) for one, number in zip(expected, other, strict=True)]
    assert (found == words(expected)).all()


def test_long_entries_take_the_same_stream() -> None:
    """A mask of long entries is the stream too, and takes itself off; in blocks that end within it."""
    size = masks.BLOCK_BYTES // 32 + 3
    vector = np.zeros((size, 4), np.uint64)
    add_from(vector, 0, [Mask(SEED, True)])
    assert vector.tobytes() == expanded(SEED, 4 * size, np.uint64).tobytes()
    play(add(vector, [Mask(SEED, False)], "masks"))
    assert not vector.any()


def test_plus_and_minus_cancel_out() -> None:
    vector = np.arange(100_000, dtype=np.uint32)
    play(add(vector, [Mask(SEED, True), Mask(bytes(32), False), Mask(SEED, False), Mask(bytes(32), True)], "masks"))
    assert (vector == np.arange(100_000)).all()


def test_long_vectors_leave_room_to_stop() -> None:
    """A role that adds masks passes checkpoints, one for each piece at least."""
    vector = np.zeros(1 << 20, np.uint32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "PIECE_BYTES", 1 << 20)
        role: Role[None] = add(vector, [Mask(SEED, True)], "masks")
        steps = [next(role)]
        while True:
            try:
                steps.append(role.send({}))
            except StopIteration:
                break
    assert len({step.progress for step in steps}) >= 4
    assert (vector == expanded(SEED, 1 << 20)).all()


def test_masks_look_uniform_and_the_test_can_fail() -> None:
    mask = expanded(SEED, 200_000)
    assert looks_uniform(mask)
    biased = mask.copy()
    biased[::10] &= 0x7FFFFFFF
    assert not looks_uniform(biased)
    assert not looks_uniform(
        np.arange(200_000, dtype=np.uint32) * np.uint32(2654435761)
    )  # but for what neighbours tell


def test_seeds_of_other_lengths_are_refused() -> None:
    for seed in (b"", bytes(4), bytes(16), bytes(24), bytes(33)):
        with pytest.raises(ValueError, match="masks take 32"):
            expanded(seed, 1)
