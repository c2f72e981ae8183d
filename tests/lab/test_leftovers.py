"""Nothing is left of widgets and panels that were opened and closed: no comm, no thread, no listener."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import opening, training
from claims import Cases
from lab_page import Lab
from playwright.sync_api import expect

CYCLES, AT_ONCE = 100, 20
CLAIM = pytest.mark.claim("nothing is left over after 100 openings and closings: no comm, thread, observer or model")

# All that could be left in the kernel.
COUNT = """import gc, json, threading
from collections import Counter
import comm
import ipywidgets
from IPython.display import display
from privsdk import widgets
plan = dp.count(fed["north"]["people"], epsilon=0.1)
run.result()
plan.preview()  # what the first one works out is remembered
def counted():
    gc.collect()
    names = Counter(t.name for t in threading.enumerate() if t.name.startswith("privsdk-"))
    del names["privsdk-deadlines"]  # one for all, which ends when nothing is due
    threads = sorted(f"{name} {number}" for name, many in names.items() for number in range(many))
    observers = len(fed.activity._observers) + len(run.progress._observers)
    return {"comms": len(comm.get_comm_manager().comms), "widgets": len(ipywidgets.widgets.widget._instances),
            "observers": observers, "threads": threads}
before = counted()
def left():
    pairs = [(name, was, now) for (name, was), now in zip(before.items(), counted().values())]
    more = [(set(now) - set(was)) if name == "threads" else now > was for name, was, now in pairs]  # fewer is no harm
    return {name: (was, now) for (name, was, now), some in zip(pairs, more) if some}"""
LEFT_S = 120
COMMS = "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel._comms.size"
VIEWS = {
    "picker": "widgets.picker(fed)",
    "budgets": "widgets.budgets(fed)",
    "what-if": "widgets.what_if(plan)",
    "progress": "widgets.progress(run)",
}


def nothing_is_left(lab: Lab) -> None:
    """In the end: what a page says when it closes reaches the kernel between these questions, and threads end."""
    for _ in range(LEFT_S):
        if (left := lab.ask("print(left())")) == "{}":
            return
        lab.page.wait_for_timeout(1000)
    pytest.fail(f"left over (before, now): {left}")


@CLAIM
@pytest.mark.lengthy
@pytest.mark.parametrize("view", VIEWS)
def test_widgets(lab: Lab, tmp_path: Path, cases: Cases, view: str) -> None:
    opened = f"views = [{VIEWS[view]} for _ in range({AT_ONCE})]\nfor view in views:\n    display(view)"
    closed = "for view in views:\n    view.close()\ndel view, views"
    lab.of(view, opening(tmp_path), f"{training(2)}\nrun = plan.start()", COUNT, opened, closed)
    for number in range(3):
        lab.run(number)
    page = lab.page.evaluate(COMMS)
    for _ in range(CYCLES // AT_ONCE):
        lab.run(3)
        expect(lab.page.locator(".jp-Notebook .privsdk:has(h3)")).to_have_count(AT_ONCE)  # each is drawn
        lab.run(4)
        cases(AT_ONCE)
    nothing_is_left(lab)
    lab.page.wait_for_function(f"(page) => ({COMMS})() === page", arg=page)


@CLAIM
@pytest.mark.lengthy
def test_panels(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    lab.of("panels", opening(tmp_path), f"{training(2)}\nrun = plan.start()", COUNT)
    lab.run_all()
    panel = lab.page.locator("#privsdk-panel")
    page = lab.page.evaluate(COMMS)
    for _ in range(CYCLES):
        lab.command("privsdk:show-panel")
        expect(panel).to_contain_text("Federation of north")
        lab.page.evaluate("() => jupyterapp.shell.collapseRight()")
        expect(panel).to_be_hidden()
        cases()
    nothing_is_left(lab)
    lab.page.wait_for_function(f"(page) => ({COMMS})() === page", arg=page)
