"""Every size keeps its probability of failure, recomputed by other means, and smaller ones do not."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from claims import Cases, lengthy
from obstructions import log2_no_placement
from scipy.special import gammaln, logsumexp
from scipy.stats import binom

from privsdk.crypto.aes import Words
from privsdk.errors import DataError
from privsdk.psi.oprf.base_ot import Choices
from privsdk.psi.oprf.blocks import NoPlacement, bucketed, cells_of, placed
from privsdk.psi.oprf.oprf import Setting
from privsdk.psi.oprf.parameters import BUCKET, DISTANCE, SHARE, capacity, parameters, third, width
from privsdk.psi.protocols import kkrt
from privsdk.psi.protocols.multiparty import MOST
from privsdk.psi.protocols.terms import MOST_KEYS
from privsdk.testing import SeededEntropy

ALPHA = 1e-6
SIZES = pytest.mark.claim("psi.kkrt: sizes keep a failure below 2^-40, by a second derivation")
TRIALS = pytest.mark.claim("psi.kkrt: derived failure probabilities hold in trials, and smaller tables are found out")


@SIZES
def test_tables_of_up_to_1000_keys_are_large_enough(cases: Cases) -> None:
    for keys in range(1, 1001):
        assert log2_no_placement(keys, third(keys, SHARE)) <= -SHARE, keys
        cases()


@SIZES
@pytest.mark.parametrize(
    "keys",
    [1100, 1150, 1228, 1300, 1382, 1536, 1689, 2000, 4000, *lengthy(6400, 16_000, 33_000, 67_600), 135_000],
)
def test_larger_tables_are_large_enough(keys: int, cases: Cases) -> None:
    """1,228 and others: numbers of keys whose 1.25n/3 is a multiple of 64, so that rounding spares nothing."""
    for bits in (SHARE, SHARE + 6, SHARE + 14):  # to 1,024 buckets and nine senders
        assert log2_no_placement(keys, third(keys, bits)) <= -bits
        cases()


def test_the_bound_counts_what_it_should() -> None:
    four = math.log2(math.comb(4, 4) / 64**9)
    assert log2_no_placement(3, 1) == -math.inf
    assert log2_no_placement(4, 64) == pytest.approx(four)  # four keys with the same three cells, and nothing else
    assert log2_no_placement(1228, 512) > -SHARE  # a load of 0.8 is too much here
    assert log2_no_placement(60, 30) > log2_no_placement(60, 40) > log2_no_placement(60, 50)


def near(bits: int) -> int:
    return sum(math.comb(bits, ones) for ones in range(DISTANCE))


@SIZES
@pytest.mark.parametrize("evaluations", [1, 3, 99, 3 << 10, 3 << 17, 3 << 20, 3 * MOST_KEYS, 93 * MOST_KEYS])
def test_width_is_the_least_that_keeps_codes_apart(evaluations: int, cases: Cases) -> None:
    bits = width(evaluations)
    assert bits % 8 == 0
    assert Fraction(evaluations * near(bits), 2**bits) <= Fraction(1, 2**SHARE)
    assert Fraction(evaluations * near(bits - 8), 2 ** (bits - 8)) > Fraction(1, 2**SHARE)
    cases()


def log2_overflow(keys: int, buckets: int, most: int) -> float:
    """log2 of the expected number of buckets with more keys than `most`; a bucket's share of 2^32 is rounded up."""
    chance = math.ceil(2**32 / buckets) / 2**32
    over = np.arange(most + 1.0, min(keys, most + 20_000) + 1)
    if not len(over):
        return -math.inf
    terms = gammaln(keys + 1) - gammaln(over + 1) - gammaln(keys - over + 1) + over * math.log(chance)
    return float(logsumexp(terms + (keys - over) * math.log1p(-chance)) + math.log(buckets)) / math.log(2)


@SIZES
@pytest.mark.parametrize("buckets", [2, 3, 8, 33, 1024])
@pytest.mark.parametrize("keys", [0, 1, 2, 10, 100, 10_000, 1 << 18, 5_000_000, MOST_KEYS])
def test_capacity_is_enough_and_the_least_by_its_bound(keys: int, buckets: int, cases: Cases) -> None:
    most = capacity(keys, buckets, SHARE)
    allowed = (SHARE + math.log2(buckets)) * math.log(2)
    assert most <= keys
    assert log2_overflow(keys, buckets, most) <= -SHARE

    def divergence(over: int) -> float:
        p, q = over / keys, 1 / buckets
        rest = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
        return keys * (p * math.log(p / q) + rest) if p > q else 0.0

    if most > keys // buckets:  # one fewer, and Chernoff's bound would not do
        assert divergence(most) < allowed
    if most < keys:
        assert divergence(most + 1) >= allowed
    cases()


def test_capacity_by_exact_arithmetic() -> None:
    for keys in (20, 60, 200):
        for buckets in (2, 5):
            most, one = capacity(keys, buckets, 10), Fraction(1, buckets)
            tail = sum(math.comb(keys, k) * one**k * (1 - one) ** (keys - k) for k in range(most + 1, keys + 1))
            assert tail * buckets <= Fraction(1, 1 << 10)


def test_one_bucket_holds_all() -> None:
    assert capacity(12345, 1, SHARE) == 12345


ALL = (1, 4, 1228, 100_000, BUCKET + 1, 1 << 24, MOST_KEYS)


@SIZES
@pytest.mark.parametrize("receiver", [1, 4, 1228, *lengthy(100_000, BUCKET + 1, 1 << 24), MOST_KEYS])
def test_all_failures_together_are_rare(receiver: int, cases: Cases) -> None:
    for sender in ALL:
        for others in ((), (1, 1000), (MOST_KEYS,) * (MOST - 2)):
            senders = (sender, *others)
            sizes = parameters(receiver, *senders)
            assert sizes.third % 64 == 0
            assert sizes.cells == 3 * sizes.third
            chances = [log2_overflow(receiver, sizes.buckets, sizes.receiver)]
            chances += [log2_overflow(n, sizes.buckets, most) for n, most in zip(senders, sizes.senders, strict=True)]
            chances.append(math.log2(sizes.buckets) + placement(sizes.receiver, sizes.third))
            chances.append(math.log2(3 * sum(senders) * near(sizes.width)) - sizes.width)
            chances += [
                math.log2(sizes.buckets * sizes.receiver * most) - 8 * sizes.tag_bytes for most in sizes.senders
            ]
            chances.append(2 * math.log2(receiver + sum(senders)) - 128)  # equal blocks
            assert sum(2**chance for chance in chances) < 2**-40, sizes
            cases()


_placements: dict[tuple[int, int], float] = {}


def placement(keys: int, cells: int) -> float:
    if (keys, cells) not in _placements:
        _placements[keys, cells] = log2_no_placement(keys, cells)
    return _placements[keys, cells]


def test_buckets_are_of_a_size_and_as_many_as_the_largest_party_needs() -> None:
    assert parameters(1, 1).buckets == parameters(BUCKET, 5).buckets == parameters(5, BUCKET).buckets == 1
    assert parameters(BUCKET + 1, 5).buckets == parameters(5, 7, BUCKET + 1).buckets == 2
    assert parameters(MOST_KEYS, 1).buckets == MOST_KEYS // BUCKET
    assert parameters(5, 7) == parameters(5, 7)
    few = parameters(10, 10)
    assert (few.receiver, few.senders, few.tag_bytes) == (10, (10,), math.ceil((SHARE + math.log2(100)) / 8))


def test_several_senders_have_a_share_each() -> None:
    assert parameters(5, 1 << 20, 3, 1 << 19).width == width(3 * (3 * (1 << 19) + 3))
    sizes, share = parameters(1 << 20, *[1 << 20] * 8), SHARE + 3
    assert sizes.senders == (capacity(1 << 20, 8, share),) * 8
    assert sizes.receiver == sizes.senders[0] > capacity(1 << 20, 8, SHARE)
    for keys in range(100, 3000, 100):
        few, pairs = parameters(keys, *[keys] * 8), keys**2
        assert few.tag_bytes == math.ceil((share + math.log2(pairs)) / 8)
        assert few.width == width(24 * keys)
        assert few.third == -(-third(keys, share) // 64) * 64


def test_the_largest_messages_are_allowed() -> None:
    for sizes in (
        parameters(MOST_KEYS, MOST_KEYS),
        parameters(MOST_KEYS, *[MOST_KEYS] * (MOST - 1)),
        parameters(BUCKET, BUCKET),
    ):
        slack = 4096  # Arrow's framing
        assert sizes.width * sizes.cells // 8 + slack < kkrt.Corrections.MAX_BYTES
        assert max(sizes.senders) * 3 * sizes.tag_bytes + slack < kkrt.Tags.MAX_BYTES
        assert sizes.buckets * max(sizes.senders) // 8 + slack < kkrt.Matches.MAX_BYTES
        assert 32 * sizes.width + slack < Choices.MAX_BYTES
        assert Setting(bytes(32), 0, sizes.third, sizes.width).cells == sizes.cells


def random_blocks(entropy: SeededEntropy, *shape: int) -> Words:
    return np.frombuffer(entropy.draw(16 * math.prod(shape)), np.uint64).reshape(*shape, 2)


def failures(keys: int, cells: int, trials: int) -> int:
    """How many of so many random sets of keys cannot be placed."""
    missed = 0
    for blocks in random_blocks(SeededEntropy(f"{keys} in {cells}".encode()), trials, keys):
        try:
            placed(cells_of(blocks, cells), 3 * cells)
        except NoPlacement:
            missed += 1
    return missed


def believable(missed: int, trials: int, bound: float) -> bool:
    """Whether so many failures go with a probability of at most `bound`, at a significance of 1e-6."""
    return bool(binom.sf(missed - 1, trials, min(bound, 1.0)) >= ALPHA)


@TRIALS
@pytest.mark.parametrize(("keys", "cells", "too_few"), [(10, 4, 3), (16, 7, 6), (20, 9, 7)])
def test_placements_fail_no_more_often_than_the_bound(keys: int, cells: int, too_few: int, cases: Cases) -> None:
    bound = 2 ** log2_no_placement(keys, cells)
    assert 2**-9 < bound < 2**-4
    trials = 3000
    missed = failures(keys, cells, trials)
    assert believable(missed, trials, bound)
    assert not believable(failures(keys, too_few, 600), 600, bound)
    cases(trials)
    cases.say(f"{keys} keys in 3*{cells} cells: {missed} of {trials} fail, at most {bound * trials:.0f} expected")


@TRIALS
@pytest.mark.parametrize(("keys", "buckets"), [(60, 4), (300, 9), (1000, 3)])
def test_buckets_overflow_no_more_often_than_the_bound(keys: int, buckets: int, cases: Cases) -> None:
    share, trials = 4, 1500
    most = capacity(keys, buckets, share)
    too_few = keys // buckets + (most - keys // buckets) // 2
    over = {most: 0, too_few: 0}
    for blocks in random_blocks(SeededEntropy(f"{keys} into {buckets}".encode()), trials, keys):
        for limit in over:
            try:
                parts = bucketed(blocks, buckets, limit)
            except DataError:
                over[limit] += 1
            else:
                assert sorted(np.concatenate(parts)) == list(range(keys))
    assert believable(over[most], trials, 2**-share)
    assert not believable(over[too_few], trials, 2**-share)
    cases(trials)
