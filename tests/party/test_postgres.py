"""PostgreSQL as a source, against a server: types, rows of one version in one order, nothing told of the connection."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from postgres_server import PASSWORD, Server, server

import privsdk as ps
from privsdk import dp
from privsdk.deploy.config import ServedTable
from privsdk.errors import DataError, InvalidArgument, MissingLibrary, PrivsdkError
from privsdk.errors.sources import SourceUnusable
from privsdk.governance.charges import Unit
from privsdk.party.tables import Store

CARD = "4111-1111"


@pytest.fixture(scope="module")
def running(repository: Path) -> Iterator[Server]:
    with server(repository) as started:
        yield started


@pytest.fixture
def pg(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """With a table of three visits, and its address in an environment variable."""
    monkeypatch.setenv("VISITS_DB", running.string)
    running.execute(
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "CREATE TABLE visits (id bigint PRIMARY KEY, name text, paid numeric(12, 2))",
        "INSERT INTO visits VALUES (1, 'a', 1.50), (2, 'b', NULL), (3, 'c', 3.25)",
    )
    return running


def store_of(**given: Any) -> Store:
    return Store("north", {"t": ps.postgres(**{"env": "VISITS_DB", **given})})


def rows_of(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.read("t", tuple(store.schema("t").names)).to_pylist()
    return sorted(rows, key=str)


def test_a_table_and_a_query_are_asked_about_like_a_file(pg: Server) -> None:
    pg.execute("INSERT INTO visits SELECT g, 'x', 1 FROM generate_series(10, 29) g")
    visits = {
        "visits": ps.postgres(env="VISITS_DB", table="public.visits"),
        "twice": ps.postgres(env="VISITS_DB", query="SELECT id, paid * 2 AS twice FROM visits WHERE id > 9 -- these"),
    }
    with ps.embedded(north=visits, store=None, quiet=True) as fed:
        assert fed["north"]["visits"].columns == {"id": "int64", "name": "string", "paid": "decimal128(12, 2)"}
        assert fed["north"]["visits"].sum("paid").release().value["sum"].to_pylist() == [Decimal("24.75")]
        assert fed["north"]["visits"].count(where={"id": (10, 20)}).release().value["count"].to_pylist() == [11]
        assert fed["north"]["twice"].sum("twice").release().value["sum"].to_pylist() == [Decimal(40)]


TYPES: dict[str, tuple[str, pa.DataType, Any]] = {
    "smallint": ("7::smallint", pa.int16(), 7),
    "integer": ("-7", pa.int32(), -7),
    "bigint": ("9223372036854775807", pa.int64(), 2**63 - 1),
    "numeric(12, 2)": ("1.5::numeric(12, 2)", pa.decimal128(12, 2), Decimal("1.50")),
    "numeric(5, -2)": ("12345::numeric(5, -2)", pa.decimal128(7, 0), Decimal(12300)),
    "numeric(50, 3)": ("1::numeric(50, 3)", pa.decimal256(50, 3), Decimal("1.000")),
    "numeric": ("1.125::numeric", pa.decimal128(38, 3), Decimal("1.125")),
    "money": ("3.50::money", pa.decimal128(38, 2), Decimal("3.50")),
    "real": ("0.1::real", pa.float32(), pa.scalar(0.1, pa.float32()).as_py()),
    "double precision": ("0.1::double precision", pa.float64(), 0.1),
    "boolean": ("true", pa.bool_(), True),
    "text": ("'ä'::text", pa.string(), "ä"),
    "varchar": ("'x'::varchar(3)", pa.string(), "x"),
    "bytea": (r"'\x00ff'::bytea", pa.binary(), b"\x00\xff"),
    "date": ("'2024-01-31'::date", pa.date32(), date(2024, 1, 31)),
    "timestamp": ("'2024-01-31 12:00:00.5'::timestamp", pa.timestamp("us"), datetime(2024, 1, 31, 12, 0, 0, 500_000)),
    "timestamptz": (
        "'2024-01-31 12:00+02'::timestamptz",
        pa.timestamp("us", "UTC"),
        datetime(2024, 1, 31, 10, tzinfo=UTC),
    ),
    "time": ("'12:00:01'::time", pa.time64("us"), time(12, 0, 1)),
    "uuid": (
        "'0b0e8400-e29b-41d4-a716-446655440000'::uuid",
        pa.large_string(),
        "0b0e8400-e29b-41d4-a716-446655440000",
    ),
    "json": ("'{\"a\":1}'::json", pa.string(), '{"a":1}'),
    "enum": ("'ok'::mood", pa.string(), "ok"),
    "inet": ("'127.0.0.1'::inet", pa.string(), "127.0.0.1/32"),
    "timetz": ("'12:00+02'::timetz", pa.string(), "12:00:00+02"),
    "oid": ("4000000000::oid", pa.int64(), 4_000_000_000),
    "int4range": ("int4range(1, 5)", pa.string(), "[1,5)"),
}


@pytest.mark.claim("sources: values of PostgreSQL are exact in Arrow's types, or text as PostgreSQL writes them")
def test_types(pg: Server, cases: Cases) -> None:
    pg.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    columns = ", ".join(f'{sql} AS "{name}"' for name, (sql, _, _) in TYPES.items())
    nulls = ", ".join(f'NULLIF({sql}, {sql}) AS "{name}"' for name, (sql, _, _) in TYPES.items() if name != "json")
    store = store_of(query=f"SELECT {columns}")
    for name, (_, type_, value) in TYPES.items():
        assert store.schema("t").field(name).type == type_, name
        assert store.read("t", (name,)).to_pydict() == {name: [value]}
        cases()
    assert len(store.hashes("t", tuple(TYPES))) == 1
    empty = store_of(query=f"SELECT {nulls}")
    assert set(empty.read("t", tuple(empty.schema("t").names)).to_pylist()[0].values()) == {None}
    assert store_of(query=f"SELECT {columns} LIMIT 0").read("t", ("text",)).num_rows == 0


@pytest.mark.parametrize(
    "value",
    [
        *("'infinity'::date", "'-infinity'::date", "'infinity'::timestamp", "'-infinity'::timestamptz"),
        *("'NaN'::numeric", "'Infinity'::numeric(9, 2)"),
    ],
)
def test_values_that_arrow_does_not_have_are_refused(pg: Server, value: str) -> None:
    try:
        store = store_of(query=f"SELECT {value} AS x, 1 AS y")
    except InvalidArgument as error:  # PostgreSQL has none in numeric(9, 2)
        assert "PostgreSQL says" in error.message  # noqa: PT017
        return
    with pytest.raises(DataError, match="a value of x is no ") as refused:
        store.read("t", ("x",))
    assert "NULLIF(x, 'infinity')" in refused.value.hint
    assert store.read("t", ("y",)).to_pydict() == {"y": [1]}  # it is not asked for


def test_more_digits_than_at_opening_are_refused(pg: Server) -> None:
    pg.execute("CREATE TABLE n (x numeric)", "INSERT INTO n VALUES (1.5)")
    store = store_of(table="n")
    pg.execute("INSERT INTO n VALUES (1.125)")
    with pytest.raises(DataError, match=r"a value of x is no decimal128\(38, 1\)"):
        store.read("t", ("x",))


@pytest.mark.claim("sources: rows of PostgreSQL keep one order while they are the same, wherever they are stored")
def test_rows_keep_their_order(pg: Server, cases: Cases) -> None:
    pg.execute("INSERT INTO visits SELECT g, 'n' || g, g FROM generate_series(10, 2000) g")
    store = store_of(table="visits")
    first, version = store.read("t", ("id",)), store.version("t")
    for change in (
        "UPDATE visits SET name = name WHERE id % 3 = 0",
        "CLUSTER visits USING visits_pkey",
        "VACUUM FULL visits",
    ):
        pg.execute(change)
        assert store.version("t") == version
        assert store.read("t", ("id",)) == first
        cases()
    ids, names = store.read("t", ("id",)), store.read("t", ("name",))
    pairs = store.read("t", ("id", "name")).to_pydict()
    assert pairs == {**ids.to_pydict(), **names.to_pydict()}


def test_what_changes_makes_another_version_and_nothing_else_does(pg: Server) -> None:
    store = store_of(table="visits")
    versions = [store.version("t")]
    pg.execute("CREATE TABLE other (x int)", "INSERT INTO other VALUES (1)")
    assert store.version("t") == versions[0]
    for change in (
        "INSERT INTO visits VALUES (4, 'd', 1)",
        "UPDATE visits SET paid = 2 WHERE id = 4",
        "DELETE FROM visits WHERE id = 4",  # another version, although the rows are those of before
    ):
        pg.execute(change)
        versions.append(store.version("t"))
    assert len(set(versions)) == 4


def test_what_a_read_saw_is_a_version_although_nobody_asked_before_and_after(pg: Server) -> None:
    store = store_of(table="visits")
    before = store.version("t")
    pg.execute("INSERT INTO visits VALUES (4, 'd', 1)")
    assert store.read("t", ("id",)).num_rows == 4
    pg.execute("DELETE FROM visits WHERE id = 4")
    assert store.version("t") != before


def test_a_run_reads_one_version_of_a_database(pg: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = ps.postgres(env="VISITS_DB", table="visits")
    with ps.embedded(north={"visits": visits}, store=None, quiet=True) as fed:
        plan = fed["north"]["visits"].count()
        plan.preview()
        pg.execute("INSERT INTO visits SELECT g, 'x', g FROM generate_series(10, 500) g")
        assert plan.release().value["count"].to_pylist() == [494]  # of the rows when it ran

        read = Store.read

        def read_and_change(self: Store, name: str, columns: tuple[str, ...], unit: Unit) -> pa.Table:
            table = read(self, name, columns, unit)
            pg.execute("DELETE FROM visits WHERE id = (SELECT max(id) FROM visits)")
            return table

        monkeypatch.setattr(Store, "read", read_and_change)
        with pytest.raises(DataError, match="north/visits changed while it was read"):
            dp.count(fed["north"]["visits"], epsilon=0.1).release()


def test_only_the_columns_that_are_wanted_are_fetched(pg: Server) -> None:
    pg.execute("CREATE TABLE wide (id int, bad numeric)", "INSERT INTO wide VALUES (1, 'NaN')")
    store = store_of(table="wide")
    assert store.read("t", ("id",)).to_pydict() == {"id": [1]}  # `bad` could not be


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM visits",
        "WITH gone AS (DELETE FROM visits RETURNING id) SELECT id FROM gone",
        "SELECT 1 AS x; DELETE FROM visits",
        "SELECT 1 AS x) AS t; DELETE FROM visits; --",
        "SELECT nextval('s') AS x",
        "SELECT nope FROM visits",
        "SELECT 1 AS a, 2 AS a",
    ],
)
def test_a_query_writes_nothing_and_its_owner_sees_what_is_wrong_with_it(pg: Server, query: str) -> None:
    pg.execute("CREATE SEQUENCE s")
    try:
        store = store_of(query=query)
    except InvalidArgument as error:
        assert "PostgreSQL says" in error.message  # noqa: PT017
    else:
        with pytest.raises(DataError, match="its owner's query fails"):
            store.read("t", ("x",))
    assert len(rows_of(store_of(table="visits"))) == 3


@pytest.mark.claim("sources: a query that fails on a row tells a caller no word of the database, and no log a value")
def test_a_query_that_fails_on_a_row_tells_callers_nothing_of_it(
    pg: Server, caplog: pytest.LogCaptureFixture, cases: Cases
) -> None:
    pg.execute("CREATE TABLE cards (number text)", f"INSERT INTO cards VALUES ('{CARD}')")  # noqa: S608
    cards = ps.postgres(env="VISITS_DB", query="SELECT number::bigint AS n FROM cards")
    with (
        ps.embedded(north={"cards": cards}, store=None, quiet=True) as fed,
        caplog.at_level(logging.ERROR),
        pytest.raises(DataError, match="north/cards cannot be read: its owner's query fails") as refused,
    ):
        dp.count(fed["north"]["cards"], epsilon=0.1).release()
    assert "invalid input" not in str(refused.value)
    assert CARD not in "".join(traceback.format_exception(refused.value))
    assert "invalid input syntax for type bigint" in caplog.text
    assert CARD not in caplog.text
    cases()


BAD_STRINGS: dict[str, tuple[Callable[[str], str], str]] = {
    "wrong password": (lambda right: right.replace(PASSWORD, "wrong-Pw"), "refused"),
    "no password": (lambda right: right.replace(f":{PASSWORD}", ""), "refused"),
    "no such user": (lambda right: right.replace("owner", "nobody-there"), "refused"),
    "no such database": (lambda right: right.replace("/postgres", "/nowhere"), "database"),
    "nobody listens": (lambda right: right.rpartition(":")[0] + ":1/postgres", "unreachable"),
    "no such host": (lambda right: right.replace("127.0.0.1", "nowhere.invalid"), "unreachable"),
    "a percent sign": (lambda right: right.replace(PASSWORD, f"{PASSWORD}%Pw"), "string"),
    "no string": (lambda _: f"password {PASSWORD}", "string"),
    "another option": (lambda right: f"{right}?pasword={PASSWORD}", "string"),
}


@pytest.mark.claim("sources: connection strings are in no error, no representation and no log")
@pytest.mark.parametrize("name", BAD_STRINGS)
@pytest.mark.parametrize("by", ["env", "file", "string"])
def test_what_is_wrong_with_a_connection_is_said_without_it(
    name: str,
    by: str,
    pg: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cases: Cases,
) -> None:
    made, problem = BAD_STRINGS[name]
    string = made(pg.string)
    (tmp_path / "dsn").write_text(f"{string}\n")
    (tmp_path / "dsn").chmod(0o600)
    monkeypatch.setenv("BAD_DB", string)
    given = ps.postgres(**{by: {"env": "BAD_DB", "file": tmp_path / "dsn", "string": string}[by]}, table="visits")
    with pytest.raises(InvalidArgument) as refused, caplog.at_level(logging.DEBUG):
        Store("north", {"t": given})
    assert isinstance(refused.value.detail, SourceUnusable)
    assert refused.value.detail.problem == problem
    told = "".join(traceback.format_exception(refused.value)) + repr(given) + caplog.text
    for secret in (PASSWORD, "wrong-Pw", string):
        assert secret not in told
    assert ("stands in the clear" in caplog.text) == (by == "string" and name not in ("no password", "no string"))
    cases()


def test_a_string_in_a_file_is_read_anew(pg: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "dsn"
    file.write_text(pg.string)
    file.chmod(0o644)
    store = Store("north", {"t": ps.postgres(file=file, table="visits")})
    assert "others than its owner may read the file" in caplog.text
    file.write_text("")
    with pytest.raises(InvalidArgument, match=r"the file .*dsn says no connection string"):
        store.read("t", ("id",))
    file.write_text(pg.string)
    assert store.read("t", ()).num_rows == 3


def test_in_party_toml(pg: Server, tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text(pg.string)
    (tmp_path / "dsn").chmod(0o600)
    for said in ('env = "VISITS_DB"', 'file = "dsn"'):
        served = msgspec.toml.decode(f'postgres = {{ {said} }}\ntable = "visits"\ndataset = "d"', type=ServedTable)
        assert Store("north", {"t": served.place(tmp_path, "north/t")}).read("t", ()).num_rows == 3
    view = (
        'view = "SELECT id FROM v WHERE paid > 2"\nsources.v = { postgres = { env = "VISITS_DB" }, table = "visits" }'
    )
    served = msgspec.toml.decode(view, type=ServedTable)
    assert Store("north", {"t": served.place(tmp_path, "north/t")}).read("t", ("id",)).to_pydict() == {"id": [3]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"env": "NOT_SET", "table": "t"}, "the variable NOT_SET says no connection string"),
        ({"table": "t"}, "nothing says where it is"),
        ({"env": "A", "string": "b", "table": "t"}, "env and string do not go together"),
        ({"env": "A"}, "nothing says where it is"),
        ({"env": "A", "table": "t", "query": "SELECT 1"}, "table and query do not go together"),
    ],
)
def test_a_declaration_that_lacks_something_says_what(given: dict[str, str], words: str) -> None:
    assert "NOT_SET" not in os.environ
    with pytest.raises(PrivsdkError, match=words):
        Store("north", {"t": ps.postgres(**given)})


def test_without_its_driver_the_line_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    with pytest.raises(MissingLibrary, match="driver is not installed") as refused:
        Store("north", {"t": ps.postgres(env="VISITS_DB", table="visits")})
    assert "pip install 'privsdk[postgres]'" in refused.value.hint
