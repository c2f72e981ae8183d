"""Workshop data: who holds what, and that nothing is lost or held twice."""

from __future__ import annotations

import importlib.util

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


@pytest.mark.parametrize("load", [workshop.nyc_flights, workshop.lending_club, workshop.airlines])
def test_missing_data_says_what_to_install(load: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidArgument, match="workshop data is not installed") as refused:
        load()  # type: ignore[operator]
    assert "workshop" in str(refused.value.hint)
