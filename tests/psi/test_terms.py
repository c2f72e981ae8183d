"""Terms: the same salt or the same error at all parties, and none of them chose it."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

import pytest
from claims import Cases
from harness import play

from privsdk.errors import DataError, PrivsdkError, ProtocolViolation
from privsdk.protocol.roles import Entropy, Role, SystemEntropy, hear, tell
from privsdk.psi.protocols.terms import MOST_KEYS, CoinOpening, SharedTerms, Terms, agree
from privsdk.testing import SeededEntropy, Sent, together

SESSION = b"a session's own 32 bytes........"
NONCES = {party: SeededEntropy(party.encode()).draw(32) for party in "abc"}
TERMS = pytest.mark.claim("psi: a salt that no party chose, and the same error at all")


def hashed(*parts: bytes) -> bytes:
    """The module's formula, written a second time."""
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return blake2b(text, digest_size=32, person=b"privsdk psi").digest()


def party(me: str, others: str, entropy: Entropy | None = None, **given: Any) -> Role[SharedTerms]:
    chosen = {"kind": "string", "size": 10, "min_count": 0, "session": SESSION, **given}
    return agree(me, list(others), entropy=entropy or SeededEntropy(me.encode()), **chosen)


def caught(role: Role[SharedTerms]) -> Role[SharedTerms | PrivsdkError]:
    try:
        return (yield from role)
    except PrivsdkError as error:
        return error


@TERMS
def test_all_agree_on_a_salt_sizes_and_the_largest_minimum_count(cases: Cases) -> None:
    for names in ("ab", "abc"):
        roles = {me: party(me, names.replace(me, ""), size=10 * n + 10, min_count=n) for n, me in enumerate(names)}
        agreed = list(together(roles).values())
        assert all(one == agreed[0] for one in agreed)
        assert agreed[0].sizes == {me: 10 * n + 10 for n, me in enumerate(names)}
        assert agreed[0].min_count == len(names) - 1
        parts = [part for me in names for part in (me.encode(), NONCES[me])]
        assert agreed[0].salt == hashed(b"salt", SESSION, *parts)
        cases()


@TERMS
def test_salts_differ_by_session_and_by_each_partys_nonce(cases: Cases) -> None:
    def salt(one: Entropy, other: Entropy, session: bytes = SESSION) -> bytes:
        roles = {"a": party("a", "b", one, session=session), "b": party("b", "a", other, session=session)}
        return bytes(together(roles)["a"].salt)

    seeds = [SeededEntropy(bytes([n])) for n in range(8)]
    salts = {
        salt(seeds[0], seeds[1]),
        salt(SeededEntropy(b"\0"), SeededEntropy(b"\1"), b"another"),
        salt(SeededEntropy(b"\0"), seeds[2]),
        salt(seeds[3], SeededEntropy(b"\1")),
        salt(SystemEntropy(), SystemEntropy()),
        salt(SystemEntropy(), SystemEntropy()),
    }
    assert len(salts) == 6
    assert all(len(one) == 32 for one in salts)
    cases(6)


def test_the_transcript_is_a_known_answer() -> None:
    transcript: list[Sent] = []
    together({me: party(me, "ab".replace(me, "")) for me in "ab"}, transcript)
    assert [(s.sender, s.tag) for s in transcript] == [
        ("a", "psi.Terms"),
        ("b", "psi.Terms"),
        ("a", "psi.Opening"),
        ("b", "psi.Opening"),
    ]
    assert all(NONCES[me].hex().encode() not in s.header for me in "ab" for s in transcript[:2])


WRONG = {
    "kinds": (
        {"a": {"kind": "integer"}, "b": {"kind": "string"}, "c": {"kind": "string"}},
        r"declared differently, so they would never match \(a: integer; b: string; c: string\)",
    ),
    "few": (
        {"a": {"size": 3}, "b": {"min_count": 4}, "c": {"min_count": 2}},
        "a brings fewer distinct keys than the 4 that b asks for",
    ),
}


@TERMS
@pytest.mark.parametrize("names", ["ab", "abc"])
@pytest.mark.parametrize("what", ["kinds", "few"])
def test_terms_that_do_not_go_together_are_the_same_error_at_all(what: str, names: str, cases: Cases) -> None:
    terms, reason = WRONG[what]
    roles = {me: caught(party(me, names.replace(me, ""), **terms.get(me, {}))) for me in names}
    transcript: list[Sent] = []
    errors = list(together(roles, transcript).values())
    assert all(type(error) is DataError for error in errors)
    assert len({str(error) for error in errors}) == 1
    assert errors[0].hint
    if names == "abc":
        assert re.search(reason, str(errors[0]))
    assert {s.tag for s in transcript} == {"psi.Terms"}  # and nobody opened
    cases()


def test_a_partys_own_minimum_count_is_for_the_others() -> None:
    roles = {"a": party("a", "b", size=3, min_count=5), "b": party("b", "a", size=5)}
    assert together(roles)["a"].min_count == 5


def theirs(**given: Any) -> Terms:
    commitment = hashed(b"commitment", SESSION, b"b", NONCES["b"])
    return Terms(**{"kind": "string", "size": 10, "min_count": 0, "commitment": commitment, **given})


@TERMS
@pytest.mark.parametrize(
    ("terms", "nonce"),
    [
        (theirs(), NONCES["c"]),
        (theirs(), NONCES["b"][:31]),
        (theirs(), NONCES["b"] + b"\0"),
        (theirs(), b""),
        (theirs(commitment=b""), NONCES["b"]),
        (theirs(commitment=hashed(b"commitment", SESSION, b"b", b"")), b""),  # opened as committed, but too short
        (theirs(commitment=hashed(b"commitment", SESSION, b"a", NONCES["b"])), NONCES["b"]),  # another party's
        (theirs(commitment=hashed(b"commitment", b"session", b"b", NONCES["b"])), NONCES["b"]),  # an earlier one
        (theirs(commitment=hashed(b"salt", SESSION, b"b", NONCES["b"])), NONCES["b"]),
    ],
)
def test_a_commitment_opens_to_one_nonce_of_one_party_in_one_session(terms: Terms, nonce: bytes, cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match="b opened its commitment to something else"):
        play(party("a", "b"), terms, CoinOpening(nonce=nonce))
    cases()


def test_the_right_opening_is_taken() -> None:
    assert play(party("a", "b"), theirs(), CoinOpening(nonce=NONCES["b"])).sizes == {"a": 10, "b": 10}


def mirror() -> Role[None]:
    yield from tell("a", (yield from hear("a", Terms)))
    yield from tell("a", (yield from hear("a", CoinOpening)))


@TERMS
def test_own_terms_and_opening_sent_back_are_found(cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match="b opened its commitment to something else"):
        together({"a": party("a", "b"), "b": mirror()})
    cases()


@TERMS
@pytest.mark.parametrize(
    "terms", [{"size": -1}, {"size": MOST_KEYS + 1}, {"min_count": -1}, {"min_count": MOST_KEYS + 1}]
)
def test_impossible_sizes_are_a_violation(terms: dict[str, int], cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match=r"b announced .* keys and a minimum count of"):
        play(party("a", "b"), theirs(**terms))
    cases()


@TERMS
@pytest.mark.parametrize("kind", ["", "Your card has expired!", "string\n", "string " * 200])
def test_a_kind_that_no_declaration_makes_is_a_violation(kind: str, cases: Cases) -> None:
    with pytest.raises(ProtocolViolation, match="b announced keys of a kind that there is not"):
        play(party("a", "b"), theirs(kind=kind))
    cases()


def test_the_largest_sizes_are_possible() -> None:
    terms = theirs(size=MOST_KEYS, min_count=MOST_KEYS)
    agreed = play(party("a", "b", size=MOST_KEYS), terms, CoinOpening(nonce=NONCES["b"]))
    assert (agreed.sizes["b"], agreed.min_count) == (MOST_KEYS, MOST_KEYS)


def test_too_many_own_keys_are_ones_own_error() -> None:
    with pytest.raises(DataError, match="134,217,729 distinct keys"):
        next(party("a", "b", size=MOST_KEYS + 1))
