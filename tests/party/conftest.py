"""A house of two parties for the tests of gates and sessions, and ledger files."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from house import House
from ledger_child import open_books, reserve

import privsdk as ps
from privsdk import dp
from privsdk.client.audit import Receipt
from privsdk.errors import Refused
from privsdk.protocol.timeouts import Limits, Timeouts


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def timeouts() -> Timeouts:
    return Timeouts()


@pytest.fixture
def house(tmp_path: Path, limits: Limits, timeouts: Timeouts) -> Iterator[House]:
    opened = House(tmp_path, limits, timeouts)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Receipt]:
    """A ledger after real use: the opening, the budget, 15 releases of 3 rows each, 14 refusals; the last receipt."""
    folder = tmp_path_factory.mktemp("audited")
    with ps.embedded(north=pa.table({"x": list(range(50))}), store=folder, quiet=True) as fed:
        table = fed["north"]["table"]
        for _ in range(14):
            dp.count(table, epsilon=0.01).release()
            with pytest.raises(Refused):
                dp.count(table, epsilon=2).release()
        receipt = dp.count(table, epsilon=0.01).release().receipt
    return folder / "north.sqlite", receipt


@pytest.fixture
def ledger(used: tuple[Path, Receipt], tmp_path: Path) -> Path:
    return Path(shutil.copy(used[0], tmp_path))


@pytest.fixture
def db(ledger: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "north.sqlite"


@pytest.fixture
def kept(path: Path) -> Path:
    """A ledger with some rows, closed."""
    with closing(open_books(path, 1000)) as books:
        for n in range(100):
            reserve(books, str(n))
    return path
