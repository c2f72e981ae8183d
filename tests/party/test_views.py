"""Views and DuckDB files: an owner's SELECT reads its declared sources and nothing else, and one version of them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import nbclient
import nbformat
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from claims import Cases
from forked import NEEDS_FORK, in_fork, run_command

import privsdk as ps
from privsdk.errors import DataError, InvalidArgument, PrivsdkError, UnknownName
from privsdk.errors.sources import QueryFailed, SourceUnusable
from privsdk.party.sources.query import Query
from privsdk.party.tables import Store
from privsdk.transport.identities import make_certificates

RAW = pa.table({"id": [1, 2, 3], "amount": ["1.50", "2.25", "x"], "day": ["31.1.2024", "1.2.2024", "2.2.2024"]})
CARD = "4111-1111"


def view_of(sql: str, **sources: Any) -> Store:
    return Store("north", {"t": ps.view(sql, **(sources or {"raw": RAW}))})


def values_of(store: Store) -> dict[str, list[Any]]:
    return store.read("t", tuple(store.schema("t").names)).to_pydict()


def query_of(store: Store) -> Query:
    source = store._sources["t"]
    assert isinstance(source, Query)
    return source


def database(folder: Path) -> Path:
    path = folder / "house.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE cards AS SELECT i AS id, i * 2 AS paid FROM range(5) t(i)")
        connection.execute("CREATE SCHEMA old")
        connection.execute("CREATE TABLE old.cards AS SELECT 7 AS id")
        connection.execute("CREATE VIEW paid AS SELECT id FROM cards WHERE paid > 3")
        connection.execute("CREATE VIEW passwd AS SELECT 1 AS id WHERE current_setting('TimeZone') = 'x'")
    return path


READ: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "casts and filters": (
        "SELECT id, amount::DECIMAL(9, 2) AS amount FROM raw WHERE id < 3",
        {"id": [1, 2], "amount": [Decimal("1.50"), Decimal("2.25")]},
    ),
    "derived and renamed": ("SELECT id * 2 AS twice FROM raw;", {"twice": [2, 4, 6]}),
    "dates": (
        "SELECT strptime(day, '%d.%m.%Y')::DATE AS d FROM raw",
        {"d": [date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2)]},
    ),
    "groups": ("SELECT count(*) AS n FROM raw -- all", {"n": [3]}),
    "types that Arrow lacks": (
        "SELECT '12:00:00+02'::TIMETZ AS t, '101'::BIT AS b, '10'::BIGNUM AS n FROM raw WHERE id = 1",
        {"t": ["12:00:00+02"], "b": ["101"], "n": ["10"]},
    ),
    "odd names": ('SELECT id AS "x"" y" FROM raw WHERE id = 1', {'x" y': [1]}),
}


@pytest.mark.parametrize("name", READ)
def test_a_view_gives_its_rows(name: str) -> None:
    sql, rows = READ[name]
    assert values_of(view_of(sql)) == rows


def test_a_view_joins_sources_of_all_kinds(tmp_path: Path) -> None:
    pq.write_table(RAW, tmp_path / "raw.parquet")
    (tmp_path / "names.csv").write_text("id,name\n1,a\n2,b\n")
    store = view_of(
        "SELECT id, name, x FROM cards JOIN raw USING (id) JOIN names USING (id) JOIN memory USING (id) ORDER BY id",
        raw=tmp_path / "raw.parquet",
        names=tmp_path / "names.csv",
        cards=ps.duckdb(database(tmp_path), table="cards"),
        memory={"id": [1, 2], "x": [0.5, 1.5]},
    )
    assert values_of(store) == {"id": [1, 2], "name": ["a", "b"], "x": [0.5, 1.5]}


def test_a_view_is_asked_about_like_a_table() -> None:
    rows = ps.view("SELECT id % 2 = 0 AS even, id AS n FROM raw", raw={"id": list(range(100))})
    with ps.embedded(north={"t": rows}, store=None, quiet=True) as fed:
        assert fed["north"]["t"].columns == {"even": "bool", "n": "int64"}
        assert fed["north"]["t"].sum("n", by="even").release().value["sum"].to_pylist() == [2500, 2450]


READS_BEYOND = {
    "a file": "SELECT * FROM read_csv('{file}')",
    "a file by its name": "SELECT * FROM '{file}'",
    "a file's text": "SELECT content FROM read_text('{file}')",
    "names of files": "SELECT * FROM glob('{folder}/*')",
    "another source's file": "SELECT * FROM read_parquet('{folder}/raw.parquet')",
    "a variable of Python": "SELECT * FROM RAW_OF_PYTHON",
    "the network": "SELECT * FROM read_csv('https://example.org/t.csv')",
    "a file in a subquery": "SELECT 1 AS id, (SELECT max(content) FROM read_text('{file}')) AS x",
}


@pytest.mark.claim("sources: a view reads its owner's declared sources and nothing else")
@pytest.mark.parametrize("what", READS_BEYOND)
def test_a_view_reads_nothing_else(what: str, tmp_path: Path, cases: Cases) -> None:
    RAW_OF_PYTHON = RAW  # noqa: F841, N806 - DuckDB looks for such names where it may
    (tmp_path / "secret.csv").write_text(f"card\n{CARD}\n")
    pq.write_table(RAW, tmp_path / "raw.parquet")
    sql = READS_BEYOND[what].format(file=tmp_path / "secret.csv", folder=tmp_path)
    for given in (ps.view(sql, raw=tmp_path / "raw.parquet"), ps.duckdb(database(tmp_path), query=sql)):
        with pytest.raises(InvalidArgument) as refused:
            Store("north", {"t": given})
        assert isinstance(refused.value.detail, QueryFailed)
        assert "DuckDB says" in refused.value.message
        assert CARD not in "".join(traceback.format_exception(refused.value))
        cases()


@pytest.mark.parametrize("sql", ["DROP TABLE raw", "SELECT 1; SELECT 2", "ATTACH 'x'", "SET threads = 1", ""])
def test_a_query_is_one_select(sql: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        view_of(sql)
    assert isinstance(refused.value.detail, SourceUnusable | QueryFailed)
    assert not isinstance(refused.value.detail, SourceUnusable) or refused.value.detail.problem == "statement"


def test_a_query_that_does_not_bind_is_shown_with_duckdbs_words() -> None:
    with pytest.raises(InvalidArgument, match=r'north/t .*DuckDB says:\n.*"amuont" not found') as refused:
        view_of("SELECT amuont FROM raw")
    assert "correct the query" in refused.value.hint


def test_serving_shows_its_owner_the_words_and_ends(tmp_path: Path) -> None:
    make_certificates(tmp_path, ["north"])
    (tmp_path / "raw.csv").write_text("id,amount\n1,2\n")
    (tmp_path / "party.toml").write_text(
        'name = "north"\nlisten = "grpc+tls://127.0.0.1:0"\nledger = "north.sqlite"\nfederation = "none.toml"\n'
        'tls = { authority = "ca.pem", certificate = "north.pem", key = "north.key" }\n'
        '[tables.t]\nview = "SELECT amuont FROM raw"\nsources.raw.path = "raw.csv"\n'
    )
    ended = run_command("serve", str(tmp_path / "party.toml"), folder=tmp_path)
    assert ended.returncode == 1
    assert 'Referenced column "amuont" not found' in ended.stderr


@pytest.mark.claim("sources: a query that fails on a row tells a caller no word of the database, and no log a value")
def test_a_query_that_fails_later_tells_callers_nothing_of_it(caplog: pytest.LogCaptureFixture, cases: Cases) -> None:
    rows = {"id": [1, 2], "amount": ["17", CARD]}
    for sql in ("SELECT id, amount::BIGINT AS n FROM raw", "SELECT sum(amount::BIGINT) AS n FROM raw"):
        with (
            ps.embedded(north={"t": ps.view(sql, raw=rows)}, store=None, quiet=True) as fed,
            caplog.at_level(logging.ERROR),
            pytest.raises(DataError, match="north/t cannot be read: its owner's query fails") as refused,
        ):
            fed["north"]["t"].sum("n").release()
        assert "Conversion" not in str(refused.value)
        assert CARD not in "".join(traceback.format_exception(refused.value))
        assert "Conversion Error" in caplog.text
        assert CARD not in caplog.text
        cases()


BY_ROW = [
    "SELECT * FROM raw",
    "FROM raw",
    "SELECT * EXCLUDE (day) FROM raw",
    "SELECT COLUMNS('[ia].*') FROM raw",
    "SELECT id + 1 AS x, upper(day) AS u FROM raw WHERE day LIKE '%2024' AND id BETWEEN 1 AND 3000",
    "SELECT r.id, CASE WHEN r.id = 1 THEN NULL ELSE day END AS d FROM raw r WHERE r.id IN (1, 2)",
    "SELECT ID, year(strptime(day, '%d.%m.%Y')) AS y, [id] AS l, {'a': id} AS s FROM RAW",
]
COMPUTED = [
    "SELECT now() AS n, id FROM raw",
    "SELECT current_date AS d FROM raw",
    "SELECT age(TIMESTAMP '2020-01-01') AS a FROM raw",
    "SELECT random() AS r FROM raw",
    "SELECT uuid()::VARCHAR AS u FROM raw",
    "SELECT list_transform([1], lambda x: x + random()) AS l FROM raw",
    "SELECT id FROM raw LIMIT 1",
    "SELECT id FROM raw ORDER BY id",
    "SELECT DISTINCT id FROM raw",
    "SELECT sum(id) OVER () AS s FROM raw",
    "SELECT unnest([1, 2]) AS u FROM raw",
    "SELECT id FROM raw USING SAMPLE 2",
    "SELECT id FROM raw TABLESAMPLE 50%",
    "SELECT a.id FROM raw a, raw b",
    "SELECT a.id FROM raw a POSITIONAL JOIN raw b",
    "SELECT id FROM (SELECT * FROM raw)",
    "WITH raw AS (SELECT 1 AS id) SELECT id FROM raw",
    "SELECT (SELECT max(id) FROM raw) AS m FROM raw",
    "SELECT id FROM raw WHERE id IN (SELECT id FROM raw)",
    "SELECT id FROM raw GROUP BY ALL",
    "SELECT max(id) AS m FROM raw HAVING true",
    "SELECT id FROM raw QUALIFY row_number() OVER () = 1",
    "SELECT id FROM raw UNION ALL SELECT id FROM raw",
    "VALUES (1)",
]


@pytest.mark.parametrize("sql", BY_ROW)
def test_what_is_made_row_by_row_is_read_anew(sql: str) -> None:
    assert query_of(view_of(sql))._by_row


@pytest.mark.claim("sources: the rows of an owner's query are the same, in one order, until what it reads changes")
@pytest.mark.parametrize("sql", COMPUTED)
def test_what_is_not_is_computed_once_a_version(sql: str, tmp_path: Path, cases: Cases) -> None:
    path = tmp_path / "raw.csv"
    path.write_text("id,day\n" + "".join(f"{n},d{n}\n" for n in range(3000)))
    store = view_of(sql, raw=path)
    assert not query_of(store)._by_row
    first, version = values_of(store), store.version("t")
    assert values_of(store) == first
    assert store.version("t") == version
    assert view_of(sql, raw=path).version("t") != version  # of another process, where it was computed anew
    path.write_text("id,day\n1,d\n")
    assert store.version("t") != version
    assert store.read("t", ()).num_rows <= 2  # of the rows that there are now
    cases()


def test_rows_read_column_by_column_belong_together(tmp_path: Path) -> None:
    rows = 300_000
    numbers = np.random.default_rng(0).integers(0, 1 << 40, rows)
    pq.write_table(pa.table({"k": np.arange(rows), "n": numbers}), tmp_path / "t.parquet", row_group_size=10_000)
    store = view_of("SELECT k, n + 1 AS m FROM raw WHERE k % 3 = 0", raw=tmp_path / "t.parquet")
    assert query_of(store)._by_row
    assert (store.read("t", ("k",))["k"].to_numpy() == np.arange(0, rows, 3)).all()
    assert (store.read("t", ("m",))["m"].to_numpy() == numbers[::3] + 1).all()


def test_a_view_reads_the_columns_and_row_groups_that_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"a": pa.array(range(2000)), "b": pa.array(range(2000))}
    plain = {"compression": "none", "use_dictionary": False, "column_encoding": "PLAIN", "row_group_size": 1000}
    pq.write_table(pa.table(columns), path, **plain)
    second = pq.read_metadata(path).row_group(1)
    data = bytearray(path.read_bytes())
    for chunk in (pq.read_metadata(path).row_group(0).column(1), second.column(0), second.column(1)):
        data[chunk.data_page_offset : chunk.data_page_offset + 20] = b"\xff" * 20  # no page begins so
    path.write_bytes(data)
    store = view_of("SELECT a + 1 AS c, b FROM raw WHERE a < 10", raw=path)
    assert store.read("t", ("c",)).to_pydict() == {"c": [*range(1, 11)]}
    with pytest.raises(DataError, match="query fails"):
        store.read("t", ("b",))


def test_tables_views_and_queries_of_a_duckdb_file(tmp_path: Path) -> None:
    path = database(tmp_path)
    given: dict[str, Any] = {
        "cards": ps.duckdb(path, table="cards"),
        "old": ps.duckdb(path, table="old.cards"),
        "paid": ps.duckdb(path, table="paid"),
        "sum": ps.duckdb(path, query="SELECT sum(paid)::BIGINT AS s FROM cards"),
    }
    store = Store("north", given)
    assert store.read("cards", ("paid",)).to_pydict() == {"paid": [0, 2, 4, 6, 8]}
    assert store.read("old", ("id",)).to_pydict() == {"id": [7]}
    assert store.read("paid", ("id",)).to_pydict() == {"id": [2, 3, 4]}
    assert store.read("sum", ("s",)).to_pydict() == {"s": [20]}
    by_row = {name: source._by_row for name, source in store._sources.items() if isinstance(source, Query)}
    assert by_row == {"cards": True, "old": True, "paid": False, "sum": False}
    versions = {name: store.version(name) for name in given}
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO cards VALUES (9, 9)")
    assert all(store.version(name) != version for name, version in versions.items())
    assert store.read("sum", ("s",)).to_pydict() == {"s": [29]}


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no file": (lambda folder: ps.duckdb(folder / "none.duckdb", table="t"), "there is no file"),
    "no DuckDB file": (lambda folder: ps.duckdb(folder / "text.duckdb", table="t"), "cannot be read from text.duckdb"),
    "no table": (lambda folder: ps.duckdb(folder / "house.duckdb", table="card"), "card does not exist"),
    "neither": (lambda folder: ps.duckdb(folder / "house.duckdb"), "table = .* query = "),
    "both": (lambda folder: ps.duckdb(folder / "house.duckdb", table="cards", query="SELECT 1"), "do not go together"),
    "a source of a view": (lambda folder: ps.view("SELECT 1 AS x", raw=folder / "none.csv"), r"north/t\.raw: there is"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_database_is_said(name: str, tmp_path: Path) -> None:
    database(tmp_path)
    (tmp_path / "text.duckdb").write_text("no database" * 1000)
    made, words = WRONG[name]
    with pytest.raises((InvalidArgument, UnknownName), match="north/t") as refused:
        Store("north", {"t": made(tmp_path)})
    assert refused.match(words) or words in str(refused.value)


def test_a_file_that_is_open_for_writing_says_so(tmp_path: Path) -> None:
    path = database(tmp_path)
    with duckdb.connect(str(path)), pytest.raises(InvalidArgument, match="is open for writing") as refused:
        Store("north", {"t": ps.duckdb(path, table="cards")})
    assert "con.close()" in refused.value.hint


def test_a_column_of_another_type_than_at_opening_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    for given in (path, ps.view("SELECT a FROM raw", raw=path)):
        pq.write_table(pa.table({"a": [1]}), path)
        store = Store("north", {"t": given})
        pq.write_table(pa.table({"a": ["x"]}), path)
        with pytest.raises(PrivsdkError, match="a is no longer int64, as it was when the party opened"):
            store.read("t", ("a",))


@NEEDS_FORK
def test_a_forked_process_has_a_database_of_its_own() -> None:
    assert values_of(view_of("SELECT id FROM raw")) == {"id": [1, 2, 3]}
    assert in_fork(lambda: int(sum(values_of(view_of("SELECT sum(id) AS s FROM raw"))["s"]))) == 6


SLOW = """import time, duckdb
from privsdk.party.sources.connection import connected, sealed
def slow(i: int) -> int:
    time.sleep(0.0001)
    return i
with {opened} as connection:
    connection.create_function("slow", slow, ["BIGINT"], "BIGINT")
    connection.sql("SELECT sum(slow(i)) AS s FROM range(25000) t(i)").fetchall()
"""


def test_no_cell_shows_a_progress_bar_of_duckdb(repository: Path) -> None:
    """In a kernel DuckDB draws one for a query of two seconds, of its own accord: the first cell shows that."""
    opened = ["duckdb.connect()", "connected()", "sealed()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SLOW.format(opened=each)) for each in opened])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert [len(cell.outputs) for cell in notebook.cells] == [1, 0, 0]
    connecting = {file.name for file in (repository / "privsdk").rglob("*.py") if "duckdb.connect(" in file.read_text()}
    assert connecting == {"connection.py"}
