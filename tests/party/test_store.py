"""A party's tables: every kind of source gives the same columns, and an unreadable one tells nothing of its content."""

from __future__ import annotations

import gzip
import os
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import privsdk as ps
from privsdk import dp
from privsdk.errors import DataError, InvalidArgument, UnknownName
from privsdk.governance.charges import Unit
from privsdk.party.tables import Store

PEOPLE = pa.table({"id": ["a", "b", "c", None], "age": [30, 41, 52, 7], "pay": [1.5, None, 3.0, 4.25]})
CARD = "4111-1111-1111-1111"


def parquet(folder: Path) -> Path:
    pq.write_table(PEOPLE, folder / "people.parquet")
    return folder / "people.parquet"


def csv(folder: Path) -> Path:
    pyarrow.csv.write_csv(PEOPLE, folder / "people.csv")
    return folder / "people.csv"


def zipped_csv(folder: Path) -> Path:
    path = folder / "people.csv.gz"
    path.write_bytes(gzip.compress(csv(folder).read_bytes()))
    return path


def of_two_files(folder: Path) -> Path:
    """Rows in the order of the files."""
    (folder / "people").mkdir()
    for name, rows in (("a", PEOPLE.slice(0, 2)), ("b", PEOPLE.slice(2))):
        pq.write_table(rows, folder / "people" / f"{name}.parquet")
    return folder / "people"


def in_duckdb(folder: Path) -> Path:
    with duckdb.connect(str(folder / "house.duckdb")) as connection:
        connection.register("given", PEOPLE)
        connection.execute("CREATE TABLE people AS FROM given")
    return folder / "house.duckdb"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "Arrow table": lambda _: PEOPLE,
    "Arrow table in chunks": lambda _: pa.concat_tables([PEOPLE.slice(0, 1), PEOPLE.slice(1, 0), PEOPLE.slice(1)]),
    "record batch": lambda _: PEOPLE.to_batches()[0],
    "record batch reader": lambda _: PEOPLE.to_reader(),
    "pandas": lambda _: PEOPLE.to_pandas().astype({"age": "int64"}),
    "polars": lambda _: pl.from_arrow(PEOPLE),
    "DuckDB relation": lambda _: duckdb.from_arrow(PEOPLE),
    "Parquet": parquet,
    "Parquet, as text": lambda folder: str(parquet(folder)),
    "CSV": csv,
    "CSV, zipped": zipped_csv,
    "a mapping of lists": lambda _: PEOPLE.to_pydict(),
    "polars, lazy": lambda _: pl.from_arrow(PEOPLE).lazy(),
    "Arrow dataset": lambda folder: pyarrow.dataset.dataset(of_two_files(folder)),
    "Arrow dataset in memory": lambda _: pyarrow.dataset.dataset(PEOPLE),
    "Arrow datasets": lambda folder: pyarrow.dataset.dataset([pyarrow.dataset.dataset(of_two_files(folder))] * 1),
    "folder": lambda folder: ps.files(of_two_files(folder)),
    "pattern": lambda folder: ps.files(of_two_files(folder) / "*.parquet"),
    "DuckDB table": lambda folder: ps.duckdb(in_duckdb(folder), table="people"),
    "DuckDB query": lambda folder: ps.duckdb(in_duckdb(folder), query="SELECT * FROM people ORDER BY id NULLS LAST"),
    "view": lambda folder: ps.view("SELECT * FROM raw", raw=parquet(folder)),
    "view of a view": lambda _: ps.view("SELECT * FROM a", a=ps.view("SELECT * FROM b", b=PEOPLE)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_columns_asked_for_in_their_rows_order(kind: str, tmp_path: Path) -> None:
    store = Store("north", {"people": SOURCES[kind](tmp_path)})
    assert store.names() == ("people",)
    assert store.schema("people").names == ["id", "age", "pay"]
    assert store.schema("people").metadata is None
    assert store.read("people", ("pay", "id")).to_pydict() == PEOPLE.select(["pay", "id"]).to_pydict()
    assert store.read("people", ("age",)).column_names == ["age"]
    assert store.read("people", ()).num_rows == 4


def test_the_path_of_a_file_is_a_value_and_column_names_are_names(tmp_path: Path) -> None:
    odd = PEOPLE.rename_columns(['i"d', "x; DROP TABLE y", "*"])
    path = tmp_path / "it's '; odd.parquet"
    pq.write_table(odd, path)
    store = Store("north", {"odd": path})
    for column in odd.column_names:
        assert store.read("odd", (column,)).column(0).to_pylist() == odd.column(column).to_pylist()


def test_unknown_names_list_what_exists_and_the_nearest() -> None:
    store = Store("north", {"people": PEOPLE, "prices": PEOPLE})
    with pytest.raises(UnknownName, match="no table named 'poeple' at north") as table:
        store.schema("poeple")
    assert table.value.hint == "did you mean 'people'? known: people, prices"
    with pytest.raises(UnknownName, match="no column named 'Age' in north/people") as column:
        store.read("people", ("id", "Age"))
    assert column.value.hint == "did you mean 'age'? known: age, id, pay"
    with pytest.raises(UnknownName) as far:
        store.check("people", ("zzz",))
    assert far.value.hint == "known: age, id, pay"


def test_sources_that_are_no_tables(tmp_path: Path) -> None:
    mixed = pd.DataFrame({"card": [1, CARD, 2.5]})
    for source in (PEOPLE.column("age"), pl.Series([1]), mixed):
        with pytest.raises(InvalidArgument, match=r"north/people, a .*, is no Arrow table") as refused:
            Store("north", {"people": source})
        assert CARD not in "".join(traceback.format_exception(refused.value))
    for source in ([1, 2], 7, None):
        with pytest.raises(InvalidArgument, match=r"north/people is a .*, which is not a table"):
            Store("north", {"people": source})
    with pytest.raises(UnknownName, match="there is no file"):
        Store("north", {"people": tmp_path / "none.parquet"})
    (tmp_path / "people.xlsx").write_text("")
    with pytest.raises(InvalidArgument, match=r"people\.xlsx is of no known kind") as kind:
        Store("north", {"people": tmp_path / "people.xlsx"})
    assert kind.value.hint == "known: .parquet, .csv, .csv.gz"


def test_parquet_columns_have_the_types_that_they_were_written_with(tmp_path: Path) -> None:
    """DuckDB reads decimals of more than 38 digits as floats, half floats as floats and nanoseconds as microseconds."""
    large = Decimal("12345678901234567890123456789012345678901234.01")
    written = pa.table(
        {
            "large": pa.array([large], pa.decimal256(60, 2)),
            "half": pa.array([np.float16(0.1)], pa.float16()),
            "long": pa.array([1], pa.duration("ns")),
            "wide": pa.array([2**64 - 1], pa.uint64()),
        }
    )
    pq.write_table(written, tmp_path / "exact.parquet")
    store = Store("north", {"t": tmp_path / "exact.parquet"})
    assert store.schema("t") == written.schema
    assert store.read("t", tuple(written.column_names)) == written


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
def test_an_unreadable_file_gives_no_line_of_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cards{suffix}"
    path.write_bytes(b'number,owner\n"' + CARD.encode() + b"\n" + bytes([0xFF, 0xFE, 0]) * 50 + b"\n\x00")
    with pytest.raises(InvalidArgument, match="north/cards cannot be read from cards") as refused:
        Store("north", {"cards": path})
    assert CARD not in "".join(traceback.format_exception(refused.value))


def test_a_file_that_breaks_later_gives_no_line_of_it(tmp_path: Path) -> None:
    path = tmp_path / "cards.csv"
    path.write_text("number\n" + "17\n" * 30_000)
    with ps.embedded({"north": {"cards": path}}, store=None, quiet=True) as fed:
        plan = dp.sum(fed["north"]["cards"], "number", epsilon=0.1, bounds=(0, 9))
        path.write_text("number\n" + "17\n" * 30_000 + CARD + "\n")
        with pytest.raises(InvalidArgument, match=r"north/cards cannot be read from cards\.csv") as broken:
            plan.release()
        path.unlink()
        with pytest.raises(InvalidArgument, match=r"north/cards cannot be read from cards\.csv"):
            dp.sum(fed["north"]["cards"], "number", epsilon=0.1, bounds=(0, 9)).release()
    assert CARD not in "".join(traceback.format_exception(broken.value))


def test_two_columns_of_one_name_and_a_column_called_rows(tmp_path: Path) -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["age", "age"])
    with pytest.raises(InvalidArgument, match="north/people has two columns of one name"):
        Store("north", {"people": twice})
    rows = pa.table({"rows": [1]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    for source in (rows, tmp_path / "rows.parquet"):
        with pytest.raises(InvalidArgument, match="which in grants stands for the rows themselves"):
            Store("north", {"people": source})


def test_a_changed_file_changes_the_version_and_memory_does_not(tmp_path: Path) -> None:
    path = csv(tmp_path)
    store = Store("north", {"file": path, "memory": PEOPLE})
    versions = {store.version("file")}
    for change in ("id,age,pay\na,30,1.5\n", "id,age,pay\nb,30,1.5\n", "id,age,pay\n"):
        before = path.stat().st_mtime_ns
        path.write_text(change)
        os.utime(path, ns=(before + 1_000_000, before + 1_000_000))  # a later moment, however coarse the clock is
        versions.add(store.version("file"))
    assert len(versions) == 4
    assert store.version("memory") == store.version("memory")
    with pytest.raises(UnknownName):
        store.version("none")


def test_a_table_that_changes_while_it_is_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = csv(tmp_path), Store.read

    def read_and_change(self: Store, name: str, columns: tuple[str, ...], unit: Unit) -> pa.Table:
        table = read(self, name, columns, unit)
        path.write_text(path.read_text() + "d,60,1.0\n")
        return table

    monkeypatch.setattr(Store, "read", read_and_change)
    with (
        ps.embedded({"north": {"people": path}}, store=None, quiet=True) as fed,
        pytest.raises(DataError, match="north/people changed while it was read"),
    ):
        dp.count(fed["north"]["people"], epsilon=0.1).release()
