"""What the tests of JupyterLab stand on: outputs, interrupts, restarts, reloads and themes are what they say."""

from __future__ import annotations

import pytest
from lab_page import Lab, errors
from playwright.sync_api import expect

FEDERATION = """
import privsdk as ps
from privsdk import dp
import pyarrow as pa
fed = ps.embedded({n: {"people": pa.table({"age": list(range(60))})} for n in ("north", "south", "east")}, store=None,
                  quiet=True)
fed
"""
SLOW = "import time\nprint('begun', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)"


def test_a_federation_shows_itself(lab: Lab) -> None:
    lab.of("shown", FEDERATION, "1 / 0")
    lab.run(0)
    expect(lab.shown(0)).to_contain_text("federation of north, south, east")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run(1)


def test_interrupt_restart_and_reload(lab: Lab) -> None:
    lab.of("ended", SLOW, "kept = 1")
    lab.run(1)
    lab.start(0)
    expect(lab.shown(0)).to_contain_text("begun")
    lab.interrupt()
    lab.wait()
    assert errors(lab.outputs()) == ["KeyboardInterrupt: "]
    lab.reload()
    assert lab.ask("print(kept)") == "1"
    lab.restart()
    assert lab.ask("print('kept' in globals())") == "False"


def test_themes(lab: Lab) -> None:
    lab.of("themes", "1")
    for dark in (True, False):
        lab.theme(dark=dark)
        shade = lab.page.evaluate("() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')")
        assert shade.strip() == ("#111" if dark else "white"), shade
