"""The intersection equals Python's, in one order at both parties, and a peer's wrong messages are found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from claims import Cases, lengthy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kkrt_runs import buckets_of, dealt, numbered, octets, rewriting, run

from privsdk.errors import InvalidArgument, PeerGone, ProtocolViolation
from privsdk.protocol.messages import Binding, End, Message, decode, encode
from privsdk.psi.oprf.base_ot import Choices
from privsdk.psi.oprf.parameters import parameters
from privsdk.psi.protocols import kkrt
from privsdk.psi.protocols.kkrt import OCTETS, Corrections, Matches, Tags, intersection, octets_of, to_table
from privsdk.psi.protocols.terms import SharedTerms
from privsdk.testing import SeededEntropy, together

EQUALS = pytest.mark.claim("psi.kkrt: equals Python's set intersection, in one order at both")
WRONG = pytest.mark.claim("psi.kkrt: a peer's wrong messages are violations that name it")
LEARNERS = (None, "a", "b")

# nothing is folded or trimmed, and a zero at a key's end counts; 15 bytes are the longest that are not hashed
ALIKE = [b"", b"\0", b"\0\0", b"a", b"A", b"a\0", b"x" * 14, b"x" * 15, b"x" * 16, b"x" * 15 + b"\0", b"\0" * 15]
ALIKE += [b"\0" * 14, b"\0" * 16, b"\0" * 14 + b"\1", "é".encode(), "e\u0301".encode(), "ключ".encode() * 4]
keys = st.sampled_from(ALIKE) | st.binary(max_size=40) | st.text(max_size=9).map(lambda text: text.encode())


@st.composite
def two_sets(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    pool = draw(st.lists(keys, max_size=60, unique=True))
    parts = draw(st.lists(st.sampled_from("abc "), min_size=len(pool), max_size=len(pool)))
    sides = [[key for key, part in zip(pool, parts, strict=True) if part in side] for side in ("ac", "bc")]
    return sides[0], draw(st.permutations(sides[1]))


def check(left: list[bytes], right: list[bytes], learner: str | None) -> None:
    found = run(left, right, learner=learner)
    mine, theirs = [left[i] for i in found.a], [right[i] for i in found.b]
    shared = set(left) & set(right)
    if learner in (None, "a"):
        assert (len(mine), set(mine)) == (len(shared), shared)
    else:
        assert mine == []
    if learner in (None, "b"):
        assert (len(theirs), set(theirs)) == (len(shared), shared)
    else:
        assert theirs == []
    if learner is None:
        assert mine == theirs
    assert found.a.dtype == found.b.dtype == np.int64


@EQUALS
@pytest.mark.parametrize("learner", LEARNERS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=two_sets())
@example(sets=(ALIKE, ALIKE))
@example(sets=(ALIKE[::2], ALIKE[1::2]))
@example(sets=([b"a"], [b"a"]))
@example(sets=([b"a"], [b"b"]))
@example(sets=([], ALIKE))
@example(sets=([], []))
def test_equals_pythons_intersection(sets: tuple[list[bytes], list[bytes]], learner: str | None, cases: Cases) -> None:
    check(*sets, learner)
    cases()


@EQUALS
@pytest.mark.parametrize("learner", [*lengthy(None, "a"), "b"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=two_sets(), bucket=st.integers(1, 9))
@example(sets=(numbered(1), numbered(*range(20))), bucket=1)  # most of a's buckets are empty
def test_equals_pythons_intersection_in_many_buckets(
    sets: tuple[list[bytes], list[bytes]], bucket: int, learner: str | None, cases: Cases
) -> None:
    with buckets_of(bucket), dealt():
        check(*sets, learner)
    cases()


@EQUALS
@pytest.mark.parametrize("sizes", [(5000, 5000), (5000, 3), (1, 4321), (1228, 2000)])
@pytest.mark.parametrize("learner", [None, *lengthy("a", "b")])
def test_equals_pythons_intersection_of_larger_sets(sizes: tuple[int, int], learner: str | None, cases: Cases) -> None:
    entropy = np.random.default_rng(sizes)
    left, right = (numbered(*entropy.choice(6000, size, replace=False).tolist()) for size in sizes)
    check(left, right, learner)
    with buckets_of(700), dealt():
        check(left, right, learner)
    cases(2)


@EQUALS
def test_100_000_keys_equal_arrows_join(cases: Cases) -> None:
    numbers = np.random.default_rng(7).permutation(150_000)
    left, right = pa.array(numbers[:100_000]), pa.array(numbers[90_000:])
    sides = {"a": left, "b": right}
    agreed = SharedTerms(SeededEntropy(b"salt").draw(32), {name: len(side) for name, side in sides.items()}, 0)
    with dealt():
        found = together(
            {
                me: intersection(
                    side.cast(pa.string()).cast(pa.large_binary()),
                    me=me,
                    peer=peer,
                    learner=None,
                    agreed=agreed,
                    entropy=SeededEntropy(me.encode()),
                )
                for (me, side), peer in zip(sides.items(), "ba", strict=True)
            }
        )
    joint = left.take(pa.array(found["a"]))
    assert joint.equals(right.take(pa.array(found["b"])))
    assert joint.sort().equals(left.filter(pc.is_in(left, value_set=right)).sort())
    cases()


def test_who_is_to_learn_takes_part() -> None:
    agreed = SharedTerms(salt=b"s" * 32, sizes={"a": 1, "b": 1}, min_count=0)
    given = {"me": "a", "peer": "b", "agreed": agreed, "entropy": SeededEntropy(b"a")}
    with pytest.raises(InvalidArgument, match="c is to learn"):
        next(intersection(pa.array([b"k"], pa.large_binary()), learner="c", **given))


def test_the_learner_receives_or_who_has_fewer_keys() -> None:
    few, many = numbered(1, 2), numbered(1, 2, 3)

    def senders_of_tags(left: list[bytes], right: list[bytes], learner: str | None) -> set[str]:
        transcript = run(left, right, learner=learner).transcript
        assert any(s.tag == "psi.kkrt.Matches" for s in transcript) == (learner is None)
        return {s.sender for s in transcript if s.tag == "psi.kkrt.Tags"}

    assert senders_of_tags(few, many, None) == senders_of_tags(few, few, None) == {"b"}
    assert senders_of_tags(many, few, None) == {"a"}
    assert senders_of_tags(many, few, "a") == {"b"}
    assert senders_of_tags(few, many, "b") == {"a"}


def test_nothing_is_sent_where_a_party_has_no_key() -> None:
    assert {s.tag for s in run([], numbered(1, 2)).transcript} == {"psi.Terms", "psi.Opening"}


def test_sizes_are_checked_against_what_arrives() -> None:
    """Messages are of the lengths that follow from both sizes alone."""
    with buckets_of(16):
        transcript = run(numbered(*range(40)), numbered(*range(30, 90))).transcript
        sizes = parameters(40, 60)
    assert sizes.buckets == 4
    lengths = {
        tag: {len(o) for o in octets(transcript, f"psi.kkrt.{tag}")} for tag in ("Corrections", "Tags", "Matches")
    }
    assert lengths == {
        "Corrections": {sizes.width * sizes.cells // 8},
        "Tags": {sizes.senders[0] * 3 * sizes.tag_bytes},
        "Matches": {-(-sizes.buckets * sizes.senders[0] // 8)},
    }


def test_masks_are_a_little_ahead_of_tags() -> None:
    with buckets_of(10), dealt():
        transcript = run(numbered(*range(50)), numbered(*range(50))).transcript
    order = "".join({"psi.kkrt.Corrections": "C", "psi.kkrt.Tags": "T"}.get(s.tag, "") for s in transcript)
    assert (order.count("C"), order.count("T")) == (5, 5)
    waiting = np.cumsum([1 if letter == "C" else -1 for letter in order])
    assert waiting.max() <= kkrt.AHEAD + 1


# a is the receiver here, b the sender
LEFT, RIGHT = numbered(*range(20)), numbered(*range(10, 40))
Change = Callable[[np.ndarray, int], np.ndarray]


def record_bytes() -> int:
    return 3 * parameters(len(LEFT), len(RIGHT)).tag_bytes


def first_record_twice(octets: np.ndarray, number: int) -> np.ndarray:
    """All keys' records are sent twice, in place of others: whichever matches is there again."""
    records = octets.reshape(-1, record_bytes())
    return np.concatenate([records[: len(records) // 2]] * 2)


TAGS: dict[str, tuple[Change, str]] = {
    "truncated": (lambda o, _: o[:-1], "something else than one row of the bytes"),
    "too long": (lambda o, _: np.append(o, o[:1]), "something else than one row"),
    "empty": (lambda o, _: o[:0], "something else than one row"),
    "records twice": (first_record_twice, "two records that match one key"),
}


@WRONG
@pytest.mark.parametrize("what", TAGS)
def test_wrong_tags_are_found(what: str, cases: Cases) -> None:
    change, reason = TAGS[what]
    with pytest.raises(ProtocolViolation, match=f"b sent {reason}"):
        run(LEFT, RIGHT, wraps=(lambda role: role, rewriting(Tags, change)))
    cases()


@WRONG
def test_a_record_for_two_keys_is_found(cases: Cases) -> None:
    """A sender that knows where two keys lie could put both tags into one record."""
    sizes = parameters(2, 1)
    tags = SeededEntropy(b"tags").draw(6 * sizes.tag_bytes)
    of_keys = np.frombuffer(tags, np.uint8).reshape(2, 3, -1)
    expected = kkrt._Expected(np.array([5, 7]), np.array([0, 2]), np.stack([of_keys[0, 0], of_keys[1, 2]]))
    mixed = of_keys[0].copy()
    mixed[2] = of_keys[1, 2]
    with pytest.raises(ProtocolViolation, match="b sent a record that matches two keys"):
        kkrt._matched(mixed[None], expected, "b")
    record, position = kkrt._matched(of_keys, expected, "b")
    assert (record.tolist(), position.tolist()) == ([0, 1], [5, 7])
    assert kkrt._matched(of_keys[:, ::-1], expected, "b")[0].tolist() == []  # a tag counts in its third only
    cases()


CORRECTIONS: dict[str, Change] = {
    "truncated": lambda o, _: o[:-8],
    "too long": lambda o, _: np.append(o, o[:8]),
    "empty": lambda o, _: o[:0],
}


@WRONG
@pytest.mark.parametrize("what", CORRECTIONS)
def test_wrong_corrections_are_found(what: str, cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match="a sent something else than one row of the"):
        run(LEFT, RIGHT, wraps=(rewriting(Corrections, CORRECTIONS[what]), lambda role: role))
    cases()


def matched_everything(octets: np.ndarray, number: int) -> np.ndarray:
    return np.full_like(octets, 255)


@WRONG
def test_wrong_matches_are_found(cases: Cases) -> None:
    with buckets_of(16), pytest.raises(ProtocolViolation, match="a matched a record that holds no key"):
        run(LEFT, RIGHT, wraps=(rewriting(Matches, matched_everything), lambda role: role))
    for change in CORRECTIONS.values():
        with pytest.raises(ProtocolViolation, match="a sent something else than one row of the bytes"):
            run(LEFT, RIGHT, wraps=(rewriting(Matches, change), lambda role: role))
        cases()
    cases()


@WRONG
@pytest.mark.parametrize("due", [Corrections, Tags, Matches])
def test_a_missing_bucket_is_found(due: type[Message], cases: Cases) -> None:
    """Whatever else comes in its place is not taken for it."""
    binding = Binding(session="s", request="r", sender="a")
    others = [Corrections, Tags, Matches, Choices, End]
    for other in others:
        table = {} if other is End else {"table": to_table(np.zeros(8, np.uint8))}
        frames = encode(other(**table), binding, 0)
        if other is due:
            assert decode(due, binding, 0, lambda: next(frames)).table.num_rows == 1  # noqa: B023
        else:
            with pytest.raises(PeerGone if other is End else ProtocolViolation, match=r"a (sent|ended)"):
                decode(due, binding, 0, lambda: next(frames))  # noqa: B023
            cases()


NULL = pa.table([pa.array([None], pa.large_binary())], schema=OCTETS)
TWO = pa.table([pa.array([b"1234", b"1234"], pa.large_binary())], schema=OCTETS)


@WRONG
@pytest.mark.parametrize("table", [NULL, TWO, TWO[:0], to_table(np.zeros(3, np.uint8))])
def test_octets_are_one_row_of_the_length_due(table: pa.Table, cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match="b sent something else than one row of the bytes that are due"):
        octets_of(table, 4, "b")
    cases()


def test_octets_arrive_as_they_were() -> None:
    for array in (np.arange(5, dtype=np.uint8), np.zeros(0, np.uint8)):
        assert (octets_of(to_table(array), array.size, "b") == array).all()
    blocks = np.arange(6, dtype=np.uint64).reshape(3, 2)
    assert octets_of(to_table(blocks.T), 48, "b").tobytes() == blocks.T.tobytes()
    assert octets_of(TWO[1:], 4, "b").tobytes() == b"1234"
    split = pa.chunked_array([TWO["octets"].chunk(0)[:0], TWO["octets"].chunk(0)[:1]])
    assert octets_of(pa.table([split], schema=OCTETS), 4, "b").tobytes() == b"1234"
