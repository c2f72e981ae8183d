"""Verifying a ledger file as `python -m privsdk audit verify` does: while it is written to, and when it is none."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from forked import run_command
from tampering import ROWS, flip

import privsdk as ps
from privsdk import dp
from privsdk.__main__ import main
from privsdk.client.audit import Receipt
from privsdk.errors import LedgerError, Refused
from privsdk.governance.chain import chain_hash
from privsdk.party.ledger.database import Signer
from privsdk.party.ledger.verification import verify_ledger


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
            assert run_command("audit", "verify", str(path), folder=tmp_path).returncode == 0
            db.execute("ROLLBACK")
    assert {verdict.first_bad for verdict in verdicts} == {-1}
    assert verdicts[-1].rows >= 50


def test_the_command_says_what_it_found_by_its_exit_code(ledger: Path, db: sqlite3.Connection, tmp_path: Path) -> None:
    sound = run_command("audit", "verify", str(ledger), folder=tmp_path)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert f"{ROWS} rows, chain and signatures sound" in sound.stdout
    flip(db, random.Random(3), 42)
    broken = run_command("audit", "verify", str(ledger), folder=tmp_path)
    assert broken.returncode == 1
    assert "row 42" in broken.stdout
    assert "the 41 rows before it are sound" in broken.stdout


def test_the_command_prints_key_and_head_and_compares_them(
    ledger: Path, used: tuple[Path, Receipt], capsys: pytest.CaptureFixture[str]
) -> None:
    head = used[1].heads["north"]
    verify = ["audit", "verify", str(ledger)]
    assert main([*verify, "--key", head.public_key, "--head", f"{head.rows}:{head.hash}"]) == 0
    said = capsys.readouterr().out
    assert f"key   {head.public_key}" in said
    assert f"head  {head.rows}:{head.hash}" in said
    assert "the head of 61 rows is in this chain" in said
    assert main(verify) == 0
    assert "as the file says: give --key" in capsys.readouterr().out
    assert main([*verify, "--key", "11" * 32]) == 1
    assert f"is signed by another key: it names {head.public_key}" in capsys.readouterr().err
    assert main([*verify, "--head", f"62:{head.hash}"]) == 1
    assert "NOT in this chain, which has 61 rows: it was shortened" in capsys.readouterr().out
    assert main([*verify, "--head", f"12:{head.hash}"]) == 1
    assert "NOT in this chain: its row 12 is another one" in capsys.readouterr().out
    for wrong in (["--key", "zz"], ["--key", "11"], ["--head", "12"], ["--head", "x:00"], ["--head", f"x:{head.hash}"]):
        assert main([*verify, *wrong]) == 1
        assert "error: " in capsys.readouterr().err


def test_a_key_that_is_given_is_the_one_that_rows_are_checked_by(
    ledger: Path, db: sqlite3.Connection, used: tuple[Path, Receipt], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the file names the right key and its rows are signed by another."""
    assert verify_ledger(ledger, Signer.fresh().public_key).first_bad == 1
    previous, forger = bytes(32), Signer.fresh()
    for sequence, body in db.execute("SELECT sequence, body FROM audit ORDER BY sequence").fetchall():
        previous = chain_hash(previous, sequence, body)
        change = (previous, forger.sign(previous), sequence)
        db.execute("UPDATE audit SET hash = ?, signature = ? WHERE sequence = ?", change)
    assert main(["audit", "verify", str(ledger), "--key", used[1].heads["north"].public_key]) == 1
    assert "row 1 is not signed by this party's key" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"no database at all, whatever its name says"])
def test_a_file_that_is_no_ledger(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "north.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be read as a ledger"):
        verify_ledger(path)
    assert run_command("audit", "verify", str(path), folder=tmp_path).returncode == 1
