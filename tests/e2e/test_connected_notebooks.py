"""Tutorials against real server processes: the cell that opens the federation differs, and the results are equal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from claims import Cases
from cluster import Cluster
from tutorials import read

import privsdk as ps
from privsdk.workshop import nyc_flights

OPENS = "ps.embedded("
Names = dict[str, Any]


@dataclass(frozen=True)
class Tutorial:
    """Which cells run, what the servers serve, and what must be equal."""

    name: str
    tables: Callable[[Names], dict[str, Any]]
    equal: Callable[[Names, Names], None]
    until: str = ""  # a heading
    options: Callable[[Names], Names] = field(default=lambda names: {})


def cells(tutorial: Tutorial) -> list[str]:
    """The code up to the heading, without pictures, what takes times, and the end."""
    all_cells = read(tutorial.name).cells
    headings = [
        at for at, cell in enumerate(all_cells) if cell.cell_type == "markdown" and tutorial.until in cell.source
    ]
    end = headings[0] if tutorial.until else None
    code = [cell.source for cell in all_cells[:end] if cell.cell_type == "code"]
    return [c for c in code if not any(word in c for word in ("plt.", "def seconds(", "fed.close()"))]


def run(sources: list[str], **given: Any) -> Names:
    """The names that the cells leave, with `display` as a notebook has it."""
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names: Names = {"plt": plt, "display": repr, **given}
    for source in sources:
        exec(compile(source, "cell", "exec"), names)  # noqa: S102
    return names


def quickstart(ours: Names, theirs: Names) -> None:
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


def agencies(ours: Names, theirs: Names) -> None:
    assert theirs["everyone"].size == ours["everyone"].size == 699
    spent, embedded = ({b.dataset: b.exact_spent for b in names["fed"].budgets()["RAIL"]} for names in (theirs, ours))
    assert spent == embedded
    assert spent["trips"] > 0


def lenders(ours: Names, theirs: Names) -> None:
    assert ours["stacking"].value.equals(theirs["stacking"].value)
    assert ours["bins"].equals(theirs["bins"])
    assert ours["rate"] == theirs["rate"]
    assert np.array_equal(ours["correlations"].values, theirs["correlations"].values)
    assert ours["scored"].value.table.equals(theirs["scored"].value.table)


def traffic(ours: Names, theirs: Names) -> None:
    assert np.array_equal(ours["joint"].weights, theirs["joint"].weights)
    assert ours["found"] == theirs["found"]


TUTORIALS = (
    Tutorial("00_quickstart", lambda names: nyc_flights(), quickstart),
    Tutorial(
        "01_psi_three_agencies",
        lambda names: names["parties"],
        agencies,
        options=lambda names: {
            "policy": {"RAIL": names["rail"], "AREA": names["area"], "HOTELS": names["hotels"]},
            "budget": ps.Budget(exact=12),
            "purpose": "visitor study",
        },
    ),
    Tutorial(
        "02_he_anti_fraud",
        lambda names: {**names["parties"], "BUREAU": {"model": names["model"]}, "NOTARY": {}},
        lenders,
        until="## 7. Encrypted columns",  # which need no federation
    ),
    Tutorial(
        "04_traffic_three_cities",
        lambda names: {**{city: {"hours": table} for city, table in names["train"].items()}, "OFFICE": {}},
        traffic,
        until="## 4. A new city",
        options=lambda names: {"budget": ps.Budget(exact=300)},
    ),
)


@pytest.mark.lengthy
@pytest.mark.claim("the quickstart against servers on loopback differs in one cell and gives equal results")
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda tutorial: tutorial.name)
def test_same_cells_same_results(tutorial: Tutorial, tmp_path: Path, cases: Cases) -> None:
    embedded = cells(tutorial)
    (opening,) = [index for index, source in enumerate(embedded) if OPENS in source]
    ours = run(embedded)
    with Cluster(tmp_path, tutorial.tables(ours), **tutorial.options(ours)) as cluster:
        connected = list(embedded)
        connected[opening] = f"import privsdk as ps\nfed = ps.connect({os.fspath(cluster.federation)!r})"
        theirs = run(connected)
        tutorial.equal(ours, theirs)
    assert sum(a != b for a, b in zip(embedded, connected, strict=True)) == 1
    cases(len(embedded))
