"""The join's transcript tells nothing beyond its Learns, and the checks that say so find every planted leak."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases
from harness import Extra, assert_absent, assert_found, assert_same_shape, digest, hearing, saying, traces_of_key
from joins import SESSION, Positions, Side, agreement, joining, names, run

from privsdk.protocol.roles import Role
from privsdk.psi.keys.distinct import DistinctKeys
from privsdk.psi.oprf.ristretto import hash_to_group, to_table
from privsdk.psi.protocols import ddh
from privsdk.psi.protocols.ddh import DOMAIN


@pytest.mark.parametrize(
    ("learner", "doubled_by", "known"),
    [
        (None, ["a", "b"], "077cda881bcc9747b52c2e09f48a3fde204fc325a04229e0bb8db1e20999ad57"),
        ("b", ["a"], "0bbe63f4ff1ff82b2cabbfb18beaf2ce257106085cd8f1bf59009ccb63241b54"),
    ],
)
def test_transcript_with_fixed_entropy_is_a_known_answer(
    learner: str | None, doubled_by: list[str], known: str
) -> None:
    one = functools.partial(joining, learner=learner)
    *_, transcript = run(names(1, 2, 3), names(3, 4), (one, one))
    begun = ["psi.Terms"] * 2 + ["psi.Opening"] * 2 + ["psi.ddh.Blinded"] * 2
    assert [s.tag for s in transcript[:6]] == begun
    assert sorted((s.tag, s.sender) for s in transcript[6:]) == [("psi.ddh.Doubled", who) for who in doubled_by]
    assert digest(transcript) == known


def salt(session: bytes = SESSION) -> bytes:
    """What the two parties of these tests toss."""

    def agreed(keys: DistinctKeys, **given: Any) -> Role[bytes]:
        return (yield from agreement(keys, **given)).salt

    tossed: bytes = run(names(0), names(0), (agreed, agreed), session)[0]
    return tossed


def traces_of(key: bytes) -> list[bytes]:
    """A key and what anyone who knows the salt could compute from it."""
    return [*traces_of_key(key), *(hash_to_group(domain, key) for domain in (b"", DOMAIN, DOMAIN + salt()))]


def check_transcripts(sides: tuple[Side, Side], cases: Callable[[], None] = lambda: None) -> None:
    """Equal shapes in worlds an eavesdropper must not tell apart, no trace of a key, no trace of the order of rows."""
    left, right = range(12), range(5, 20)
    *_, first = run(names(*left), names(*right), sides)
    worlds = {
        "other keys outside the intersection": (names(*left), names(*range(5, 12), *range(100, 108))),
        "other keys in the intersection": (names(*range(5), *range(50, 57)), names(*range(50, 57), *range(12, 20))),
        "disjoint": (names(*left), names(*range(50, 65))),
        "nested": (names(*left), names(*range(15))),
        "duplicates": (names(*left, *left), names(*right, 5, 5, 5)),
    }
    for world in worlds.values():
        *_, other = run(*world, sides)
        assert_same_shape(first, other)
        cases()
    for key in {*names(*left).encoded.to_pylist(), *names(*right).encoded.to_pylist()}:
        assert_absent(traces_of(key), first)
        cases()
    *_, reordered = run(names(*reversed(left)), names(*reversed(right)), sides)
    assert digest(reordered) == digest(first)
    cases()


TRANSCRIPTS = pytest.mark.claim("transcripts: psi.join sends nothing beyond its Learns")


@TRANSCRIPTS
@pytest.mark.parametrize("learner", [None, "a", "b"])
def test_transcript_tells_nothing_beyond_learns(learner: str | None, cases: Cases) -> None:
    one = functools.partial(joining, learner=learner)
    check_transcripts((one, one), cases)


@TRANSCRIPTS
def test_who_is_not_to_learn_gets_nothing_of_its_own_back(cases: Cases) -> None:
    """It could otherwise tell its shared keys: what it gets in the world of both contains what tells them."""
    one = functools.partial(joining, learner="b")
    left, right = names(*range(12)), names(*range(5, 20))
    *_, transcript = run(left, right, (one, one))
    to_a = [(s.tag, None if s.table is None else s.table.num_rows) for s in transcript if s.receiver == "a"]
    assert to_a == [("psi.Terms", None), ("psi.Opening", None), ("psi.ddh.Blinded", 15)]
    *_, other = run(left, names(*range(50, 65)), (one, one))
    assert_same_shape(transcript, other)
    cases(2)


@TRANSCRIPTS
def test_two_sessions_have_no_point_in_common(cases: Cases) -> None:
    points = []
    for session in (SESSION, SESSION[::-1]):  # even where both parties drew the same secrets
        *_, transcript = run(names(*range(9)), names(*range(5)), session=session)
        points.append({point for sent in transcript if sent.table for point in sent.table["point"].to_pylist()})
        cases()
    assert not points[0] & points[1]


def leaking(what: Callable[[list[bytes], Positions], Extra]) -> tuple[Side, Side]:
    """The protocol with one message more, from the second party."""

    def talkative(keys: DistinctKeys, **given: Any) -> Role[Positions]:
        return saying(joining(keys, **given), given["peer"], lambda found: what(keys.encoded.to_pylist(), found))

    def listener(keys: DistinctKeys, **given: Any) -> Role[Positions]:
        return hearing(joining(keys, **given), given["peer"])

    return listener, talkative


def text_of(keys: list[bytes]) -> pa.Table:
    return pa.table({"x": pa.array([0])}).replace_schema_metadata({"keys": b" ".join(keys)})


LEAKS: dict[str, tuple[Side, Side]] = {
    "keys in clear": leaking(lambda keys, _: Extra(table=pa.table({"key": keys}))),
    "keys in a table's metadata": leaking(lambda keys, _: Extra(table=text_of(keys))),
    "one key in hexadecimal": leaking(lambda keys, _: Extra(said=(keys[3].hex(),))),
    "hashes without a key": leaking(lambda keys, _: Extra(table=to_table([hashlib.sha256(k).digest() for k in keys]))),
    "points without a secret": leaking(
        lambda keys, _: Extra(table=to_table([hash_to_group(DOMAIN + salt(), k) for k in keys]))
    ),
    "points of matched keys only": leaking(lambda _, found: Extra(table=to_table([bytes(32)] * len(found)))),
    "the order of rows": leaking(
        lambda keys, _: Extra(said=tuple(f"{n:02}" for n in sorted(range(15), key=keys.__getitem__)))
    ),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases) -> None:
    assert_found(lambda: check_transcripts(LEAKS[leak]), cases)


@TRANSCRIPTS
def test_a_set_that_is_sent_unsorted_is_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ddh, "sorted", lambda values, key=None: list(values), raising=False)
    assert_found(lambda: check_transcripts((joining, joining)), cases)
