"""Other libraries, each installed into an environment of its own under `benchmarks/.peers`; scripts print JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / ".peers"
SCRIPTS = Path(__file__).parent / "scripts"
PYTHONS = (sys.executable, "python3.10", "python3.12")  # a wheel may be of one version only
PATIENCE_S = 900

PEERS = {  # name: (packages, import, script, values of the sample)
    "phe": (("phe", "gmpy2"), "phe, gmpy2", "phe_sums.py", 200),
    "sf-heu": (("sf-heu",), "heu", "heu_sums.py", 4_000),
    "openfhe": (("openfhe",), "openfhe", "openfhe_sums.py", 200_000),
}


def measured() -> dict[str, list[dict[str, Any]] | str]:
    """For each package what its script measured, or why not."""
    found: dict[str, list[dict[str, Any]] | str] = {}
    for package, (packages, module, script, sample) in PEERS.items():
        python = installed(package, packages, module)
        if isinstance(python, str):
            found[package] = f"not installed: {python}"
            continue
        done = _run([str(python), str(SCRIPTS / script), str(sample)])
        if done.returncode:
            found[package] = f"installed, failed: {_last_line(done.stderr)}"
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        found[package] = result if isinstance(result, list) else [result]
    return found


def installed(
    package: str, packages: tuple[str, ...], module: str, *, pythons: tuple[str, ...] = PYTHONS
) -> Path | str:
    """The Python that has it, or the reason of the last failure."""
    reason = "no Python to try"
    for wanted in filter(None, map(shutil.which, pythons)):
        home = FOLDER / f"{package}-{Path(wanted).name}"
        python = home / "bin" / "python"
        if not python.exists():
            done = _run([wanted, "-m", "venv", str(home)])
            if done.returncode:
                reason = f"{Path(wanted).name} makes no environment"
                continue
            done = _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
            if done.returncode:
                reason = f"{Path(wanted).name}: {_last_line(done.stderr)}"
                shutil.rmtree(home, ignore_errors=True)
                continue
        done = _run([str(python), "-c", f"import {module}"])
        if not done.returncode:
            return python
        reason = f"{Path(wanted).name}: {_last_line(done.stderr)}"
    return reason


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}  # spinning threads are not the peer's work
    quiet.pop("PYTHONPATH", None)
    try:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=quiet
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"took longer than {PATIENCE_S} s")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
