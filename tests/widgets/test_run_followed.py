"""The run view in the notebook: what it is told until the end, what its buttons do, what a saved notebook keeps."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from people import everyone, people
from traitlets.config import Config
from waiting import until

import privsdk as ps
from privsdk import fl, he, widgets
from privsdk.errors import Cancelled, InvalidArgument
from privsdk.protocol.control import ProgressReport
from privsdk.widgets.progress import RunView
from privsdk.widgets.run_facts import MOST_POINTS, thinned

MODEL = fl.Logistic(features={"age": (0, 60)})


def training(fed: ps.Federation, rounds: int) -> ps.Run[fl.Fitted]:
    return fl.fit(MODEL, everyone(fed), label="late", rounds=rounds).start()


def ended(shown: RunView) -> bool:
    return bool(shown.facts) and shown.facts["run"]["state"] != "running"


def test_a_run_is_followed_to_its_end_while_a_cell_waits_for_it(fed: ps.Federation) -> None:
    run = training(fed, 60)
    shown = widgets.progress(run)
    seen: list[dict[str, Any]] = []
    shown.observe(lambda change: seen.append(change["new"]), "facts")
    fitted = run.result().value
    until(lambda: ended(shown))
    assert any(each["run"]["state"] == "running" and each["awaited"] for each in seen)
    counts = [len(each["run"]["curve"]) for each in seen]
    assert counts == sorted(counts)
    assert any(0 < count < 61 for count in counts)
    last = shown.facts
    assert (last["awaited"], last["stopped"], last["failure"]) == (False, "", None)
    losses = [point["figures"]["loss"] for point in last["run"]["curve"] if point["figures"]]
    assert losses == fitted.history.column("loss").to_pylist()
    assert {each["state"] for each in last["run"]["where"]} == {"ended"}
    assert {each["party"]: each["instalments"] for each in last["run"]["where"]} == {
        "north": 60, "south": 60, "east": 60, "keeper": 0,
    }  # fmt: skip
    assert {each["party"]: each["left"] for each in last["left"]} == dict.fromkeys(("east", "north", "south"), 99_996)
    assert last["result"]["title"] == "result of fl.fit"
    assert "result of fl.fit" in repr(shown)
    shown._subscription.follower.thread.join(60)
    assert not shown._subscription.follower.thread.is_alive()
    shown.close()


def test_stop_keeps_the_model_so_far_and_cancel_keeps_nothing(fed: ps.Federation) -> None:
    for do, state in (("stop", "done"), ("cancel", "cancelled")):
        run = training(fed, 5000)
        shown = widgets.progress(run)
        until(lambda shown=shown: shown.facts and len(shown.facts["run"]["curve"]) > 2)
        shown._handle_custom_msg({"do": do}, [])
        until(lambda shown=shown: ended(shown))
        assert shown.facts["run"]["state"] == state == run.state
        assert ("stopped by its caller" in shown.facts["stopped"]) is (do == "stop")
        if do == "cancel":
            assert isinstance(run.error, Cancelled)
            assert "name=" in shown.facts["failure"]["hint"]
        shown.close()


def test_what_no_button_says_does_nothing(fed: ps.Federation) -> None:
    run = he.sum(everyone(fed), "age").start()
    shown = widgets.progress(run)
    for content in ({}, {"do": "stop"}, {"do": "release"}, "cancel", None):
        shown._handle_custom_msg(content, [])
    assert run.result().value.value == 3 * sum(range(60))
    assert not run.progress.stopping.is_set()
    shown.close()


def test_a_failure_names_party_and_cause_and_quotes_no_value() -> None:
    canary = 31415926535
    held = {"north": {"people": people()}, "south": {"people": people(age=[canary] * 60)}, "keeper": {}}
    with ps.embedded(held, store=None, quiet=True) as fed:
        run = he.sum(fed.tables("people"), "age", bound=10_000).start()
        shown = widgets.progress(run)
        until(lambda: ended(shown))
        assert shown.facts["run"]["state"] == "failed"
        assert shown.facts["failure"]["party"] == "south"
        south = next(each for each in shown.facts["run"]["where"] if each["party"] == "south")
        assert south["state"] == "lost"
        keeper = next(each for each in shown.facts["run"]["where"] if each["party"] == "keeper")
        assert keeper["state"] in ("cancelled", "lost")  # it waits for all; north may have done its part by then
        assert "south" in south["why"]
        assert "31415" not in json.dumps(shown.get_state(), default=str) + repr(shown)
        shown.close()


def test_a_view_that_is_closed_lets_the_run_go_on(fed: ps.Federation) -> None:
    run = training(fed, 30)
    shown = widgets.progress(run)
    shown.close()
    shown.close()
    assert run.result().value.history.num_rows == 30
    until(lambda: not shown._subscription.follower.thread.is_alive())
    assert not ended(shown)
    assert len(run.progress._observers) == 0


def test_a_run_that_is_over_is_shown_too(fed: ps.Federation) -> None:
    run = training(fed, 5)
    run.result()
    fed.close()  # nobody can say any more what is left
    shown = widgets.progress(run)
    until(lambda: ended(shown))
    assert (shown.facts["left"], shown.facts["run"]["state"]) == ((), "done")
    shown.close()


def test_only_a_run_is_followed() -> None:
    with pytest.raises(InvalidArgument, match="a run was expected, not a int"):
        widgets.progress(3)  # type: ignore[arg-type]


NOTEBOOK = """
import privsdk as ps, pyarrow as pa
from privsdk import fl, widgets
table = pa.table({"x": [n / 60 for n in range(60)], "y": [0, 1] * 30})
fed = ps.embedded({**dict.fromkeys(("north", "south", "east"), table), "keeper": {}}, store=None, quiet=True)
run = fl.fit(fl.Logistic(features={"x": (0, 1)}), fed.tables("table"), label="y", rounds=20).start()
w = widgets.progress(run)
display(w)
run.result()
w._subscription.follower.thread.join()
"""


def test_a_saved_notebook_keeps_the_end() -> None:
    """The card is put in the place of the first one, without a widget's help, by the thread that follows the run; an
    exported page can show it."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(NOTEBOOK), nbformat.v4.new_code_cell("print(w.kernel)")]
    )
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute()
    shown = next(each for each in notebook.cells[0].outputs if "text/html" in each.get("data", {}))["data"]
    assert "result of fl.fit" in shown["text/html"]
    assert "result of fl.fit" in shown["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert notebook.cells[1].outputs[0]["text"].strip()
    # as the trainer's guide says
    cards = Config({"NbConvertBase": {"display_data_priority": ["text/html", "image/png", "text/plain"]}})
    page, _ = HTMLExporter(config=cards).from_notebook_node(notebook)
    assert "result of fl.fit" in page


@pytest.mark.parametrize("count", [0, 1, 2, 198, 199, 200, 201, 397, 5000])
def test_a_curve_is_thinned_but_for_its_ends(count: int) -> None:
    told = tuple(ProgressReport(done=n, total=5000, figures={"loss": 1 / n} if n else {}) for n in range(count))
    drawn = thinned(told)
    assert len(drawn) <= MOST_POINTS
    assert drawn[:2] == told[:2]
    assert drawn[-1:] == told[-1:]
    assert [each.done for each in drawn] == sorted({each.done for each in drawn})
    further = thinned((*told, ProgressReport(done=count, total=5000)))
    assert {each.done for each in drawn[:-1]} <= {each.done for each in further} or len(further) < len(drawn)
