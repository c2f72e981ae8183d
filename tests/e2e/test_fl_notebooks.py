"""The notebooks on federated learning: what they say of their figures is so, and the same against server processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import numpy as np
import pyarrow as pa
import pytest
from cluster import Cluster

import privsdk as ps

OPENS = "ps.embedded("
DIGITS, TRAFFIC = "03_fedavg_non_iid.ipynb", "04_traffic_three_cities.ipynb"


def cells(repository: Path, name: str, until: str = "") -> list[str]:
    """The code without pictures and without the end; up to a heading where one is given."""
    notebook = nbformat.read(repository / "notebooks" / name, as_version=4)
    end = len(notebook.cells)
    if until:
        (end,) = [i for i, cell in enumerate(notebook.cells) if until in cell.source and cell.cell_type == "markdown"]
    code = [cell.source for cell in notebook.cells[:end] if cell.cell_type == "code"]
    return [source for source in code if "plt." not in source]


def run(sources: list[str]) -> dict[str, Any]:
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names: dict[str, Any] = {"plt": plt}
    for source in sources:
        if "fed.close()" not in source:
            exec(compile(source, "cell", "exec"), names)  # noqa: S102
    return names


@pytest.mark.lengthy  # nbmake executes it in any case
@pytest.mark.claim("tutorial 03: what it says of its figures is so")
def test_digits(repository: Path) -> None:
    names = run(cells(repository, DIGITS))
    accuracy, models = names["accuracy"], names["models"]
    scores = {name: accuracy(fitted) for name, fitted in models.items()}
    assert max(names["own"].values()) < scores["FedAvg"] < accuracy(names["pooled"]) - 0.05
    by_epochs = [row["accuracy"] for row in names["drift"]]
    assert by_epochs == sorted(by_epochs, reverse=True), "the longer they train on their own, the worse"
    assert by_epochs[0] > by_epochs[-1] + 0.05
    assert abs(scores["SCAFFOLD"] - scores["FedAvg"]) < 0.03, "too little to call it better"
    assert max(scores["FedProx"], scores["FedAdam"]) < scores["FedAvg"]
    assert names["without"].history["clients"].to_pylist() == [10] * 3 + [9] * 7
    assert accuracy(names["before"]) > accuracy(names["robust"]) > accuracy(names["harmed"]) + 0.1
    assert scores["FedAvg"] > accuracy(names["harmed"]) + 0.15
    assert abs(accuracy(names["noisy"]) - accuracy(names["plain"])) < 0.15, "the noise is drawn anew each time"
    assert min(row["epsilon"] for row in names["pricing"].to_pylist()) > 8
    names["fed"].close()
    names["private"].close()


def test_traffic(repository: Path) -> None:
    names = run(cells(repository, TRAFFIC))
    for row in names["found"]:
        assert row["others"] > row["week before"]
    assert {row["city"]: row["week before"] < row["federated"] for row in names["found"]}["LGA"]
    crossing = [hours for hours, alone, joint in names["curve"] if joint < alone]
    assert crossing == [25, 50, 100], "better for a week or two: 18 hours a day"
    assert 8 <= names["resumed"].resumed < 40
    assert all(row["private"] < 2 * row["federated"] for row in names["worse"].to_pylist())
    names["fed"].close()
    names["private"].close()


def test_traffic_is_the_same_over_the_network(repository: Path, tmp_path: Path) -> None:
    embedded = cells(repository, TRAFFIC, until="## 4. A new city")
    (opening,) = [index for index, source in enumerate(embedded) if OPENS in source]
    ours = run(embedded)
    tables: dict[str, dict[str, pa.Table]] = {city: {"hours": table} for city, table in ours["train"].items()}
    with Cluster(tmp_path, {**tables, "OFFICE": {}}, budget=ps.Budget(exact=300)) as cluster:
        connected = list(embedded)
        connected[opening] = f"fed = ps.connect({os.fspath(cluster.federation)!r})"
        theirs = run(connected)
        assert np.array_equal(ours["joint"].weights, theirs["joint"].weights)
        assert ours["found"] == theirs["found"]
        theirs["fed"].close()
    ours["fed"].close()
