"""Every notebook runs once, as it is shipped, in a kernel of its own: no cell fails, no row shows, its figures are so.

The executed notebooks are left in build/notebooks, which the documentation shows.
"""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from claims import Cases
from figures import CHECKS
from leaks import leaks, rare, rows_of
from tutorials import NAMES, ROOT, execute, read, said

BUILT = ROOT / "build" / "notebooks"
HERE = Path(__file__).parent


@pytest.mark.claim("every notebook runs as it is shipped, shows no row, and its figures are what it says")
@pytest.mark.parametrize("name", ["index", *NAMES])
def test_runs(name: str, tmp_path: Path, cases: Cases) -> None:
    notebook = read(name)
    if check := CHECKS.get(name[:2]):
        asked = f"import sys\nsys.path.append({os.fspath(HERE)!r})\nimport figures\nfigures.{check.__name__}(globals())"
        notebook.cells.append(nbformat.v4.new_code_cell(asked))
    executed = execute(notebook, tmp_path)
    if check:
        executed.cells.pop()
    BUILT.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed, BUILT / f"{name}.ipynb")
    values = set().union(*map(rare, rows_of(name)))
    assert len(values) > 20 or name.startswith(("01", "03", "index"))
    for cell in executed.cells:
        for text in said(cell):
            assert not leaks(text, values), f"{name} shows {leaks(text, values)} after {cell.source[:60]!r}"
            cases()
