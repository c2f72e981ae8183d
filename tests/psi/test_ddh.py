"""The join equals DuckDB's on distinct keys, and a peer's wrong points are found."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from harness import play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joins import SESSION, Positions, joining, names, run

from privsdk import psi
from privsdk.errors import DataError, InvalidArgument, ProtocolViolation
from privsdk.protocol.operation import Operand, Request, RoleInput, operation_of
from privsdk.protocol.roles import Role, ask, hear, tell
from privsdk.protocol.services import UNGUARDED
from privsdk.psi.keys.distinct import DistinctKeys, distinct_keys
from privsdk.psi.oprf.ristretto import hash_to_group, to_table
from privsdk.psi.protocols.ddh import Blinded, Doubled, intersection
from privsdk.psi.protocols.terms import SharedTerms
from privsdk.testing import SeededEntropy, together

# no folding, trimming or normalising: these are all different keys
ALIKE = ["a", "A", "a ", "a\0", "", " ", "é", "e\u0301", "ß", "ss", "1", "01"]
text = st.sampled_from(ALIKE) | st.text(st.characters(codec="utf-8"), max_size=6)
KEYS: dict[str, tuple[st.SearchStrategy[Any], list[pa.DataType]]] = {
    "string": (text, [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
    "wide integer": (st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, 0]), [pa.int64()]),
    "narrow integer": (st.integers(0, 127), [pa.int8(), pa.uint16(), pa.int32(), pa.uint64()]),
    "binary": (st.binary(max_size=6), [pa.binary(), pa.large_binary()]),
}


@st.composite
def two_columns(draw: st.DrawFn, kind: str) -> tuple[pa.Array, pa.Array]:
    """Columns over a common pool of keys, with duplicates and nulls, of any two types of one family."""
    keys, types = KEYS[kind]
    pool = st.none() | st.sampled_from(draw(st.lists(keys, min_size=1, max_size=12)))
    left, right = (pa.array(draw(st.lists(pool, max_size=15)), draw(st.sampled_from(types))) for _ in range(2))
    return left, right


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def rows_by_key(keys: DistinctKeys, found: Positions, column: pa.Array) -> list[tuple[Any, list[int]]]:
    """For each joint key, in order, the key itself and the rows that hold it."""
    rows, joint = keys.rows_of(found)
    assert (np.diff(joint) >= 0).all()
    held = [rows[joint == j].tolist() for j in range(len(found))]
    return [(column[indices[0]].as_py(), indices) for indices in held]


@pytest.mark.claim("psi.join equals DuckDB's join on distinct keys")
@pytest.mark.parametrize("kind", KEYS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_join_equals_duckdb(kind: str, database: duckdb.DuckDBPyConnection, cases: Cases, data: st.DataObject) -> None:
    columns = data.draw(two_columns(kind))
    sides = [distinct_keys(column) for column in columns]
    for name, column in zip("ab", columns, strict=True):
        plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        database.register(name, pa.table({"k": plain, "row": pa.array(range(len(plain)), pa.int64())}))
    shared = {k for (k,) in database.execute("SELECT DISTINCT a.k FROM a JOIN b USING (k)").fetchall()}

    assert sorted(psi.intersect(*columns).to_pylist()) == sorted(shared)
    *found, _ = run(*sides)
    joint = [rows_by_key(*side) for side in zip(sides, found, columns, strict=True)]
    assert [key for key, _ in joint[0]] == [key for key, _ in joint[1]]  # numbered equally at both sides
    for mine, other, held in (("a", "b", joint[0]), ("b", "a", joint[1])):
        query = f"SELECT k, list(row ORDER BY row) FROM {mine} SEMI JOIN {other} USING (k) GROUP BY k"  # noqa: S608
        assert dict(held) == dict(database.execute(query).fetchall())
        assert len(held) == len(shared)
    cases()


def test_keys_that_look_alike_are_different_keys() -> None:
    assert set(psi.intersect(pa.array(ALIKE), pa.array(ALIKE)).to_pylist()) == set(ALIKE)
    assert psi.intersect(pa.array(ALIKE[::2]), pa.array(ALIKE[1::2])).to_pylist() == []


@pytest.mark.parametrize(("min_count", "told"), [(2, 2), (3, None)])
def test_the_caller_is_told_the_size_from_the_minimum_count_up(min_count: int, told: int | None) -> None:
    columns = {"a": pa.array(["x", "y", "z", "z", None]), "b": pa.array(["z", "y", "y", "w"])}
    request = Request(
        run_id="r",
        operation="psi.join",
        caller="analyst",
        purpose="test",
        parties=("a", "b"),
        operands={party: Operand(table="t", columns=("k",)) for party in "ab"},
        parameters={"protocol": "ddh", "keys": {party: {"columns": ["k"]} for party in "ab"}},
    )
    roles = {
        party: operation_of(request).role(
            RoleInput(
                request=request,
                party=party,
                session=SESSION,
                table=pa.table({"k": column}),
                keys=None,
                min_count=min_count,
                entropy=SeededEntropy(party.encode()),
                services=UNGUARDED,
            )
        )
        for party, column in columns.items()
    }
    outcomes = together(roles)
    for party, rows in {"a": {1, 2, 3}, "b": {0, 1, 2}}.items():
        assert outcomes[party].value == {"keys": told, "min_count": min_count, "protocol": "ddh"}
        assert set(outcomes[party].keep.rows.tolist()) == rows
        assert outcomes[party].table is None


AGREED = SharedTerms(salt=b"s" * 32, sizes={"a": 3, "b": 3}, min_count=0)
POINTS = [hash_to_group(b"test", bytes([n])) for n in range(6)]


def party_a(learner: str | None, entropy: bytes = b"a") -> Role[Positions]:
    given = {"me": "a", "peer": "b", "agreed": AGREED, "entropy": SeededEntropy(entropy)}
    return intersection(names(1, 2, 3).encoded, learner=learner, **given)


def test_keys_of_another_type_are_an_error() -> None:
    with pytest.raises(DataError, match=r"a: string; b: integer"):
        run(names(1, 2, 3), distinct_keys(pa.array([1, 2, 3])))


def test_only_the_learner_learns() -> None:
    left, right = names(*range(9)), names(*range(3, 20))
    both, *_ = run(left, right)
    for learner, other in (("a", "b"), ("b", "a")):
        one = functools.partial(joining, learner=learner)
        *outputs, transcript = run(left, right, (one, one))
        found = dict(zip("ab", outputs, strict=True))
        assert (len(found[learner]), len(found[other])) == (6, 0)
        assert [s.sender for s in transcript if s.tag == "psi.ddh.Doubled"] == [other]
        if learner == "a":
            assert found["a"].tolist() == both.tolist()
    with pytest.raises(InvalidArgument, match="c is to learn"):
        play(party_a("c"))


@pytest.mark.parametrize("sizes", [(0, 0), (0, 4), (4, 0), (1, 1)])
@pytest.mark.parametrize("learner", [None, "a", "b"])
def test_sets_of_nothing_or_one_key(sizes: tuple[int, int], learner: str | None) -> None:
    one = functools.partial(joining, learner=learner)
    *found, _ = run(names(*range(sizes[0])), names(*range(sizes[1])), (one, one))
    assert [len(each) for each in found] == [min(sizes) * (learner in (None, me)) for me in "ab"]


@pytest.mark.parametrize("learner", [None, "a"])
@pytest.mark.parametrize(
    ("blinded", "doubled", "reason"),
    [
        (POINTS[:2], POINTS[3:], "b sent another number of points"),
        (POINTS[:4], POINTS[3:], "b sent another number of points"),
        (POINTS[:3], POINTS[3:5], "b sent another number of points"),
        (POINTS[:3], POINTS[2:], "b sent another number of points"),
        (POINTS[:3], [POINTS[3]] * 3, "a point twice"),
        (POINTS[:3], POINTS[1:4], "a point twice"),
        ([POINTS[0]] * 3, POINTS[3:], "a point twice"),
        ([*POINTS[:2], bytes(32)], POINTS[3:], "not a valid element"),
        (POINTS[:3], [*POINTS[3:5], b"\x01" * 32], "not a valid element"),
    ],
)
def test_a_peers_wrong_points_are_found(
    learner: str | None, blinded: list[bytes], doubled: list[bytes], reason: str
) -> None:
    sent = Blinded(table=to_table(blinded)), Doubled(table=to_table(doubled))
    with pytest.raises(ProtocolViolation, match=reason):
        play(party_a(learner), *sent)


def test_a_number_of_points_is_checked_before_the_points() -> None:
    with pytest.raises(ProtocolViolation, match="b sent another number of points"):
        play(party_a(None), Blinded(table=to_table([bytes(32)] * 4)))


def test_own_points_sent_back_are_no_shared_keys() -> None:
    """A peer that holds none of the keys returns what it got, or the single points as if they were doubled."""
    with pytest.raises(ProtocolViolation, match="one of ours back"):
        together({"a": party_a(None), "b": mirror_of("a")})
    with pytest.raises(ProtocolViolation, match="one of ours back"):
        together({"a": party_a(None), "b": lazy_peer_of("a")})


def mirror_of(peer: str) -> Role[None]:
    blinded = yield from hear(peer, Blinded)
    doubled = yield from ask(peer, blinded, Doubled)
    yield from tell(peer, doubled)


def lazy_peer_of(peer: str) -> Role[None]:
    blinded = yield from ask(peer, Blinded(table=to_table(POINTS[:3])), Blinded)
    yield from ask(peer, Doubled(table=blinded.table), Doubled)
