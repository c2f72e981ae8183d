"""The tutorials as tests meet them: which there are, their exercises and solutions, and a run of one in a kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(file.stem for file in NOTEBOOKS.glob("[0-9]*.ipynb"))
UNANSWERED = "answer = None\n"
_CHECKED = re.compile(r'exercises\.check\("(\d\d\.\d)", answer\)')


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def exercise_of(cell: nbformat.NotebookNode) -> str:
    """The number of the exercise that a cell checks, or ""."""
    found = _CHECKED.search(cell.source) if cell.cell_type == "code" else None
    return found[1] if found else ""


def solutions() -> dict[str, str]:
    """The code of docs/workshop/solutions.md by exercise."""
    text = (ROOT / "docs" / "workshop" / "solutions.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^### (\d\d\.\d)\n.*?^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))


def solved(name: str) -> nbformat.NotebookNode:
    """The notebook with its exercises answered."""
    notebook, known = read(name), solutions()
    for cell in notebook.cells:
        if exercise := exercise_of(cell):
            assert cell.source.startswith(UNANSWERED)
            cell.source = cell.source.replace(UNANSWERED, known[exercise])
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run it in a kernel of its own; whatever is raised in a cell fails the run."""
    client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": os.fspath(folder)}})
    return client.execute(env={**os.environ, "PYTHONPATH": os.fspath(ROOT)})


def said(cell: nbformat.NotebookNode) -> list[str]:
    """All that a cell's outputs hold, as text, in each form that it is given in."""
    texts: list[Any] = []
    for output in cell.get("outputs", ()):
        texts += [output.get("text", ""), *output.get("data", {}).values(), *output.get("traceback", ())]
    return [text if isinstance(text, str) else repr(text) for text in texts]
