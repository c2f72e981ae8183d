"""Results of floating arithmetic are within their bounds with the kernels of other machines, too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claims import Cases

PROBE = """
import json, numpy, threadpoolctl
blas = [info.get("architecture") for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
print(json.dumps({"blas": blas, "simd": numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", [])}))
"""
SIMD: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])  # type: ignore[call-overload]
KERNELS = {
    "OpenBLAS for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS for Sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge"},
    "NumPy's baseline": {"NPY_DISABLE_CPU_FEATURES": ",".join(SIMD)},
}


def run(changed: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, *arguments], env=own | changed, capture_output=True, text=True, timeout=1800, check=False
    )


def kernels(changed: dict[str, str]) -> Any:
    """The kernels that a process really has with such an environment; None where it does not start with it."""
    probed = run(changed, "-c", PROBE)
    return json.loads(probed.stdout) if probed.returncode == 0 else None


@pytest.mark.lengthy
@pytest.mark.claim("results of floating arithmetic stay within their bounds with kernels of other machines")
@pytest.mark.parametrize("name", KERNELS)
def test_bounds_hold_with_other_kernels(name: str, cases: Cases) -> None:
    """Where a machine cannot run them, or has them as its own, none is counted."""
    found = kernels(KERNELS[name])
    if found is None or found == kernels({}):
        cases.say(f"{name}: not on this machine")
        return
    assert name != "NumPy's baseline" or not found["simd"]
    files = [str(file) for file in Path(__file__).parent.rglob("test_*.py") if "mark.rounding" in file.read_text()]
    tested = run(KERNELS[name], "-m", "pytest", "-m", "rounding", "-p", "no:cacheprovider", *files)
    assert tested.returncode == 0, tested.stdout[-5000:] + tested.stderr[-1000:]
    passed = re.search(r"(\d+) passed", tested.stdout)
    cases.say(f"{name}: {passed[1]} tests" if passed else name)
    cases()
