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


@pytest.mark.lengthy
@pytest.mark.claim("tests in JupyterLab: interrupts, restarts, reloads and themes are what they say")
def test_what_these_tests_stand_on(lab: Lab) -> None:
    lab.of("harness", FEDERATION, "1 / 0", SLOW, "kept = 1")
    lab.run(0)
    expect(lab.shown(0)).to_contain_text("federation of north, south, east")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run(1)
    lab.run(3)
    lab.start(2)
    expect(lab.shown(2)).to_contain_text("begun")
    lab.interrupt()
    lab.wait()
    assert "KeyboardInterrupt: " in errors(lab.outputs())
    lab.reload()
    assert lab.ask("print(kept)") == "1"
    lab.restart()
    assert lab.ask("print('kept' in globals())") == "False"
    for dark in (True, False):
        lab.theme(dark=dark)
        shade = lab.page.evaluate("() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')")
        assert shade.strip() == ("#111" if dark else "white"), shade
