"""No row value in what a page shows, hears or says to the kernel, nor in the notebook that is saved: one full walk."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import CANARY, COUNT, NUMBER, leaked, opening, training
from claims import Cases
from lab_page import Lab
from playwright.sync_api import expect

CLAIM = pytest.mark.claim("canary in JupyterLab: no row value in pages, messages of the kernel or the saved notebook")

WALK = (
    "from privsdk import widgets\nfed",
    'fed["north"]["people"]',
    'joint = psi.join(fed["north"]["people"], fed["south"]["people"], on="id").release()\njoint',
    'joint.value["north"].mean("age").release()',
    'he.mean(fed.tables("people"), "age", key_holder="keeper").release()',
    'fl.fit(fl.Logistic(features={"income": (0, 1e8)}), fed.tables("people"), label="late", rounds=2).release()',
    'try:\n    dp.count(fed["north"]["people"], by="id", keys=[1, 2], epsilon=0.1).release()\n'
    "except ps.PrivsdkError as refused:\n    print(refused)",
    COUNT,
    "widgets.picker(fed)",
    'widgets.budgets(fed, plan=dp.count(fed["north"]["people"], epsilon=0.1))',
    'widgets.what_if(lambda epsilon: dp.count(fed["north"]["people"], epsilon=epsilon))',
    training(3),
    "run = plan.start()\nwidgets.progress(run)",
    "run.result()",
    "fed.budgets()",
    "fed.audit_log()",
)


@CLAIM
def test_walk(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    lab.of("walk", opening(tmp_path), *WALK)
    lab.command("privsdk:show-panel")
    lab.run_all()
    for name in ("north", "id", "income"):
        lab.page.get_by_role("checkbox", name=name, exact=True).first.click()
    expect(lab.page.locator("#privsdk-panel")).to_contain_text("Lately ended")
    page, saved = lab.page.content(), lab.save()
    assert not leaked([page])
    assert not leaked([saved])
    assert not leaked(lab.frames)
    assert "dp.count" in saved
    assert any(b"comm_msg" in frame and b"people" in frame for frame in lab.frames)
    cases(len(lab.frames) + 2)


@CLAIM
@pytest.mark.lengthy
def test_the_walk_finds_what_it_looks_for(lab: Lab, tmp_path: Path) -> None:
    """A row that a notebook prints, or a widget is told, is found in each of the places."""
    read = f"import pyarrow.parquet as pq\nrows = pq.read_table({(tmp_path / 'north.parquet').as_posix()!r})"
    lab.of("leaking", f"{opening(tmp_path)}\n{read}", 'print(rows["id"][0])', "from ipywidgets import HTML",
           'HTML(str(rows["income"][0]))')  # fmt: skip
    lab.run_all()
    expect(lab.shown(3)).to_contain_text(str(NUMBER))
    page, saved, frames = lab.page.content(), lab.save(), list(lab.frames)
    lab.command("notebook:clear-all-cell-outputs")
    lab.frames.clear()
    assert CANARY in page
    assert str(NUMBER) in page
    assert CANARY in saved
    assert len(leaked(frames)) > 1
