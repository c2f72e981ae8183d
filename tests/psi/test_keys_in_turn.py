"""Joins by several keys in turn find what a linkage in the clear finds, and tell no more than their plan says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st

import privsdk as ps
from privsdk import psi
from privsdk.errors import InvalidArgument
from privsdk.errors.inputs import KeysMisfit
from privsdk.protocol.operation import Operand, Outcome, Request, RoleInput, operation_of
from privsdk.protocol.services import Unguarded
from privsdk.testing import Members, SeededEntropy, Sent, together

SESSION = b"a session's own 32 bytes........"
MEMBERS = Members("ABC")
SENT = ("psi.ddh.Blinded", "psi.ddh.Doubled")
LOOSE = psi.key("name", normalise=("lower", "spaces"))
KEYS = [psi.key("id"), psi.key("name", "born"), LOOSE]
ROW = st.tuples(
    st.none() | st.sampled_from("abcdef"), st.none() | st.sampled_from(["Ann", "ann", "Bo ", "bo"]), st.integers(1, 2)
)


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    types = {"id": pa.string(), "name": pa.string(), "born": pa.int64()}
    return pa.table({n: pa.array(list(c), t) for c, (n, t) in zip(columns, types.items(), strict=True)})


def joined(
    tables: Mapping[str, pa.Table], keys: list[psi.Key], min_count: int = 0
) -> tuple[dict[str, Outcome], list[Sent]]:
    """The roles of a join, with fixed entropy."""
    first, *weaker = ({party: msgspec.to_builtins(key) for party in tables} for key in keys)
    columns = tuple(dict.fromkeys(column for key in keys for column in key.columns))
    request = Request(
        run_id="r",
        operation="psi.join",
        caller="analyst",
        purpose="study",
        parties=tuple(tables),
        operands={p: Operand(table="t", columns=columns) for p in tables},
        parameters={"keys": first, "weaker": weaker, "protocol": "auto"},
    )
    operation, transcript = operation_of(request), list[Sent]()
    roles = {
        party: operation.role(
            RoleInput(
                request=request,
                party=party,
                session=SESSION,
                table=held,
                keys=None,
                min_count=min_count,
                entropy=SeededEntropy(party.encode()),
                services=Unguarded(identity=MEMBERS.of(party)),
            )
        )
        for party, held in tables.items()
    }
    return together(roles, transcript), transcript


def linked(rows: Mapping[str, list[tuple[Any, ...]]]) -> set[tuple[frozenset[int], ...]]:
    """The same in the clear: for each matched key, the rows of each party."""
    of = (
        lambda r: r[0],
        lambda r: None if r[1] is None else (r[1], r[2]),
        lambda r: None if r[1] is None else " ".join(r[1].lower().split()),
    )
    left, found = {party: dict(enumerate(each)) for party, each in rows.items()}, set()
    for key in of:
        held = {p: {n: k for n, r in each.items() if (k := key(r)) is not None} for p, each in left.items()}
        for shared in set.intersection(*(set(each.values()) for each in held.values())):
            sides = {p: frozenset(n for n, k in each.items() if k == shared) for p, each in held.items()}
            found.add(tuple(sides.values()))
            for party, numbers in sides.items():
                for number in numbers:
                    del left[party][number]
    return found


@pytest.mark.claim("keys in turn link the rows that a linkage in the clear links")
@pytest.mark.parametrize("parties", [("A", "B"), ("A", "B", "C")])
def test_keys_in_turn_link_what_a_linkage_in_the_clear_does(parties: tuple[str, ...], cases: Cases) -> None:
    @given(st.lists(st.lists(ROW, max_size=7), min_size=len(parties), max_size=len(parties)))
    def check(drawn: list[list[tuple[Any, ...]]]) -> None:
        rows = dict(zip(parties, drawn, strict=True))
        outcomes, _ = joined({party: table(each) for party, each in rows.items()}, KEYS)
        kept = [outcomes[party].keep for party in parties]
        assert all(kept)
        groups = [
            [frozenset(k.rows[k.keys == key].tolist()) for key in range(outcomes[p].value["keys"])]
            for p, k in zip(parties, kept, strict=True)
            if k is not None
        ]
        assert set(zip(*groups, strict=True)) == linked(rows)
        for party, keep in zip(parties, kept, strict=True):
            assert keep is not None
            assert len(np.unique(keep.rows)) == len(keep.rows)  # a row is matched once
            assert (keep.codes[keep.rows] == keep.keys).all()  # the units that the guard counts
            unmatched = np.setdiff1d(np.arange(len(rows[party])), keep.rows)
            assert not set(keep.codes[unmatched].tolist()) & set(keep.keys.tolist())
        cases()

    check()


def people(first: int, ids: str) -> pa.Table:
    numbers = range(first, first + 40)
    return table([(f"{ids}{n}" if n % 2 else f"T{n}", f"Name {n}", n) for n in numbers])


def test_a_later_key_is_compared_among_rows_that_none_before_matched() -> None:
    """What each party receives of the second key is as long as what the others have left, not as what they hold."""
    outcomes, transcript = joined({"A": people(0, "a"), "B": people(10, "b")}, [psi.key("id"), LOOSE])
    assert outcomes["A"].value["keys"] == 30  # 15 by the id, 15 by the name
    points = {tag: [s.table.num_rows for s in transcript if s.tag == tag and s.table is not None] for tag in SENT}
    assert points == {tag: [40, 40, 25, 25] for tag in SENT}


def test_a_key_of_which_too_few_are_left_is_left_out() -> None:
    """Elsewhere too few keys are refused: a join would ask about single people."""
    few = pa.concat_tables([people(0, "T"), table([(None, "Zoe", 1)])])
    outcomes, transcript = joined({"A": few, "B": few}, [psi.key("id"), LOOSE], min_count=2)
    assert outcomes["A"].value["keys"] == 40
    tags = [sent.tag for sent in transcript]
    assert (tags.count("psi.Terms"), *map(tags.count, SENT)) == (4, 2, 2)
    assert joined({"A": few, "B": few}, [psi.key("id"), LOOSE], min_count=1)[0]["A"].value["keys"] == 41


@pytest.fixture(scope="module")
def fed() -> Iterator[ps.Federation]:
    with ps.embedded({"A": {"t": people(0, "a")}, "B": {"t": people(10, "b")}}, store=None, quiet=True) as opened:
        yield opened


def test_a_join_by_keys_in_turn_is_said_priced_and_aggregated(fed: ps.Federation) -> None:
    both = fed["A"]["t"], fed["B"]["t"]
    plan = psi.join(*both, on=[psi.key("id"), LOOSE])
    assert dict(plan.notes)["keys"] == "string; then of the rest string (lower, spaces)"
    assert "2 exact disclosures" in str(plan)
    assert "which of its own keys B has, by which of 2 in turn" in str(plan)
    assert plan.request.operands["A"].columns == ("id", "name")
    joint = plan.release().value
    assert joint.size == 30
    assert joint["A"].mean("born").release().value.to_pylist() == [{"count": 30, "mean": 24.5}]


K = psi.key("id")
UNFIT: dict[str, Any] = {
    "none": [],
    "mixed": ["id", K],
    "parties": {"A": "id"},
    "numbers": {"A": [K, LOOSE], "B": K},
    "many": [K] * 6,
}


@pytest.mark.parametrize("wrong", UNFIT)
def test_keys_that_cannot_be_compared_in_turn(fed: ps.Federation, wrong: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        psi.join(fed["A"]["t"], fed["B"]["t"], on=UNFIT[wrong])
    assert isinstance(caught.value.detail, KeysMisfit)
    assert caught.value.detail.wrong == wrong


def test_only_joins_take_keys_in_turn(fed: ps.Federation) -> None:
    for ask in (psi.cardinality, lambda *t, on: psi.difference(*t, on=on, columns=["id"])):
        with pytest.raises(InvalidArgument, match="compares one key"):
            ask(fed["A"]["t"], fed["B"]["t"], on=[K, LOOSE])
