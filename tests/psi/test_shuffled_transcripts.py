"""The count's transcript tells nothing beyond its Learns, and the checks that say so find every planted leak."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from claims import Cases
from harness import assert_absent, assert_same_shape, digest, traces_of_key
from joins import SESSION, Side, agreement, counting, names, points_of, run

from privsdk.protocol.roles import Role, hear, tell
from privsdk.psi.keys.distinct import DistinctKeys
from privsdk.psi.oprf.ristretto import hash_piece, hash_to_group, multiply_piece, random_scalar, to_table
from privsdk.psi.protocols.ddh import SIZE_DOMAIN, BlindedSet, DoubledSet
from privsdk.testing import SeededEntropy, Sent

TRANSCRIPTS = pytest.mark.claim("transcripts: psi.cardinality sends nothing beyond its Learns")
LEFT, RIGHT = range(40), range(20, 70)


def test_transcript_with_fixed_entropy_is_a_known_answer() -> None:
    first, second, transcript = run(names(1, 2, 3), names(3, 4), (counting, counting))
    kinds = ("psi.Terms", "psi.Opening", "psi.cardinality.Blinded", "psi.cardinality.Doubled")
    assert [s.tag for s in transcript] == [kind for kind in kinds for _ in range(2)]
    assert (first, second) == (1, 1)
    assert digest(transcript) == "e62ac409d050fa360adb07efdbf4dca8d1adc55dd393d90256637acc5e23f067"


@functools.cache
def secrets_of() -> tuple[bytes, bytes]:
    """The salt that these tests' parties toss, and a's secret."""

    def side(keys: DistinctKeys, **given: Any) -> Role[tuple[bytes, bytes]]:
        agreed = yield from agreement(keys, **given)
        return agreed.salt, random_scalar(given["entropy"])

    salt, secret = run(names(0), names(0), (side, side))[0]
    return salt, secret


def traces_of(key: bytes) -> list[bytes]:
    """A key and what anyone, or the peer that knows the salt, could compute from it alone."""
    return [
        *traces_of_key(key),
        *(hash_to_group(domain, key) for domain in (b"", SIZE_DOMAIN, SIZE_DOMAIN + secrets_of()[0])),
    ]


def guessed(keys: DistinctKeys, transcript: list[Sent]) -> set[bytes]:
    """Which of its keys party a takes for shared if it reads what came back by the order in which it had sent."""
    salt, secret = secrets_of()
    own = dict(
        zip(
            multiply_piece(secret, hash_piece(SIZE_DOMAIN + salt, keys.encoded.to_pylist())),
            keys.encoded.to_pylist(),
            strict=True,
        )
    )
    theirs = set(multiply_piece(secret, points_of(transcript, "psi.cardinality.Blinded", "b")))
    sent = points_of(transcript, "psi.cardinality.Blinded", "a")
    back = points_of(transcript, "psi.cardinality.Doubled", "b")
    return {own.get(single, b"") for single, double in zip(sent, back, strict=True) if double in theirs}


def check_transcripts(sides: tuple[Side, Side], cases: Callable[[], None] = lambda: None) -> None:
    """Equal shapes where the sizes are equal, no trace of a key, and no order that links: of rows, or of what was sent.

    The worlds have the same inputs at one party and the same sizes, of both sets and of the intersection.
    """
    *_, first = run(names(*LEFT), names(*RIGHT), sides)
    worlds = {
        "others shared, others not": (names(*LEFT), names(*range(20), *range(100, 130))),
        "others not shared": (names(*LEFT), names(*range(20, 40), *range(100, 130))),
        "another party a": (names(*range(20, 40), *range(200, 220)), names(*RIGHT)),
        "duplicates": (names(*LEFT, *LEFT), names(*RIGHT, 20, 20)),
    }
    for left, right in worlds.values():
        *sizes, other = run(left, right, sides)
        assert sizes == [20, 20]
        assert_same_shape(first, other)
        cases()
    for key in {*names(*LEFT).encoded.to_pylist(), *names(*RIGHT).encoded.to_pylist()}:
        assert_absent(traces_of(key), first)
    *_, reordered = run(names(*reversed(LEFT)), names(*reversed(RIGHT)), sides)
    assert digest(reordered) == digest(first)
    shared = set(names(*range(20, 40)).encoded.to_pylist())
    right_by_chance = 20 * 20 / 40
    assert len(guessed(names(*LEFT), first) & shared) <= right_by_chance + 5
    for sent in first:
        assert sent.table is None or sent.table["point"].to_pylist() == sorted(sent.table["point"].to_pylist())
        cases()


@TRANSCRIPTS
def test_transcript_tells_nothing_beyond_learns(cases: Cases) -> None:
    check_transcripts((counting, counting), cases)


@TRANSCRIPTS
def test_two_sessions_have_no_point_in_common(cases: Cases) -> None:
    seen: set[bytes] = set()
    for session in (SESSION, SESSION[::-1]):  # even where both parties drew the same secrets
        *_, transcript = run(names(*range(9)), names(*range(5)), (counting, counting), session)
        points = [point for sent in transcript if sent.table for point in sent.table["point"].to_pylist()]
        assert not seen & set(points)
        seen |= set(points)
        cases()


@TRANSCRIPTS
def test_points_are_spread_evenly(cases: Cases) -> None:
    """By their leading and by their trailing bits: 16 equal parts each, chi-square below its 99.99th percentile."""
    *_, transcript = run(names(*range(600)), names(*range(300, 900)), (counting, counting))
    for sent in transcript:
        if sent.table is not None:
            points = sent.table["point"].to_pylist()
            for part in ([p[31] >> 3 for p in points], [(p[0] >> 1) % 16 for p in points]):  # bits 0 and 255 are fixed
                counts = np.bincount(part, minlength=16)
                assert counts.sum() == 600
                assert ((counts - 37.5) ** 2 / 37.5).sum() < 44.3
                cases()


def leaky(
    keys: DistinctKeys,
    *,
    me: str,
    peer: str,
    session: bytes,
    entropy: SeededEntropy,
    blind: bool = True,
    sort: bool = True,
    shuffle: bool = True,
    resort: Callable[[list[bytes]], list[bytes]] = sorted,
) -> Role[int]:
    """The protocol written once more, with a switch for each thing that it must not leave out."""
    agreed = yield from agreement(keys, me=me, peer=peer, session=session, entropy=entropy)
    secret = random_scalar(entropy)
    mine = hash_piece(SIZE_DOMAIN + agreed.salt, keys.encoded.to_pylist())
    mine = multiply_piece(secret, mine) if blind else mine
    yield from tell(peer, BlindedSet(table=to_table(sorted(mine) if sort else mine)))
    theirs = (yield from hear(peer, BlindedSet)).table["point"].to_pylist()
    doubled = multiply_piece(secret, theirs)
    yield from tell(peer, DoubledSet(table=to_table(resort(doubled) if shuffle else doubled)))
    back = (yield from hear(peer, DoubledSet)).table["point"].to_pylist()
    return len(set(doubled) & set(back)) if blind else 20


def test_the_planted_protocol_is_the_protocol() -> None:
    check_transcripts((leaky, leaky))
    theirs, ours = (run(names(1, 2, 3), names(3, 4), (side, side))[2] for side in (leaky, counting))
    assert digest(theirs) == digest(ours)


def back_by_size(doubled: list[bytes]) -> list[bytes]:
    """Sorted, and then one half before the other: an order that depends on the order of arrival."""
    return sorted(doubled[::2]) + sorted(doubled[1::2])


LEAKS: dict[str, Side] = {
    "returned in the order received": functools.partial(leaky, shuffle=False),
    "returned in the reverse order": functools.partial(leaky, resort=lambda doubled: doubled[::-1]),
    "returned in two halves": functools.partial(leaky, resort=back_by_size),
    "sets in the order of rows": functools.partial(leaky, sort=False),
    "sets in the order of rows, and returned so": functools.partial(leaky, sort=False, shuffle=False),
    "hashes without a secret": functools.partial(leaky, blind=False),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases) -> None:
    for sides in ((counting, LEAKS[leak]), (LEAKS[leak], counting)):
        with pytest.raises(AssertionError):
            check_transcripts(sides)
        cases()


def test_the_order_received_would_tell_all() -> None:
    """What the shuffle prevents: with points returned in order, the guess is the intersection."""
    *_, transcript = run(names(*LEFT), names(*RIGHT), (counting, LEAKS["returned in the order received"]))
    assert guessed(names(*LEFT), transcript) == set(names(*range(20, 40)).encoded.to_pylist())
