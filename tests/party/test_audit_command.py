"""Verifying a ledger file as `python -m privsdk audit verify` does: while it is written to, and when it is none."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from tampering import ROWS, flip

import privsdk as ps
from privsdk import dp
from privsdk.errors import LedgerError, Refused
from privsdk.party.books import verify_ledger


def test_verification_while_the_ledger_is_written_to(tmp_path: Path) -> None:
    with ps.embedded(north=pa.table({"x": [1]}), store=tmp_path, quiet=True) as fed:
        path, table, stop = tmp_path / "north.sqlite", fed["north"]["table"], threading.Event()

        def keep_writing() -> None:
            while not stop.is_set():
                with pytest.raises(Refused):
                    dp.count(table, epsilon=2).release()

        writer = threading.Thread(target=keep_writing)
        writer.start()
        verdicts, deadline = [verify_ledger(path)], time.monotonic() + 60
        while verdicts[-1].rows < 50 and time.monotonic() < deadline:
            verdicts.append(verify_ledger(path))
        stop.set()
        writer.join()
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM audit")  # not committed
            assert verify_command(path).returncode == 0
            db.execute("ROLLBACK")
    assert {verdict.first_bad for verdict in verdicts} == {-1}
    assert verdicts[-1].rows >= 50


def verify_command(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "privsdk", "audit", "verify", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_says_what_it_found_by_its_exit_code(ledger: Path, db: sqlite3.Connection) -> None:
    sound = verify_command(ledger)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert f"{ROWS} rows, chain and signatures sound" in sound.stdout
    flip(db, random.Random(3), 42)
    broken = verify_command(ledger)
    assert broken.returncode == 1
    assert "row 42" in broken.stdout
    assert "the 41 rows before it are sound" in broken.stdout


@pytest.mark.parametrize("content", [None, b"", b"no database at all, whatever its name says"])
def test_a_file_that_is_no_ledger(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "north.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be read as a ledger"):
        verify_ledger(path)
    assert verify_command(path).returncode == 1
