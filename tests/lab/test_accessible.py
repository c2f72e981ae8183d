"""Every widget and the panel, light and dark: no serious finding of axe-core; the pictures in docs/images on demand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from claims import Cases
from lab_page import Lab
from playwright.sync_api import Locator, ViewportSize, expect

SERIOUS = ("serious", "critical")
pytestmark = [
    pytest.mark.claim("accessible: no serious or critical finding of axe-core in widgets and panel, light and dark"),
    pytest.mark.lengthy,
]

OPEN = """import pyarrow as pa
import privsdk as ps
from privsdk import dp, fl, he, psi, widgets
from privsdk.workshop import airlines, nyc_flights
fed = ps.embedded(nyc_flights(), store=None, quiet=True, budget=ps.Budget(epsilon=3, exact=20_000))
flights = fed.tables("flights")
delays = he.mean(flights, "dep_delay", key_holder="REGISTRY").release()
counts = dp.count(fed["JFK"]["flights"], by="carrier", keys=sorted(airlines()), epsilon=0.5).release()
fed"""
PICKER = 'widgets.picker(fed, use="encrypted")'
BUDGETS = """more = dp.count(fed["JFK"]["flights"], epsilon=0.1)
widgets.budgets(fed, plan=more, result=counts)"""
WHAT_IF = """mock = pa.table({"carrier": ["AA", "B6", "DL"] * 100 + ["UA"] * 40})
widgets.what_if(lambda epsilon: dp.count(fed["EWR"]["flights"], by="carrier", keys=["AA", "B6", "DL", "UA"],
                                         epsilon=epsilon), epsilon=(0.05, 1), start=0.2, mock=mock)"""
RUN = """model = fl.Logistic(features={"hour": (0, 24), "month": (1, 12), "distance": (0, 5000)})
run = fl.fit(model, flights, label="late", rounds=5000, learning_rate=2.0, coordinator="REGISTRY").start()
widgets.progress(run)"""
# axe-core takes what is in JupyterLab's scrolled boxes for hidden, and looks at no colour of hidden text.
REVEALED = ":has([data-looked-at]) { overflow: visible !important; contain: none !important; }"
TALL = ViewportSize(width=1400, height=3000)
Look = Callable[..., None]


@pytest.fixture(autouse=True)
def tall(lab: Lab) -> None:
    """A window that shows all at once: what lies beyond its notebook's edge has another ground under it."""
    lab.page.set_viewport_size(TALL)


@pytest.fixture
def look(request: pytest.FixtureRequest, repository: Path, cases: Cases) -> Look:
    """Check what is shown in both themes; with `--screenshots`, keep its pictures."""
    folder = repository / "docs" / "images" if request.config.getoption("--screenshots") else None

    def looked(lab: Lab, shown: Locator, name: str, *, height: int = TALL["height"]) -> None:
        for dark in (False, True):
            lab.theme(dark=dark)
            theme = "dark" if dark else "light"
            found = serious(lab, shown)
            assert not found, f"{name}, {theme}:\n" + "\n".join(found)
            cases()
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                lab.page.set_viewport_size({"width": 1400, "height": height})
                shown.screenshot(path=folder / f"{name}-{theme}.png", animations="disabled")
                lab.page.set_viewport_size(TALL)
        lab.theme(dark=False)

    return looked


def serious(lab: Lab, shown: Locator) -> list[str]:
    """What axe-core finds in this element, of the graver kinds."""
    shown.evaluate("(element) => element.setAttribute('data-looked-at', '')")
    revealed = lab.page.add_style_tag(content=REVEALED)
    response = Axe().run(lab.page, context={"include": [["[data-looked-at]"]]}).response
    revealed.evaluate("(element) => element.remove()")
    shown.evaluate("(element) => element.removeAttribute('data-looked-at')")
    looked = {rule["id"] for kind in ("passes", "violations", "incomplete") for rule in response[kind]}
    assert "color-contrast" in looked, "axe-core took the text for hidden"
    return [
        f"{finding['impact']}: {finding['help']}: {node['html']}: {node['failureSummary']}"
        for finding in response["violations"]
        if finding["impact"] in SERIOUS
        for node in finding["nodes"]
    ]


def test_choosing(lab: Lab, look: Look) -> None:
    lab.of("choosing", OPEN, PICKER, BUDGETS)
    lab.run_all()
    picker, budgets = (lab.shown(n).locator(".privsdk").first for n in (1, 2))
    for name in ("JFK", "EWR", "LGA", "dep_delay"):
        picker.get_by_role("checkbox", name=name, exact=True).click()
    expect(picker).to_contain_text("3 parties, 1 column chosen")
    look(lab, picker, "picker")
    expect(budgets).to_contain_text("more dp.count")
    look(lab, budgets, "budgets")


def test_asking(lab: Lab, look: Look) -> None:
    lab.of("consent", OPEN, WHAT_IF)
    lab.run_all()
    view = lab.shown(1).locator(".privsdk").first
    expect(view).to_contain_text("Nothing is spent by looking.")
    look(lab, view, "what-if")
    view.get_by_role("button", name="Consider a release").click()
    view.get_by_role("checkbox", name="I have read").check()
    consent = view.get_by_label("consent")
    look(lab, consent, "consent")
    view.get_by_role("button", name="Release").click()
    expect(view).to_contain_text("result of dp.count")
    look(lab, view, "released")


def test_watching(lab: Lab, look: Look) -> None:
    lab.of("watching", OPEN, RUN)
    lab.run_all()
    lab.command("privsdk:show-panel")
    view = lab.shown(1).locator(".privsdk").first
    panel = lab.page.locator("#privsdk-panel")
    lab.until_more("() => Number(document.querySelector('[data-state] progress')?.value ?? 0)", 20)
    look(lab, view, "run")
    look(lab, panel, "panel", height=1018)
    view.get_by_role("button", name="Stop after this round").click()
    expect(view.locator("[data-state=done]")).to_be_visible()
    look(lab, view, "stopped")
    look(lab, lab.shown(0), "federation")


def test_findings_are_found(lab: Lab) -> None:
    """A field without a label and text that nobody can read are reported."""
    bad = "<div class=bad><input><p style='color:#eee;background:#fff'>pale</p></div>"
    lab.of("bad", f'from IPython.display import HTML\nHTML("{bad}")')
    lab.run_all()
    found = serious(lab, lab.shown(0).locator(".bad"))
    assert len(found) == 2, found
