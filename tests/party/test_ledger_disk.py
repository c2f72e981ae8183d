"""A ledger on a disk that is full, and one whose party was killed within a commit: nothing is under-counted."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from claims import Cases
from ledger_child import open_books, reserve, spent
from ledger_refusal import refusal

from privsdk.errors import LedgerError
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol.control import Finished


@pytest.mark.claim("disk full: what cannot be written is refused by name, and nothing is under-counted")
def test_a_full_disk_under_counts_nothing(path: Path, cases: Cases) -> None:
    books = open_books(path, 100_000)
    database = books._ledger._database.connection
    reserve(books, "first")
    books.start("first", "s")
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages + 2}")  # SQLite then fails as it does on a full disk
    granted: list[str] = ["first"]

    def fill() -> None:
        for _ in range(1000):
            reserve(books, f"run{len(granted)}")
            granted.append(f"run{len(granted)}")

    with pytest.raises(LedgerError, match=r"north's ledger .* database or disk is full") as refused:
        fill()
    assert "the disk has space" in refused.value.hint
    assert len(granted) > 1
    with pytest.raises(LedgerError):
        books.finish("first", Finished(value={"long": "answer" * 10_000}), [])
    first = books.known("first")
    assert first
    assert (spent(books), first.state, first.answer) == (len(granted), "started", None)
    assert books.known(f"run{len(granted)}") is None
    database.execute("PRAGMA max_page_count=1000000")
    reserve(books, f"run{len(granted)}")
    assert spent(books) == len(granted) + 1
    assert books.verify().first_bad == -1
    cases(len(granted))
    books.close()


def test_a_disk_that_is_full_from_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def full(*arguments: object, **options: object) -> sqlite3.Connection:
        database = connect(*arguments, **options)
        database.execute("PRAGMA max_page_count=2")
        return database

    monkeypatch.setattr("privsdk.party.ledger.database.sqlite3.connect", full)
    assert "disk is full" in refusal(path).message


def test_a_commit_that_was_cut_off_is_rolled_back_when_reading_and_when_opening(kept: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    with closing(sqlite3.connect(kept, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size=1")  # pages spill into the file before the commit, as when killed within it
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE audit SET body = zeroblob(4000)")
        db.execute("DELETE FROM charge")
        shutil.copytree(kept.parent, crashed)
        db.execute("ROLLBACK")
    assert (crashed / "north.sqlite-journal").stat().st_size > 0
    assert verify_ledger(crashed / "north.sqlite")._asdict() == {"rows": 102, "first_bad": -1, "reason": ""}
    assert (crashed / "north.sqlite-journal").exists()  # reading changed nothing
    with closing(open_books(crashed / "north.sqlite", 1000)) as books:
        assert spent(books) == 100
        assert books.verify().first_bad == -1
