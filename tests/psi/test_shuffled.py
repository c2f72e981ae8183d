"""The count equals the size of the sets' intersection, and a peer's wrong points are found."""

from __future__ import annotations

import pyarrow as pa
import pytest
from claims import Cases
from harness import play
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from joins import counting, names, run

import privsdk as ps
from privsdk import psi
from privsdk.errors import DataError, PolicyRefused, ProtocolViolation
from privsdk.protocol.in_memory import together
from privsdk.protocol.roles import Role, ask, hear, tell
from privsdk.psi.keys.distinct import distinct_keys
from privsdk.psi.oprf.ristretto import hash_to_group, multiply_piece, to_table
from privsdk.psi.protocols.ddh import BlindedSet, DoubledSet, cardinality
from privsdk.psi.protocols.terms import SharedTerms
from privsdk.testing import SeededEntropy

SIZE = pytest.mark.claim("psi.cardinality equals the number of distinct keys that both have")
rows = st.lists(st.none() | st.integers(0, 15).map(lambda n: f"key {n}"), max_size=20)


@SIZE
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=rows, right=rows)
@example(left=[], right=[])
@example(left=[], right=["a"])
@example(left=["a", "a", None], right=["a", None, None])
@example(left=["a"], right=["a", "b", "c"])
def test_size_is_that_of_the_intersection(left: list[str | None], right: list[str | None], cases: Cases) -> None:
    sides = [distinct_keys(pa.array(column, pa.string())) for column in (left, right)]
    expected = len(set(left) & set(right) - {None})
    first, second, _ = run(*sides, (counting, counting))
    assert (first, second) == (expected, expected)
    cases()


def test_keys_of_another_type_are_an_error() -> None:
    with pytest.raises(DataError, match=r"a: string; b: integer"):
        run(names(1, 2, 3), distinct_keys(pa.array([1, 2, 3])), (counting, counting))


AGREED = SharedTerms(salt=b"s" * 32, sizes={"a": 3, "b": 2}, min_count=0)
KEYS = names(1, 2, 3).encoded
POINTS = [hash_to_group(b"test", bytes([n])) for n in range(8)]


def party_a(keys: list[bytes] | pa.Array = KEYS) -> Role[int]:
    return cardinality(keys, me="a", peer="b", agreed=AGREED, entropy=SeededEntropy(b"a"))


def test_keys_may_be_an_arrow_array() -> None:
    for form in (KEYS, pa.array(KEYS, pa.large_binary())):
        other = cardinality(KEYS[1:], me="b", peer="a", agreed=AGREED, entropy=SeededEntropy(b"b"))
        assert together({"a": party_a(form), "b": other}) == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("blinded", "doubled", "reason"),
    [
        (POINTS[:1], POINTS[2:5], "b sent another number of points"),
        (POINTS[:2] * 2, POINTS[2:5], "b sent another number of points"),  # its whole set twice
        (POINTS[:2], POINTS[2:4], "b sent another number of points"),
        (POINTS[:2], POINTS[2:6], "b sent another number of points"),
        ([POINTS[0]] * 2, POINTS[2:5], "a point twice"),
        (POINTS[:2], [*POINTS[2:4], POINTS[3]], "a point twice"),
        (POINTS[:2], POINTS[1:4], "a point twice"),  # one of its own, single, among the doubled
        ([POINTS[0], bytes(32)], POINTS[2:5], "not a valid element"),
        (POINTS[:2], [*POINTS[2:4], b"\x01" * 32], "not a valid element"),
    ],
)
def test_a_peers_wrong_points_are_found(blinded: list[bytes], doubled: list[bytes], reason: str) -> None:
    sent = BlindedSet(table=to_table(blinded)), DoubledSet(table=to_table(doubled))
    with pytest.raises(ProtocolViolation, match=reason):
        play(party_a(), *sent)


def test_a_number_of_points_is_checked_before_the_points() -> None:
    with pytest.raises(ProtocolViolation, match="b sent another number of points"):
        play(party_a(), BlindedSet(table=to_table([bytes(32)] * 4)))


def test_own_points_sent_back_count_for_nothing() -> None:
    """A peer that holds none of the keys returns what it got, or the single points as if they were doubled."""
    with pytest.raises(ProtocolViolation, match="one of ours back"):
        together({"a": party_a(), "b": mirror_of("a")})
    with pytest.raises(ProtocolViolation, match="one of ours back"):
        together({"a": party_a(), "b": lazy_peer_of("a")})


def mirror_of(peer: str) -> Role[None]:
    blinded = yield from hear(peer, BlindedSet)
    some = BlindedSet(table=blinded.table.slice(0, 2))
    yield from ask(peer, some, DoubledSet)


def lazy_peer_of(peer: str) -> Role[None]:
    blinded = yield from ask(peer, BlindedSet(table=to_table(POINTS[:2])), BlindedSet)
    yield from tell(peer, DoubledSet(table=blinded.table))


def test_a_peer_that_counts_right_does_so_with_any_secret() -> None:
    """The messages as the paper has them, computed here once more."""

    def peer() -> Role[None]:
        secret = (12345).to_bytes(32, "little")
        single = [hash_to_group(b"privsdk psi.cardinality v1 " + AGREED.salt, key) for key in (KEYS[2], b"another")]
        theirs = yield from ask("a", BlindedSet(table=to_table(multiply_piece(secret, single))), BlindedSet)
        doubled = multiply_piece(secret, theirs.table["point"].to_pylist())
        yield from tell("a", DoubledSet(table=to_table(doubled[::-1])))
        yield from hear("a", DoubledSet)

    assert together({"a": party_a(), "b": peer()})["a"] == 1


GRANT = ps.Grant(table="t", columns={"id": "cardinality only"}, min_count=5)


@pytest.mark.parametrize(("shared", "size"), [(4, None), (5, 5), (9, 9)])
def test_an_owner_may_let_keys_be_counted_and_not_joined(shared: int, size: int | None) -> None:
    tables = {"north": {"t": pa.table({"id": range(10)})}, "south": {"t": pa.table({"id": range(10 - shared, 30)})}}
    policy = ps.Policy(operations=("psi.cardinality", "psi.join"), grants=(GRANT,))
    with ps.embedded(tables, store=None, policy=policy, quiet=True) as fed:
        result = psi.cardinality(fed["north"]["t"], fed["south"]["t"], on="id").release()
        assert (result.value.size, result.value.min_count) == (size, 5)
        assert str(result.value) == ("fewer than 5 shared keys" if size is None else f"{size} shared keys")
        assert str(result.value) in repr(result)
        assert {b.exact_spent for balances in fed.budgets().values() for b in balances} == {1}
        with pytest.raises(PolicyRefused, match=r"t\.id is not granted as join key"):
            psi.join(fed["north"]["t"], fed["south"]["t"], on="id").release()


def test_fewer_keys_than_an_owner_asks_for_are_not_counted() -> None:
    """Else a question about one key would be answered to the partner, who learns the exact size."""
    tables = {"north": {"t": pa.table({"id": range(10)})}, "south": {"t": pa.table({"id": [3, 3, 99, 100, 101]})}}
    policy = ps.Policy(operations=("psi.cardinality",), grants=(GRANT,))
    with ps.embedded(tables, store=None, policy=policy, quiet=True) as fed:
        plan = psi.cardinality(fed["north"]["t"], fed["south"]["t"], on="id")
        with pytest.raises(DataError, match="south brings fewer distinct keys than the 5 that north asks for"):
            plan.release()


def test_a_join_key_may_be_counted_too() -> None:
    wider = ps.Grant(table="t", columns={"id": "join key"}, min_count=2)
    tables = {party: {"t": pa.table({"id": range(10)})} for party in ("north", "south")}
    policy = ps.Policy(operations=("psi.cardinality",), grants=(wider,))
    with ps.embedded(tables, store=None, policy=policy, quiet=True) as fed:
        assert psi.cardinality(fed["north"]["t"], fed["south"]["t"], on="id").release().value.size == 10
