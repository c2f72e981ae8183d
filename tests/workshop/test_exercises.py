"""Checks of exercises: three verdicts, hints and no answers, and nothing raised."""

from __future__ import annotations

import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import dp
from privsdk.workshop import exercises
from privsdk.workshop.answers import ANSWERS


def test_three_verdicts() -> None:
    none, wrong, right = (exercises.check("06.4", each) for each in (None, ps.Unit(), ps.Unit(id="tailnum", rows=1)))
    assert (none.right, wrong.right, right.right) == (None, False, True)
    assert repr(none) == "exercise 06.4: not answered yet"
    assert repr(right) == "exercise 06.4: ✓ right"
    assert repr(wrong).startswith("exercise 06.4: ✗ not yet\n  hint  ")
    assert "✗ not yet" in wrong._repr_html_()


def test_unknown_exercise_is_named() -> None:
    with pytest.raises(ps.errors.UnknownName, match=r"00\.9"):
        exercises.check("00.9", 1)


@pytest.mark.parametrize("number", ANSWERS)
def test_answers_of_another_kind_are_not_right_and_raise_nothing(number: str) -> None:
    assert exercises.check(number, None).right is None
    for answer in ("something else", -1, [], {}, object(), pa.table({"x": [1]}), float("nan")):
        verdict = exercises.check(number, answer)
        assert verdict.right is False
        assert ANSWERS[number].hint in verdict.hint


@pytest.mark.parametrize(
    ("number", "right", "wrong"),
    [
        ("00.1", [12, 12.0, "12"], [6, 24, 13]),
        ("01.2", [{"HOTELS"}, ["HOTELS"]], [{"HOTELS", "AREA"}, {"RAIL"}, "HOTELS"]),
        ("02.1", [{"NOTARY", "BUREAU"}], [{"NOTARY"}, {"NOTARY", "SOUTH"}]),
        ("03.1", [4], [5, 6, 10]),
        ("04.4", [100], [50, 200, 1600]),
        ("05.1", [0.3], [0.2, 0.4, 0.29]),
        ("05.4", [{"carrier", "dep_delay"}], [{"carrier"}, {"carrier", "dep_delay", "rows"}]),
        ("06.4", [ps.Unit(id="tailnum", rows=1)], [ps.Unit(id="tailnum", rows=100), ps.Unit()]),
    ],
)
def test_near_misses_are_not_right(number: str, right: list[object], wrong: list[object]) -> None:
    assert all(exercises.check(number, answer).right for answer in right)
    assert not any(exercises.check(number, answer).right for answer in wrong)


def test_plans_are_looked_at_and_not_released() -> None:
    table = pa.table({"carrier": ["AA"] * 500, "dep_delay": [1.0] * 500})
    with ps.embedded({"JFK": {"flights": table}}, store=None, quiet=True) as fed:
        jfk = fed["JFK"]["flights"]
        assert exercises.check("05.3", dp.count(jfk, epsilon=0.1)).right
        assert not exercises.check("05.3", dp.count(jfk, epsilon=0.01)).right, "errs by 300"
        assert not exercises.check("05.3", dp.count(jfk, epsilon=2)).right, "refused: more than a release may take"
        assert not exercises.check("05.3", dp.count(jfk, by="carrier", keys=["AA"], epsilon=0.1)).right
        assert fed.budgets()["JFK"][0].epsilon_spent == 0
        assert all(row["event"] != "reserved" for row in fed.audit_log().to_arrow().to_pylist())


def test_hints_do_not_hold_the_answer() -> None:
    told = {"00.1": "12", "00.2": "3", "01.2": "HOTELS", "02.1": "NOTARY", "04.1": "JFK", "04.4": "100", "05.1": "0.3"}
    for number, answer in told.items():
        assert answer not in ANSWERS[number].hint.split()
