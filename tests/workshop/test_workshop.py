"""Workshop data: who holds what, and that nothing is lost or held twice."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from privsdk import workshop
from privsdk.errors import InvalidArgument


def test_each_loan_is_with_its_region_or_the_bureau() -> None:
    parties = workshop.lending_club()
    assert set(parties) == {*workshop.REGIONS, "BUREAU"}
    assert sum(table.num_rows for tables in parties.values() for table in tables.values()) == 9857
    for region, states in workshop.REGIONS.items():
        loans = parties[region]["loans"]
        assert loans.schema == parties["BUREAU"]["history"].schema
        assert set(loans["state"].to_pylist()) <= set(states)
        assert loans.num_rows > 1000
        assert sum(column.null_count for column in loans.columns) == 0
    assert pc.sum(parties["BUREAU"]["history"]["bad"]).as_py() == 179
    states = [state for region in workshop.REGIONS.values() for state in region]
    assert len(states) == len(set(states)) == 51


def test_values_are_what_their_names_say() -> None:
    loans = pa.concat_tables(table for tables in workshop.lending_club().values() for table in tables.values())
    assert set(loans["term"].to_pylist()) == {36, 60}
    assert loans.schema.field("bad").type == pa.bool_()
    for name, (low, high) in {"amount": (1000, 40_000), "rate": (5.32, 28.99), "new_loans": (0, 30)}.items():
        assert pc.min_max(loans[name]).as_py() == {"min": low, "max": high}


def test_each_hour_counts_its_departures_and_those_before() -> None:
    hours = {party: tables["hours"] for party, tables in workshop.hourly_departures().items()}
    flights = {party: tables["flights"] for party, tables in workshop.nyc_flights().items() if party in hours}
    for airport, table in hours.items():
        assert pc.sum(table["departures"]).as_py() == flights[airport].num_rows
        assert 6000 < table.num_rows < 7500
        assert set(table["weekday"].to_pylist()) == set(range(1, 8))
        rows = table.to_pylist()
        assert (rows[0]["month"], rows[0]["weekday"], rows[0]["day_before"]) == (1, 2, None)  # Tuesday, 1 January 2013
        month = [row for row in rows if row["month"] == 6 and row["hour"] == 12]
        assert len(month) == 30
        for earlier, later in pairwise(month):
            assert later["day_before"] == earlier["departures"]
        for earlier, later in zip(month, month[7:], strict=False):
            assert later["week_before"] == earlier["departures"]


def test_each_party_mostly_sees_one_digit_and_none_is_held_twice() -> None:
    parties, test = workshop.digits(seed=3)
    held = [tables["digits"] for tables in parties.values()]
    for digit, table in enumerate(held):
        labels = table["digit"].to_pylist()
        assert (len(labels), labels.count(digit)) == (400, 320)
        assert all(7 < labels.count(other) < 10 for other in range(10) if other != digit)
    assert sorted(test["digit"].to_pylist()) == sorted(list(range(10)) * 100)
    images = pa.concat_tables([*held, test])["pixels"].combine_chunks().flatten().to_numpy().reshape(-1, 784)
    assert images.max() == 255
    assert len(images) == 5000
    whole = workshop.digits(seed=4)
    assert not whole.test.equals(test)
    tables = [*(tables["digits"] for tables in whole.parties.values()), whole.test]
    again = pa.concat_tables(tables)["pixels"].combine_chunks().flatten().to_numpy().reshape(-1, 784)
    assert sorted(map(bytes, images)) == sorted(map(bytes, again))
    assert workshop.digits(seed=3).test.equals(test)


@pytest.mark.parametrize(
    "load",
    [
        workshop.nyc_flights,
        workshop.lending_club,
        workshop.airlines,
        workshop.hourly_departures,
        workshop.digits,
    ],
)
def test_missing_data_says_what_to_install(load: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidArgument, match="workshop data is not installed") as refused:
        load()  # type: ignore[operator]
    assert "workshop" in str(refused.value.hint)


def numbers(table: pa.Table) -> set[str]:
    """The digits of its documents, without those that have none."""
    return {re.sub("[^0-9]", "", each or "") for each in table["document"].to_pylist()} - {""}


def test_invented_people_are_the_same_each_time_and_have_rows_at_one_agency_or_more() -> None:
    parties = workshop.tourism()
    again = workshop.tourism()
    assert {party: list(tables) for party, tables in parties.items()} == {
        "RAIL": ["trips", "contacts"], "AREA": ["visits"], "HOTELS": ["stays"]
    }  # fmt: skip
    assert all(table.equals(again[party][name]) for party, tables in parties.items() for name, table in tables.items())
    trips, visits, stays = parties["RAIL"]["trips"], parties["AREA"]["visits"], parties["HOTELS"]["stays"]
    held = numbers(trips), numbers(visits), numbers(stays)
    assert len(set.union(*held)) <= 6000
    assert 500 < len(set.intersection(*held)) < min(len(a & b) for a, b in zip(held, (*held[1:], held[0]), strict=True))
    contacts = parties["RAIL"]["contacts"]
    assert numbers(contacts) < numbers(trips)
    assert len(numbers(contacts)) == contacts.num_rows
    calls = {int(phone.replace(" ", "")) - workshop.EXCHANGE for phone in trips["phone"].to_pylist()}
    assert calls <= set(range(10_000))


def test_invented_people_are_written_down_as_carelessly_as_described() -> None:
    parties = workshop.tourism()
    trips, visits, stays = parties["RAIL"]["trips"], parties["AREA"]["visits"], parties["HOTELS"]["stays"]
    assert not numbers(trips) <= set(trips["document"].to_pylist())
    assert any(name != unicodedata.normalize("NFC", name) for name in visits["name"].to_pylist())
    assert all(name == unicodedata.normalize("NFC", name) for name in trips["name"].to_pylist())
    assert "n/a" in visits["document"].to_pylist()
    assert visits["document"].null_count > 100
    assert trips["born"].null_count > 0
    assert any("\u00a0" in name for name in stays["name"].to_pylist())
    assert trips.num_rows > len(numbers(trips))
    assert set(trips["home"].to_pylist()) == set(workshop.HOMES)
