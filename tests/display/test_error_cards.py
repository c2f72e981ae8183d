"""Errors in IPython: the caller's own lines and a card; the frames on request, and of a defect."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from people import federation
from traitlets.config import Config

import privsdk as ps
from privsdk.errors import InternalError, PolicyRefused, UnknownName
from privsdk.errors.refusals import NotGranted

Cell = Callable[[str], str]


@pytest.fixture
def cell(capsys: pytest.CaptureFixture[str]) -> Iterator[Cell]:
    """Runs a cell and gives what it prints."""
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}), colors="nocolor")
    with federation() as fed:
        shell.user_ns.update(fed=fed, ps=ps, defect=InternalError("broken"))

        def run(code: str) -> str:
            capsys.readouterr()
            shell.run_cell(code, store_history=True)
            return capsys.readouterr().out

        run("from privsdk import he, fl, psi")
        yield run
    shell.run_line_magic("reset", "-f")
    shell.restore_sys_module_state()  # it stands for __main__
    InteractiveShell.clear_instance()


REFUSED = """def least(column):
    return fed["north"]["people"].min(
        column).release()
least("age")"""


def test_a_refusal_is_the_callers_lines_and_a_card(cell: Cell) -> None:
    shown = cell(REFUSED)
    assert shown.startswith('Cell In[2], line 4\n    least("age")\nCell In[2], line 3\n')
    for words in (
        "PolicyRefused by north",
        "people.age is not granted as extreme to analyst for workshop",
        "ps.Grant(table='people', columns={'age': 'extreme'}",
        '{ table = "people", columns = { "age" = "extreme" }',
        "REFUSED  min of age",
    ):
        assert words in shown
    assert "Traceback" not in shown
    assert len(shown.splitlines()) <= 20


def test_the_frames_are_shown_on_request_and_for_a_defect(cell: Cell) -> None:
    assert "Traceback" not in cell(REFUSED)
    frames = cell("%tb")
    assert "Traceback" in frames
    assert "execution.py" in frames
    assert "Traceback" in cell("raise defect")


def test_the_same_error_raised_again_is_a_card_again(cell: Cell) -> None:
    cell('run = fed["north"]["people"].min("age").start()')
    for _ in range(2):
        shown = cell("run.result()")
        assert "PolicyRefused by north" in shown
        assert "Traceback" not in shown


@pytest.mark.parametrize("colors", ["nocolor", "neutral"])
def test_colours_are_those_of_the_shell(cell: Cell, colors: str) -> None:
    cell(f"%colors {colors}")
    assert ("\x1b[" in cell("fed['nroth']")) == (colors != "nocolor")


def test_an_error_that_was_kept_shows_its_card() -> None:
    grants = ("ps.Grant(...)",)
    refused = NotGranted(
        party="north", caller="a", purpose="p", missing=(), grants=grants, grants_toml=("{}",), derivation=("<x>",)
    )
    drawn = PolicyRefused(refused, party="north", run_id="r", phase="adding")._repr_html_()
    for words in ("PolicyRefused by north", "ps.Grant(...)", "in party.toml", "&lt;x&gt;", "run r, in phase adding"):
        assert words in drawn


def test_an_advice_of_its_own_stands_alone() -> None:
    error = UnknownName("no such thing", hint="look it up")
    error.advise("or ask")
    assert (error.advice, error.facts) == ("look it up; or ask", ())
