"""Installing shows how far it is, shows all that pip said where it fails, and ends as pip does."""

from __future__ import annotations

import io
import os
import re
import runpy
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PIP = """
import os, sys
print("Obtaining file:///project", flush=True)
print("WARNING: old", file=sys.stderr, flush=True)
for number in range(45):
    print(f"Collecting package-{number}", flush=True)
if os.environ["FOUND"] == "nothing":
    print("ERROR: No matching distribution found for package-99", file=sys.stderr)
    sys.exit(3)
if os.environ["FOUND"] == "new":
    print("Installing collected packages: " + ", ".join(f"package-{number}" for number in range(45)), flush=True)
"""
Install = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def install(tmp_path: Path, repository: Path) -> Install:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(PIP)

    def run(found: str) -> subprocess.CompletedProcess[str]:
        script = [
            sys.executable,
            str(repository / "scripts" / "install.py"),
            "--version",
        ]  # all that the real one would do
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "FOUND": found}
        return subprocess.run(script, env=environment, capture_output=True, text=True, check=False)

    return run


def test_pips_warnings_are_left_out_where_it_succeeds(install: Install) -> None:
    done = install("new")
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert re.fullmatch(r"  (found|installed) \d+( of 45)? packages \(\d+ s\)", first)
    assert re.fullmatch(r"  installed 45 packages \(\d+ s\)", last)
    assert install("old").stdout.splitlines()[-1].startswith("  installed 0 packages")


def test_all_that_pip_said_is_shown_where_it_fails(install: Install) -> None:
    failed = install("nothing")
    assert failed.returncode == 3
    assert failed.stdout.splitlines()[-1].startswith("  failed; pip said:")
    assert failed.stderr.startswith("Obtaining file:///project\nWARNING: old\nCollecting package-0\nCollecting ")
    assert failed.stderr.endswith("Collecting package-44\nERROR: No matching distribution found for package-99\n")


@pytest.mark.parametrize("moving", [True, False])
def test_progress_moves_on_a_terminal_and_is_a_line_every_five_seconds_in_a_log(moving: bool, repository: Path) -> None:
    class Out(io.StringIO):
        def isatty(self) -> bool:
            return moving

    out, seconds = Out(), iter([0.0, 0.0, 0.0, 1.0, 5.0, 6.0, 7.0])
    progress = runpy.run_path(str(repository / "scripts" / "install.py"))["Progress"](out, lambda: next(seconds))
    for number in range(4):
        progress.show(f"found {number} packages")
    progress.end("installed 4 packages")
    shown = [f"  found {number} packages ({second} s)" for number, second in enumerate([0, 1, 5, 6])]
    last = "  installed 4 packages (7 s)"
    over = "\r\x1b[2K"
    wanted = "".join(over + line for line in [*shown, last]) if moving else "\n".join([shown[0], shown[2], last])
    assert out.getvalue() == wanted + "\n"


def test_packages_count_from_when_pip_began(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = runpy.run_path(str(repository / "scripts" / "install.py"))["installed"]
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    for name in ("old", "new", "newer"):
        (tmp_path / f"{name}-1.dist-info").mkdir()
    os.utime(tmp_path / "old-1.dist-info", (0, 0))
    assert installed(time.time() - 60) == 2
