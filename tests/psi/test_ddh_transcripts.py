"""The join's transcript tells nothing beyond its Learns, and the checks that say so find every planted leak."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases
from harness import assert_absent, assert_same_shape, digest
from joins import SESSION, Side, names, run

from privsdk.messages import Message
from privsdk.protocol import Role, hear, tell
from privsdk.psi import ddh
from privsdk.psi.ddh import DOMAIN, Intersection, opener, responder
from privsdk.psi.groups import hash_to_group, to_table


def test_transcript_with_fixed_entropy_is_a_known_answer() -> None:
    *_, transcript = run(names(1, 2, 3), names(3, 4))
    assert [s.tag for s in transcript] == ["psi.ddh.Blinded"] * 2 + ["psi.ddh.Doubled"] * 2
    assert digest(transcript) == "1c465b3a009a6052131fa0c80554e138f9c704f778a3ec1a4756414f81d4fe2f"


def traces_of(key: bytes) -> list[bytes]:
    """A key and what anyone could compute from it alone."""
    hashes = [hashlib.new(name, key).digest() for name in ("sha256", "sha1", "md5", "sha512", "blake2b", "sha3_256")]
    points = [hash_to_group(domain, key) for domain in (b"", DOMAIN, DOMAIN + SESSION)]
    return [key, *hashes, *(digest[:32] for digest in hashes if len(digest) > 32), *points]


def check_transcripts(sides: tuple[Side, Side], cases: Callable[[], None] = lambda: None) -> None:
    """Equal shapes in worlds an onlooker must not tell apart, no trace of a key, no trace of the order of rows."""
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
def test_transcript_tells_nothing_beyond_learns(cases: Cases) -> None:
    check_transcripts((opener, responder), cases)


@TRANSCRIPTS
def test_two_sessions_have_no_point_in_common(cases: Cases) -> None:
    points = []
    for session in (SESSION, SESSION[::-1]):  # even where both parties drew the same secrets
        *_, transcript = run(names(*range(9)), names(*range(5)), session=session)
        points.append({point for sent in transcript for point in sent.table["point"].to_pylist()})
        cases()
    assert not points[0] & points[1]


class Extra(Message, frozen=True, kw_only=True, tag="test.Extra"):
    said: tuple[bytes, ...] = ()
    table: pa.Table | None = None


def leaking(what: Callable[[list[bytes], Intersection], Extra]) -> tuple[Side, Side]:
    """The protocol with one message more, from the responder."""

    def talkative(keys: list[bytes], **given: Any) -> Role[Intersection]:
        found = yield from responder(keys, **given)
        yield from tell(given["peer"], what(keys, found))
        return found

    def listener(keys: list[bytes], **given: Any) -> Role[Intersection]:
        found = yield from opener(keys, **given)
        yield from hear(given["peer"], Extra)
        return found

    return listener, talkative


def text_of(keys: list[bytes]) -> pa.Table:
    return pa.table({"x": pa.array([0])}).replace_schema_metadata({"keys": b" ".join(keys)})


LEAKS: dict[str, tuple[Side, Side]] = {
    "keys in clear": leaking(lambda keys, _: Extra(table=pa.table({"key": keys}))),
    "keys in a table's metadata": leaking(lambda keys, _: Extra(table=text_of(keys))),
    "one key in hexadecimal": leaking(lambda keys, _: Extra(said=(keys[3].hex().encode(),))),
    "hashes without a key": leaking(lambda keys, _: Extra(table=to_table([hashlib.sha256(k).digest() for k in keys]))),
    "points without a secret": leaking(
        lambda keys, _: Extra(table=to_table([hash_to_group(DOMAIN + SESSION, k) for k in keys]))
    ),
    "points of matched keys only": leaking(lambda _, found: Extra(table=to_table([bytes(32)] * len(found.positions)))),
    "the order of rows": leaking(lambda keys, _: Extra(said=(bytes(sorted(range(15), key=keys.__getitem__)),))),
}


@TRANSCRIPTS
@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_found(leak: str, cases: Cases) -> None:
    with pytest.raises(AssertionError):
        check_transcripts(LEAKS[leak])
    cases()


@TRANSCRIPTS
def test_a_set_that_is_sent_unsorted_is_found(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ddh, "sorted", lambda values, key=None: list(values), raising=False)
    with pytest.raises(AssertionError):
        check_transcripts((opener, responder))
    cases()
