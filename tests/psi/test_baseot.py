"""Base transfers: the chooser has the key of each choice and not the other, and wrong points are found."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import assert_absent, digest, play
from scipy.stats import binom

from privsdk.errors import ProtocolViolation
from privsdk.psi.oprf.base_ot import Choices, ChosenKeys, Offer, Pairs, choose, offer
from privsdk.psi.oprf.ristretto import IDENTITY, POINT, POINTS, hash_to_group, libsodium, to_table
from privsdk.testing import SeededEntropy, Sent, pair

OTS = pytest.mark.claim("psi: base transfers give one key of each pair")
SALT = SeededEntropy(b"salt").draw(32)


def run(
    count: int, *, salts: tuple[bytes, bytes] = (SALT, SALT), seeds: tuple[bytes, bytes] = (b"a", b"b")
) -> tuple[Pairs, ChosenKeys, list[Sent]]:
    transcript: list[Sent] = []
    pairs, chosen = pair(
        offer(count, peer="b", salt=salts[0], entropy=SeededEntropy(seeds[0])),
        choose(count, peer="a", salt=salts[1], entropy=SeededEntropy(seeds[1])),
        transcript=transcript,
    )
    return pairs, chosen, transcript


@OTS
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 416])
def test_the_chooser_has_the_key_of_each_choice_and_not_the_other(count: int, cases: Cases) -> None:
    pairs, chosen, transcript = run(count)
    assert len(pairs.zero) == len(pairs.one) == len(chosen.keys) == len(chosen.bits) == count
    assert chosen.bits.dtype == np.bool_
    for bit, key, zero, one in zip(chosen.bits, chosen.keys, pairs.zero, pairs.one, strict=True):
        assert (key, len(key)) == ((one if bit else zero), 16)
    assert len({*pairs.zero, *pairs.one}) == 2 * count
    if count:
        assert_absent([*pairs.zero, *pairs.one], transcript)
    cases(count)


def test_keys_are_the_hash_of_what_the_paper_says() -> None:
    pairs, chosen, transcript = run(3)
    (offered,), choices = (s.table["point"].to_pylist() for s in transcript)
    entropy = SeededEntropy(b"b")
    entropy.draw(1)
    for j in range(3):
        secret = libsodium().crypto_core_ristretto255_scalar_reduce(entropy.draw(64))
        product = libsodium().crypto_scalarmult_ristretto255(secret, offered)
        text = offered + choices[j] + product
        number = j.to_bytes(4, "big")
        key = hashlib.blake2b(number + text, digest_size=16, key=SALT, person=b"privsdk baseot").digest()
        assert chosen.keys[j] == key
        blind = libsodium().crypto_scalarmult_ristretto255_base(secret)
        assert choices[j] == (libsodium().crypto_core_ristretto255_add(blind, offered) if chosen.bits[j] else blind)
    assert len(set(pairs.zero)) == 3


def test_transcript_with_fixed_entropy_is_a_known_answer() -> None:
    pairs, _, transcript = run(4)
    assert [s.tag for s in transcript] == ["psi.baseot.Offer", "psi.baseot.Choices"]
    assert digest(transcript) == "c5c8c4f265f87c9991763529136383f1a9e97cdcab1238ba3c18afd131d62a9d"
    assert (
        hashlib.sha256(b"".join([*pairs.zero, *pairs.one])).hexdigest()
        == "2d4a601c07431846e32bd0cecd8c0d12f7bd0633eb69d16e299c0ca34ba20fe6"
    )


def test_choices_are_uniform_bits_and_their_points_do_not_tell() -> None:
    bits, lowest = [], []
    for number in range(6):
        _, chosen, transcript = run(416, seeds=(b"a", bytes([number])))
        bits += chosen.bits.tolist()
        lowest += [point[1] & 1 for point in transcript[1].table["point"].to_pylist()]
    assert 1e-6 < binom.cdf(sum(bits), len(bits), 0.5) < 1 - 1e-6
    agreeing = sum(bit == low for bit, low in zip(bits, lowest, strict=True))
    assert 1e-6 < binom.cdf(agreeing, len(bits), 0.5) < 1 - 1e-6


def test_every_run_has_its_own_keys() -> None:
    first, _, transcript = run(8)
    other, *_ = run(8, salts=(bytes(32), bytes(32)))
    assert not {*first.zero, *first.one} & {*other.zero, *other.one}
    *_, again = run(8, seeds=(b"c", b"d"))
    points = [{point for sent in t for point in sent.table["point"].to_pylist()} for t in (transcript, again)]
    assert not points[0] & points[1]
    pairs, chosen, _ = run(8, salts=(SALT, bytes(32)))  # two that do not agree on the salt have no key in common
    assert not {*pairs.zero, *pairs.one} & {*chosen.keys}


GOOD = [hash_to_group(b"test", bytes([n])) for n in range(3)]
BAD = {
    "the identity": [IDENTITY],
    "no canonical encoding": [b"\xff" * 32],
    "a negative encoding": [b"\x01" + bytes(31)],
    "a null": [None],
}


@OTS
@pytest.mark.parametrize("what", BAD)
def test_invalid_points_are_found(what: str, cases: Cases) -> None:
    bad = pa.table([pa.array(BAD[what], POINT)], schema=POINTS)
    with pytest.raises(ProtocolViolation, match="b sent a point that is not a valid element"):
        play(choose(3, peer="b", salt=SALT, entropy=SeededEntropy(b"a")), Offer(table=bad))
    for place in range(3):
        points = [*GOOD[:place], *BAD[what], *GOOD[place + 1 :]]
        choices = Choices(table=pa.table([pa.array(points, POINT)], schema=POINTS))
        with pytest.raises(ProtocolViolation, match="b sent a point that is not a valid element"):
            play(offer(3, peer="b", salt=SALT, entropy=SeededEntropy(b"a")), choices)
        cases()


@OTS
@pytest.mark.parametrize("points", [[], GOOD[:2], [*GOOD, GOOD[0]]])
def test_wrong_numbers_of_points_are_found(points: list[bytes], cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match=rf"b sent choices for {len(points)} transfers of 3"):
        play(offer(3, peer="b", salt=SALT, entropy=SeededEntropy(b"a")), Choices(table=to_table(points)))
    with pytest.raises(ProtocolViolation, match=f"b sent {len(points)} points for its offer"):
        play(choose(3, peer="b", salt=SALT, entropy=SeededEntropy(b"a")), Offer(table=to_table(points)))
    cases(2)


def test_the_offered_point_sent_back_as_a_choice_is_a_choice() -> None:
    """B = A is bit one with the secret zero: the chooser's own loss, and no error in the subtraction."""
    entropy = SeededEntropy(b"a")
    role = offer(1, peer="b", salt=SALT, entropy=entropy)
    step = next(role)
    (point,) = step.send["b"].table["point"].to_pylist()
    heard = {"b": Choices(table=to_table([point]))}
    while True:
        try:
            role.send(heard)
        except StopIteration as stop:
            pairs = stop.value
            break
        heard = {}
    text = (0).to_bytes(4, "big") + point + point + IDENTITY
    assert pairs.one == [hashlib.blake2b(text, digest_size=16, key=SALT, person=b"privsdk baseot").digest()]
    assert pairs.zero != pairs.one
