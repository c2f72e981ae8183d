"""Errors are a code and typed fields, on the wire too; their text is made where they are shown."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st

import privsdk
from privsdk.display import texts
from privsdk.errors import BudgetExceeded, PolicyRefused, PrivsdkError, UnknownName
from privsdk.errors.details import Detail, Stated, Text, reasons
from privsdk.errors.inputs import NameUnknown
from privsdk.errors.record import ErrorRecord
from privsdk.errors.refusals import EpsilonExceeded, ExactExceeded, MissingGrant
from privsdk.errors.sessions import RunCancelled

PACKAGE = Path(privsdk.__file__).parent
FREE_TEXTS = 625  # raises whose reason is English still; may only fall


def built(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{field.name: st.from_type(field.type) for field in msgspec.structs.fields(kind)})


st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(MissingGrant, built(MissingGrant))
KINDS = sorted(set(reasons().values()) - {Stated}, key=lambda kind: kind.__name__)


@pytest.mark.claim("errors: every reason crosses the wire as typed fields and is told in English")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_detail_crosses_the_wire(kind: type[Detail], cases: Cases) -> None:
    @given(built(kind))
    def crosses(detail: Detail) -> None:
        sent = PolicyRefused(detail, party="north", run_id="r", phase="adding")
        sent.lost = ("south", "east")
        wire = msgspec.json.decode(msgspec.json.encode(sent.to_record()), type=ErrorRecord)
        read = PrivsdkError.from_record(wire)
        assert type(read) is PolicyRefused
        assert read.detail == detail
        assert str(read) == str(sent)
        assert "phase adding, without" in str(read)
        assert texts.ENGLISH[kind](detail) != texts.ENGLISH[Stated](Stated(message=""))
        cases()

    crosses()


def test_a_hint_of_its_own_crosses_the_wire() -> None:
    sent = UnknownName(NameUnknown(kind="column", name="x", known=("a",)), hint="look it up")
    assert PrivsdkError.from_record(sent.to_record()).hint == "look it up"


def test_every_reason_has_a_text() -> None:
    assert texts.ENGLISH.keys() == set(reasons().values())


def test_a_record_of_the_version_before_is_read() -> None:
    old = b'{"code":"refused.budget","message":"north/t has epsilon 0 left","hint":"ask","party":"north"}'
    read = PrivsdkError.from_record(msgspec.json.decode(old, type=ErrorRecord))
    assert type(read) is BudgetExceeded
    assert (read.message, read.hint, read.party) == ("north/t has epsilon 0 left", "ask", "north")


@pytest.mark.parametrize("detail", [{"reason": "of a later version", "x": 1}, {"reason": "grant", "party": 5}, {}])
def test_a_reason_that_is_not_known_is_shown_in_its_english(detail: dict[str, Any]) -> None:
    record = ErrorRecord(code="refused.policy", message="no", hint="do", detail=detail)
    read = PrivsdkError.from_record(record)
    assert type(read) is PolicyRefused
    assert (read.message, read.hint) == ("no", "do")


def test_another_language_is_one_mapping() -> None:
    error = UnknownName(NameUnknown(kind="column", name="x", known=("a", "b")))
    english = str(error)
    texts.add("zh", {NameUnknown: lambda d: Text(f"没有名为 {d.name} 的列", f"已有: {', '.join(d.known)}")})
    try:
        texts.use("zh")
        assert str(error) == "没有名为 x 的列\n  What to do: 已有: a, b\n  [usage.unknown-name]"
        assert PrivsdkError(RunCancelled(charged=True)).message == "the run was cancelled"  # it lacks this one
    finally:
        texts.use("en")
    assert str(error) == english
    with pytest.raises(UnknownName, match="no language named 'zz'"):
        texts.use("zz")


def test_budget_refusals_show_what_is_left_asked_and_short() -> None:
    epsilon = EpsilonExceeded(dataset="north/t", left=0.3, of=1, delta=1e-6, needed=0.5, fitting=0.29)
    assert texts.ENGLISH[EpsilonExceeded](epsilon) == Text(
        "north/t has epsilon 0.3 left of 1 at delta 1e-06, this needs 0.5 (short by 0.2)",
        "the largest request that would pass now: epsilon 0.29; or ask its owner for more",
    )
    over = ExactExceeded(dataset="north/t", left=-2, of=3, needed=1, limit="each analyst")
    assert texts.ENGLISH[ExactExceeded](over).message == (
        "north/t has 0 of 3 exact disclosures left under its limit for each analyst, this needs 1 (short by 3)"
    )


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield file, node


def reads_text(node: ast.AST) -> bool:
    """Whether this looks into a message: a string method of one, or a search in one."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        of = node.func.value
        asks = node.func.attr in (
            "startswith",
            "endswith",
            "removeprefix",
            "removesuffix",
            "split",
            "partition",
            "find",
        )
        return asks and isinstance(of, ast.Attribute) and of.attr in ("message", "hint")
    if isinstance(node, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
        return any(isinstance(c, ast.Attribute) and c.attr in ("message", "hint") for c in node.comparators)
    return False


def test_no_logic_reads_the_text_of_an_error() -> None:
    """But one: how an error is shown, whose free text may name its party already."""
    found = [
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if reads_text(node)
    ]
    assert found == ["errors/__init__.py"]


@pytest.mark.parametrize("line", ["e.message.startswith('x')", "'x' in e.message", "e.hint.split()"])
def test_the_rule_finds_readers(line: str) -> None:
    assert any(map(reads_text, ast.walk(ast.parse(line))))


def test_free_texts_become_fewer() -> None:
    """An error raised with a text of its own cannot be told in another language."""
    kinds = {kind.__name__ for kind in PrivsdkError._by_code.values()}
    free = [
        file
        for file, call in calls()
        if isinstance(call.func, ast.Name)
        and call.func.id in kinds
        and call.args
        and isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    ]
    assert len(free) <= FREE_TEXTS, f"{len(free)}: give the reason fields (errors/details.py) and a text"
