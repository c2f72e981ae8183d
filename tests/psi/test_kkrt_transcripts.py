"""The transcript of KKRT16 tells nothing beyond its Learns, and the checks that say so find every planted leak."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import kkrt_runs
import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, Counts
from harness import assert_absent, assert_found, assert_same_shape, digest, traces_of_key
from kkrt_runs import SESSION, Run, buckets_of, column, dealt, numbered, octets, rewriting, run, unchanged
from scipy.stats import chisquare

from privsdk.protocol.roles import Role
from privsdk.psi.oprf import base_ot, oprf
from privsdk.psi.oprf.blocks import blocks_of
from privsdk.psi.oprf.parameters import parameters
from privsdk.psi.protocols import kkrt
from privsdk.psi.protocols.kkrt import Matches, Tags
from privsdk.psi.protocols.terms import SharedTerms
from privsdk.testing import SeededEntropy, Sent, together

ALPHA = 1e-6
TRANSCRIPTS = pytest.mark.claim("transcripts: psi.kkrt sends nothing beyond its Learns")
Octets = npt.NDArray[np.uint8]
Patch = pytest.MonkeyPatch

LEFT, RIGHT = numbered(*range(30)), numbered(*range(20, 70))
WORLDS = {
    "other keys outside the intersection": (LEFT, numbered(*range(20, 30), *range(100, 140))),
    "other keys in the intersection": (numbered(*range(20), *range(500, 510)), numbered(*range(500, 550))),
    "disjoint": (LEFT, numbered(*range(50, 100))),
    "nested": (LEFT, numbered(*range(50))),
    "another order": (LEFT[::-1], RIGHT[::-1]),
}


def by_sender(transcript: list[Sent]) -> list[Sent]:
    """How the messages of two parties interleave depends on the threads that compute them."""
    return sorted(transcript, key=lambda sent: sent.sender)


def nothing() -> None:
    """For checks that count no cases."""


def test_transcript_with_fixed_entropy_is_a_known_answer() -> None:
    with buckets_of(8):
        found = run(numbered(*range(20)), numbered(*range(10, 34)))
    sent_by_each = by_sender(found.transcript)
    tags = [f"{sent.sender} {sent.tag.removeprefix('psi.')}" for sent in sent_by_each]
    of_a = ["a Terms", "a Opening", "a baseot.Offer", *["a kkrt.Corrections"] * 3, "a kkrt.Matches"]
    assert tags == [*of_a, "b Terms", "b Opening", "b baseot.Choices", *["b kkrt.Tags"] * 3]
    assert digest(sent_by_each) == "25146ba654600cf47747f3e8df9b1b010e0f32dae1e8c81b15a238d8f8fe8f02"


# the checks


def check_lengths(
    one: Callable[..., Run] = run, case: Callable[[], None] = nothing, learner: str | None = None
) -> None:
    """In worlds of equal sizes, whatever is shared, an eavesdropper sees messages of the same lengths and order."""
    with buckets_of(16), dealt():
        first = by_sender(one(LEFT, RIGHT, learner=learner).transcript)
        for left, right in WORLDS.values():
            assert_same_shape(first, by_sender(one(left, right, learner=learner).transcript))
            case()


def traces_of(key: bytes, salt: bytes) -> list[bytes]:
    """A key and what anyone could compute from it and the salt."""
    block = together({"only": blocks_of(column([key]), salt)})["only"].tobytes()
    return [*traces_of_key(key), block, block[:8], block[8:]]


def check_traces(one: Callable[..., Run] = run, case: Callable[[], None] = nothing) -> None:
    """Neither keys, short or long, nor hashes of them."""
    short, long = numbered(*range(9)), [b"a customer of more than 15 bytes, number %d" % n for n in range(9)]
    found = one([*short[4:], *long[4:]], [*short, *long])
    for key in [*short, *long]:
        assert_absent(traces_of(key, found.salt), found.transcript)
        case()


def check_uniform(one: Callable[..., Run] = run, case: Callable[[], None] = nothing) -> None:
    """Bytes of Corrections, Tags and Choices, and of two buckets' or two columns' sum, are as good as random."""
    with buckets_of(20):
        found = one(numbered(*range(60)), numbered(*range(30, 100)))
        width = parameters(60, 70).width
    corrections, tags = (octets(found.transcript, f"psi.kkrt.{kind}") for kind in ("Corrections", "Tags"))
    points = [s.table["point"].to_pylist() for s in found.transcript if s.tag == "psi.baseot.Choices"]
    choices = [np.frombuffer(b"".join(point[1:31] for point in points[0]), np.uint8)]  # the ends have fixed bits
    for messages in (corrections, tags, choices):
        sums = [one ^ other for one, other in itertools.pairwise(messages)]
        for view in [*messages, *sums]:
            assert chisquare(np.bincount(view, minlength=256)).pvalue > ALPHA
            case()
    for message in corrections:
        columns = message.reshape(width, -1)
        assert chisquare(np.bincount((columns[1:] ^ columns[:-1]).ravel(), minlength=256)).pvalue > ALPHA
        case()


def check_sessions(one: Callable[..., Run] = run, case: Callable[[], None] = nothing) -> None:
    """Two sessions of the same keys have nothing in common, even where both parties drew the same secrets."""
    found = [one(LEFT, RIGHT, session=session) for session in (SESSION, SESSION[::-1])]
    size = parameters(len(LEFT), len(RIGHT)).tag_bytes
    for kind, length in (("Corrections", 8), ("Tags", size)):
        first, other = (
            {part.tobytes() for part in octets(each.transcript, f"psi.kkrt.{kind}")[0].reshape(-1, length)}
            for each in found
        )
        assert not first & other
        case()
    first, other = (together({"only": blocks_of(column(LEFT), each.salt)})["only"] for each in found)
    assert not (first == other).any()
    case()


def check_order(one: Callable[..., Run] = run, case: Callable[[], None] = nothing, runs: int = 12) -> None:
    """The order of the joint keys, which is that of the records, has nothing to do with the order of rows."""
    keys = numbered(*range(20))
    together_ranked = {"a": 0.0, "b": 0.0}
    slots = np.zeros(0, np.int64)
    for number in range(runs):
        with dealt():
            found = one(keys, keys, seeds=(b"a%d" % number, b"b%d" % number))
        for party, order in (("a", found.a), ("b", found.b)):
            together_ranked[party] += float(np.corrcoef(order, np.arange(20))[0, 1])
        with dealt(), buckets_of(5):  # where buckets have room for more: which records hold a key
            found = one(keys, keys, seeds=(b"c%d" % number, b"d%d" % number))
            room = parameters(20, 20).senders[0]
        bits = np.unpackbits(octets(found.transcript, "psi.kkrt.Matches")[0])
        slots = np.concatenate([slots, np.flatnonzero(bits) % room])
        case()
    for total in together_ranked.values():
        assert abs(total) * (19 / runs) ** 0.5 < 5  # a normal variable, below 5 but for 6 in 10 million
    assert chisquare(np.bincount(slots, minlength=room)).pvalue > ALPHA


def check_views(one: Callable[..., Run] = run, case: Callable[[], None] = nothing) -> None:
    """What a party hears does not depend on the other's keys that it lacks, but for what is uniform to it.

    So the sender hears the same matches wherever the receiver had to place its keys for the sake of others; and the
    receiver finds the same records, whatever the others hold.
    """
    for number in range(6):
        seeds = (b"a%d" % number, b"b%d" % number)
        lefts = [[*LEFT[20:], *numbered(*range(start, start + 20))] for start in (0, 200, 400)]
        rights = [[*RIGHT[:10], *numbered(*range(start, start + 40))] for start in (600, 700, 800)]
        with dealt():
            mine = [one(left, rights[0], seeds=seeds) for left in lefts]
            theirs = [one(lefts[0], right, seeds=seeds) for right in rights]
        heard = [[s.header for s in each.transcript if s.receiver == "b"] for each in mine]
        matches = [octets(each.transcript, "psi.kkrt.Matches")[0].tobytes() for each in mine]
        assert heard[0] == heard[1] == heard[2]
        assert len(set(matches)) == 1
        assert len({each.a.tobytes() for each in theirs}) == 1
        case()


@TRANSCRIPTS
@pytest.mark.parametrize("learner", [None, "a", "b"])
def test_lengths_tell_both_sizes_and_no_more(learner: str | None, cases: Cases) -> None:
    check_lengths(case=cases, learner=learner)


CHECKS = {
    "traces": check_traces,
    "uniform": check_uniform,
    "sessions": check_sessions,
    "order": check_order,
    "views": check_views,
}


@TRANSCRIPTS
@pytest.mark.parametrize("check", CHECKS)
def test_transcript_tells_nothing_beyond_learns(check: str, cases: Cases, counts: Counts) -> None:
    CHECKS[check](case=cases, **({"runs": counts(12, 40, 40)} if check == "order" else {}))


@TRANSCRIPTS
def test_orders_and_padding_are_the_senders_secret(cases: Cases, monkeypatch: Patch) -> None:
    """Both are from a fresh seed for each bucket, which no message and no salt tells, and from streams of their own."""
    seeds: list[bytes] = []
    padded: list[tuple[bytes, int]] = []
    order, padding = kkrt.shuffled, kkrt.stream

    def shuffled(seed: bytes, size: int) -> npt.NDArray[np.int64]:
        seeds.append(seed)
        return order(seed, size)

    def spied(key: bytes, number: int, size: int) -> Octets:
        padded.append((key, number))
        return padding(key, number, size)

    monkeypatch.setattr(kkrt, "shuffled", shuffled)
    monkeypatch.setattr(kkrt, "stream", spied)
    with buckets_of(5), dealt():
        found = run(numbered(*range(20)), numbered(*range(20)))
    assert len(set(seeds)) == len(seeds) == 4
    assert not set(seeds) & {found.salt[start : start + 16] for start in range(17)}
    assert sorted(key for key, _ in padded) == sorted(seeds)  # buckets are in threads
    assert all(number >= 1 << 16 for _, number in padded)  # `shuffled` takes lower ones
    assert_absent(seeds, found.transcript)
    drawn = SeededEntropy(b"b").draw(1 << 12)  # nothing but the sender's own randomness
    assert all(seed in drawn for seed in seeds)
    cases(4)


# planted leaks: each is a change of the code, or of what a party sends, that one of the checks has to find


@contextmanager
def constant_salt(patch: Patch) -> Iterator[Callable[..., Run]]:
    honest = kkrt_runs.agree

    def agree(*args: Any, **given: Any) -> Role[SharedTerms]:
        agreed = yield from honest(*args, **given)
        return agreed._replace(salt=bytes(32))

    patch.setattr(kkrt_runs, "agree", agree)
    yield run


@contextmanager
def records_in_order(patch: Patch) -> Iterator[Callable[..., Run]]:
    patch.setattr(kkrt, "shuffled", lambda seed, size: np.arange(size))
    yield run


@contextmanager
def keys_before_padding(patch: Patch) -> Iterator[Callable[..., Run]]:
    """An order of each bucket's keys alone."""

    def shuffled(seed: bytes, size: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng(list(seed)).permutation(5)

    patch.setattr(kkrt, "shuffled", lambda seed, size: np.append(shuffled(seed, size), np.arange(5, size)))
    yield run


@contextmanager
def padding_of_zeros(patch: Patch) -> Iterator[Callable[..., Run]]:
    patch.setattr(kkrt, "stream", lambda key, number, size: np.zeros(size, np.uint8))
    yield run


@contextmanager
def one_pad_for_all_buckets(patch: Patch) -> Iterator[Callable[..., Run]]:
    honest = oprf.stream
    patch.setattr(oprf, "stream", lambda key, number, size: honest(key, 0, size))
    yield run


@contextmanager
def one_pad_for_all_columns(patch: Patch) -> Iterator[Callable[..., Run]]:
    honest = oprf.stream
    patch.setattr(oprf, "stream", lambda key, number, size: honest(bytes(16), number, size))
    yield run


@contextmanager
def equal_seeds(patch: Patch) -> Iterator[Callable[..., Run]]:
    """The streams of both choices cancel out, and the codes are in the open."""
    honest = base_ot.offer

    def offer(*args: Any, **given: Any) -> Role[base_ot.Pairs]:
        pairs = yield from honest(*args, **given)
        return base_ot.Pairs(pairs.zero, pairs.zero)

    patch.setattr(base_ot, "offer", offer)
    yield run


def with_wraps(a: kkrt_runs.Wrap, b: kkrt_runs.Wrap) -> Callable[..., Run]:
    return lambda left, right, **given: run(left, right, wraps=(a, b), **given)


@contextmanager
def tags_without_padding(patch: Patch) -> Iterator[Callable[..., Run]]:
    """As many records as the bucket has keys."""
    honest, held = kkrt.bucketed, []

    def bucketed(*args: Any) -> Any:
        held.append(honest(*args))
        return held[-1]

    def record() -> int:
        sizes = parameters(len(LEFT), len(RIGHT))
        return 3 * sizes.tag_bytes

    patch.setattr(kkrt, "bucketed", bucketed)
    room = parameters  # the sender's buckets are those of the larger set

    def cut(octets: Octets, number: int) -> Octets:
        theirs = max(held[-2:], key=lambda parts: sum(map(len, parts)))
        return octets[: len(theirs[number]) * record()]

    def fill(octets: Octets, number: int) -> Octets:
        due = room(len(LEFT), len(RIGHT)).senders[0] * record()
        return np.append(octets, np.zeros(due - len(octets), np.uint8))

    yield with_wraps(rewriting(Tags, fill, heard=True), rewriting(Tags, cut))


@contextmanager
def matches_that_tell_a_third(patch: Patch) -> Iterator[Callable[..., Run]]:
    """Whether a record is matched that holds no key says where the receiver placed its first shared key."""
    honest, thirds = kkrt._matched, []

    def matched(records: Any, expected: Any, peer: str) -> Any:
        record, position = honest(records, expected, peer)
        thirds.append(int(expected.thirds[expected.positions == position[0]][0]))
        return record, position

    patch.setattr(kkrt, "_matched", matched)
    yield with_wraps(rewriting(Matches, lambda octets, _: octets | np.uint8(thirds[-1])), unchanged)


@contextmanager
def a_key_among_the_tags(patch: Patch) -> Iterator[Callable[..., Run]]:
    yield with_wraps(unchanged, rewriting(Tags, planting(lambda: numbered(7)[0])))


@contextmanager
def a_block_among_the_tags(patch: Patch) -> Iterator[Callable[..., Run]]:
    salts: list[bytes] = []
    honest = kkrt.blocks_of

    def spied(keys: Any, salt: bytes) -> Any:
        salts.append(salt)
        return honest(keys, salt)

    patch.setattr(kkrt, "blocks_of", spied)
    yield with_wraps(unchanged, rewriting(Tags, planting(lambda: traces_of(numbered(7)[0], salts[-1])[-3])))


def planting(what: Callable[[], bytes]) -> Callable[[Octets, int], Octets]:
    def plant(octets: Octets, number: int) -> Octets:
        planted = np.frombuffer(what(), np.uint8)
        return np.concatenate([planted, octets[len(planted) :]])

    return plant


LEAKS = [
    (constant_salt, check_sessions),
    (records_in_order, check_order),
    (keys_before_padding, check_order),
    (padding_of_zeros, check_uniform),
    (one_pad_for_all_buckets, check_uniform),
    (one_pad_for_all_columns, check_uniform),
    (equal_seeds, check_uniform),
    (tags_without_padding, check_lengths),
    (matches_that_tell_a_third, check_views),
    (a_key_among_the_tags, check_traces),
    (a_block_among_the_tags, check_traces),
]


@TRANSCRIPTS
@pytest.mark.parametrize(("leak", "check"), LEAKS, ids=lambda part: part.__name__)
def test_leaks_are_found(leak: Any, check: Any, cases: Cases, monkeypatch: Patch) -> None:
    with leak(monkeypatch) as leaky:
        assert_found(lambda: check(leaky), cases)
