"""The quickstart in JupyterLab, from the server to its results."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from claims import Cases
from lab_page import Lab
from playwright.sync_api import expect


@pytest.mark.lengthy
@pytest.mark.claim("the quickstart in JupyterLab: every cell runs, its widgets and the panel are drawn")
def test_all_cells_run(lab: Lab, repository: Path, cases: Cases) -> None:
    path = Path(shutil.copy(repository / "notebooks" / "00_quickstart.ipynb", lab.server.folder))
    lab.open(path)
    lab.run_all()
    assert len(lab.outputs()) > 10
    for title in ("Choose parties, tables and columns", "Budgets"):
        expect(lab.page.locator(".jp-OutputArea .privsdk").get_by_role("heading", name=title)).to_have_count(1)
    lab.command("privsdk:show-panel")
    expect(lab.page.locator("#privsdk-panel")).to_contain_text("Federation of EWR, JFK, LGA, REGISTRY")
    cases(len(lab.outputs()))
