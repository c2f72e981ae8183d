"""The benchmarks still run; what they measure is not asserted."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from claims import lengthy

FOLDER = Path(__file__).parents[1] / "benchmarks"


QUICK = ("fl.py", "he.py", "psi.py")  # beside others
LONG = (*QUICK, "guard.py")  # of seconds, also in small


@pytest.mark.claim("benchmarks: each runs, in small")
@pytest.mark.parametrize("name", [*sorted({path.name for path in FOLDER.glob("*.py")} - {*LONG}), *lengthy(*LONG)])
def test_a_benchmark_runs_in_small(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [name, "--quick" if name in QUICK else "20"])
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    assert "floor" in capsys.readouterr().out
