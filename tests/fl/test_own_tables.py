"""`predict`, `probabilities` and `fl.simulate` take a notebook's own tables in every form that `ps.embedded` does."""

from __future__ import annotations

from collections.abc import Callable
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
from claims import Cases

import privsdk as ps
from privsdk import fl
from privsdk.errors import InvalidArgument, PrivsdkError, UnknownName

CLAIM = pytest.mark.claim("predict: the same rows get the same predictions in every form that an embedded party takes")
ROWS = 60
TABLE = pa.table(
    {
        "x": [n / 10 for n in range(ROWS)],
        "late": [n % 3 == 0 for n in range(ROWS)],
        "c": ["ab"[n % 2] for n in range(ROWS)],
        "unused": [[n] for n in range(ROWS)],
    }
)
PLAIN = TABLE.drop_columns("unused")


def parquet(folder: Path) -> str:
    pq.write_table(TABLE, folder / "t.parquet")
    return str(folder / "t.parquet")


def csv(folder: Path) -> Path:
    pyarrow.csv.write_csv(PLAIN, folder / "t.csv")
    return folder / "t.csv"


def german_csv(folder: Path) -> Any:
    lines = [f"{x};{late};{c}".replace(".", ",") for x, late, c in zip(*PLAIN.to_pydict().values(), strict=True)]
    (folder / "g.csv").write_text("x;late;c\n" + "\n".join(lines).lower())
    return ps.csv(folder / "g.csv", delimiter=";", decimal=",")


def duckdb_file(folder: Path) -> Any:
    with duckdb.connect(str(folder / "t.duckdb")) as connection:
        connection.register("own", TABLE)
        connection.execute("CREATE TABLE t AS SELECT * FROM own")
    return ps.duckdb(folder / "t.duckdb", table="t")


FORMS: dict[str, Callable[[Path], Any]] = {
    "Arrow table": lambda _: TABLE,
    "record batch": lambda _: TABLE.combine_chunks().to_batches()[0],
    "dict of lists": lambda _: PLAIN.to_pydict(),
    "dict of arrays": lambda _: {name: np.array(column) for name, column in PLAIN.to_pydict().items()},
    "pandas": lambda _: PLAIN.to_pandas(),
    "pandas with an index": lambda _: PLAIN.to_pandas().set_index(pd.Index(range(5, 5 + ROWS))),
    "polars": lambda _: pl.from_arrow(PLAIN),
    "polars lazy": lambda _: pl.from_arrow(PLAIN).lazy(),  # type: ignore[union-attr]
    "DuckDB relation": lambda _: duckdb.from_arrow(TABLE),
    "Arrow dataset": lambda folder: pyarrow.dataset.dataset(parquet(folder)),
    "path of Parquet": parquet,
    "path of CSV": csv,
    "declared CSV": german_csv,
    "files": lambda folder: (parquet(folder), ps.files(folder / "*.parquet"))[1],
    "DuckDB file": duckdb_file,
    "view": lambda folder: ps.view("SELECT x, late, c FROM own", own=parquet(folder)),
}


@pytest.fixture(scope="module")
def fitted() -> fl.Fitted:
    return fl.simulate(fl.Logistic(features={"x": (0, 10), "c": ["a", "b"]}), [TABLE, TABLE], label="late", rounds=2)


@CLAIM
@pytest.mark.parametrize("form", FORMS)
def test_every_form(form: str, fitted: fl.Fitted, tmp_path: Path, cases: Cases) -> None:
    given = FORMS[form](tmp_path)
    assert fitted.predict(given).equals(fitted.predict(TABLE))
    assert fitted.probabilities(given).num_rows == ROWS
    again = fl.simulate(fitted.model, {"a": given, "b": given}, label="late", rounds=2)
    assert again.weights.tobytes() == fitted.weights.tobytes()
    with ps.embedded(north={"t": given}, store=None, quiet=True) as fed:  # what is meant by every form
        assert {"x", "late", "c"} <= fed["north"]["t"].columns.keys()
    cases()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "the table is a int, which is not a table"),
        ("nowhere.csv", "the table: there is no file nowhere.csv"),
        (TABLE.drop_columns("x"), "no column named 'x' in the table"),
        (pa.table([TABLE["x"], TABLE["x"], TABLE["c"]], names=["x", "x", "c"]), "the table has two columns 'x'"),
    ],
)
def test_what_is_no_table(given: Any, message: str, fitted: fl.Fitted) -> None:
    with pytest.raises(PrivsdkError, match=message):
        fitted.predict(given)


def test_a_folder_is_named_by_its_declaration(fitted: fl.Fitted, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"ps\.files"):
        fitted.predict(tmp_path)


def test_a_client_without_a_column() -> None:
    with pytest.raises(UnknownName, match="no column named 'late' in b"):
        fl.simulate(fl.Logistic(features={"x": (0, 10)}), {"a": TABLE, "b": TABLE.drop_columns("late")}, label="late")
