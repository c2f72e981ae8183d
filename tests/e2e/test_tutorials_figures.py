"""Figures that the tutorials state in words: they are those of the data and of the mathematics."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tutorials import read

import privsdk as ps
from privsdk import dp, he
from privsdk.workshop import lending_club, nyc_flights, tourism


def prose(name: str) -> str:
    """The text of a tutorial, with single spaces."""
    return " ".join(" ".join(cell.source.split()) for cell in read(name).cells if cell.cell_type == "markdown")


def share(rows: pa.Table) -> float:
    return float(pc.mean(rows["bad"].cast(pa.int64())).as_py())


def test_lenders() -> None:
    text, parties = prose("02_he_anti_fraud"), lending_club()
    history = parties.pop("BUREAU")["history"]
    lenders = [tables["loans"] for tables in parties.values()]
    pooled = pa.concat_tables(lenders)
    assert "9,857 real loans" in text
    assert (pooled.num_rows + history.num_rows, pooled.num_rows) == (9_857, 6_571)
    by_new = [share(pooled.filter(pc.equal(pooled["new_loans"], new))) for new in range(7)]
    assert "Together it is a line from 3% to 10%" in text
    assert (round(100 * by_new[0]), round(100 * by_new[6])) == (3, 10)
    assert all(before < after for before, after in pairwise(by_new))
    alone = [
        share(found)
        for loans in lenders
        for new in range(3, 10)
        if (found := loans.filter(pc.equal(loans["new_loans"], new))).num_rows
    ]
    assert "up to 50% at one of them" in text
    assert max(alone) == 0.5
    assert sum(value == 0.5 for value in alone) == 1


@pytest.mark.parametrize(("limbs", "bytes_a_value"), [(1, 14), (3, 43)])
def test_bytes_of_an_encrypted_value(limbs: int, bytes_a_value: int) -> None:
    assert "One limb costs 14 bytes a value, three 43." in prose("02_he_anti_fraud")
    owed = he.Range(bound=52_000, length=100_000)
    presets = [
        he.choose(lambda owed: owed.mean(), error=error, scheme="exact", owed=owed)
        for error in (10, 1e-1, 1e-3, 1e-5, 1e-7, 1e-9)
    ]
    found = {p.limbs: round(math.ceil(owed.length / p.values_a_row) * p.row_bytes() / owed.length) for p in presets}
    assert found[limbs] == bytes_a_value


def test_departures() -> None:
    jfk = nyc_flights()["JFK"]["flights"]
    text = prose("05_budgets")
    assert "You hold a table of 111,279 departures" in prose("06_data_owner")
    assert jfk.num_rows == 111_279
    there = jfk.filter(pc.equal(jfk["distance"], 1894))
    assert "only Jackson Hole is exactly that far" in text
    assert set(there["dest"].to_pylist()) == {"JAC"}
    assert 0 < there.num_rows < 10
    assert "Some flights left up to 21 hours late" in text
    assert 21 <= pc.max(jfk["dep_delay"]).as_py() / 60 < 22
    median = float(np.nanmedian(jfk["dep_delay"].cast(pa.float64()).to_numpy()))
    assert "Half of the flights left before their schedule or hardly after it" in text
    assert median <= 0


def test_errors_and_certainties() -> None:
    with ps.embedded(JFK={"flights": pa.table({"x": [1]})}, store=None, quiet=True) as fed:
        widths = {
            epsilon: round(dp.count(fed["JFK"]["flights"], epsilon=epsilon).outlook.half_width(rows=1))
            for epsilon in (0.1, 0.25, 0.5)
        }
    assert widths == {0.1: 30, 0.25: 12, 0.5: 6}
    assert "an error of at most 6 at epsilon 0.5" in prose("00_quickstart")
    assert "An error of 6 is nothing for a large carrier" in prose("05_budgets")
    assert "At epsilon 0.1 the error of a count is about 30." in prose("05_budgets")
    assert "they can be 62.2% sure" in prose("05_budgets")
    assert round(100 * certainty(0.5), 1) == 62.2
    assert "may be 90% sure after it" in prose("04_traffic_three_cities")
    assert 0.88 < certainty(2.0) < 0.9 < certainty(2.61) < 0.94


def certainty(epsilon: float) -> float:
    """How sure somebody can be of what they gave 50%."""
    return math.exp(epsilon) / (1 + math.exp(epsilon))


def test_the_example_person_is_in_no_list() -> None:
    said = prose("01_psi_three_agencies")
    assert "is in none of the lists" in said
    for tables in tourism().values():
        for table in tables.values():
            assert not [name for name in table["name"].to_pylist() if "muster" in name.lower()]


def test_weights_of_the_two_models_of_digits() -> None:
    assert "six times as many weights" in prose("03_fedavg_non_iid")
    large, small = 784 * 64 + 64 + 64 * 10 + 10, 784 * 10 + 10
    assert 6 <= large / small < 7
