"""The federation's part of the notebook on encryption against real server processes: one cell differs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from cluster import Cluster

OPENS = "ps.embedded("


def cells(repository: Path) -> list[str]:
    """The code up to the encrypted columns, which need no federation; without its pictures."""
    notebook = nbformat.read(repository / "notebooks" / "02_he_anti_fraud.ipynb", as_version=4)
    (end,) = [index for index, cell in enumerate(notebook.cells) if "## 7. Encrypted columns" in cell.source]
    return [c.source for c in notebook.cells[:end] if c.cell_type == "code" and "plt." not in c.source]


def run(sources: list[str]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for source in sources:
        exec(compile(source, "cell", "exec"), names)  # noqa: S102
    names["fed"].close()
    return names


def test_same_cells_same_results(repository: Path, tmp_path: Path) -> None:
    embedded = cells(repository)
    (opening,) = [index for index, source in enumerate(embedded) if OPENS in source]
    ours = run(embedded)
    tables = {**ours["parties"], "BUREAU": {"model": ours["model"]}, "NOTARY": {}}
    with Cluster(tmp_path, tables) as cluster:
        connected = list(embedded)
        connected[opening] = f"fed = ps.connect({os.fspath(cluster.federation)!r})"
        theirs = run(connected)
    assert ours["stacking"].value.equals(theirs["stacking"].value)
    assert ours["bins"].equals(theirs["bins"])
    assert ours["rate"] == theirs["rate"]
    assert np.array_equal(ours["correlations"].values, theirs["correlations"].values)
    assert ours["scored"].value.table.equals(theirs["scored"].value.table)
