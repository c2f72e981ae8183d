"""F is equal where keys are, and otherwise as good as random, to a party that does not know the choice bits."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chisquare

from privsdk.crypto.aes import Words, derived, encrypted
from privsdk.errors import DataError
from privsdk.psi.oprf import oprf
from privsdk.psi.oprf.blocks import cells_of
from privsdk.psi.oprf.oprf import Masked, Placement, Setting, evaluate, mask, place
from privsdk.psi.oprf.parameters import DISTANCE, third, width
from privsdk.testing import SeededEntropy

ALPHA = 1e-6
SALT = SeededEntropy(b"salt").draw(32)
OPRF = pytest.mark.claim("psi.kkrt: F is equal where keys are, and nowhere else")


class Seeds(NamedTuple):
    zero: list[bytes]
    one: list[bytes]
    bits: npt.NDArray[np.bool_]

    @property
    def chosen(self) -> list[bytes]:
        return [one if bit else zero for bit, zero, one in zip(self.bits, self.zero, self.one, strict=True)]


def seeds_for(setting: Setting, seed: bytes = b"seeds") -> Seeds:
    entropy = SeededEntropy(seed)
    zero, one = ([entropy.draw(16) for _ in range(setting.width)] for _ in range(2))
    bits = np.unpackbits(np.frombuffer(entropy.draw(setting.width // 8), np.uint8)).view(np.bool_)
    return Seeds(zero, one, bits)


def setting_for(keys: int, evaluations: int = 3000, bucket: int = 0) -> Setting:
    return Setting(SALT, bucket, -(-third(keys, 43) // 64) * 64, width(evaluations))


def blocks(seed: bytes, count: int) -> Words:
    return np.frombuffer(SeededEntropy(seed).draw(16 * count), np.uint64).reshape(-1, 2)


def received(setting: Setting, keys: Words, seeds: Seeds) -> tuple[Placement, Masked]:
    held = place(setting, keys)
    return held, mask(setting, held, seeds.zero, seeds.one)


@OPRF
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mine=st.integers(0, 150),
    shared=st.integers(0, 60),
    theirs=st.integers(0, 100),
    bucket=st.sampled_from([0, 1, 1023]),
    seed=st.binary(max_size=4),
)
def test_equal_where_keys_are(mine: int, shared: int, theirs: int, bucket: int, seed: bytes, cases: Cases) -> None:
    setting = setting_for(mine + shared, bucket=bucket)
    seeds = seeds_for(setting, seed)
    common = blocks(b"common" + seed, shared)
    left = np.concatenate([common, blocks(b"left" + seed, mine)])
    right = np.concatenate([blocks(b"right" + seed, theirs), common])
    held, masked = received(setting, left, seeds)
    outputs = evaluate(setting, right, masked.corrections, seeds.bits, seeds.chosen)
    assert masked.corrections.shape == (setting.width, setting.cells // 64)
    assert masked.outputs.shape == (len(left), 2)
    assert outputs.shape == (len(right), 3, 2)
    for number in range(shared):
        cell = held.cells[number] // setting.third
        assert (outputs[theirs + number, cell] == masked.outputs[number]).all()
    known = {output.tobytes() for output in masked.outputs}
    told = [output.tobytes() for output in outputs.reshape(-1, 2)]
    assert len(known) == len(left)
    assert len(set(told)) == len(told)
    assert len(known & set(told)) == shared
    cases()


def test_no_two_evaluations_of_more_keys_are_equal() -> None:
    setting = setting_for(3000, 9000)
    seeds = seeds_for(setting)
    _, masked = received(setting, blocks(b"left", 3000), seeds)
    outputs = evaluate(setting, blocks(b"right", 3000), masked.corrections, seeds.bits, seeds.chosen)
    both = np.concatenate([masked.outputs, outputs.reshape(-1, 2)])
    assert len(np.unique(both, axis=0)) == 12_000
    octets = outputs.view(np.uint8).reshape(-1, 16)
    for position in range(16):
        assert chisquare(np.bincount(octets[:, position], minlength=256)).pvalue > ALPHA
    equal = (outputs.view(np.uint8)[:, 0, :1] == masked.outputs.view(np.uint8)[:, 0]).sum()
    pairs = 9_000_000  # tags of one byte are equal for one pair in 256
    assert ALPHA < binom.cdf(equal, pairs, 1 / 256) < 1 - ALPHA


def test_evaluations_are_the_formulas() -> None:
    """F(i, y) = p(p(z) ^ i) ^ p(z), z = L(t_i ^ (C(x_i) ^ C(y)) & s): bit by bit, from the receiver's side."""
    setting = setting_for(20, bucket=3)
    seeds = seeds_for(setting)
    left, right = blocks(b"left", 20), blocks(b"right", 5)
    held, masked = received(setting, left, seeds)
    outputs = evaluate(setting, right, masked.corrections, seeds.bits, seeds.chosen)
    width, cells = setting.width, setting.cells

    def code(block: Words) -> npt.NDArray[np.uint8]:
        parts = [
            encrypted(derived(SALT, f"code {number}"), block[None]).view(np.uint8).ravel()
            for number in range(0, -(-width // 64), 2)
        ]
        return np.unpackbits(np.concatenate(parts), bitorder="little")[:width]

    def stream_bits(key: bytes) -> npt.NDArray[np.uint8]:
        counters = b"".join((3).to_bytes(8, "big") + n.to_bytes(8, "big") for n in range(cells // 128 + 1))
        pad = encrypted(key, np.frombuffer(counters, np.uint64).reshape(-1, 2)).tobytes()
        return np.unpackbits(np.frombuffer(pad, np.uint8), bitorder="little")[:cells]

    def bit_of(cell: int) -> int:
        """Where a column holds the bit of this cell, by the order that `bits` describes."""
        a, b = divmod(cell, cells // 64)
        return 64 * b + a

    columns = np.array([stream_bits(key) for key in seeds.zero])
    octets = np.frombuffer(derived(SALT, "compression", width * 16), np.uint8).reshape(width, 16)
    linear = np.unpackbits(octets, axis=1, bitorder="little").astype(np.int64)
    p, secret = derived(SALT, "hash"), seeds.bits.astype(np.uint8)
    in_cell = {int(cell): code(left[number]) for number, cell in enumerate(held.cells)}
    for y, three in zip(right, outputs, strict=True):
        for cell, output in zip(cells_of(y[None], setting.third)[:, 0].tolist(), three, strict=True):
            row = columns[:, bit_of(cell)] ^ (in_cell.get(cell, np.zeros(width, np.uint8)) ^ code(y)) & secret
            z = np.packbits(row.astype(np.int64) @ linear % 2, bitorder="little").view(np.uint64)
            once = encrypted(p, z[None])[0]
            tweaked = once ^ np.array([3 * cells + cell, 0], np.uint64)
            assert (output == encrypted(p, tweaked[None])[0] ^ once).all()


def test_known_answer() -> None:
    setting = setting_for(50, bucket=2)
    seeds = seeds_for(setting)
    _, masked = received(setting, blocks(b"left", 50), seeds)
    outputs = evaluate(setting, blocks(b"right", 7), masked.corrections, seeds.bits, seeds.chosen)
    everything = masked.corrections.tobytes() + masked.outputs.tobytes() + outputs.tobytes()
    assert hashlib.sha256(everything).hexdigest() == "9c1cdaf67b481e35de72ec51a1f959b9f8601629f04fa0abe112744883abea20"


@pytest.mark.parametrize("size", [0, 1, 60])
def test_corrections_look_uniform_to_whom_lacks_a_seed(size: int) -> None:
    """Full cells or empty ones: also to the sender, who takes off the streams that it has."""
    setting = setting_for(60)
    seeds = seeds_for(setting)
    _, masked = received(setting, blocks(b"left", size), seeds)
    own = oprf._streams(setting, seeds.chosen).reshape(-1, setting.cells // 64)[: setting.width]
    for view in (masked.corrections, masked.corrections ^ own):
        assert chisquare(np.bincount(view.view(np.uint8).ravel(), minlength=256)).pvalue > ALPHA
        ones = np.bitwise_count(view).sum(axis=0, dtype=np.int64)  # of each word of cells, over all columns
        assert (binom.sf(np.abs(ones - 32 * setting.width) + 32 * setting.width, 64 * setting.width, 0.5) > ALPHA).all()


def test_what_the_sender_can_take_off_is_the_code() -> None:
    """With both streams of a pair the codes would be open: the check above is able to fail."""
    setting = setting_for(60)
    seeds = seeds_for(setting)
    _, masked = received(setting, blocks(b"left", 60), seeds)
    both = oprf._streams(setting, seeds.zero) ^ oprf._streams(setting, seeds.one)
    codes = masked.corrections ^ both.reshape(-1, setting.cells // 64)[: setting.width]
    assert chisquare(np.bincount(codes.view(np.uint8).ravel(), minlength=256)).pvalue < ALPHA


def test_codes_are_as_far_apart_as_random_words() -> None:
    setting = setting_for(10)
    codes = oprf._codes(setting, blocks(b"keys", 4000))
    assert codes.shape == (-(-setting.width // 64), 4000)
    apart = np.bitwise_count(codes[:, ::2] ^ codes[:, 1::2]).sum(axis=0, dtype=np.int64)
    assert apart.min() >= DISTANCE
    assert abs(apart.mean() - setting.width / 2) < 5 * (setting.width / 4 / 2000) ** 0.5
    weights = np.bitwise_count(codes).sum(axis=0, dtype=np.int64)
    assert weights.min() >= DISTANCE  # for an empty cell, whose code is zero
    assert weights.max() <= setting.width


@pytest.mark.parametrize("bits", [400, 408, 416, 448, 512])
def test_codes_end_at_the_width(bits: int) -> None:
    setting = Setting(SALT, 0, 64, bits)
    codes = oprf._codes(setting, blocks(b"keys", 300))
    seen = np.bitwise_or.reduce(codes, axis=1)
    assert np.bitwise_count(seen).sum() == bits


def test_a_seed_too_few_or_many_is_never_a_column_in_the_clear() -> None:
    setting = setting_for(10)
    seeds = seeds_for(setting)
    held = place(setting, blocks(b"left", 10))
    for zero, one in (
        (seeds.zero[:-1], seeds.one),
        (seeds.zero, seeds.one[:-1]),
        (seeds.zero, [*seeds.one, bytes(16)]),
    ):
        with pytest.raises(ValueError, match="zip"):
            mask(setting, held, zero, one)


def test_every_cell_of_every_bucket_has_its_own_tweak() -> None:
    settings = [setting_for(10, bucket=bucket) for bucket in range(5)]
    tweaks = [oprf._tweaks(setting, np.arange(setting.cells)) for setting in settings]
    assert len(np.unique(np.concatenate(tweaks))) == sum(setting.cells for setting in settings)


def test_every_bucket_has_its_own_stream() -> None:
    seeds = seeds_for(setting_for(10))
    streams = [oprf._streams(setting_for(10, bucket=bucket), seeds.zero).reshape(-1) for bucket in range(5)]
    filled = setting_for(10).width * setting_for(10).cells // 64
    assert len(np.unique(np.concatenate([stream[:filled] for stream in streams]))) == 5 * filled
    assert not any(stream[filled:].any() for stream in streams)


def test_keys_that_cannot_be_placed_are_an_error() -> None:
    same = np.repeat(blocks(b"one", 1), 4, axis=0)
    with pytest.raises(DataError, match="could not be placed in their table, which happens by chance once in 2"):
        place(setting_for(4), same)
