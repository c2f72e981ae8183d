"""The quickstart against real server processes: one cell differs, the results are equal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from claims import Cases
from cluster import Cluster

from privsdk.workshop import nyc_flights

OPENS = "ps.embedded("


def cells(repository: Path) -> list[str]:
    notebook = nbformat.read(repository / "notebooks" / "00_quickstart.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def run(sources: list[str]) -> dict[str, Any]:
    """The notebook's names after running its cells, with `display` as a notebook has it."""
    names: dict[str, Any] = {"display": repr}
    for source in sources:
        exec(compile(source, "cell", "exec"), names)  # noqa: S102
    names["fed"].close()
    return names


@pytest.mark.claim("the quickstart against servers on loopback differs in one cell and gives equal results")
def test_same_cells_same_results(repository: Path, tmp_path: Path, cases: Cases) -> None:
    embedded = cells(repository)
    (opening,) = [index for index, source in enumerate(embedded) if OPENS in source]
    with Cluster(tmp_path, nyc_flights()) as cluster:
        connected = list(embedded)
        connected[opening] = f"import privsdk as ps\nfed = ps.connect({os.fspath(cluster.federation)!r})"
        ours, theirs = run(embedded), run(connected)
    assert sum(a != b for a, b in zip(embedded, connected, strict=True)) == 1
    assert ours["joint_size"] == theirs["joint_size"]
    assert ours["engines"].equals(theirs["engines"])
    assert ours["mean_delay"] == theirs["mean_delay"]
    assert np.array_equal(ours["fitted"].weights, theirs["fitted"].weights)
    assert ours["fitted"].evaluation.equals(theirs["fitted"].evaluation)
    counts = ours["dp_counts"], theirs["dp_counts"]  # each with noise of its own
    assert counts[0].schema == counts[1].schema
    assert counts[0].column(0).equals(counts[1].column(0))
    width = counts[0]["high"].to_numpy() - counts[0]["low"].to_numpy()
    assert (np.abs(counts[0]["count"].to_numpy() - counts[1]["count"].to_numpy()) <= 10 * width).all()
    cases(len(embedded))
