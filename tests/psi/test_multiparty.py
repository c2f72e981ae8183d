"""The multi-party join equals the intersection of sets, and a peer that deviates is found and named."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, lengthy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meetings import Change, keys_of, meet, names_of, party, small_buckets, words_of

from privsdk.errors import DataError, InvalidArgument, PeerGone, ProtocolViolation
from privsdk.protocol.messages import Message
from privsdk.protocol.roles import Gone, Heard, Role
from privsdk.psi.oprf import okvs, parameters
from privsdk.psi.protocols import multiparty
from privsdk.psi.protocols.choose import check_protocol
from privsdk.psi.protocols.kkrt import Corrections, to_table
from privsdk.psi.protocols.terms import SharedTerms
from privsdk.testing import SeededEntropy, Sent, together

EQUAL = pytest.mark.claim("psi.join of 3 to 32 parties equals the intersection of their sets, in one order at all")


def check(sets: dict[str, list[int]]) -> None:
    """All find the intersection of all, and nothing more, in the same order."""
    found = meet(sets)
    orders = list(found.values())
    assert all(order == orders[0] for order in orders)
    assert sorted(orders[0]) == sorted(set.intersection(*map(set, sets.values())))


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, list[int]]:
    """Sets of 3 to 10 parties: each of some keys is held by those that a mask says, often by all but one."""
    names = names_of(draw(st.sampled_from([3, 3, 3, 4, 4, 5, 10])))
    everyone = (1 << len(names)) - 1
    masks = st.sampled_from([everyone, everyone, *(everyone & ~(1 << n) for n in range(len(names)))])
    holders = draw(st.lists(masks | st.integers(0, everyone), max_size=40))
    held = {name: [key for key, mask in enumerate(holders) if mask >> n & 1] for n, name in enumerate(names)}
    lonely = {name: range(1000 * n, 1000 * n + draw(st.sampled_from([0, 0, 3, 60]))) for n, name in enumerate(names, 1)}
    return {name: draw(st.permutations([*held[name], *lonely[name]])) for name in names}


@EQUAL
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=worlds())
def test_equals_the_intersection(sets: dict[str, list[int]], cases: Cases) -> None:
    check(sets)
    cases()


@EQUAL
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 5_000), min_size=3, max_size=5), seed=st.integers(0, 99))
def test_equals_the_intersection_of_larger_sets(sizes: list[int], seed: int, cases: Cases) -> None:
    random = np.random.default_rng(seed)
    check({name: random.permutation(6_000)[:size].tolist() for name, size in zip(names_of(9), sizes, strict=False)})
    cases()


@EQUAL
@pytest.mark.parametrize("count", [3, 4, 11, *lengthy(multiparty.MOST)])
def test_keys_that_all_but_one_have_are_not_reported(count: int, cases: Cases) -> None:
    names = names_of(count)
    sets = {name: [*range(5), *(100 + n for n in range(count) if names[n] != name)] for name in names}
    for found in meet(sets).values():
        assert sorted(found) == list(range(5))
        cases()


@EQUAL
@pytest.mark.parametrize(
    "sets",
    [
        {"lead": range(3), "p1": [], "p2": range(3)},
        {"lead": [], "p1": range(3), "p2": range(3)},
        {"lead": [], "p1": [], "p2": []},
        {"lead": [1], "p1": [1], "p2": [1]},
        {"lead": [1], "p1": [2], "p2": [3]},
        {"lead": range(2000), "p1": [5], "p2": range(9)},
        {"lead": [5], "p1": range(2000), "p2": range(1990, 2000)},
        {"lead": range(20), "p1": range(20, 40), "p2": range(40)},  # disjoint pairs
        {"lead": range(40), "p1": range(20), "p2": range(20, 40)},
    ],
    ids=lambda sets: " ".join(str(len(each)) for each in sets.values()),
)
def test_empty_single_unequal_and_disjoint_sets(sets: dict[str, list[int]], cases: Cases) -> None:
    check(sets)
    cases()


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    yield functools.partial(small_buckets, monkeypatch)
    parameters.parameters.cache_clear()


@EQUAL
@pytest.mark.parametrize("count", [3, 5])
def test_several_buckets(count: int, buckets: Callable[[int], None], cases: Cases) -> None:
    buckets(300)
    sets = {name: list(range(100 * n, 100 * n + 2_000)) for n, name in enumerate(names_of(count))}
    assert parameters.parameters(*(len(each) for each in sets.values())).buckets == 7
    check(sets)
    cases()


@EQUAL
def test_equals_duckdb_on_many_keys(cases: Cases) -> None:
    size = 60_000
    random = np.random.default_rng(5)
    sets = {name: random.choice(3 * size // 2, size, replace=False).tolist() for name in names_of(3)}
    found = meet(sets)
    with duckdb.connect() as database:
        for name, keys in sets.items():
            database.register(name, pa.table({"k": keys}))
        rows = database.execute("SELECT k FROM lead SEMI JOIN p1 USING (k) SEMI JOIN p2 USING (k) ORDER BY k")
        expected = [key for (key,) in rows.fetchall()]
    assert 10_000 < len(expected) < size
    for order in found.values():
        assert sorted(order) == expected
        assert order == found["lead"]
    cases(3 * size)


# by chance: a key that not all have is reported where 64 bits add up to zero


def test_chance_reports_a_key_with_less_than_2_to_the_minus_41() -> None:
    """For each of n keys of the leader the sum is uniform unless all have it: n * 2^-64 at most."""
    assert multiparty.MOST_KEYS_OF_LEADER * 2.0**-64 <= 2.0**-41


def test_shares_of_few_bits_report_keys_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 8 bits in place of 64, a 256th of the keys that not all have: the others find that they are not theirs."""
    sets = {name: list(range(10_000 * n, 10_000 * n + 4_000)) for n, name in enumerate(names_of(3))}
    check(sets)
    honest_decode, honest_mask = okvs.decode, multiparty.mask

    def mask(*given: Any) -> Any:
        masked = honest_mask(*given)
        return masked._replace(outputs=masked.outputs & np.uint64(255))

    monkeypatch.setattr(okvs, "decode", lambda *given: honest_decode(*given) & np.uint64(255))
    monkeypatch.setattr(multiparty, "mask", mask)
    with pytest.raises(ProtocolViolation, match="lead named shared keys that are not ours"):
        check(sets)


def test_stores_for_fewer_keys_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no store that leaves some keys out."""
    monkeypatch.setattr(multiparty, "_shapes", lambda sizes: [okvs.shape(3 * most - 3, 45) for most in sizes.senders])
    with pytest.raises(InvalidArgument, match="300 keys and 300 values in a table for 297"):
        meet(dict.fromkeys(names_of(3), range(100)))


def test_a_store_that_cannot_be_filled_is_bad_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsolvable(*_: Any) -> None:
        raise okvs._unsolvable("for the test")

    monkeypatch.setattr(okvs, "encode", unsolvable)
    with pytest.raises(DataError, match="once in 2\\^40 runs") as error:
        meet(dict.fromkeys(names_of(3), range(9)))
    assert "run it again" in error.value.hint


# deviating peers

SETS = {"lead": range(9), "p1": range(2, 12), "p2": range(1, 9)}


def only(kind: type[Message], change: Callable[[Any], Message], to: str = "") -> Change:
    """Change messages of one kind."""
    return lambda receiver, m: change(m) if isinstance(m, kind) and (not to or receiver == to) else m


def content(message: Any) -> Any:
    return np.frombuffer(message.table["octets"].to_pylist()[0], np.uint8).copy()


def of_length(kind: Any, extra: int) -> Change:
    """The message, so many bytes longer or shorter."""

    def resized(message: Any) -> Message:
        octets = content(message)
        return kind(table=to_table(np.resize(octets, len(octets) + extra)))

    return only(kind, resized)


def shared(change: Callable[[Any], Any]) -> Change:
    """Shared, its number and hashes (n, 16) changed."""

    def changed(message: Any) -> Message:
        octets = content(message)
        number, hashes = change((int(octets[:8].view(np.uint64)[0]), octets[8:].reshape(-1, 16)))
        return multiparty.Shared(
            table=to_table(np.concatenate([np.array([number], np.uint64).view(np.uint8), *hashes]))
        )

    return only(multiparty.Shared, changed)


DEVIATING: dict[str, tuple[str, Change, str]] = {
    "a short store": ("p2", of_length(multiparty.Programmed, -8), "p2 sent"),
    "a long store": ("p1", of_length(multiparty.Programmed, 8), "p1 sent"),
    "an empty store": (
        "p1",
        only(multiparty.Programmed, lambda m: m.__class__(table=m.table.slice(0, 0))),
        "p1 sent something else than one row",
    ),
    "two rows of store": (
        "p1",
        only(multiparty.Programmed, lambda m: m.__class__(table=pa.concat_tables([m.table] * 2))),
        "p1 sent something else than one row",
    ),
    "a short share": ("p1", only(multiparty.Share, lambda m: m.__class__(key=m.key[:15])), "p1 sent a key of 15"),
    "an empty share": (
        "p1",
        only(multiparty.Share, lambda m: m.__class__(key=b"")),
        "p1 sent a key of 0 bytes where 16",
    ),
    "a long share": ("p1", only(multiparty.Share, lambda m: m.__class__(key=m.key * 2)), "p1 sent a key of 32 bytes"),
    "long corrections": ("lead", of_length(Corrections, 64), "lead sent"),
    "a hash too many": ("lead", of_length(multiparty.Shared, 16), "lead sent"),
    "a hash too few": ("lead", of_length(multiparty.Shared, -16), "lead sent"),
    "a larger number": ("lead", shared(lambda told: (told[0] + 1, told[1])), "lead named shared keys"),
    "a smaller number": ("lead", shared(lambda told: (told[0] - 1, told[1])), "lead named shared keys"),
    "random hashes only": ("lead", shared(lambda told: (told[0], told[1] ^ 1)), "lead named shared keys"),
    "one hash again and again": ("lead", shared(lambda told: (told[0], [told[1][0]] * 8)), "lead named shared keys"),
}


@pytest.mark.claim("a peer that deviates from the multi-party join in what can be seen is found and named")
@pytest.mark.parametrize("case", DEVIATING)
def test_a_deviating_peer_is_named(case: str, cases: Cases) -> None:
    who, change, reason = DEVIATING[case]
    with pytest.raises(ProtocolViolation, match=reason) as error:
        meet(SETS, changed={who: change})
    for number in (7, 8, 9, 10):  # the caller sees the error: no party's number of keys, nor of shared ones
        assert f" {number} " not in error.value.message
    cases()


def until(who: str, tag: str) -> tuple[Role[Any], Heard | None]:
    """A party's role, and what it heard, up to where it waits for a message of this kind."""
    roles = {me: party(me, list(SETS), keys_of(numbers)) for me, numbers in SETS.items()}
    stopped: list[Heard | None] = []

    def watch() -> Role[Any]:
        role, heard = roles[who], None
        while True:
            step = next(role) if heard is None else role.send(heard)
            if any(kind.__struct_config__.tag.endswith(tag) for kind in step.receive.values()):
                stopped.append({peer: Gone(peer, PeerGone(f"{peer} is gone")) for peer in step.receive})
                raise Paused
            heard = yield step

    with pytest.raises(Paused):
        together({me: watch() if me == who else role for me, role in roles.items()})
    return roles[who], stopped[0]


class Paused(Exception):
    pass


@pytest.mark.parametrize(
    ("who", "tag", "lost"),
    [
        ("lead", "Choices", "p1"),
        ("lead", "Programmed", "p1"),
        ("p2", "Share", "p1"),
        ("p1", "Offer", "lead"),
        ("p1", "Corrections", "lead"),
        ("p2", "Shared", "lead"),
    ],
)
def test_a_peer_that_is_gone_ends_the_role(who: str, tag: str, lost: str) -> None:
    role, heard = until(who, tag)
    assert heard is not None
    with pytest.raises(PeerGone, match=f"{lost} is gone"):
        role.send(heard)


# what cannot run


def lone(parties: list[str], sizes: dict[str, int]) -> Role[Any]:
    return multiparty.intersection(
        keys_of([1]).encoded,
        me=parties[0],
        parties=parties,
        agreed=SharedTerms(salt=bytes(32), sizes=sizes, min_count=0),
        entropy=SeededEntropy(b""),
    )


@pytest.mark.parametrize("count", [2, 33])
def test_too_few_or_too_many_parties(count: int) -> None:
    with pytest.raises(InvalidArgument, match=f"an intersection of {count} parties") as error:
        next(lone(names_of(count), dict.fromkeys(names_of(count), 1)))
    assert error.value.hint == "name 3 to 32"


@pytest.mark.parametrize(
    ("protocol", "count", "message"),
    [
        ("multiparty", 2, "2 parties cannot intersect by 'multiparty'"),
        ("kkrt", 3, "3 parties cannot intersect by 'kkrt'"),
        ("ddh", 10, "10 parties cannot intersect by 'ddh'"),
        ("auto", 33, "an intersection of 33 parties"),
        ("multiparty", 33, "an intersection of 33 parties"),
        ("psty", 2, "2 parties cannot intersect by 'psty'"),
    ],
)
def test_protocols_are_for_numbers_of_parties(protocol: str, count: int, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as error:
        check_protocol(protocol, names_of(count))
    assert error.value.hint


def test_a_leader_has_no_more_keys_than_chance_allows() -> None:
    """And the error, which the caller sees, does not tell how many it has."""
    names = names_of(3)
    sizes = {"lead": multiparty.MOST_KEYS_OF_LEADER + 1, "p1": 1, "p2": 1}
    with pytest.raises(DataError, match="lead leads with more than 8,388,608 keys") as error:
        next(lone(names, sizes))
    assert "8,388,609" not in str(error.value)
    assert error.value.hint == "name the party with the fewest keys first"


def test_the_order_of_keys_follows_the_salt() -> None:
    """Positions in the joint table tell nothing that is the same in two runs."""
    sets = dict.fromkeys(names_of(3), range(20))
    orders = [meet(sets, session=session)["p1"] for session in (b"1" * 32, b"2" * 32)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_pairs_of_parties_exchange_one_secret_each() -> None:
    transcript: list[Sent] = []
    meet(dict.fromkeys(names_of(5), range(9)), transcript)
    told = [(s.sender, s.receiver) for s in transcript if s.tag.endswith("Share")]
    assert sorted(told) == list(combinations(names_of(5)[1:], 2))
    assert len({s.header for s in transcript if s.tag.endswith("Share")}) == len(told)
    assert all(len(words_of(s)) == 1 + 2 * 9 for s in transcript if s.tag.endswith("Shared"))
