"""Ledger files that cannot be used: each a LedgerError that says whose it is and what to do; no charge is forgotten."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from ledger_child import LIMIT, open_books, reserve
from ledger_refusal import refusal

from privsdk.errors import LedgerError


def test_the_signing_key_is_its_owners_alone(kept: Path) -> None:
    assert sorted(file.name for file in kept.parent.iterdir()) == ["north.ed25519", "north.sqlite"]
    if os.name == "posix":
        assert kept.with_suffix(".ed25519").stat().st_mode & 0o077 == 0


def overwrite_everything(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def overwrite_a_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:8192] = random.Random(2).randbytes(4096)
    path.write_bytes(data)


def overwrite_a_page_of_old_rows(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = random.Random(3).randbytes(4096)
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // 4096 * 4096])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "damage", [overwrite_everything, overwrite_a_page, overwrite_a_page_of_old_rows, truncate, empty, remove]
)
def test_a_damaged_or_missing_file_is_not_replaced_by_a_fresh_budget(
    kept: Path, damage: Callable[[Path], None]
) -> None:
    damage(kept)
    assert "restore" in refusal(kept).hint


def test_a_newer_version_is_left_alone(kept: Path) -> None:
    with closing(sqlite3.connect(kept)) as db:
        db.execute("PRAGMA user_version=5")
    error = refusal(kept)
    assert "has version 5; this privsdk knows 4" in error.message
    assert "upgrade privsdk" in error.hint


def test_a_sqlite_file_that_is_no_ledger_is_left_alone(path: Path) -> None:
    open_books(path, LIMIT).close()
    path.unlink()  # its key stays
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    assert "is not a privsdk ledger" in refusal(path).message
    path.with_suffix(".ed25519").unlink()
    assert "if the file beside it is no ledger, give another path" in refusal(path).hint
    assert path.read_bytes() == before


def test_another_partys_ledger(kept: Path) -> None:
    assert "is the ledger of north, not of south" in refusal(kept, "south").message


def test_a_missing_key(kept: Path) -> None:
    kept.with_suffix(".ed25519").unlink()
    error = refusal(kept)
    assert "is missing, and the ledger beside it was signed with it" in error.message
    assert "restore the key file" in error.hint
    assert not kept.with_suffix(".ed25519").exists()


def test_another_key_and_a_file_that_is_no_key(kept: Path, tmp_path: Path) -> None:
    with closing(open_books(tmp_path / "other.sqlite", LIMIT)):
        shutil.copy(tmp_path / "other.ed25519", kept.with_suffix(".ed25519"))
    assert "was signed with another key" in refusal(kept).message
    kept.with_suffix(".ed25519").write_text("no key")
    assert "is not an Ed25519 private key" in refusal(kept).message


@pytest.mark.parametrize(
    ("mounts", "refused"),
    [
        ([("/", "ext4", "rw"), (".", "nfs4", "rw")], True),
        ([("/", "ext4", "rw"), (".", "ext4", "rw,remote")], True),
        ([("/", "nfs", "rw"), (".", "ext4", "rw")], False),
        ([("/", "ext4", "rw")], False),
        ([], False),
    ],
)
def test_a_network_mount_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, mounts: list[tuple[str, str, str]], refused: bool
) -> None:
    path.parent.mkdir()
    found = [SimpleNamespace(mountpoint=str((path.parent / m).resolve()), fstype=f, opts=o) for m, f, o in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: found)
    if refused:
        assert "network mount" in refusal(path).message
    else:
        open_books(path, LIMIT).close()


def test_a_folder_that_cannot_be_made_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refusal(tmp_path / "file" / "north.sqlite").message

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", denied)
    assert "cannot be made: Permission denied" in refusal(tmp_path / "north.sqlite").message


def test_a_closed_ledger_does_not_ask_for_a_backup(path: Path) -> None:
    books = open_books(path, LIMIT)
    books.close()
    with pytest.raises(LedgerError, match="north's ledger is closed"):
        reserve(books, "late")
