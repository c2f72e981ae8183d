"""What JupyterLab's panel shows for each state, in a real browser, with no JupyterLab and no kernel."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from applying import applied
from mounting import Mount
from playwright.sync_api import Page, expect

from privsdk.widgets.panel import edits
from privsdk.widgets.view import asset

SOURCES = Path(__file__).parents[2] / "extensions" / "privsdk-panel" / "src"
EMPTY: dict[str, Any] = {
    "notebook": "", "kernel": "none", "busy": False, "direct": False, "stale": False, "all": None,
    "example": "fed = ps.embedded()",
}  # fmt: skip


def source() -> str:
    return asset("dom.js") + (SOURCES / "view.js").read_text()


def balance(party: str, left: float = 2.5, **changed: Any) -> dict[str, Any]:
    epsilon = {"cap": 3, "spent": 3 - left, "left": left, "lifetime": 0.5, "text": f"{left} of 3"}
    exact = {"cap": 200, "spent": 32, "left": 168, "lifetime": 32, "text": "168 of 200"}
    return {"party": party, "dataset": "sales", "epsilon": epsilon, "exact": exact, "frozen": "", **changed}


def party(name: str, **changed: Any) -> dict[str, Any]:
    balances = [balance(name)]
    return {"name": name, "reachable": True, "tables": ["sales"], "running": 0, "balances": balances, **changed}


def point(done: int, loss: float) -> dict[str, Any]:
    moved = {"sent": 12_500 * done, "received": 12_500 * done}
    return {"done": done, "total": 40, "seconds": 0.1 * done, "figures": {"loss": loss}, **moved}


def run(state: str = "running", **changed: Any) -> dict[str, Any]:
    return {
        "id": "r1", "operation": "fl.fit", "purpose": "research", "parties": ["north", "south"], "state": state,
        "why": "", "began": 0, "seconds": 4.2, "phases": {"north": "round 12", "south": ""}, "asked": "",
        "latest": {"north": point(12, 0.5), "south": point(11, 0.6)},
        "curve": [point(n, 0.7 - 0.01 * n) for n in range(1, 13)], **changed,
    }  # fmt: skip


def event(n: int) -> dict[str, Any]:
    return {
        "party": "north", "sequence": n, "at": f"2026-11-22T12:00:{n:02}+00:00", "event": "finished", "run": "r1",
        "operation": "fl.fit", "tables": ["sales"], "why": "",
    }  # fmt: skip


def federation(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "number": number, "caller": "analyst", "purpose": "research", "audit": None, "runs": [], "events": [],
        "parties": [party("north"), party("south")], **changed,
    }  # fmt: skip


def state(*federations: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**EMPTY, "notebook": "a.ipynb", "kernel": "here", "all": {"federations": list(federations)}, **changed}


@pytest.fixture
def mount(mount: Mount, page: Page) -> Mount:
    """With the panel's own style after that of all widgets."""

    def mounted(source: str, state: dict[str, Any], *, dark: bool = False) -> Page:
        mount(source, state, dark=dark)
        page.add_style_tag(content=(SOURCES / "panel.css").read_text())
        return page

    return mounted


def sent(page: Page) -> list[Any]:
    return list(page.evaluate("() => model.sent"))


def told(page: Page, **changes: Any) -> None:
    """What a new state is; the view must follow it."""
    page.evaluate("changes => Object.entries(changes).forEach(([name, value]) => model.set(name, value))", changes)


@pytest.mark.parametrize(
    ("changed", "title", "wish"),
    [
        ({}, "No notebook is open", "tutorial"),
        ({"notebook": "a.ipynb"}, "This notebook has no kernel", None),
        ({"notebook": "a.ipynb", "kernel": "asking"}, "One moment", None),
        ({"notebook": "a.ipynb", "kernel": "shared"}, "Another notebook has this kernel, too", None),
        ({"notebook": "a.ipynb", "kernel": "silent"}, "privsdk is not in use here yet", "import"),
        ({"notebook": "a.ipynb", "kernel": "here", "all": {"federations": []}}, "No federation is open", "open"),
    ],
)
def test_where_there_is_nothing_to_show_it_says_what_to_do(
    mount: Mount, changed: dict[str, Any], title: str, wish: str | None
) -> None:
    page = mount(source(), {**EMPTY, **changed})
    expect(page.get_by_role("heading", level=3)).to_have_text(title)
    buttons = page.get_by_role("button")
    assert buttons.count() == (wish is not None)
    if wish is not None:
        buttons.click()
        assert sent(page) == [{"kind": "do", "what": wish}]


def test_the_lines_to_run_are_shown(mount: Mount) -> None:
    page = mount(source(), {**EMPTY, "notebook": "a.ipynb", "kernel": "silent"})
    expect(page.get_by_role("code")).to_have_text("import privsdk as ps")
    told(page, kernel="here", all={"federations": []})
    expect(page.get_by_role("code")).to_have_text("fed = ps.embedded()")


def test_parties_and_budgets(mount: Mount) -> None:
    low = party("south", balances=[balance("south", 0.1, frozen="under review")])
    gone = {"name": "east", "reachable": False, "tables": [], "running": 0, "balances": []}
    page = mount(source(), state(federation(parties=[party("north"), low, gone])))
    expect(page.get_by_role("heading", level=3)).to_have_text("Federation of north, south, east")
    expect(page.get_by_text("You are analyst, for research.")).to_be_visible()
    meter = page.get_by_role("meter", name="sales of north: epsilon left")
    assert [meter.get_attribute(f"aria-value{name}") for name in ("now", "max", "text")] == ["2.5", "3", "2.5 of 3"]
    assert meter.locator(".privsdk-fill").get_attribute("style") == "width:83.3%"
    assert page.get_by_role("meter").count() == 4
    assert page.locator(".privsdk-low").count() == 1
    expect(page.get_by_text("sales is frozen by its owner: under review")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="east")).to_contain_text("cannot be reached")


def test_a_run_goes_on(mount: Mount) -> None:
    page = mount(source(), state(federation(runs=[run()])))
    progress = page.get_by_role("progressbar", name="rounds of fl.fit")
    assert [progress.get_attribute(f"aria-value{name}") for name in ("now", "max")] == ["12", "40"]
    expect(page.get_by_text("12 of 40 done, 1.2 s, 287.5 kB sent")).to_be_visible()
    expect(page.get_by_role("img", name="loss 0.58, from 0.69 in round 1")).to_be_visible()
    page.get_by_text("What each party is doing").click()
    expect(page.get_by_role("cell", name="round 12")).to_be_visible()
    later = run(latest={"north": point(13, 0.4)}, curve=[*run()["curve"], point(13, 0.4)])
    told(page, all={"federations": [federation(runs=[later])]})
    expect(page.get_by_text("13 of 40 done")).to_be_visible()
    expect(page.get_by_role("img", name="loss 0.4,")).to_be_visible()
    expect(page.get_by_role("cell", name="round 12")).to_be_visible()  # what was opened stays open


def test_what_was_opened_stays_open_whatever_comes_and_goes(mount: Mount) -> None:
    begun = run(latest={}, curve=[])
    page = mount(source(), state(federation(runs=[begun], events=[event(1)])))
    page.get_by_text("What each party is doing").click()
    page.get_by_text("What the parties' audits say of you").click()
    verdicts = [{"party": "north", "rows": 7, "fault": ""}]
    audit = {"running": False, "at": "2026-11-22T12:00:00+00:00", "verdicts": verdicts, "failed": ""}
    told(page, stale=True, busy=True, direct=True)
    told(page, all={"federations": [federation(runs=[run("done", id="a"), run()], events=[event(1)], audit=audit)]})
    told(page, all={"federations": [federation(runs=[run(asked="stop")], events=[event(2)], audit=None)]})
    expect(page.get_by_role("cell", name="round 12")).to_be_visible()
    expect(page.get_by_role("cell", name="finished")).to_be_visible()


def test_a_run_that_tells_nothing_yet_or_no_numbers(mount: Mount) -> None:
    odd = [{**point(1, 0), "figures": {"loss": "nan"}}]
    page = mount(source(), state(federation(runs=[run(latest={}, curve=[], phases={}), run(id="r2", curve=odd)])))
    expect(page.get_by_role("article")).to_have_count(2)
    expect(page.get_by_text("begun")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(1)
    assert page.locator("polyline").count() == 0
    assert "undefined" not in page.locator("main").inner_text()


@pytest.mark.parametrize(
    ("busy", "direct", "buttons"),
    [
        (False, True, ["Stop after this round", "Cancel"]),
        (False, False, ["Stop after this round", "Cancel"]),
        (True, True, ["Stop after this round", "Cancel", "Interrupt the kernel"]),
        (True, False, ["Interrupt the kernel"]),
    ],
)
def test_only_what_the_kernel_hears_is_offered(mount: Mount, busy: bool, direct: bool, buttons: list[str]) -> None:
    page = mount(source(), state(federation(runs=[run()]), busy=busy, direct=direct))
    offered = page.get_by_role("article").get_by_role("button")
    assert offered.all_inner_texts() == buttons
    for button in offered.all():
        button.click()
    wishes = {"Stop after this round": "stop", "Cancel": "cancel"}
    assert sent(page) == [
        {"kind": wishes[text], "run": "r1"} if text in wishes else {"kind": "interrupt"} for text in buttons
    ]
    assert page.get_by_text("hears these buttons when the cell has ended").count() == (busy and not direct)


def test_what_was_asked_of_a_run_is_said(mount: Mount) -> None:
    page = mount(source(), state(federation(runs=[run(asked="stop")]), busy=True))
    expect(page.get_by_role("article")).to_contain_text("Stopping after this round.")
    assert page.get_by_role("article").get_by_role("button").all_inner_texts() == ["Interrupt the kernel"]
    told(page, all={"federations": [federation(runs=[run(asked="cancel")])]})
    expect(page.get_by_role("article")).to_contain_text("Cancelling.")


def test_runs_that_ended(mount: Mount) -> None:
    ended = [run("done", id="a"), run("failed", id="b", why="north refused: no grant"), run("cancelled", id="c")]
    page = mount(source(), state(federation(runs=ended)))
    expect(page.get_by_text("Nothing is running.")).to_be_visible()
    rows = page.locator(".privsdk-ended").get_by_role("listitem").all_inner_texts()
    assert [row.split(":")[0].removeprefix("● ") for row in rows] == ["cancelled", "failed", "done"]
    assert "north refused: no grant" in rows[1]


def test_the_audit(mount: Mount) -> None:
    page = mount(source(), state(federation(events=[event(3), event(2)])))
    page.get_by_text("What the parties' audits say of you").click()
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("button", name="Verify audits").click()
    page.get_by_role("button", name="Refresh").click()
    assert sent(page) == [{"kind": "verify"}, {"kind": "refresh"}]

    def audit(**found: Any) -> None:
        whole = {"running": False, "at": "2026-11-22T12:00:00+00:00", "verdicts": [], "failed": "", **found}
        told(page, all={"federations": [federation(audit=whole)]})

    audit(running=True)
    expect(page.get_by_text("Verifying the audits.")).to_be_visible()
    sound = {"party": "north", "rows": 1200, "fault": ""}
    audit(verdicts=[sound, {**sound, "party": "south"}])
    expect(page.get_by_text("2,400 rows of 2 parties")).to_be_visible()
    audit(verdicts=[sound, {**sound, "party": "south", "fault": "row 7 was changed"}])
    expect(page.get_by_text("The audit of south is not sound: row 7 was changed")).to_be_visible()
    assert page.get_by_text("Audits sound").count() == 0
    audit(failed="south is gone")
    expect(page.get_by_text("could not be verified: south is gone")).to_be_visible()


def test_earlier_federations_are_named_and_open_when_asked(mount: Mount) -> None:
    page = mount(source(), state(federation(3), federation(2), {"number": 1, "audit": None}))
    assert page.locator("summary").all_inner_texts().count("Opened earlier: Federation of north, south") == 1
    expect(page.get_by_role("meter").filter(visible=True)).to_have_count(4)
    page.get_by_text("Opened earlier: Federation of north, south").click()
    expect(page.get_by_role("meter").filter(visible=True)).to_have_count(8)
    told(page, all={"federations": [federation(3, caller="another"), federation(2), {"number": 1, "audit": None}]})
    expect(page.get_by_role("meter").filter(visible=True)).to_have_count(8)


def test_news_that_was_lost(mount: Mount) -> None:
    page = mount(source(), state(federation(), stale=True))
    expect(page.get_by_text("Some news was lost")).to_be_visible()
    told(page, stale=False)
    expect(page.get_by_text("Some news was lost")).to_be_hidden()


def test_what_parties_send_is_text(mount: Mount) -> None:
    evil = "<img src=x onerror=document.title='run'>"
    shown = federation(
        parties=[party(evil, tables=[evil], balances=[balance(evil, dataset=evil, frozen=evil)])],
        runs=[run("failed", operation=evil, why=evil), run(id=evil, phases={evil: evil}, parties=[evil])],
        events=[{**event(1), "party": evil, "why": evil}],
        caller=evil,
    )
    page = mount(source(), state(shown, notebook=evil))
    assert page.locator("img").count() == 0
    assert page.title() != "run"


def test_the_page_makes_the_edits_that_the_kernel_sends(mount: Mount) -> None:
    one = {"federations": [federation(runs=[run()], events=[event(2), event(1)])]}
    other = copy.deepcopy(one)
    fed = other["federations"][0]
    fed["runs"][0]["curve"].append(point(13, 0.4))
    fed["runs"].append(run("done", id="r2"))
    fed["runs"][0]["latest"].pop("south")
    fed["events"].insert(0, event(3))
    fed["parties"][1]["balances"][0]["epsilon"]["left"] = 1
    page = mount(source().replace("export function edited", "window.edited = edited; function edited"), EMPTY)
    for old, new in [(one, other), (other, one), ({}, one), (one, {"federations": []}), (one, {"x": None})]:
        assert applied(old, edits(old, new)) == new
        made = page.evaluate("([old, changes]) => edited(old, changes)", [old, json.loads(json.dumps(edits(old, new)))])
        assert made == new


def test_nothing_listens_after_the_panel_is_gone(mount: Mount) -> None:
    page = mount(source(), state(federation()))
    assert page.evaluate("() => model.listeners()") > 0
    page.evaluate("() => window.unmount()")
    assert page.evaluate("() => model.listeners()") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_used_without_a_mouse(mount: Mount, dark: bool) -> None:
    page = mount(source(), state(federation(runs=[run()], events=[event(1)])), dark=dark)
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.innerText"))
    expected = ["Refresh", "Verify audits", "What each party is doing", "Stop after this round", "Cancel"]
    assert [text for text in reached if text in expected][:5] == expected
