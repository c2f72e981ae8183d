"""The rows of a side that a join did not match: their figures are those in the clear, under the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi
from privsdk.errors import DifferencingRefused, InvalidArgument, UnknownName
from privsdk.protocol.operation import Operand, operation_of

ROWS = 120


def rows(first: int, *, nulls: int = 0) -> pa.Table:
    """Every key twice, the last ones null."""
    keys = [f"k{n // 2}" for n in range(first, first + ROWS - nulls)] + [None] * nulls
    return pa.table({"key": keys, "town": ["a", "b", "c"] * (ROWS // 3), "x": [float(n) for n in range(ROWS)]})


NORTH, SOUTH = rows(0, nulls=20), rows(40)


@pytest.fixture
def joint() -> Iterator[psi.Joint]:
    with ps.embedded({"north": {"t": NORTH}, "south": {"t": SOUTH}}, store=None, quiet=True) as fed:
        yield psi.join(fed["north"]["t"], fed["south"]["t"], on="key").release().value


def left_only() -> pa.Table:
    return NORTH.filter(pc.invert(pc.is_in(NORTH["key"], SOUTH["key"])))


@pytest.mark.claim("a side's unmatched rows have the figures that they have in the clear")
def test_figures_of_unmatched_rows_are_those_in_the_clear(joint: psi.Joint, cases: Cases) -> None:
    expected, other = left_only(), joint["north"].unmatched
    assert 0 < expected.num_rows < ROWS
    assert other.count().release().value.to_pylist() == [{"count": expected.num_rows}]
    asked: list[tuple[Any, str]] = [(other.sum("x", by="town"), "sum"), (other.mean("x", by="town"), "mean")]
    for plan, statistic in asked:
        found = plan.release().value.sort_by("town")
        wanted = expected.group_by("town").aggregate([("x", statistic)]).sort_by("town")
        assert found[statistic].to_pylist() == wanted[f"x_{statistic}"].to_pylist()
        cases()
    kept = expected.filter(pc.less(expected["x"], 40))
    found = other.count(where={"x": (0, 40)}).release().value
    assert found["count"].to_pylist() == [kept.num_rows]
    cases(2)


def test_what_is_told_is_said_before(joint: psi.Joint) -> None:
    plan = " ".join(str(joint["north"].unmatched.count()).split())
    assert "minimum count of keys, of rows that the join did not match" in plan
    assert "rows not matched" in str(joint["north"].unmatched)
    assert ".unmatched" in str(joint["north"])


def test_unmatched_rows_have_no_partner(joint: psi.Joint) -> None:
    other = joint["north"].unmatched
    with pytest.raises(UnknownName, match=r"south\.x"):
        other.count(by="south.x")
    with pytest.raises(UnknownName):
        other.mean("y")
    request = joint["north"].count(by="south.town").request
    changed = {p: msgspec.structs.replace(operand, unmatched=True) for p, operand in request.operands.items()}
    with pytest.raises(InvalidArgument, match="one party's, by its own columns"):
        operation_of(msgspec.structs.replace(request, operands=changed))


@pytest.mark.parametrize("bad", [{"unmatched": True}, {"unmatched": False, "alignment": "a"}])
def test_only_an_alignment_leaves_rows_unmatched(bad: dict[str, Any]) -> None:
    """An operation that does not know of them cannot be asked of them in passing."""
    with pytest.raises(msgspec.ValidationError, match="did not match"):
        msgspec.convert({"table": "t", "columns": [], **bad}, Operand)


def test_matched_and_unmatched_rows_are_one_history() -> None:
    """All rows less those unmatched less those matched but a few: the guard counts them as one table's."""
    north = NORTH.append_column("few", pa.array([n == 60 for n in range(ROWS)]))
    with ps.embedded({"north": {"t": north}, "south": {"t": SOUTH}}, store=None, quiet=True) as fed:
        joint = psi.join(fed["north"]["t"], fed["south"]["t"], on="key").release().value
        fed["north"]["t"].sum("x").release()
        joint["north"].unmatched.sum("x").release()
        with pytest.raises(DifferencingRefused):
            joint["north"].sum("x", where={"few": False}).release()
