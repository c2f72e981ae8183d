"""The audit chain: whatever changes in a ledger file, the verifier names the first row that is not what was signed."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from claims import Cases
from tampering import ROWS, flip

import privsdk as ps
from privsdk import dp
from privsdk.client.audit import Receipt
from privsdk.errors import Refused
from privsdk.governance.chain import chain_hash
from privsdk.party.ledger.database import Signer
from privsdk.party.ledger.verification import read_ledger, verify_ledger


def test_a_ledger_from_real_use_is_sound_and_ends_at_the_receipts_head(used: tuple[Path, Receipt]) -> None:
    path, receipt = used
    assert verify_ledger(path)._asdict() == {"rows": ROWS, "first_bad": -1, "reason": ""}
    _, key, rows, _ = read_ledger(path)
    assert receipt.verify()
    head = receipt.heads["north"]
    assert (head.rows, head.hash, head.public_key) == (ROWS, rows[-1].hash.hex(), key.hex())


@pytest.mark.claim("audit: for 200 single-byte changes the verifier names the first altered row")
def test_single_byte_changes(ledger: Path, db: sqlite3.Connection, cases: Cases, soak: bool) -> None:
    rng = random.Random(200)
    for _ in range(200 if not soak else 5000):
        row = rng.randint(1, ROWS)
        before = db.execute("SELECT * FROM audit WHERE sequence = ?", (row,)).fetchone()
        flip(db, rng, row)
        verdict = verify_ledger(ledger)
        assert (verdict.first_bad, verdict.rows) == (row, row - 1)
        assert f"row {row} " in verdict.reason
        db.execute("UPDATE audit SET body = ?, hash = ?, signature = ? WHERE sequence = ?", (*before[1:], row))
        cases()
    assert verify_ledger(ledger).first_bad == -1


@pytest.mark.parametrize("seed", range(10))
def test_of_several_changes_the_first_is_named(ledger: Path, db: sqlite3.Connection, seed: int) -> None:
    rng = random.Random(seed)
    changed = rng.sample(range(1, ROWS + 1), rng.randint(2, 8))
    for row in changed:
        flip(db, rng, row)
    assert verify_ledger(ledger).first_bad == min(changed)


@pytest.mark.parametrize("row", [1, 2, 30, ROWS - 1])
def test_a_removed_row(ledger: Path, db: sqlite3.Connection, row: int) -> None:
    db.execute("DELETE FROM audit WHERE sequence = ?", (row,))
    verdict = verify_ledger(ledger)
    assert verdict.first_bad == row
    assert f"row {row} is missing" in verdict.reason
    db.execute("UPDATE audit SET sequence = sequence - 1 WHERE sequence > ?", (row,))
    assert verify_ledger(ledger).first_bad == row


def test_a_chain_cut_at_its_end_is_found_by_the_receipt(
    ledger: Path, db: sqlite3.Connection, used: tuple[Path, Receipt]
) -> None:
    db.execute("DELETE FROM audit WHERE sequence = ?", (ROWS,))
    verdict = verify_ledger(ledger)
    assert verdict.rows < used[1].heads["north"].rows
    assert (verdict.first_bad, "has the state 'finished'" in verdict.reason) == (0, True)  # and by the tables


@pytest.mark.parametrize(("first", "second"), [(1, 2), (20, 21), (5, 60)])
def test_swapped_rows(ledger: Path, db: sqlite3.Connection, first: int, second: int) -> None:
    for old, new in ((first, -1), (second, first), (-1, second)):
        db.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (new, old))
    assert verify_ledger(ledger).first_bad == first


@pytest.mark.parametrize("row", [2, 30, ROWS + 1])
def test_an_inserted_row(ledger: Path, db: sqlite3.Connection, row: int) -> None:
    """Copied, or well made and signed by someone else."""
    db.execute("UPDATE audit SET sequence = -sequence WHERE sequence >= ?", (row,))
    db.execute("UPDATE audit SET sequence = 1 - sequence WHERE sequence < 0")
    body, previous, signature = db.execute(
        "SELECT body, hash, signature FROM audit WHERE sequence = ?", (row - 1,)
    ).fetchone()
    digest = chain_hash(previous, row, body)
    for forged in ((previous, signature), (digest, signature), (digest, Signer.fresh().sign(digest))):
        db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (row, body, *forged))
        assert verify_ledger(ledger).first_bad == row
        db.execute("DELETE FROM audit WHERE sequence = ?", (row,))


def resign(db: sqlite3.Connection, rows: list[tuple[int, bytes]], previous: bytes, signer: Signer) -> None:
    for sequence, body in rows:
        previous = chain_hash(previous, sequence, body)
        change = (body, previous, signer.sign(previous), sequence)
        db.execute("UPDATE audit SET body = ?, hash = ?, signature = ? WHERE sequence = ?", change)


def test_rows_rewritten_and_signed_by_another_key(ledger: Path, db: sqlite3.Connection) -> None:
    rows = read_ledger(ledger).rows
    rewritten = [(row.sequence, row.body.replace(b"analyst", b"nobody!")) for row in rows[39:]]
    resign(db, rewritten, rows[38].hash, Signer.fresh())
    verdict = verify_ledger(ledger)
    assert verdict.first_bad == 40
    assert verdict.reason == "row 40 is not signed by this party's key"


def test_a_row_of_another_history_that_the_same_key_signed(
    ledger: Path, db: sqlite3.Connection, used: tuple[Path, Receipt], tmp_path: Path
) -> None:
    """As after an older copy was put back and used again: each row is well signed, and the link shows the seam."""
    fork = tmp_path / "fork"
    shutil.copytree(used[0].parent, fork)
    with closing(sqlite3.connect(fork / "north.sqlite")) as older, older:
        older.execute("DELETE FROM audit WHERE sequence > 41")  # between two runs
        known = "SELECT json_extract(CAST(body AS TEXT), '$.request.run_id') AS id FROM audit"
        for table in ("charge", "run"):
            older.execute(f"DELETE FROM {table} WHERE run_id NOT IN (SELECT id FROM ({known}) WHERE id IS NOT NULL)")  # noqa: S608
    (fork / "analyst.heads.json").unlink()  # what the caller saw would show it at once
    with ps.embedded(north=pa.table({"x": [1]}), store=fork, quiet=True) as fed:
        for _ in range(20):
            with pytest.raises(Refused):
                dp.count(fed["north"]["table"], epsilon=2).release()
    other = read_ledger(fork / "north.sqlite").rows
    assert verify_ledger(fork / "north.sqlite").first_bad == -1
    for row in (other[49], other[41]):
        change = (row.body, row.hash, row.signature, row.sequence)
        db.execute("UPDATE audit SET body = ?, hash = ?, signature = ? WHERE sequence = ?", change)
    assert verify_ledger(ledger).first_bad == 43  # row 42 continues row 41 as well as the one it replaced


def test_the_chain_is_sha256_over_the_row_before_the_number_and_the_body() -> None:
    before, body = bytes(range(32)), b'{"event":"opened"}'
    assert chain_hash(before, 258, body) == hashlib.sha256(before + bytes(6) + b"\x01\x02" + body).digest()


def test_a_whole_ledger_forged_with_its_key_contradicts_the_receipts(
    ledger: Path, db: sqlite3.Connection, used: tuple[Path, Receipt]
) -> None:
    """The file alone cannot show this: it names its own key. Receipts name the key too, and the head."""
    signer = Signer.fresh()
    resign(db, [(row.sequence, row.body) for row in read_ledger(ledger).rows], bytes(32), signer)
    assert verify_ledger(ledger).first_bad == 1
    db.execute("UPDATE meta SET value = ? WHERE key = 'public_key'", (signer.public_key.hex(),))
    assert verify_ledger(ledger).first_bad == -1
    assert used[1].heads["north"].public_key != read_ledger(ledger).public_key.hex()


def test_a_running_party_notices_too(used: tuple[Path, Receipt], tmp_path: Path) -> None:
    for file in used[0].parent.iterdir():
        shutil.copy(file, tmp_path)
    with ps.embedded(north=pa.table({"x": [1]}), store=tmp_path, quiet=True) as fed:
        assert fed.verify_audit()["north"].first_bad == -1
        with closing(sqlite3.connect(tmp_path / "north.sqlite", isolation_level=None)) as db:
            flip(db, random.Random(1), 17)
        assert fed.verify_audit()["north"].first_bad == 17
