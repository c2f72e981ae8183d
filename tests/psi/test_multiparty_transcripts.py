"""What each party of the multi-party join receives is what Learns says, and the checks find every planted leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
from claims import Cases, lengthy
from harness import assert_absent, assert_same_shape, digest
from meetings import (
    SESSION,
    View,
    Words,
    assert_uniform,
    keys_of,
    meet,
    names_of,
    received,
    small_buckets,
    watched,
    words_of,
)

from privsdk.psi.oprf import okvs, parameters
from privsdk.psi.oprf.blocks import blocks_of
from privsdk.psi.protocols import multiparty
from privsdk.psi.protocols.terms import _hash
from privsdk.testing import SeededEntropy, Sent, together

TRANSCRIPTS = pytest.mark.claim("transcripts: psi.join of 3 to 32 parties sends nothing beyond its Learns")
Sets = dict[str, Collection[int]]
PARTIES = names_of(4)


@pytest.fixture(autouse=True)
def short_codes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fifth of the base transfers: what is tested here does not depend on how long codes are."""
    monkeypatch.setattr(parameters, "DISTANCE", 16)
    parameters.parameters.cache_clear()
    yield
    parameters.parameters.cache_clear()


def transcript_of(sets: Sets) -> list[Sent]:
    transcript: list[Sent] = []
    meet(sets, transcript)
    return transcript


@TRANSCRIPTS
def test_transcript_with_fixed_entropy_is_a_known_answer(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "DISTANCE", 128)
    transcript = transcript_of({"lead": range(6), "p1": range(2, 9), "p2": range(1, 5)})
    # to each other "Terms" and "Opening", then
    rest = Counter((s.tag.rpartition(".")[2], s.sender, s.receiver) for s in transcript[12:])
    to_all = [("Offer", "lead"), ("Corrections", "lead"), ("Shared", "lead")]
    expected = [(kind, who, other) for kind, who in to_all for other in ("p1", "p2")]
    expected += [(kind, other, "lead") for kind in ("Choices", "Programmed") for other in ("p1", "p2")]
    assert rest == Counter([*expected, ("Share", "p1", "p2")])
    assert digest(transcript) == "27d1985fa083f24c3d92362d210cc8213e6f951dfdbd68181f887ca9b9a7b26e"
    cases()


# Worlds that agree in what one party has and learns: its keys, those that all have, all sizes.

COMMON = range(40)
MINE = range(100, 200)  # beside COMMON, of the party that looks


def worlds_of(me: str) -> dict[str, Sets]:
    """Who else has my keys beside the common ones, and what pairs share."""
    others = [name for name in PARTIES if name != me]

    def world(*held: Collection[int]) -> Sets:
        theirs = dict(zip(others, held, strict=True))
        return {name: [*COMMON, *(MINE if name == me else theirs[name])] for name in PARTIES}

    apart = [range(1000 * n, 1000 * n + 100) for n in (1, 2, 3)]
    return {
        "no pair shares more": world(*apart),
        "one has all of mine": world(MINE, *apart[1:]),
        "two have all of mine": world(MINE, MINE, apart[2]),
        "another two have all of mine": world(apart[0], MINE, MINE),
        "the others have the same": world(apart[0], apart[0], apart[0]),
        "each two share some of mine": world(
            [*range(100, 150), *apart[0][:50]], [*range(150, 200), *apart[0][50:]], [*range(120, 180), *apart[1][:40]]
        ),
    }


def check_worlds(me: str, cases: Callable[[], None] = lambda: None) -> None:
    """One party receives messages of the same kinds, lengths and header lengths in all of them."""
    views = {name: received(transcript_of(sets), me) for name, sets in worlds_of(me).items()}
    first = views.pop("no pair shares more")
    for view in views.values():
        assert_same_shape(first, view)
        assert [len(s.header) for s in first] == [len(s.header) for s in view]
        cases()


@TRANSCRIPTS
@pytest.mark.parametrize(
    ("me", "bucket"), [("lead", 60), ("p1", None), ("p2", 60), *lengthy(("lead", None), ("p1", 60))]
)
def test_a_partys_messages_do_not_tell_what_pairs_share(
    me: str, bucket: int | None, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bucket:
        small_buckets(monkeypatch, bucket)
    check_worlds(me, cases)


@TRANSCRIPTS
def test_no_length_tells_an_eavesdropper_how_many_are_shared(cases: Cases) -> None:
    """Not even the digits of a number in a header."""
    views = [
        transcript_of({name: [*range(shared), *range(1000 * n, 1000 * n + 120 - shared)] for n, name in names})
        for names in [list(enumerate(PARTIES, 1))]
        for shared in (0, 3, 30, 120)
    ]
    for other in views[1:]:
        assert_same_shape(views[0], other)
        cases()


@TRANSCRIPTS
def test_no_key_nor_its_public_hash_is_sent_but_of_shared_keys(cases: Cases) -> None:
    sets = {name: [*COMMON, *range(1000 * n, 1000 * n + 100)] for n, name in enumerate(PARTIES, 1)}
    sets["p1"] = [*COMMON, *range(1000, 1050), *range(2000, 2050)]  # some of the leader's, some of its own
    transcript = transcript_of(sets)
    salt = salt_of(list(sets))
    for number in set().union(*map(set, sets.values())) - set(COMMON):
        (block,) = run_alone(blocks_of(keys_of([number]).encoded, salt))
        named = [multiparty._named(block[None], salt)[third, 0] for third in range(3)]
        hashed = multiparty.encrypted(multiparty.derived(salt, "shared key"), block[None])[0]
        secrets = [f"customer {number:08}".encode(), *(each.tobytes() for each in (block, hashed, *named))]
        assert_absent(secrets, transcript)
        cases()


def run_alone(role: Any) -> Any:
    return together({"alone": role})["alone"]


def salt_of(parties: list[str]) -> bytes:
    """What these parties toss with their fixed entropy."""
    nonces = {me: SeededEntropy(me.encode()).draw(32) for me in parties}
    return _hash(b"salt", SESSION, *chain.from_iterable((me.encode(), nonces[me]) for me in sorted(parties)))


# The leader: what it finds at keys that not all have

EACH = 600


def by_holders(others: list[str]) -> dict[tuple[str, ...], range]:
    """For each set of others, keys of the leader that they hold."""
    subsets = [held for size in range(len(others) + 1) for held in combinations(others, size)]
    return {held: range(EACH * n, EACH * (n + 1)) for n, held in enumerate(subsets)}


def held_by(others: list[str]) -> Sets:
    groups = by_holders(others)
    return {
        "lead": range(EACH * len(groups)),
        **{other: [key for held, keys in groups.items() if other in held for key in keys] for other in others},
    }


def sums_of(values: list[Words]) -> Iterator[Words]:
    """All sums of some of the values at each key."""
    for size in range(1, len(values) + 1):
        for some in combinations(values, size):
            yield np.bitwise_xor.reduce(some)


def check_leader(count: int, monkeypatch: pytest.MonkeyPatch, cases: Callable[[], None] = lambda: None) -> None:
    """What it finds at keys that all but one hold looks as at keys that nobody holds: uniform, and so do all sums."""
    others = names_of(count)[1:]
    with watched(monkeypatch) as view:
        found = meet(held_by(others))
    groups = by_holders(others)
    *partial, everyone = groups
    assert sorted(found["lead"]) == list(groups[everyone])
    for held in partial:
        at = slice(groups[held].start, groups[held].stop)
        for total in sums_of([values[at] for values in view.values]):
            assert_uniform(total)
        cases()
    at = slice(groups[everyone].start, groups[everyone].stop)
    *some, total = sums_of([values[at] for values in view.values])
    assert not total.any()
    for each in some:
        assert_uniform(each)
    for values in view.values:  # nor does a value occur at two keys of different holders
        assert len(np.unique(values)) == len(values)


@TRANSCRIPTS
@pytest.mark.parametrize("count", [3, 4, 5])
def test_the_leader_cannot_tell_who_else_has_a_key(count: int, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    check_leader(count, monkeypatch, cases)


# Coalitions


def stripped(view: View, colluders: list[str], others: list[str], blocks: Words) -> list[Words]:
    """What the leader finds in the stores of the others, less the shares that they have in common with colluders."""
    left = []
    for other, values in zip(others, view.values, strict=True):
        if other not in colluders:
            left.append(values ^ HONEST_SHARE(blocks, [view.secrets[colluder, other] for colluder in colluders]))
    return left


def check_coalition(
    count: int, colluding: int, monkeypatch: pytest.MonkeyPatch, cases: Callable[[], None] = lambda: None
) -> None:
    """The leader and colluders find which of the leader's keys all outside their coalition have, and no more."""
    others = names_of(count)[1:]
    colluders, outside = others[:colluding], others[colluding:]
    with watched(monkeypatch) as view:
        meet(held_by(others))
    blocks = run_alone(blocks_of(keys_of(held_by(others)["lead"]).encoded, salt_of(["lead", *others])))
    left = stripped(view, colluders, others, blocks)
    everyone = np.bitwise_xor.reduce(left)
    for held, keys in by_holders(others).items():
        at = slice(keys.start, keys.stop)
        if set(outside) <= set(held):  # whether a colluder holds them or not: what Learns says of this coalition
            assert not everyone[at].any()
        else:
            for total in sums_of([values[at] for values in left]):
                assert_uniform(total)
        cases()


@pytest.mark.claim("coalitions: the leader and others of a multi-party join find what Learns says, and nothing more")
@pytest.mark.parametrize(("count", "colluding"), [(3, 1), (4, 1), (4, 2), (5, 1), (5, 2)])
def test_the_leader_and_others_find_what_all_outside_have(
    count: int, colluding: int, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_coalition(count, colluding, monkeypatch, cases)


WITHOUT = pytest.mark.claim("coalitions: parties of a multi-party join without its leader see uniform bytes alone")


@WITHOUT
def test_parties_without_the_leader_see_uniform_bytes(cases: Cases) -> None:
    """p2 and p3 of four: of p1 a secret each, of the leader masked codes, which even added up are masked."""
    sets = {name: [*COMMON, *range(1000 * n, 1000 * n + 500)] for n, name in enumerate(PARTIES)}
    transcript = transcript_of(sets)
    corrections = {}
    for me in ("p2", "p3"):
        kinds = Counter((s.sender, s.tag.rpartition(".")[2]) for s in received(transcript, me))
        outside = {kind: n for kind, n in kinds.items() if kind[0] in ("lead", "p1")}
        terms = {(who, kind): 1 for who in ("lead", "p1") for kind in ("Terms", "Opening")}
        told = {("lead", kind): 1 for kind in ("Offer", "Corrections", "Shared")}
        assert outside == {**terms, **told, ("p1", "Share"): 1}
        (sent,) = received(transcript, me, "Corrections")
        corrections[me] = words_of(sent)
        assert_uniform(corrections[me])
        cases()
    assert_uniform(corrections["p2"] ^ corrections["p3"])
    shared = [words_of(sent) for sent in received(transcript, "p2", "Shared") + received(transcript, "p3", "Shared")]
    assert (shared[0] == shared[1]).all()
    assert_uniform(shared[0][1:])
    cases(2)


@WITHOUT
def test_others_receive_the_same_whatever_the_others_hold(cases: Cases) -> None:
    """Byte for byte, but for what is shared by all: neither a store nor a key of another comes near them."""
    base = {name: [*COMMON, *range(1000 * n, 1000 * n + 100)] for n, name in enumerate(PARTIES, 1)}
    first = transcript_of(base)
    worlds = {
        "p1 has what the leader has": {**base, "p1": base["lead"]},
        "p1 has what p3 has": {**base, "p1": base["p3"]},
        "p1 and p3 have what p2 has": {**base, "p1": base["p2"], "p3": base["p2"]},
    }
    for sets in worlds.values():
        other = transcript_of(sets)
        assert digest(received(other, "p2")) == digest(received(first, "p2"))
        cases()


@WITHOUT
def test_shared_is_uniform_beside_ones_own_keys(cases: Cases) -> None:
    """As many hashes as the smallest set has keys; no zero and no hash twice, whether any is shared or all are."""
    for shared in (0, 300, 600):
        sets = {name: [*range(shared), *range(1000 * n, 1000 * n + 600 - shared)] for n, name in enumerate(PARTIES, 1)}
        sets["p3"] = [*sets["p3"], *range(9000, 9500)]
        transcript = transcript_of(sets)
        for me in PARTIES[1:]:
            (sent,) = received(transcript, me, "Shared")
            words = words_of(sent)
            assert (len(words), words[0]) == (1 + 2 * 600, shared)
            assert_uniform(words[1:])
            assert (np.diff(words[1::2].astype(object)) > 0).all()  # in order: where a hash stands tells nothing
            cases()


def check_stores(cases: Callable[[], None] = lambda: None) -> None:
    """As long as the numbers of keys say, uniform in every cell, whatever a bucket holds."""
    lengths = []
    for start in (1, 5_000):
        sets = {name: range(100 * start * n, 100 * start * n + 900) for n, name in enumerate(PARTIES)}
        stores = [words_of(sent) for sent in received(transcript_of(sets), "lead", "Programmed")]
        lengths.append([len(store) for store in stores])
        assert_uniform(np.concatenate(stores))
        cases()
    assert lengths[0] == lengths[1]


@TRANSCRIPTS
@pytest.mark.parametrize("bucket", [None, 250])
def test_stores_do_not_tell_what_is_in_them(bucket: int | None, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    if bucket:
        small_buckets(monkeypatch, bucket)
    check_stores(cases)


# Planted leaks


def no_shares(keys: Words, secrets: list[bytes]) -> Words:
    return np.zeros(len(keys), np.uint64)


def same_share_of_every_key(keys: Words, secrets: list[bytes]) -> Words:
    return HONEST_SHARE(np.zeros_like(keys), secrets)


def shares_of_half_the_bits(keys: Words, secrets: list[bytes]) -> Words:
    return HONEST_SHARE(keys, secrets) & np.uint64(2**32 - 1)


HONEST_SHARE, HONEST_EXCHANGED, HONEST_TELL = multiparty._share, multiparty._exchanged, multiparty._tell_shared


def one_secret_for_all(me: str, others: list[str], entropy: Any) -> Any:
    secrets = yield from HONEST_EXCHANGED(me, others, entropy)
    return [b"the same for all"] * len(secrets)


def without_a_pair(me: str, others: list[str], entropy: Any) -> Any:
    """The last two share no secret with each other."""
    secrets = yield from HONEST_EXCHANGED(me, others, entropy)
    return {others[-1]: secrets[:-1], others[-2]: secrets[1:]}.get(me, secrets)


LEADER_LEARNS = {
    "no shares": ("_share", no_shares, 4),
    "one share for all keys": ("_share", same_share_of_every_key, 4),
    "one share for all keys of two": ("_share", same_share_of_every_key, 3),
    "shares of 32 bits": ("_share", shares_of_half_the_bits, 4),
    "one secret for all pairs of three": ("_exchanged", one_secret_for_all, 4),
    "one secret for all pairs of four": ("_exchanged", one_secret_for_all, 5),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEADER_LEARNS)
def test_what_tells_the_leader_of_pairs_is_found(leak: str, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    name, planted, count = LEADER_LEARNS[leak]
    monkeypatch.setattr(multiparty, name, planted)
    with pytest.raises(AssertionError):
        check_leader(count, monkeypatch)
    cases()


@pytest.mark.claim("coalitions: the leader and others of a multi-party join find what Learns says, and nothing more")
@pytest.mark.parametrize(("count", "colluding"), [(4, 1), (5, 2)])
def test_a_pair_without_a_secret_is_found(
    count: int, colluding: int, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader alone would not learn of pairs even so; with all but these two it would."""
    monkeypatch.setattr(multiparty, "_exchanged", without_a_pair)
    check_leader(count, monkeypatch)
    with pytest.raises(AssertionError):
        check_coalition(count, colluding, monkeypatch)
    cases()


def shared_padded_with(fill: Callable[[int], bytes]) -> Any:
    class Filled:
        def draw(self, size: int) -> bytes:
            return fill(size)

    return lambda hashes, smallest, others, entropy: HONEST_TELL(hashes, smallest, others, Filled())


def unpadded(hashes: Words, smallest: int, others: list[str], entropy: Any) -> Any:
    return HONEST_TELL(hashes, len(hashes), others, entropy)


@TRANSCRIPTS
def test_padding_of_zeros_is_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiparty, "_tell_shared", shared_padded_with(bytes))
    with pytest.raises(AssertionError):
        test_shared_is_uniform_beside_ones_own_keys(Cases())
    cases()


@TRANSCRIPTS
def test_hashes_without_padding_are_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = multiparty.octets_of
    monkeypatch.setattr(multiparty, "_tell_shared", unpadded)
    monkeypatch.setattr(
        multiparty, "octets_of", lambda table, size, sender: honest(table, len(table["octets"][0].as_buffer()), sender)
    )
    with pytest.raises(AssertionError):
        test_no_length_tells_an_eavesdropper_how_many_are_shared(Cases())
    cases()


@TRANSCRIPTS
def test_cells_that_are_left_zero_are_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(okvs, "_random_words", lambda seed, count: np.zeros(count, np.uint64))
    with pytest.raises(AssertionError):
        check_stores()
    cases()


@TRANSCRIPTS
def test_stores_of_what_is_in_them_are_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sized by the keys that a bucket has, in place of the most that it may have."""
    small_buckets(monkeypatch, 250)
    honest_encode, honest_octets = okvs.encode, multiparty.octets_of

    def encode(blocks: Words, values: Words, shape: okvs.Shape, seed: bytes) -> Words:
        return honest_encode(blocks, values, okvs.shape(len(blocks), 45), seed)

    monkeypatch.setattr(okvs, "encode", encode)
    monkeypatch.setattr(okvs, "decode", lambda blocks, table, shape: np.ones(len(blocks), np.uint64))
    monkeypatch.setattr(
        multiparty,
        "octets_of",
        lambda table, size, sender: honest_octets(table, len(table["octets"][0].as_buffer()), sender),
    )
    with pytest.raises(AssertionError):
        check_stores()
    cases()


@TRANSCRIPTS
def test_a_seed_used_for_two_stores_is_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free cells of two stores would be equal, and the leader see which are free."""
    small_buckets(monkeypatch, 250)
    honest = okvs._random_words
    monkeypatch.setattr(okvs, "_random_words", lambda seed, count: honest(bytes(16), count))
    with pytest.raises(AssertionError):
        check_stores()
    cases()


@WITHOUT
def test_masks_used_for_two_parties_are_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """The codes of the leader's keys, and so its keys, would be the difference of what two parties hold."""
    honest = multiparty.mask
    monkeypatch.setattr(
        multiparty,
        "mask",
        lambda setting, placed, zero, one: honest(setting, placed, *[[bytes(16)] * setting.width] * 2),
    )
    monkeypatch.setattr(multiparty, "_hear_shared", lambda hashes, smallest, leader: ignoring(leader))
    with pytest.raises(AssertionError):
        test_parties_without_the_leader_see_uniform_bytes(Cases())
    cases()


def ignoring(leader: str) -> Any:
    yield from multiparty.hear(leader, multiparty.Shared)
    return np.zeros(0, np.int64)
