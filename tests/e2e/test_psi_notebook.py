"""The notebook on private joins: as it is executed, in the clear, and against real server processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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

import privsdk as ps
from privsdk import psi
from privsdk.workshop import tourism

OPENS = "ps.embedded("
SHOWN = "173810425", "léa castaño"  # whose rows the tutorial shows


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


def test_figures_are_those_in_the_clear(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    exercises(names, capsys)
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


def exercises(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The right answers are within the budget that the notebook leaves, and are said to be right."""
    trips, visits, stays, key = (names[name] for name in ("trips", "visits", "stays", "by_document"))
    refused = psi.join(visits, stays, on=names["by_name"]).preview().quotes
    old_town = {"station": "Old Town"}
    capsys.readouterr()
    answers = [
        psi.cardinality(visits, stays, on=key).release().value.size,
        sum(not digits(each) for each in names["visits_"]["document"].to_pylist()),
        {party for party, quote in refused.items() if isinstance(quote, ps.PrivsdkError)},
        psi.join(stays, trips, visits, on=key),
        psi.difference(names["contacts"], visits, on=key, columns=["name"], where=old_town).release().value,
    ]
    for number, answer in enumerate(answers, start=1):
        names["check"](number, answer)
    assert capsys.readouterr().out.split("\n")[:-1] == [f"{number}: right" for number in range(1, 6)]


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


@pytest.mark.claim("canary: the notebook on private joins shows nobody but those returned and one example")
def test_nobody_else_is_shown(repository: Path, cases: Cases) -> None:
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", "--log-level", "ERROR"]
    executed = subprocess.run(
        [*command, os.fspath(notebook_file(repository))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.fspath(repository)},
    )
    notebook = nbformat.reads(executed.stdout, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = [text for output in outputs for text in (output.get("text", ""), *output.get("data", {}).values())]
    assert len([text for text in texts if text]) > 40
    said = "\n".join([*texts, *(cell.source for cell in notebook.cells)])
    words = re.findall(r"\w+", unicodedata.normalize("NFC", said).lower())
    shown = {f"{first} {second}" for first, second in pairwise(words)}
    numbers = set(re.findall(r"(?<!\d)\d{9}(?!\d)", re.sub(r"(?<=\d{3})[-. ](?=\d{3})", "", said)))

    held = tourism()
    returned = {tidy(name) for name in missing(held)}
    assert len(returned & shown) >= 5, "or nothing would be found in any case"
    for table in (table for tables in held.values() for table in tables.values()):
        for row in table.to_pylist():
            number = digits(row["document"])
            assert number == SHOWN[0] or number not in numbers
            assert digits(row.get("phone")) == "" or digits(row["phone"]) not in numbers
            assert tidy(row["name"]) not in shown - returned - {SHOWN[1]}
            cases()
