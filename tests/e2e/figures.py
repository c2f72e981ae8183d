"""What tutorials say of their figures is so: checked in the kernel that ran them, over the names that they leave."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from privsdk.workshop import tourism

Names = dict[str, Any]


def digits_of(text: str | None) -> str:
    return re.sub("[^0-9]", "", text or "")


def tidy(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).lower().split())


def by_document(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for row in table.to_pylist():
        if number := digits_of(row["document"]):
            found[number].append(row)
    return found


def people(table: pa.Table) -> set[tuple[str, date]]:
    return {(tidy(row["name"]), row["born"]) for row in table.to_pylist() if row["born"]}


def missing(held: dict[str, dict[str, pa.Table]]) -> list[str]:
    """Names of the contacts that the tutorial asks for and AREA lacks."""
    known = by_document(held["AREA"]["visits"])
    first, last = date(2025, 5, 1), date(2025, 5, 10)
    return [
        row["name"]
        for row in held["RAIL"]["contacts"].to_pylist()
        if row["station"] == "Gorge Halt"
        and first <= row["arrived"] <= last
        and digits_of(row["document"]) not in known
    ]


def agencies(names: Names) -> None:
    """Every figure of the joins is that of the same question in the clear."""
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


def digits(names: Names) -> None:
    """What the strategies of the tutorial on uneven data are said to do."""
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


def traffic(names: Names) -> None:
    """Where the joint forecast is said to be better, it is."""
    for row in names["found"]:
        assert row["others"] > row["week before"]
    assert {row["city"]: row["week before"] < row["federated"] for row in names["found"]}["LGA"]
    crossing = [hours for hours, alone, joint in names["curve"] if joint < alone]
    assert crossing == [25, 50, 100], "better for a week or two: 18 hours a day"
    assert 8 <= names["resumed"].resumed < 40
    assert all(row["private"] < 2 * row["federated"] for row in names["worse"].to_pylist())


CHECKS: dict[str, Callable[[Names], None]] = {"01": agencies, "03": digits, "04": traffic}
