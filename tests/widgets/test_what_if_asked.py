"""What-if in the notebook: previews that follow the slider, consent to one plan, its one release, run and result."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases, Counts
from ipywidgets.widgets.widget import _instances
from people import everyone, federation, north, people
from waiting import until

import privsdk as ps
from privsdk import dp, he, widgets
from privsdk.client.plan import Plan
from privsdk.errors import InvalidArgument, PeerGone
from privsdk.widgets.plan_facts import STEPS, choices

TOWNS = ["a", "b"]


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    held = {"north": {"people": people(town=["a"] * 20 + ["b"] * 40)}, "south": {"people": people()}, "keeper": {}}
    with ps.embedded(held, store=None, budget=ps.Budget(epsilon=0.7, exact=20), quiet=True) as opened:
        yield opened


@pytest.fixture
def asked(fed: ps.Federation) -> Iterator[widgets.WhatIf]:
    mock = pa.table({"town": ["a"] * 30 + ["b"] * 300})
    made = widgets.what_if(
        lambda epsilon: dp.count(north(fed), by="town", keys=TOWNS, epsilon=epsilon), mock=mock, start=0.2
    )
    until(lambda: made.facts)
    yield made
    made.close()


def slide(asked: widgets.WhatIf, epsilon: float) -> None:
    asked.epsilon = epsilon
    until(lambda: asked.facts.get("epsilon") == asked.epsilon)


def press(asked: widgets.WhatIf, do: str, **more: Any) -> None:
    """What a page's button sends, as the kernel's comm handler has it."""
    asked._handle_custom_msg({"do": do, **more}, [])


def consented(asked: widgets.WhatIf) -> str:
    plan: str = asked.facts["plan"]
    asked.considered = asked.agreed = plan
    return plan


def test_a_slider_has_values_in_two_digits_on_a_logarithmic_scale() -> None:
    values = choices((0.05, 2.0))
    assert (values[0], values[-1]) == (0.05, 2.0)
    assert STEPS // 2 < len(values) <= STEPS + 2
    assert all(float(f"{value:.1e}") == value for value in values)
    steps = [math.log(b / a) for a, b in pairwise(values)]
    assert min(steps) > 0
    assert max(steps) < 0.25
    assert choices((0.123, 0.124)) == (0.123, 0.124)


def test_facts_come_from_the_preview(asked: widgets.WhatIf, fed: ps.Federation) -> None:
    assert asked.plan is not None
    assert asked.facts["plan"] == asked.plan.request.run_id
    assert asked.epsilon == asked.facts["epsilon"] == min(asked.choices, key=lambda value: abs(math.log(value / 0.2)))
    preview = asked.plan.preview(mock=asked._mock)
    quote = preview.datasets["north"][0]
    (charged,) = asked.facts["charged"]
    assert asked.facts["allowed"] is True
    assert asked.facts["spends"] == f"epsilon {quote.epsilon:.3g} at north"
    assert charged["after"] == f"epsilon {quote.after.epsilon_left:.3g} of 0.7"
    assert charged["certainty"] == f"{quote.certainty[0]:.1%}"
    assert charged["queries"] == asked.facts["queries"] == str(preview.queries_left)
    assert dict(asked.facts["expected"]).keys() == {"mock", "expected error", "smallest group"}
    assert "group 'a', 30 rows" in dict(asked.facts["expected"])["smallest group"]
    assert [each["what"] for each in asked.facts["learns"]] == [item.text for item in asked.plan.learns]
    groups = {group["name"]: group for group in asked.facts["simulated"]["groups"]}
    assert {name: group["true"] for name, group in groups.items()} == {"a": 30, "b": 300}
    assert {len(group["outcomes"]) for group in groups.values()} == {20}
    assert asked.plan.request.run_id in repr(asked) or "preview of dp.count" in repr(asked)
    assert fed.budgets()["north"][0].epsilon_spent == 0


def test_a_refusal_says_the_largest_that_would_pass(asked: widgets.WhatIf) -> None:
    slide(asked, 0.9)
    assert asked.facts["allowed"] is False
    (refusal,) = asked.facts["refusals"]
    assert refusal["party"] == "north"
    assert "epsilon 0.7 left of 0.7" in refusal["message"]
    assert "the largest request that would pass now: epsilon 0." in refusal["hint"]
    assert asked.facts["largest"] == max(value for value in asked.choices if value <= 0.7)
    assert asked.facts["queries"] == ""
    press(asked, "release", plan=consented(asked))
    assert asked._run is None


@pytest.mark.claim(
    "what-if: nothing is released without a consent to the very plan that is shown, and it is released once"
)
def test_only_consent_to_this_plan_releases_it_and_once(
    asked: widgets.WhatIf, fed: ps.Federation, cases: Cases
) -> None:
    first = asked.facts["plan"]
    press(asked, "release", plan=first)  # considered by nobody
    cases()
    asked.considered = asked.agreed = first
    slide(asked, 0.3)
    second = asked.facts["plan"]
    for named in (first, second, "", None, 3, [second]):  # what was agreed to is no longer shown
        press(asked, "release", plan=named)
        cases()
    asked._handle_custom_msg("release", [])
    assert asked._run is None
    assert fed.budgets()["north"][0].epsilon_spent == 0
    asked.agreed = second
    for _ in range(3):
        press(asked, "release", plan=second)
    until(lambda: asked.result)
    press(asked, "release", plan=second)
    cases()
    assert asked.plan is not None
    assert asked.plan.request.run_id == second == asked.result.receipt.run_id
    assert fed.budgets()["north"][0].epsilon_spent == pytest.approx(asked.facts["epsilon"], rel=1e-3)
    assert len(fed.activity.runs) == 1
    assert asked.followed["run"]["state"] == "done"
    assert asked.followed["result"]["title"] == "result of dp.count"
    assert "result of dp.count" in repr(asked)
    slide_after = asked.epsilon
    asked.epsilon = 0.1  # the release stays what is shown
    time.sleep(0.1)
    assert asked.facts["plan"] == second
    assert slide_after != asked.epsilon


def test_asking_again_is_another_plan_with_a_consent_of_its_own(asked: widgets.WhatIf, fed: ps.Federation) -> None:
    plan = consented(asked)
    press(asked, "again")  # before a release there is nothing to ask again
    press(asked, "release", plan=plan)
    until(lambda: asked.followed.get("result"))
    result = asked.result
    press(asked, "again")
    until(lambda: asked.facts.get("plan"))
    assert asked.facts["plan"] != plan
    assert (asked.agreed, asked.considered, asked.followed) == ("", "", {})
    assert asked.result is result
    assert asked.facts["charged"][0]["now"] != "epsilon 0.7 of 0.7"
    press(asked, "release", plan=plan)
    press(asked, "release", plan=asked.facts["plan"])
    assert asked._run is None


def test_a_slower_preview_never_takes_the_place_of_a_newer(fed: ps.Federation) -> None:
    slow, reached = threading.Event(), threading.Event()
    table = north(fed)

    def question(epsilon: float) -> Plan[Any]:
        if epsilon == 0.05:
            reached.set()
            assert slow.wait(60)
        return dp.count(table, epsilon=epsilon)

    made = widgets.what_if(question, start=0.05)
    assert reached.wait(60)
    slide(made, 0.3)  # answered while the first is still under way
    shown = made.facts
    slow.set()
    until(lambda: made._working == 0)
    assert made.facts == shown
    assert made.facts["epsilon"] == made.epsilon == 0.29
    made.close()


def test_a_party_that_cannot_be_reached_and_an_error_in_the_question_are_said(fed: ps.Federation) -> None:
    plan = dp.count(north(fed), epsilon=0.1)

    def gone(requests: Any) -> Any:
        raise PeerGone("it cannot be reached", hint="try later", party="north")

    plan._runner = type("Gone", (), {"quote": staticmethod(gone)})()  # type: ignore[assignment]
    made = widgets.what_if(plan)
    until(lambda: made.facts)
    assert (made.facts["failure"], made.facts["hint"]) == ("north: it cannot be reached", "try later")
    assert isinstance(made.error, PeerGone)
    assert made.plan is None
    made.close()

    def broken(epsilon: float) -> Plan[Any]:
        raise ValueError("a row: 271828")

    made = widgets.what_if(broken)
    until(lambda: made.facts)
    assert made.facts["failure"] == "ValueError"
    assert "271828" not in json.dumps(made.facts) + repr(made)
    assert isinstance(made.error, ValueError)
    made.close()


def test_a_plan_without_a_slider_is_released_once(fed: ps.Federation) -> None:
    made = widgets.what_if(he.mean(fed.tables("people"), "age"))
    until(lambda: made.facts)
    assert (made.choices, made.facts["epsilon"]) == ([], None)
    assert made.facts["spends"] == "1 exact disclosure at north and south"
    press(made, "release", plan=consented(made))
    until(lambda: made.result)
    assert made.result.value.value == pytest.approx(29.5)
    press(made, "again")
    assert made._run is not None
    made.close()


def test_a_failed_release_says_so(fed: ps.Federation) -> None:
    made = widgets.what_if(he.sum(fed.tables("people"), "age", bound=5))
    until(lambda: made.facts)
    press(made, "release", plan=consented(made))
    until(lambda: made.followed.get("failure"))
    assert made.result is None
    assert isinstance(made.error, ps.errors.DataError)
    assert made.followed["failure"]["party"] in ("north", "south")
    assert "bound" in made.followed["failure"]["message"]
    assert made.followed["run"]["state"] == "failed"
    made.close()


@pytest.mark.parametrize("bad", [{"question": 3}, {"epsilon": (0.0, 1.0)}, {"epsilon": (2.0, 1.0)}, {"start": 9.0}])
def test_what_cannot_be_shown_is_refused(fed: ps.Federation, bad: dict[str, Any]) -> None:
    good: dict[str, Any] = {"question": lambda epsilon: dp.count(north(fed), epsilon=epsilon)}
    with pytest.raises(InvalidArgument):
        widgets.what_if(**{**good, **bad})


@pytest.mark.claim("what-if and run view: 100 open and close cycles leave no comm, thread or observer")
def test_nothing_is_left_after_it_is_closed(cases: Cases, counts: Counts) -> None:
    with federation() as fed:
        run = he.sum(everyone(fed), "age").start()
        run.result()
        before = set(_instances), threading.active_count()
        for _ in range(counts(20, 100, 100)):
            made = widgets.what_if(he.sum(everyone(fed), "age"))
            shown = widgets.progress(run)
            made.close()
            shown.close()
            cases()
        until(lambda: threading.active_count() <= before[1])
        assert set(_instances) == before[0]
        assert len(run.progress._observers) == 0
        assert len(fed.activity._observers) == 0
