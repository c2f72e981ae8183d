"""What-if in a browser: the slider by mouse and keyboard, what is shown, the two steps of a consent."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from mounting import Mount
from offering import clinics
from playwright.sync_api import Page, expect

from privsdk import dp
from privsdk.errors import PeerError
from privsdk.widgets.plan_facts import of_failure, of_preview
from privsdk.widgets.view import module

CHOICES = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
SOURCE = module("running", "what_if")


def facts(**changed: Any) -> dict[str, Any]:
    """As `plan_facts.of_preview` gives it."""
    charged = tuple(
        {
            "party": party, "dataset": "flights", "id": "", "price": "epsilon 0.2", "now": "epsilon 3 of 3",
            "after": "epsilon 2.8 of 3", "limits": (), "queries": "15", "certainty": "55.0%", "lifetime": "60.1%",
            "short": "",
        }
        for party in ("JFK", "LGA")
    )  # fmt: skip
    return {
        "plan": "p1",
        "operation": "dp.count",
        "epsilon": 0.2,
        "allowed": True,
        "refusals": (),
        "largest": None,
        "expected": (
            ("expected error", "at most 15 with 95% probability"),
            ("smallest group", "'AA', 60 rows: at most 15"),
        ),
        "notes": (),
        "price": "",
        "spends": "epsilon 0.2 at JFK and LGA",
        "queries": "15",
        "charged": charged,
        "learns": ({"who": "analyst", "what": "the noisy count"}, {"who": "onlooker", "what": "<b>nothing</b>"}),
        "simulated": {
            "statistic": "count",
            "groups": (
                {"name": "AA", "true": 60.0, "outcomes": tuple(50.0 + n for n in range(20))},
                {"name": "B6", "true": 400.0, "outcomes": (380.0, 5000.0)},
            ),
            "more": 3,
        },
        **changed,
    }


def test_these_facts_have_the_fields_of_real_ones() -> None:
    def fields(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fields(each) for name, each in value.items() if name not in ("expected", "limits")}
        return fields(value[0]) if isinstance(value, tuple) and value else None

    with clinics() as fed:
        for epsilon in (0.05, 3.0):
            plan = dp.mean(fed["north"]["people"], "age", bounds=(0, 60), epsilon=epsilon)
            preview = plan.preview(mock=pa.table({"age": [30, 40]}))
            real = of_preview(plan, preview, epsilon=epsilon, largest=None)
            refusals = () if preview.allowed else (REFUSAL,)
            assert fields(real) == fields(
                facts(refusals=refusals, charged=facts()["charged"] if real["charged"] else ())
            )


REFUSAL = {"party": "JFK", "message": "JFK/flights has epsilon 0.3 left of 3", "hint": ""}


def state(**changed: Any) -> dict[str, Any]:
    usual = {"facts": facts(), "choices": CHOICES, "epsilon": 0.2, "considered": "", "agreed": "", "followed": {}}
    return {**usual, "kernel": "", "note": "", **changed}


def saved(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("() => model.saved")
    return found


def test_a_slider_by_keyboard_asks_once_it_rests(mount: Mount) -> None:
    page = mount(SOURCE, state())
    slider = page.get_by_role("slider")
    slider.focus()
    page.evaluate(  # in one turn of the page, however slow the machine is
        """() => {
          const slider = document.activeElement;
          for (let i = 0; i < 3; i += 1) {
            slider.stepUp();
            slider.dispatchEvent(new Event("input", { bubbles: true }));
          }
        }"""
    )
    assert page.evaluate("() => model.get('epsilon')") == 2.0
    words = "epsilon 2. No one's odds on any one row change by more than a factor of 7.39."
    expect(slider).to_have_attribute("aria-valuetext", words)
    page.wait_for_function("() => model.saved.length")
    assert [each["epsilon"] for each in saved(page)] == [2.0]
    page.keyboard.press("Home")
    page.wait_for_function("() => model.saved.length === 2")
    assert saved(page)[-1]["epsilon"] == 0.05
    assert page.evaluate("() => document.activeElement.type") == "range"


def test_a_slider_by_mouse(mount: Mount) -> None:
    page = mount(SOURCE, state())
    box = page.get_by_role("slider").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    page.wait_for_function("() => model.saved.length")
    assert saved(page)[-1]["epsilon"] == 2.0


def test_what_is_shown_is_marked_while_another_epsilon_is_asked_about(mount: Mount) -> None:
    page = mount(SOURCE, state(considered="p1", agreed="p1"))
    expect(page.get_by_role("button", name="Release: spends")).to_be_enabled()
    page.evaluate("() => model.set('epsilon', 0.5)")
    expect(page.get_by_text("Asking the parties ...")).to_be_visible()
    expect(page.locator("section[aria-busy=true]")).to_have_count(1)
    expect(page.get_by_role("button", name="Release: spends")).to_have_count(0)
    expect(page.get_by_role("button", name="Consider a release ...")).to_be_disabled()
    page.evaluate("(told) => model.set('facts', told)", facts(epsilon=0.5, plan="p2"))
    expect(page.locator("section[aria-busy=true]")).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(0)  # p2 was neither considered nor agreed to
    expect(page.get_by_role("button", name="Consider a release ...")).to_be_enabled()


def test_what_it_gives_costs_and_tells(mount: Mount) -> None:
    page = mount(SOURCE, state())
    text = page.locator("main").inner_text()
    for said in ("at most 15 with 95% probability", "'AA', 60 rows: at most 15", "at most 55.0%", "at most 60.1%",
                 "epsilon 3 of 3", "epsilon 2.8 of 3", "15, one after the other", "and 3 more groups"):  # fmt: skip
        assert said in text
    strips = page.get_by_role("img")
    assert strips.get_attribute("aria-label") == "AA: true 60, outcomes 50 to 69; B6: true 400, outcomes 380 to 5,000"
    assert page.locator("circle.privsdk-outcome").count() == 22
    ticks = [
        float(x) for x in page.locator("line.privsdk-true").evaluate_all("all => all.map((e) => e.getAttribute('x1'))")
    ]
    assert ticks[0] < ticks[1]
    dots = page.locator("circle.privsdk-outcome").evaluate_all("all => all.map((e) => Number(e.getAttribute('cx')))")
    assert min(dots[:20]) < ticks[0] < max(dots[:20])
    assert "undefined" not in text


def test_a_release_takes_two_steps_and_is_pressed_once(mount: Mount) -> None:
    page = mount(SOURCE, state())
    assert page.get_by_role("button", name="Release: spends").count() == 0
    page.get_by_role("button", name="Consider a release ...").press("Enter")
    assert saved(page)[-1]["considered"] == "p1"
    consent = page.get_by_role("region", name="consent")
    expect(consent).to_contain_text("Who is charged: epsilon 0.2 at JFK and LGA.")
    expect(consent).to_contain_text("<b>nothing</b>")
    release = page.get_by_role("button", name="Release: spends epsilon 0.2 at JFK and LGA")
    expect(release).to_be_disabled()
    release.click(force=True)
    assert page.evaluate("() => model.sent") == []
    page.get_by_role("checkbox").press("Space")
    assert saved(page)[-1]["agreed"] == "p1"
    release.dblclick()
    assert page.evaluate("() => model.sent") == [{"do": "release", "plan": "p1"}]
    expect(release).to_be_disabled()
    expect(page.get_by_role("alert")).to_have_text("Asked for. It starts as soon as the kernel is free.")


def test_a_consent_can_be_taken_back(mount: Mount) -> None:
    page = mount(SOURCE, state(considered="p1", agreed="p1"))
    page.get_by_role("checkbox").uncheck()
    assert saved(page)[-1]["agreed"] == ""
    expect(page.get_by_role("button", name="Release: spends")).to_be_disabled()
    page.get_by_role("button", name="Not now").click()
    assert saved(page)[-1]["considered"] == ""
    expect(page.get_by_role("checkbox")).to_have_count(0)


def test_a_refusal_says_why_and_goes_to_the_largest_that_would_pass(mount: Mount) -> None:
    hint = "ask with epsilon 1 or less; or the smallest grant its owner could add: ps.Grant(...)\nhow it was derived: x"
    told = facts(epsilon=2.0, allowed=False, refusals=({**REFUSAL, "hint": hint},), largest=0.5, queries="")
    page = mount(SOURCE, state(facts=told, epsilon=2.0, considered="p1", agreed="p1"))
    text = page.locator("main").inner_text()
    assert "JFK/flights has epsilon 0.3 left of 3" in text
    assert "What to do: ask with epsilon 1 or less" in text
    assert "ps.Grant" not in text  # until it is opened
    page.get_by_text("What JFK's owner could add").click()
    expect(page.get_by_text("ps.Grant(...)")).to_be_visible()
    assert page.get_by_role("button", name="Release").count() == 0
    assert page.get_by_role("checkbox").count() == 0
    page.get_by_role("button", name="Go to epsilon 0.5, the largest here that all would allow").click()
    page.wait_for_function("() => model.saved.length")
    assert saved(page)[-1]["epsilon"] == 0.5


def test_a_party_that_cannot_be_reached_is_said(mount: Mount) -> None:
    told = of_failure(PeerError("it cannot be reached", hint="later").at(party="LGA"), epsilon=0.2)
    page = mount(SOURCE, state(facts=told))
    expect(page.get_by_role("alert")).to_contain_text("No preview: LGA: it cannot be reached")
    assert page.get_by_role("button").count() == 0
    expect(page.get_by_role("slider")).to_be_enabled()


def test_a_plan_without_a_slider(mount: Mount) -> None:
    page = mount(SOURCE, state(facts=facts(epsilon=None), choices=[], epsilon=0.0))
    assert page.get_by_role("slider").count() == 0
    expect(page.get_by_role("button", name="Consider a release ...")).to_be_enabled()


@pytest.mark.parametrize("step", [{}, {"considered": "p1"}, {"considered": "p1", "agreed": "p1"}])
def test_a_view_made_again_shows_the_same(mount: Mount, step: dict[str, str]) -> None:
    page = mount(SOURCE, state(**step))
    shown = page.locator("main").inner_html()
    for checked in page.get_by_role("checkbox").all():
        expect(checked).to_be_checked(checked=bool(step.get("agreed")))
    page.evaluate("() => window.unmount()")
    assert page.evaluate("() => model.listeners()") == 0
    assert mount(SOURCE, state(**step)).locator("main").inner_html() == shown
