"""The run view in a browser: what is drawn of a run, and its buttons while the kernel is free and while it is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from mounting import Mount
from playwright.sync_api import Page, Route, expect

from privsdk.client.progress import Live, Whereabouts
from privsdk.display.cards import Card, Grid
from privsdk.protocol.operation import Request
from privsdk.widgets.run_facts import of_card, of_run
from privsdk.widgets.view import module

SOURCE = module("running", "progress")
STOP = "Stop after this round, keep the result so far"
CANCEL = "Cancel, keep nothing"


def point(done: int) -> dict[str, Any]:
    figures = {"loss": 0.7 - done / 100} if done else {}
    return {
        "done": done, "total": 30, "seconds": done / 2, "sent": 1200 * done, "received": 900 * done, "figures": figures,
    }  # fmt: skip


REQUEST = Request(
    run_id="r1", operation="fl.fit", caller="analyst", purpose="workshop", parties=("JFK", "LGA", "keeper"),
    operands={}, parameters={},
)  # fmt: skip
WHERE = {
    "JFK": Whereabouts(state="working", phase="round 13, local training", instalments=13),
    "LGA": Whereabouts(state="lost", phase="round 9", instalments=9, why="it cannot be reached"),
    "keeper": Whereabouts(state="waiting", phase="round 13", waits_for=("JFK",)),
}


def followed(*, rounds: int = 12, awaited: bool = False, **changed: Any) -> dict[str, Any]:
    """As `run_facts.followed` gives it."""
    curve = tuple(map(point, range(rounds + 1))) if rounds else ()
    run = of_run(Live(REQUEST))
    drawn = {
        "state": "running", "seconds": 65.0, "curve": curve, "latest": {"keeper": curve[-1]} if curve else {},
        "where": tuple({"party": party, **msgspec.to_builtins(there)} for party, there in WHERE.items()),
    }  # fmt: skip
    assert drawn.keys() <= run.keys()
    left = {"party": "JFK", "dataset": "flights", "currency": "exact", "left": 87, "cap": 100, "text": "87 of 100"}
    shown = {"awaited": awaited, "stopped": "", "failure": None, "result": None, "left": (left,)}
    asked = {name: changed.pop(name) for name in list(changed) if name in run}
    return {"run": run | drawn | asked, **shown, **changed}


def state(**changed: Any) -> dict[str, Any]:
    return {"facts": followed(**changed), "kernel": "k1", "note": ""}


def listen(page: Page) -> list[str]:
    """Be the Jupyter server: the requests that reach it."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(f"{route.request.method} {route.request.url}")
        route.fulfill(status=204)

    page.context.set_offline(False)
    page.route("http://jupyter.test/**", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
    page.goto("http://jupyter.test/lab")
    page.route("http://jupyter.test/api/**", answer)
    return asked


def settle(page: Page, asked: list[str], count: int) -> None:
    """Wait for so many requests, and a little for one that must not come."""
    for _ in range(6000):
        page.wait_for_timeout(20)
        if len(asked) >= count:
            break
    page.wait_for_timeout(100)


def told(page: Page, **changed: Any) -> None:
    page.evaluate("(facts) => model.set('facts', facts)", followed(**changed))


def test_a_run_as_it_goes_on(mount: Mount) -> None:
    page = mount(SOURCE, state())
    text = page.locator("main").inner_text()
    for said in (
        "run of fl.fit",
        "12 of 30 done · 1 min 5 s · 14.4 kB sent, 10.8 kB received · loss 0.58",
        "waiting for JFK",
        "lost: it cannot be reached",
        "round 13, local training",
        "87 of 100 exact",
    ):
        assert said in text
    assert "undefined" not in text
    assert page.get_by_role("progressbar").get_attribute("value") == "12"
    curve = page.get_by_role("img", name="loss, from 0.69 to 0.58 after 12 of 30 rounds")
    assert curve.locator("polyline").get_attribute("points").count(",") == 12  # type: ignore[union-attr]
    assert page.get_by_role("status").inner_text() == "fl.fit: running"
    told(page, rounds=13)
    assert curve.count() == 0
    assert page.get_by_role("img").locator("polyline").get_attribute("points").count(",") == 13  # type: ignore[union-attr]
    assert page.get_by_role("progressbar").get_attribute("value") == "13"


def test_a_free_kernel_hears_what_a_button_says(mount: Mount) -> None:
    page = mount(SOURCE, state())
    page.get_by_role("button", name=STOP).press("Enter")
    assert page.evaluate("() => model.sent") == [{"do": "stop"}]
    told(page, stopping=True)
    expect(page.get_by_role("button", name="Ending after this round")).to_be_disabled()
    assert page.get_by_role("status").inner_text() == "fl.fit: ending after this round"
    page.get_by_role("button", name=CANCEL).click()
    assert page.evaluate("() => model.sent") == [{"do": "stop"}, {"do": "cancel"}]


def test_a_kernel_that_does_not_hear_is_said_to_be_busy(mount: Mount) -> None:
    page = mount(SOURCE, state())
    page.get_by_role("button", name=CANCEL).click()
    busy = "The kernel is busy with another cell and hears this when that cell ends."
    expect(page.get_by_role("alert")).to_have_text(busy)
    told(page, state="cancelled")
    assert page.get_by_role("alert").count() == 0
    assert page.get_by_role("button").count() == 0


def test_a_kernel_that_waits_for_the_run_is_interrupted_to_stop_it(page: Page, mount: Mount) -> None:
    asked = listen(page)
    mount(SOURCE, state(awaited=True))
    page.get_by_role("button", name=STOP).click()
    settle(page, asked, 1)
    assert asked == ["POST http://jupyter.test/api/kernels/k1/interrupt"]
    assert page.evaluate("() => model.sent") == []  # it would be heard when the cell has ended
    told(page, awaited=True, stopping=True)
    page.wait_for_timeout(200)
    assert len(asked) == 1


def test_to_cancel_what_can_stop_the_kernel_is_interrupted_twice(page: Page, mount: Mount) -> None:
    asked = listen(page)
    mount(SOURCE, state(awaited=True))
    page.get_by_role("button", name=CANCEL).click()
    settle(page, asked, 1)
    assert len(asked) == 1
    told(page, awaited=True)  # not yet heard of
    page.wait_for_timeout(100)
    assert len(asked) == 1
    told(page, awaited=True, stopping=True)
    told(page, awaited=True, stopping=True, rounds=14)
    settle(page, asked, 2)
    assert len(asked) == 2


@pytest.mark.parametrize("then", [{"awaited": False, "stopping": True}, {"awaited": True, "state": "done"}])
def test_whatever_follows_the_run_is_not_interrupted(page: Page, mount: Mount, then: dict[str, Any]) -> None:
    asked = listen(page)
    mount(SOURCE, state(awaited=True))
    page.get_by_role("button", name=CANCEL).click()
    settle(page, asked, 1)
    told(page, **then)
    page.wait_for_timeout(200)
    assert len(asked) == 1


def test_a_page_that_cannot_interrupt_says_what_to_press(mount: Mount) -> None:
    page = mount(SOURCE, state(awaited=True, stops=False))
    assert page.get_by_role("button", name=STOP).count() == 0
    page.get_by_role("button", name="Cancel the run").click()
    said = "This page cannot interrupt the kernel. Press the stop button of the notebook's toolbar."
    expect(page.get_by_role("alert")).to_have_text(said)


def test_before_the_first_round_there_is_nothing_to_keep(mount: Mount) -> None:
    page = mount(SOURCE, state(rounds=0))
    expect(page.get_by_role("button", name=STOP)).to_be_disabled()
    expect(page.get_by_role("button", name=CANCEL)).to_be_enabled()


CANCELLED = {"message": "it was", "hint": "go on", "party": "", "phase": ""}
FAILED = {"message": "a total is too large", "hint": "", "party": "LGA", "phase": "adding"}
ENDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "done": ({"state": "done"}, ("done",)),
    "stopped": ({"state": "done", "stopping": True, "stopped": "stopped by its caller"}, ("stopped early",)),
    "short": ({"state": "done", "stopped": "the budget of JFK ended"}, ("ended early",)),
    "cancelled": ({"state": "cancelled", "failure": CANCELLED}, ("cancelled", "it was", "What to do: go on")),
    "failed": (
        {"state": "failed", "failure": FAILED},
        ("failed", 'Failed at LGA, in the phase "adding": a total is too large'),
    ),
}
LEARNED = ("learned", Grid(header=("who",), rows=(("all",),)))
RESULT = of_card(Card(title="result of fl.fit", facts=(("value", "a model"),), grids=(LEARNED,)))


@pytest.mark.parametrize("end", ENDS)
def test_how_a_run_ended(mount: Mount, end: str) -> None:
    changed, said = ENDS[end]
    page = mount(SOURCE, state(**changed, result=RESULT if changed["state"] == "done" else None))
    text = page.locator("main").inner_text()
    for words in said:
        assert words in text
    assert ("a model" in text) is (changed["state"] == "done")
    assert page.get_by_role("button").count() == 0
    assert "undefined" not in text


def test_nothing_listens_after_it_is_gone(mount: Mount) -> None:
    page = mount(SOURCE, state())
    page.evaluate("() => window.unmount()")
    assert page.evaluate("() => model.listeners()") == 0
