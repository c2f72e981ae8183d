"""The widgets in a notebook: what is done with the mouse reaches the next cell, what a run does reaches the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import COUNT, DRAWN, opening, training
from claims import Cases
from lab_page import Lab, errors
from playwright.sync_api import expect

PICKER = 'from privsdk import widgets\nchosen = widgets.picker(fed, use="encrypted")\nchosen'
BUDGETS = "from privsdk import widgets\nbudgets = widgets.budgets(fed)\nbudgets"
PROGRESS = "from privsdk import widgets\nrun = plan.start()\nview = widgets.progress(run)\nview"


@pytest.mark.lengthy  # in `make test`, tests/browser clicks and tests/widgets takes what is chosen
@pytest.mark.claim("picker: parties and a column chosen with the mouse are handles in the next cell")
def test_picking(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    asked = 'print(*chosen.parties)\nhe.mean(chosen.tables, chosen.columns[0], key_holder="keeper").release()'
    lab.of("picking", opening(tmp_path), PICKER, asked)
    lab.run(0)
    lab.run(1)
    picker = lab.shown(1)
    for name in ("north", "south", "east", "age"):
        box = picker.get_by_role("checkbox", name=name, exact=True)
        box.click()
        expect(box).to_be_checked()
    expect(picker).to_contain_text("3 parties, 1 column chosen")
    expect(picker.locator(".privsdk-late")).to_have_count(0)
    lab.run(2)
    expect(lab.shown(2)).to_contain_text("north south east")
    expect(lab.shown(2)).to_contain_text("over 240 rows")
    cases()


@pytest.mark.lengthy
@pytest.mark.claim("a reloaded page shows every widget as it was")
def test_reloading(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    lab.of("reloading", opening(tmp_path), PICKER, BUDGETS, COUNT)
    lab.run_all()
    lab.shown(1).get_by_role("checkbox", name="south", exact=True).click()
    lab.shown(1).get_by_role("checkbox", name="age", exact=True).click()
    expect(lab.shown(1)).to_contain_text("1 party, 1 column chosen")
    expect(lab.shown(2)).to_contain_text("9.5 of 10")
    lab.save()
    lab.reload()
    expect(lab.shown(1)).to_contain_text("1 party, 1 column chosen")
    expect(lab.shown(1).get_by_role("checkbox", name="south", exact=True)).to_be_checked()
    expect(lab.shown(2)).to_contain_text("9.5 of 10")
    lab.run(3)
    expect(lab.shown(2)).to_contain_text("9 of 10")
    lab.command("privsdk:show-panel")
    panel = lab.page.locator("#privsdk-panel")
    left = panel.get_by_role("meter", name="people of north: epsilon left")
    expect(left).to_have_attribute("aria-valuetext", "9 of 10")
    panel.get_by_role("button", name="Verify audits").click()
    expect(panel).to_contain_text("Audits sound")
    cases(3)


@pytest.mark.claim(
    "run view: rounds are drawn while a cell waits for them, and Stop ends the cell with the result so far"
)
def test_watching_and_stopping(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    waiting = "result = run.result()\nprint('rounds:', result.value.history.num_rows)"
    lab.of("stopping", opening(tmp_path), training(), PROGRESS, waiting)
    for number in range(3):
        lab.run(number)
    lab.command("privsdk:show-panel")
    panel = lab.page.locator("#privsdk-panel")
    expect(panel.get_by_label("fl.fit, running")).to_be_visible()  # before the kernel has other things to do
    lab.start(3)
    view = lab.shown(2)
    for drawn in DRAWN.values():  # in the panel beside it, too
        seen = lab.until_more(drawn, 0)
        for _ in range(5):
            seen = lab.until_more(drawn, seen)
            assert lab.busy()
            cases()
    view.get_by_role("button", name="Stop after this round").click()
    lab.wait()
    assert not errors(lab.outputs())
    expect(lab.shown(3)).to_contain_text("rounds:")
    expect(view.locator("[data-state=done]")).to_be_visible()
    cases()


ASKING = """from privsdk import widgets
mock = pa.table({"age": [n % 60 for n in range(300)]})
asked = widgets.what_if(lambda epsilon: dp.count(fed["north"]["people"], epsilon=epsilon), mock=mock)
asked"""


@pytest.mark.lengthy
@pytest.mark.claim(
    "what-if: moved, consented to and released with the mouse, the slider's epsilon is what the ledger spends"
)
def test_asking(lab: Lab, tmp_path: Path, cases: Cases) -> None:
    spent = 'print(asked.epsilon, fed.budgets()["north"][0].epsilon_spent, asked.result.value["count"][0])'
    lab.of("asking", f"import pyarrow as pa\n{opening(tmp_path)}", ASKING, f"{spent}\nasked.result")
    lab.run(0)
    lab.run(1)
    view = lab.shown(1)
    slider = view.get_by_role("slider")
    expect(view).to_contain_text("Nothing is spent by looking.")
    before = slider.input_value()
    box = slider.bounding_box()
    assert box
    slider.click(position={"x": 0.7 * box["width"], "y": box["height"] / 2})
    expect(slider).not_to_have_value(before)
    expect(view).to_contain_text("Nothing is spent by looking.")
    assert lab.ask('print(fed.budgets()["north"][0].epsilon_spent)') == "0.0"
    release = view.get_by_role("button", name="Release")
    view.get_by_role("button", name="Consider a release").click()
    expect(release).to_be_disabled()
    view.get_by_role("checkbox", name="I have read").check()
    release.click()
    expect(view).to_contain_text("result of dp.count")
    lab.run(2)
    epsilon, charged, count = map(float, lab.shown(2).inner_text().split("\n")[0].split())
    expect(view.get_by_role("cell", name=f"{count:.0f}", exact=True).first).to_be_visible()
    assert charged == pytest.approx(epsilon, rel=0.01)
    assert epsilon > 0
    cases()
