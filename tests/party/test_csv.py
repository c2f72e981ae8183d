"""CSV files are read as declared; where more than one reading fits, opening says which, and no value."""

from __future__ import annotations

import traceback
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi
from privsdk.deploy.config import PartyConfig, ServedTable, read_config
from privsdk.errors import InvalidArgument, PrivsdkError, UnknownName
from privsdk.party.sources.csv import CsvFile, CsvFormat
from privsdk.party.tables import Store

CLAIM = pytest.mark.claim(
    "tables: CSV is read as declared, and refused without a value where more than one reading fits"
)
MANY = "".join(f"{n},{n}\n" for n in range(30_000))
GERMAN = "id;betrag\n1;1,50\n2;2,25\n"
DAYS = "id,born\n1,01/02/1980\n2,03/04/1981\n"
NAMES = "k,x\n" + "".join(f"Müller{n},{n}\n" for n in range(100))


def store_of(folder: Path, data: str | bytes, **how: Any) -> Store:
    path = folder / "t.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return Store("north", {"t": ps.csv(path, **how) if how else path})


def values_of(store: Store) -> dict[str, list[Any]]:
    return store.read("t", tuple(store.schema("t").names)).to_pydict()


READ: dict[str, tuple[str | bytes, dict[str, Any], dict[str, list[Any]]]] = {
    "one order of day and month alone": ("d\n01/22/1980\n", {}, {"d": [date(1980, 1, 22)]}),
    "declared dates": (
        DAYS,
        {"types": {"born": "date32"}, "dates": "%m/%d/%Y"},
        {"id": [1, 2], "born": [date(1980, 1, 2), date(1981, 3, 4)]},
    ),
    "dates of one column": (
        "a,b\n1/2/2020,2/1/2020\n",
        {"types": {"a": "date32", "b": "date32"}, "dates": {"a": "%d/%m/%Y", "b": "%m/%d/%Y"}},
        {"a": [date(2020, 2, 1)], "b": [date(2020, 2, 1)]},
    ),
    "declared times": (
        "t\n31.1.2024 5:06\n",
        {"types": {"t": "timestamp[s]"}, "dates": "%d.%m.%Y %H:%M"},
        {"t": [datetime(2024, 1, 31, 5, 6)]},
    ),
    "a decimal comma": (GERMAN, {"decimal": ","}, {"id": [1, 2], "betrag": [1.5, 2.25]}),
    "decimals": (
        GERMAN,
        {"decimal": ",", "types": {"betrag": "decimal128(12, 2)"}},
        {"id": [1, 2], "betrag": [Decimal("1.50"), Decimal("2.25")]},
    ),
    "null words": ("id,x\n1,NA\n2,5\n", {"nulls": ["", "NA"]}, {"id": [1, 2], "x": [None, 5]}),
    "an empty field, and an empty text": ('a,b\n"",1\nx,\n', {}, {"a": ["", "x"], "b": [1, None]}),
    "leading zeros": ("zip,n\n007,1\n12,2\n", {}, {"zip": ["007", "12"], "n": [1, 2]}),
    "no header": ("1,2.5\n2,3.5\n", {"header": False}, {"column0": [1, 2], "column1": [2.5, 3.5]}),
    "years as names": ("2019,2020\n1,2\n", {"header": True}, {"2019": [1], "2020": [2]}),
    "a delimiter": ("a;b,c\n1;2,3\n", {"delimiter": ";", "decimal": ","}, {"a": [1], "b,c": [2.3]}),
    "Latin-1": (
        NAMES.encode("latin-1"),
        {"encoding": "latin-1"},
        {"k": [f"Müller{n}" for n in range(100)], "x": [*range(100)]},
    ),
    "UTF-16": (NAMES.encode("utf-16"), {}, {"k": [f"Müller{n}" for n in range(100)], "x": [*range(100)]}),
    "a byte order mark": ("\ufeffk,x\na,1\n", {}, {"k": ["a"], "x": [1]}),
    "blank lines and line breaks": ('a,b\n\n1,x\n\n2,"y\nz"\n', {}, {"a": [1, 2], "b": ["x", "y\nz"]}),
    "beyond 64 bits": ("a,b\n9223372036854775808,99999999999999999999\n", {}, {"a": [2**63], "b": ["9" * 20]}),
    "times": (
        "t,z,d,b\n2024-01-31 12:00:00.5,2024-01-31T12:00:00+02:00,12:00:01.5,TRUE\n",
        {},
        {
            "t": [datetime(2024, 1, 31, 12, 0, 0, 500_000)],
            "z": [datetime(2024, 1, 31, 10, tzinfo=UTC)],
            "d": [time(12, 0, 1, 500_000)],
            "b": [True],
        },
    ),
    "text that comes late": (
        f"k,x\n{MANY}A17,5\n",
        {},
        {"k": [*map(str, range(30_000)), "A17"], "x": [*range(30_000), 5]},
    ),
    "a header alone": ("a,b\n", {}, {"a": [], "b": []}),
}


@CLAIM
@pytest.mark.parametrize("case", READ)
def test_what_is_read(case: str, tmp_path: Path, cases: Cases) -> None:
    data, how, due = READ[case]
    assert values_of(store_of(tmp_path, data, **how)) == due
    cases()


TO_DAYS, TO_MONTHS = (
    'types = { "born" = "date32[day]" }, dates = "%d/%m/%Y"',
    'types = { "born" = "date32[day]" }, dates = "%m/%d/%Y"',
)
REFUSED: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "day or month first": (DAYS, {}, ["more than one reading fits born", TO_DAYS, TO_MONTHS]),
    "a decimal comma, or text": (
        GERMAN,
        {},
        ["more than one reading fits betrag", 'decimal = ","', '"betrag" = "string"'],
    ),
    "a null word, or text": (
        "id,x\n1,NA\n2,5\n",
        {},
        ["more than one reading fits x", 'nulls = ["", "NA"]', '"x" = "string"'],
    ),
    "two delimiters": ("a;b,c\n1;2,3\n", {}, ["more than one delimiter fits", 'delimiter = ","', 'delimiter = ";"']),
    "names or data": ("1,2.5\n2,3.5\n", {}, ["the first row reads as data", "header = false", "header = true"]),
    "another type, late": (
        f"k,x\n{MANY}A17,5\n",
        {"types": {"k": "int64"}},
        ["k is not int64 in row 30001", '"k" = "string"'],
    ),
    "no such day": (
        "born\n31/02/2020\n",
        {"types": {"born": "date32"}, "dates": "%d/%m/%Y"},
        ["born is not date32[day] in row 1"],
    ),
    "a short row": ("k,x\na,1\nb\nc,3\n", {}, ["row 2 has 1 fields where there are 2 columns"]),
    "a long row": ("k,x\na,1\nb,2,A17\n", {}, ["row 2 has 3 fields where there are 2 columns"]),
    "Latin-1": (NAMES.encode("latin-1"), {}, ["row 1 is in another encoding", 'encoding = "latin-1"']),
    "UTF-16 without a mark": (NAMES.encode("utf-16-le"), {}, ["another encoding", 'encoding = "utf-16"']),
    "no such encoding": (NAMES, {"encoding": "utf-99"}, ["another encoding"]),
    "nothing": ("", {}, ["it is empty"]),
    "a name twice": ("a,a\n1,2\n", {}, ["names that are empty or there twice", "header = false"]),
    "no such column": ("a\n1\n", {"types": {"b": "int64"}}, ["no column named 'b' in t.csv"]),
    "no such type": ("a\n1\n", {"types": {"a": "int6"}}, ["no type named 'int6'", "did you mean 'int64'"]),
    "no such option": ("a\n1\n", {"typs": {}}, ["unknown field `typs`", "known: types, dates"]),
}


@CLAIM
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path, cases: Cases) -> None:
    data, how, said = REFUSED[case]
    with pytest.raises(PrivsdkError) as refused:
        values_of(store_of(tmp_path, data, **how))
    assert all(part in str(refused.value) for part in said), str(refused.value)
    shown = "".join(traceback.format_exception(refused.value))
    assert not any(value in shown for value in ("A17", "Müller", "01/02/1980", "1,50"))
    cases()


def test_what_is_advised_is_what_party_toml_takes(tmp_path: Path) -> None:
    """Each reading that a refusal shows is one that opens the file."""
    path = tmp_path / "t.csv"
    for data in (DAYS, GERMAN, "id,x\n1,NA\n2,5\n", "a;b,c\n1;x,y\n"):
        with pytest.raises(InvalidArgument) as refused:
            store_of(tmp_path, data)
        readings = refused.value.detail.readings  # type: ignore[union-attr]
        assert len(readings) == 2
        for reading in readings:
            (tmp_path / "party.toml").write_text(
                'name = "north"\nlisten = "grpc+tls://127.0.0.1:0"\nledger = "l"\nfederation = "f.toml"\n'
                'tls = { authority = "a", certificate = "c", key = "k" }\n'
                f'[tables.t]\npath = "t.csv"\ncsv = {{ {reading} }}\n'
            )
            served = read_config(tmp_path / "party.toml", PartyConfig).tables["t"]
            assert values_of(Store("north", {"t": served.place(tmp_path)}))
    assert ServedTable(path="t.csv").place(tmp_path) == path
    assert ServedTable(path="t.csv", csv=CsvFormat(decimal=",")).place(tmp_path) == CsvFile(
        path, CsvFormat(decimal=",")
    )


def test_two_files_of_one_order_of_dates_join(tmp_path: Path) -> None:
    days = [date(1980, month, day) for month in range(1, 13) for day in range(1, 13)]
    for name, extra in (("a", []), ("b", [date(1980, 1, 31)])):
        rows = "".join(f"{n},{day:%m/%d/%Y}\n" for n, day in enumerate([*days, *extra]))
        (tmp_path / f"{name}.csv").write_text("id,born\n" + rows)
    how: dict[str, Any] = {"types": {"born": "date32"}, "dates": "%m/%d/%Y"}
    files = {name: {"t": ps.csv(tmp_path / f"{name}.csv", **how)} for name in "ab"}
    with ps.embedded(files, store=None, quiet=True) as fed:
        assert psi.join(fed["a"]["t"], fed["b"]["t"], on=psi.key("id", "born")).release().value.size == 144
        january = fed["b"]["t"].count(where={"born": (date(1980, 1, 1), date(1980, 1, 31))}).release().value
        assert january["count"].to_pylist() == [13]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="there is no file"):
        Store("north", {"t": ps.csv(tmp_path / "none.csv", decimal=",")})
