"""The notebook on private joins: as it is executed, in the clear, and against real server processes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
import pytest
from claims import Cases
from cluster import Cluster
from tutorials import execute, read, said

import privsdk as ps
from privsdk.workshop import tourism

OPENS = "ps.embedded("
EXAMPLE = "482913772"  # of nobody: the tutorial writes it down itself


def notebook_file(repository: Path) -> Path:
    return repository / "notebooks" / "01_psi_three_agencies.ipynb"


def cells(repository: Path) -> list[str]:
    """The code without what takes times, and without the end."""
    notebook = nbformat.read(notebook_file(repository), as_version=4)
    sources = [c.source for c in notebook.cells if c.cell_type == "code"]
    return [source for source in sources if "def seconds(" not in source and source != "fed.close()"]


def run(sources: list[str]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for source in sources:
        exec(compile(source, "cell", "exec"), names)  # noqa: S102
    return names


def digits(text: str | None) -> str:
    return re.sub("[^0-9]", "", text or "")


def by_document(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for row in table.to_pylist():
        if number := digits(row["document"]):
            found[number].append(row)
    return found


def tidy(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).lower().split())


def people(table: pa.Table) -> set[tuple[str, date]]:
    return {(tidy(row["name"]), row["born"]) for row in table.to_pylist() if row["born"]}


def test_figures_are_those_in_the_clear(repository: Path) -> None:
    names = run(cells(repository))
    held = tourism()
    trips, visits, stays = (
        by_document(held[p][t]) for p, t in (("RAIL", "trips"), ("AREA", "visits"), ("HOTELS", "stays"))
    )
    two = trips.keys() & visits.keys()
    three = two & stays.keys()
    raw = set(held["RAIL"]["trips"]["document"].to_pylist()) & set(held["AREA"]["visits"]["document"].to_pylist())
    assert names["first"].value.size == len(raw - {None})
    assert names["shared"].size == names["joint"].size == names["forced"].value.size == len(two)
    assert names["named"].size == len(people(held["RAIL"]["trips"]) & people(held["AREA"]["visits"]))
    assert names["everyone"].size == len(three)
    assert (names["joint"].protocol, names["forced"].value.protocol) == ("kkrt", "ddh")

    nights = defaultdict(list)
    for number in three:
        nights[trips[number][0]["home"]] += [row["nights"] for row in stays[number]]
    assert sorted(home for home, each in nights.items() if len(each) < 20) == ["Islands"]
    assert names["nights"].value.to_pylist() == [
        {"RAIL.home": home, "count": len(each), "mean": pytest.approx(sum(each) / len(each))}
        for home, each in sorted(nights.items())
        if home not in ("Islands", "Plains")
    ]
    spent = defaultdict(list)
    for number in two:
        spent[trips[number][0]["home"]] += [row["spent"] for row in visits[number]]
    assert {row["RAIL.home"]: row["mean"] for row in names["spending"].value.to_pylist()} == {
        home: pytest.approx(sum(each) / len(each)) for home, each in spent.items()
    }
    assert sorted(row["name"] for row in names["new"].table.to_pylist()) == sorted(missing(held))
    names["fed"].close()


def missing(held: dict[str, dict[str, pa.Table]]) -> list[str]:
    """Names of the contacts that the notebook asks for and AREA lacks."""
    known = by_document(held["AREA"]["visits"])
    first, last = date(2025, 5, 1), date(2025, 5, 10)
    return [
        row["name"]
        for row in held["RAIL"]["contacts"].to_pylist()
        if row["station"] == "Gorge Halt" and first <= row["arrived"] <= last and digits(row["document"]) not in known
    ]


def test_same_cells_same_results(repository: Path, tmp_path: Path) -> None:
    embedded = cells(repository)
    (opening,) = [index for index, source in enumerate(embedded) if OPENS in source]
    before = run(embedded[:opening])
    policies = {"RAIL": before["rail"], "AREA": before["area"], "HOTELS": before["hotels"]}
    options: dict[str, Any] = {"policy": policies, "budget": ps.Budget(exact=12), "purpose": "visitor study"}
    with Cluster(tmp_path, before["parties"], **options) as cluster:
        connected = list(embedded)
        connected[opening] = f"fed = ps.connect({os.fspath(cluster.federation)!r})"
        theirs = run(connected)  # whose own checks compare all figures with those in the clear
        assert theirs["everyone"].size == 699
        assert {balance.dataset: balance.exact_left for balance in theirs["fed"].budgets()["RAIL"]} == {
            "contacts": 11,
            "trips": 0,
        }
        theirs["fed"].close()


@pytest.mark.claim("canary: the notebook on private joins shows nobody, not even whom it got back")
def test_nobody_is_shown(tmp_path: Path, cases: Cases) -> None:
    executed = execute(read("01_psi_three_agencies"), tmp_path)
    texts = [text for cell in executed.cells for text in said(cell) if text]
    assert len(texts) > 40
    names, numbers = shown("\n".join([*texts, *(cell.source for cell in executed.cells)]))
    assert "zoë muster" in names, "or nothing would be found in any case"
    assert EXAMPLE in numbers
    for table in (table for tables in tourism().values() for table in tables.values()):
        for row in table.to_pylist():
            assert digits(row["document"]) not in numbers
            assert digits(row.get("phone")) == "" or digits(row["phone"]) not in numbers
            assert tidy(row["name"]) not in names
            cases()


def shown(text: str) -> tuple[set[str], set[str]]:
    """Two words one after the other, which a name may be, and numbers of nine digits however they are written."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", text).lower())
    pairs = {f"{first} {second}" for first, second in pairwise(words)}
    return pairs, set(re.findall(r"(?<!\d)\d{9}(?!\d)", re.sub(r"(?<=\d{3})[-. ](?=\d{3})", "", text)))
