"""A newcomer's first minute: from a JupyterLab that is up to the first joint result, counted in clicks and seconds."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from claims import Cases
from lab_page import Lab
from playwright.sync_api import expect

CLICKS = """() => { window.clicks = 0; addEventListener("pointerdown", () => { window.clicks += 1; }, true); }"""


@pytest.mark.lengthy
@pytest.mark.claim("newcomer: opens the quickstart, runs it, and has a joint result")
def test_first_joint_result(lab: Lab, repository: Path, cases: Cases) -> None:
    shutil.copy(repository / "notebooks" / "00_quickstart.ipynb", lab.server.folder)
    began = time.monotonic()
    lab.enter()
    page = lab.page
    page.evaluate(CLICKS)
    page.get_by_role("listitem", name="Name: 00_quickstart.ipynb").dblclick()
    page.get_by_role("heading", name="Quickstart: three airports and a registry").wait_for()
    page.get_by_text("| Idle").wait_for()  # what is run before that is dropped
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    result = page.locator(".jp-OutputArea").get_by_text("joint table of EWR and REGISTRY").first
    result.scroll_into_view_if_needed()
    expect(result).to_be_visible()
    took, clicks = time.monotonic() - began, page.evaluate("() => clicks")
    lab.wait()
    cases()
    cases.say(f"{clicks} clicks, {took:.0f} s, after {lab.server.started_s:.0f} s for the server to be up")
