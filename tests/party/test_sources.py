"""Sources: a new one is one entry of the registry, and its tables are asked about like any other."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import privsdk as ps
from privsdk.deploy.config import ServedTable
from privsdk.errors import InvalidArgument
from privsdk.party import tables as sources
from privsdk.party.tables import Store


class Numbers:
    """The numbers below the one in an address such as numbers://100."""

    changes = 0

    def __init__(self, where: str, given: str) -> None:
        self.count = int(given.removeprefix("numbers://"))
        self.asked: list[tuple[str, ...]] = []
        self.schema = pa.schema([("n", pa.int64()), ("half", pa.int64())])

    def version(self) -> str:
        return str(self.changes)

    def read(self, columns: tuple[str, ...]) -> pa.Table:
        self.asked.append(columns)
        numbers = pa.array(range(self.count))
        return pa.table({"n": numbers, "half": pa.array([n // 2 for n in range(self.count)])}).select(list(columns))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SOURCES", {**sources.SOURCES, "numbers://": Numbers})


def test_a_registered_source_is_asked_about_like_a_file() -> None:
    with ps.embedded(north={"numbers": "numbers://100"}, store=None, quiet=True) as fed:
        table = fed["north"]["numbers"]
        assert table.columns == {"n": "int64", "half": "int64"}
        assert table.sum("n").release().value["sum"].to_pylist() == [4950]


def test_the_store_asks_it_for_the_columns_that_are_wanted_and_for_its_version() -> None:
    store = Store("north", {"numbers": "numbers://3"})
    source = store._sources["numbers"]
    assert isinstance(source, Numbers)
    assert store.read("numbers", ("half",)).to_pydict() == {"half": [0, 0, 1]}
    assert source.asked == [("half",)]
    first = store.hashes("numbers", ("n",))
    assert store.hashes("numbers", ("n",)) is first
    source.changes = 1
    assert store.version("numbers") == "1"
    assert store.hashes("numbers", ("n",)) is not first


def test_an_unregistered_scheme_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.orc").touch()
    with pytest.raises(InvalidArgument, match=r"north/t: t\.orc is of no known kind") as refused:
        Store("north", {"t": tmp_path / "t.orc"})
    assert "known: .parquet, .csv, .csv.gz, numbers://" in str(refused.value)


def test_in_party_toml_an_address_is_no_file_beside_it(tmp_path: Path) -> None:
    assert ServedTable(path="numbers://3").place(tmp_path) == "numbers://3"
    assert ServedTable(path="t.csv").place(tmp_path) == tmp_path / "t.csv"
