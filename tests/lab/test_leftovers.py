"""Nothing is left of widgets and panels that were opened and closed: no comm, no thread, no listener."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cells import opening, training
from claims import Cases
from lab_page import Lab
from playwright.sync_api import Locator, expect

CYCLES = 100
CLAIM = pytest.mark.claim("nothing is left over after 100 openings and closings: no comm, thread, observer or model")

# All that could be left in the kernel, counted.
COUNT = """import gc, json, threading
import comm
import ipywidgets
def counted():
    gc.collect()
    live = fed.activity._observers, run.progress._observers
    names = [t.name for t in threading.enumerate() if t.name.startswith("privsdk-")]
    return {"comms": len(comm.get_comm_manager().comms), "observers": sum(map(len, live)), "threads": sorted(names),
            "widgets": len(ipywidgets.widgets.widget._instances)}"""
CYCLE = """from IPython.display import clear_output, display
for _ in range({cycles}):
    view = {view}
    display(view)
    view.close()
    clear_output()
del view"""
# And in the page: models of widgets that its manager keeps, comms of the kernel's connection.
PAGE = """async () => {
  const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
  return kernel._comms.size;
}"""
VIEWS = {
    "picker": "widgets.picker(fed)",
    "budgets": "widgets.budgets(fed)",
    "progress": "widgets.progress(run)",
}


@CLAIM
def test_widgets(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    lab.of(
        "widgets",
        opening(tmp_path),
        training(2),
        "from privsdk import widgets\nrun = plan.start()\nrun.result()",
        COUNT,
    )
    lab.run_all()
    settled = "import time\ntime.sleep(2)\nprint(json.dumps(counted()))"
    before, page = json.loads(lab.ask(settled)), lab.page.evaluate(PAGE)
    for view in VIEWS.values():
        lab.ask(CYCLE.format(cycles=CYCLES, view=view))
        assert json.loads(lab.ask(settled)) == before, view
        assert lab.page.evaluate(PAGE) == page, view
        cases(CYCLES)


@CLAIM
def test_panels(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    lab.of("panels", opening(tmp_path), training(2), "run = plan.start()\nrun.result()", COUNT)
    lab.run_all()
    panel = lab.page.locator("#privsdk-panel")
    _cycle(lab, panel)
    settled = "import time\ntime.sleep(2)\nprint(json.dumps(counted()))"
    before, page = json.loads(lab.ask(settled)), lab.page.evaluate(PAGE)
    for _ in range(CYCLES):
        _cycle(lab, panel)
        cases()
    assert json.loads(lab.ask(settled)) == before
    assert lab.page.evaluate(PAGE) == page


def _cycle(lab: Lab, panel: Locator) -> None:
    lab.command("privsdk:show-panel")
    expect(panel).to_contain_text("Federation of north")
    lab.page.evaluate("() => jupyterapp.shell.collapseRight()")
    expect(panel).to_be_hidden()
