"""The panel beside a notebook: it follows the kernel while a cell blocks it, through restarts and reloads."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import COUNT, DRAWN, opening, training
from claims import Cases
from lab_page import Lab
from playwright.sync_api import Locator, expect


@pytest.fixture
def panel(lab: Lab) -> Locator:
    return lab.page.locator("#privsdk-panel")


@pytest.mark.claim("panel: says what to do where there is nothing to show, and inserts the cell that does it")
@pytest.mark.lengthy
def test_it_says_what_to_do_where_there_is_nothing(lab: Lab, panel: Locator, cases: Cases) -> None:
    lab.of("empty", "1", "import privsdk")
    lab.command("privsdk:show-panel")
    expect(panel).to_contain_text("privsdk is not in use here yet")
    lab.run(1)
    expect(panel).to_contain_text("No federation is open")
    panel.get_by_role("button", name="Insert this cell").click()
    lab.run(2)
    expect(panel).to_contain_text("Federation of north, south, east, notary")
    cases()


@pytest.mark.lengthy  # in `make test`, the panel is beside the run view of test_widgets_in_lab
@pytest.mark.claim("panel: shows rounds live while a cell blocks the kernel")
def test_it_is_live_while_a_cell_blocks(lab: Lab, panel: Locator, tmp_path: Path, cases: Cases) -> None:
    lab.of("live", opening(tmp_path), training(), "print('begun', flush=True)\nplan.release()")
    lab.run(0)
    lab.run(1)
    lab.command("privsdk:show-panel")
    expect(panel).to_contain_text("Nothing is running")
    lab.start(2)
    expect(panel.get_by_label("fl.fit, running")).to_be_visible()
    seen = [lab.until_more(DRAWN["panel"], 0)]
    for _ in range(5):
        seen.append(lab.until_more(DRAWN["panel"], seen[-1]))
        assert lab.busy()
        cases()
    panel.get_by_role("button", name="Interrupt the kernel").click()
    lab.wait()
    expect(panel).to_contain_text("Nothing is running")
    expect(panel).to_contain_text("Lately ended: 1")


@pytest.mark.lengthy
@pytest.mark.claim("panel: after a kernel restart all is read anew from the parties, and the ledger remembers")
def test_it_reads_anew_after_a_restart(lab: Lab, panel: Locator, tmp_path: Path, cases: Cases) -> None:
    lab.of("restarted", opening(tmp_path, tmp_path / "store"), COUNT)
    lab.command("privsdk:show-panel")
    lab.run_all()
    left = panel.get_by_role("meter", name="people of north: epsilon left")
    expect(left).to_have_attribute("aria-valuetext", "9.5 of 10")
    lab.restart()
    expect(panel).to_contain_text("privsdk is not in use here yet")
    lab.run(0)
    expect(left).to_have_attribute("aria-valuetext", "9.5 of 10")
    lab.run(1)
    expect(left).to_have_attribute("aria-valuetext", "9 of 10")
    cases()
