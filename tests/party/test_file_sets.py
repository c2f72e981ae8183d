"""Folders and patterns as one table: only where declared, of one schema, in one order, and of one version."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from claims import Cases

import privsdk as ps
from privsdk import dp
from privsdk.deploy.config import PartyConfig, TableSource, read_config
from privsdk.errors import DataError, InvalidArgument, PrivsdkError
from privsdk.governance.charges import Unit
from privsdk.party.tables import Store


def written(folder: Path, **tables: Any) -> Path:
    """A folder with these Parquet files."""
    for name, columns in tables.items():
        path = folder / f"{name.replace('__', '/')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
    return folder


def store_of(given: Any) -> Store:
    return Store("north", {"t": given})


def values_of(store: Store) -> dict[str, list[Any]]:
    return store.read("t", tuple(store.schema("t").names)).to_pydict()


@pytest.fixture
def years(tmp_path: Path) -> Path:
    for year in (2023, 2024):
        written(tmp_path / "sales" / f"year={year}" / "day=2024-01-31", a={"n": [year]}, b={"n": [-year]})
    return tmp_path / "sales"


@pytest.mark.claim("sources: several files are one table only where they are declared as such")
def test_a_plain_path_is_exactly_one_file(tmp_path: Path, cases: Cases) -> None:
    folder = written(tmp_path / "x.parquet", a={"n": [1]}, b={"n": [2]})
    for path in (folder, folder / "*.parquet", folder / "?.parquet"):
        with pytest.raises(InvalidArgument, match="a path is of one file") as refused:
            store_of(path)
        assert f'ps.files("{path}")' in refused.value.hint
        cases()
    odd = written(tmp_path, **{"[ab]": {"n": [3]}, "a": {"n": [4]}, "year=2024__c": {"n": [5]}})
    assert values_of(store_of(odd / "[ab].parquet")) == {"n": [3]}
    assert values_of(store_of(odd / "year=2024" / "c.parquet")) == {"n": [5]}  # no column that nobody declared
    assert values_of(store_of(ps.files(odd / "year=*" / "*.parquet"))) == {"n": [5]}


def test_columns_that_folders_names_say(years: Path) -> None:
    store = store_of(ps.files(years, hive={"year": "int32", "day": "date32"}))
    day = date(2024, 1, 31)
    assert values_of(store) == {
        "n": [2023, -2023, 2024, -2024],
        "year": [2023, 2023, 2024, 2024],
        "day": [day, day, day, day],
    }
    assert store.read("t", ("year",)).to_pydict() == {"year": [2023, 2023, 2024, 2024]}
    assert store.schema("t").field("year").type == pa.int32()
    assert store.read("t", ()).num_rows == 4
    view = ps.view(
        "SELECT year, n FROM raw WHERE year = 2024", raw=ps.files(years, hive={"year": "int32", "day": "date32"})
    )
    assert values_of(store_of(view)) == {"year": [2024, 2024], "n": [2024, -2024]}


def test_a_missing_value_and_an_escaped_one_in_a_folders_name(tmp_path: Path) -> None:
    for name, n in (("k=__HIVE_DEFAULT_PARTITION__", 1), ("k=a%2Fb", 2)):
        (tmp_path / "t" / name).mkdir(parents=True)
        pq.write_table(pa.table({"n": [n]}), tmp_path / "t" / name / "x.parquet")
    assert values_of(store_of(ps.files(tmp_path / "t", hive={"k": "string"}))) == {"n": [1, 2], "k": [None, "a/b"]}


def test_csv_files_are_read_as_declared(tmp_path: Path) -> None:
    for name, rows in (("1", "a;01/02/2024\n"), ("2", "b;13/02/2024\n")):
        (tmp_path / f"{name}.csv").write_text(f"k;d\n{rows}")
    how: dict[str, Any] = {"types": {"d": "date32"}, "dates": "%d/%m/%Y", "delimiter": ";"}
    days = [date(2024, 2, 1), date(2024, 2, 13)]
    assert values_of(store_of(ps.files(tmp_path, **how))) == {"k": ["a", "b"], "d": days}
    with pytest.raises(InvalidArgument, match=r"ps\.files: .*dtypes"):
        ps.files(tmp_path, dtypes={})


N = {"n": [1]}
WRONG: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no match": (lambda f: ps.files(f / "*.parquet"), r"no file fits .*parquet", "write a pattern"),
    "empty folder": (lambda f: ps.files(f / "none"), "no file fits", "check the folder"),
    "folders below": (lambda f: ps.files(written(f, a=N, year__b=N)), r"year/b\.parquet lies", "hive ="),
    "hive too deep": (
        lambda f: ps.files(written(f, **{"y=1__z=2__b": {"n": [1]}}), hive={"y": "int32"}),
        r"y=1/z=2/b\.parquet lies in a folder below",
        "folder/\\*\\*/",
    ),
    "no such key": (lambda f: ps.files(written(f, **{"y=1__b": N}), hive={"x": "int32"}), "what x is", "x is int32"),
    "another type": (lambda f: ps.files(written(f, **{"y=a__b": N}), hive={"y": "int32"}), "what y is", "y is int32"),
    "a column less": (
        lambda f: ps.files(written(f, a={"n": [1], "m": [2]}, b={"n": [1]})),
        r"m of b\.parquet is missing, and int64 in the first file",
        "view of casts",
    ),
    "a column more": (
        lambda f: ps.files(written(f, a={"n": [1]}, b={"n": [1], "m": [2.5]})),
        r"m of b\.parquet is double, and missing in the first file",
        "write the file anew",
    ),
    "another column's type": (
        lambda f: ps.files(written(f, a={"n": [1]}, b={"n": ["x"]})),
        r"n of b\.parquet is string, and int64 in the first file",
        "csv = ",
    ),
    "another kind": (
        lambda f: [(f / "README.md").touch(), ps.files(written(f, a={"n": [1]}, b={"n": [1]}))][1],
        r"README\.md is not of the kind of the other files",
        r"files = .*parquet",
    ),
    "an unknown type": (lambda f: ps.files(written(f, a=N), hive={"y": "integer"}), "type named 'integer'", "int64"),
    "a column twice": (
        lambda f: ps.files(written(f, **{"n=1__b": {"n": [1]}}), hive={"n": "int64"}),
        "two columns of one name",
        "rename",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_folder_is_said(name: str, tmp_path: Path) -> None:
    made, words, advice = WRONG[name]
    with pytest.raises(PrivsdkError, match=words) as refused:
        store_of(made(tmp_path))
    assert refused.match(advice)


def test_what_tools_leave_in_a_folder_is_no_file_of_it(tmp_path: Path) -> None:
    written(tmp_path, a={"n": [1]}, _tmp__b={"n": [2]})
    for name in ("_SUCCESS", ".a.parquet.crc"):
        (tmp_path / name).touch()
    assert values_of(store_of(ps.files(tmp_path))) == {"n": [1]}


def test_a_file_that_comes_goes_or_changes_makes_another_version(tmp_path: Path) -> None:
    written(tmp_path, a={"n": [1]}, b={"n": [2]})
    for given in (ps.files(tmp_path), ps.view("SELECT n FROM raw", raw=ps.files(tmp_path))):
        written(tmp_path, b={"n": [2]})
        store = store_of(given)
        versions = [store.version("t")]
        assert store.version("t") == versions[0]
        written(tmp_path, c={"n": [3]})
        versions.append(store.version("t"))
        assert values_of(store) == {"n": [1, 2, 3]}
        (tmp_path / "c.parquet").unlink()
        versions.append(store.version("t"))
        assert values_of(store) == {"n": [1, 2]}
        written(tmp_path, b={"n": [4]})
        versions.append(store.version("t"))
        assert len(set(versions)) == 3
        assert values_of(store) == {"n": [1, 4]}
        written(tmp_path, c={"m": [3]})
        with pytest.raises(PrivsdkError, match=r"n of c\.parquet is missing"):
            store.read("t", ("n",))
        (tmp_path / "c.parquet").unlink()


def test_a_caller_sees_no_folders_of_the_owner(tmp_path: Path) -> None:
    with ps.embedded(north={"t": ps.files(written(tmp_path, a=N) / "*.parquet")}, store=None, quiet=True) as fed:
        (tmp_path / "a.parquet").unlink()
        with pytest.raises(InvalidArgument, match=r"no file fits \*\.parquet") as refused:
            dp.count(fed["north"]["t"], epsilon=0.1).release()
    assert str(tmp_path) not in str(refused.value)


def test_a_dataset_is_of_the_files_that_it_has(tmp_path: Path) -> None:
    store = store_of(pyarrow.dataset.dataset(written(tmp_path, a={"n": [1]}, b={"n": [2]})))
    version = store.version("t")
    written(tmp_path, c={"n": [3]})
    assert (store.version("t"), values_of(store)) == (version, {"n": [1, 2]})
    written(tmp_path, b={"n": [5]})
    assert store.version("t") != version
    assert values_of(store) == {"n": [1, 5]}
    (tmp_path / "b.parquet").write_bytes(b"nothing")
    with pytest.raises(InvalidArgument, match="north/t cannot be read from 2 files"):
        store.read("t", ("n",))


KINDS: dict[str, Callable[[Path], Any]] = {
    "file": lambda folder: folder / "a.parquet",
    "folder": ps.files,
    "dataset": lambda folder: pyarrow.dataset.dataset(folder),
    "view": lambda folder: ps.view("SELECT n FROM raw", raw=folder / "a.parquet"),
    "computed view": lambda folder: ps.view("SELECT n FROM raw ORDER BY n", raw=folder / "a.parquet"),
}


@pytest.mark.claim("sources: a run reads one version of a table, the one there is when it starts")
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_reads_one_version(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    written(tmp_path, a={"n": [1] * 20})
    with ps.embedded(north={"t": KINDS[kind](tmp_path)}, store=None, quiet=True) as fed:
        plan = fed["north"]["t"].sum("n")
        plan.preview()
        written(tmp_path, a={"n": [2] * 30})  # between the preview and the run: the run is of what is there then
        assert plan.release().value["sum"].to_pylist() == [60]

        read = Store.read

        def read_and_change(self: Store, name: str, columns: tuple[str, ...], unit: Unit) -> pa.Table:
            table = read(self, name, columns, unit)
            written(tmp_path, a={"n": [3] * 40})
            return table

        monkeypatch.setattr(Store, "read", read_and_change)
        with pytest.raises(DataError, match="north/t changed while it was read") as refused:
            dp.count(fed["north"]["t"], epsilon=0.1).release()
        assert "a run reads one version" in refused.value.hint
    cases()


def placed(text: str, folder: Path) -> Any:
    return msgspec.toml.decode(text, type=TableSource).place(folder, "north/t")


def test_sources_in_party_toml_are_those_of_a_notebook(tmp_path: Path) -> None:
    for text, given in (
        ('path = "t.parquet"', tmp_path / "t.parquet"),
        ('path = "t.csv"\ncsv = { delimiter = ";" }', ps.csv(tmp_path / "t.csv", delimiter=";")),
        ('files = "t"\nhive = { y = "int32" }', ps.files(tmp_path / "t", hive={"y": "int32"})),
        ('files = "t/*.csv"\ncsv = { header = true }', ps.files(tmp_path / "t/*.csv", header=True)),
        ('duckdb = "t.duckdb"\ntable = "t"', ps.duckdb(tmp_path / "t.duckdb", table="t")),
        ('duckdb = "t.duckdb"\nquery = "SELECT 1"', ps.duckdb(tmp_path / "t.duckdb", query="SELECT 1")),
        ('postgres = { env = "DB" }\ntable = "t"', ps.postgres(env="DB", table="t")),
        ('postgres = { file = "t.dsn" }\nquery = "SELECT 1"', ps.postgres(file=tmp_path / "t.dsn", query="SELECT 1")),
        (
            'view = "SELECT * FROM a, b"\nsources.a.path = "a.csv"\nsources.b = { duckdb = "b.duckdb", table = "b" }',
            ps.view("SELECT * FROM a, b", a=tmp_path / "a.csv", b=ps.duckdb(tmp_path / "b.duckdb", table="b")),
        ),
    ):
        assert placed(text, tmp_path) == given


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing says where it is"),
        ('path = "a.csv"\nfiles = "b"', "path and files do not go together"),
        ('path = "a.parquet"\nhive = { y = "int32" }', "path and hive do not go together"),
        ('view = "SELECT 1"\ntable = "t"', "table and view do not go together"),
        ('table = "t"', "table do not go together"),
        ('view = "SELECT 1"\nsources.a.table = "t"', r"north/t\.a cannot be read"),
    ],
)
def test_a_table_is_declared_in_one_way(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=words) as refused:
        placed(text, tmp_path)
    assert "declare one of path, files, duckdb, postgres, view" in refused.value.hint


def test_a_misspelt_field_of_a_source_of_a_view_is_named(tmp_path: Path) -> None:
    text = (
        'name = "n"\nlisten = ""\nledger = ""\nfederation = ""\ntls = { authority = "", certificate = "", key = "" }\n'
    )
    path = tmp_path / "party.toml"
    path.write_text(f'{text}[tables.t]\nview = "SELECT 1"\nsources.a.pfad = "x"\n')

    with pytest.raises(InvalidArgument, match="did you mean 'path'"):
        read_config(path, PartyConfig)


def test_lists_are_columns_of_a_partys_one_table() -> None:
    with ps.embedded(north={"id": [1, 2], "x": [0.5, 1.5]}, south={"t": {"id": [3]}}, store=None, quiet=True) as fed:
        assert fed["north"]["table"].columns == {"id": "int64", "x": "double"}
        assert fed["south"]["t"].columns == {"id": "int64"}
