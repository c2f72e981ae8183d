"""scripts/verify_audit.py, which knows nothing of privsdk, and `python -m privsdk audit verify` say the same."""

from __future__ import annotations

import ast
import random
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from claims import Cases
from tampering import ROWS, cut, flip

from privsdk.__main__ import main
from privsdk.client.audit import Receipt
from privsdk.governance.chain import Row, chain_hash
from privsdk.governance.export import audit_table, write_audit
from privsdk.party.ledger.database import Signer
from privsdk.party.ledger.verification import read_ledger, verify_ledger

CLAIM = pytest.mark.claim("audit: a verifier of under 60 lines without privsdk agrees on sound and tampered ledgers")
WITHOUT = """
import runpy, sys
sys.modules['privsdk'] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], {}, '__main__')
"""


@pytest.fixture(scope="session")
def script() -> Path:
    return Path(__file__).parents[2] / "scripts" / "verify_audit.py"


def standalone(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The script in an isolated interpreter, in which importing privsdk fails."""
    command = [sys.executable, "-I", "-c", WITHOUT, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env={})


def agrees(script: Path, ledger: Path) -> bool:
    """Whether both name the same rows as sound and the same fault; returns whether there is none."""
    names = runpy.run_path(str(script))
    key, rows = names["read"](ledger)
    theirs, ours = names["check"](rows, key), verify_ledger(ledger)
    assert theirs == (ours.rows, ours.reason)
    return ours.first_bad < 0


def test_it_is_short_and_imports_no_privsdk(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) < 60
    imported: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"cryptography", "pyarrow"}


@CLAIM
def test_a_sound_ledger(script: Path, used: tuple[Path, Receipt], cases: Cases) -> None:
    ledger, receipt = used
    head = receipt.heads["north"]
    assert agrees(script, ledger)
    said = f"{ledger}: {ROWS} rows, chain and signatures sound\n"
    for more in ([], ["--key", head.public_key], ["--head", f"{head.rows}:{head.hash}"]):
        done = standalone(script, ledger, *more)
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
        assert main(["audit", "verify", str(ledger), *map(str, more)]) == 0
        cases()


@CLAIM
def test_every_single_byte_change(script: Path, ledger: Path, db: sqlite3.Connection, cases: Cases, soak: bool) -> None:
    rng = random.Random(60)
    for n in range(100 if not soak else 2000):
        row = rng.randint(1, ROWS)
        before = db.execute("SELECT body, hash, signature FROM audit WHERE sequence = ?", (row,)).fetchone()
        flip(db, rng, row)
        assert not agrees(script, ledger)
        if n < 3:
            done = standalone(script, ledger)
            assert done.returncode == main(["audit", "verify", str(ledger)]) == 1
            assert f"row {row} " in done.stderr
        db.execute("UPDATE audit SET body = ?, hash = ?, signature = ? WHERE sequence = ?", (*before, row))
        cases()
    assert agrees(script, ledger)


def remove(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM audit WHERE sequence = 30")


def swap(db: sqlite3.Connection) -> None:
    for old, new in ((20, -1), (21, 20), (-1, 21)):
        db.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (new, old))


def insert(db: sqlite3.Connection) -> None:
    body, previous = db.execute("SELECT body, hash FROM audit WHERE sequence = ?", (ROWS,)).fetchone()
    digest = chain_hash(previous, ROWS + 1, body)
    db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (ROWS + 1, body, digest, Signer.fresh().sign(digest)))


def resign(db: sqlite3.Connection) -> None:
    forge(db, first=40)


def forge(db: sqlite3.Connection, first: int = 1, signer: Signer | None = None) -> None:
    signer, previous = signer or Signer.fresh(), bytes(32)
    for sequence, body, digest in db.execute("SELECT sequence, body, hash FROM audit ORDER BY sequence").fetchall():
        previous = digest if sequence < first else chain_hash(previous, sequence, body)
        if sequence >= first:
            change = (previous, signer.sign(previous), sequence)
            db.execute("UPDATE audit SET hash = ?, signature = ? WHERE sequence = ?", change)


@CLAIM
@pytest.mark.parametrize("change", [remove, swap, insert, resign, forge])
def test_every_tampering(
    script: Path, ledger: Path, db: sqlite3.Connection, change: Callable[[sqlite3.Connection], None], cases: Cases
) -> None:
    change(db)
    assert not agrees(script, ledger)
    cases()


@CLAIM
def test_what_only_a_key_or_a_head_from_elsewhere_shows(
    script: Path,
    ledger: Path,
    db: sqlite3.Connection,
    used: tuple[Path, Receipt],
    capsys: pytest.CaptureFixture[str],
    cases: Cases,
) -> None:
    """A file that was cut at its end, and one that was forged with the key that it names, are sound by themselves."""
    true = used[1].heads["north"]
    key, head = ["--key", true.public_key], ["--head", f"{true.rows}:{true.hash}"]

    def both(*more: str) -> str:
        """What both say, having agreed on the exit code."""
        done = standalone(script, ledger, *more)
        assert done.returncode == main(["audit", "verify", str(ledger), *more])
        cases()
        return ("" if done.returncode else "sound ") + capsys.readouterr().out + done.stderr

    cut(db)
    assert both().startswith("sound")
    assert both(*key).startswith("sound")
    assert "NOT in this chain, which has 58 rows" in both(*head)
    signer = Signer.fresh()
    forge(db, signer=signer)
    db.execute("UPDATE meta SET value = ? WHERE key = 'public_key'", (signer.public_key.hex(),))
    assert both().startswith("sound")
    assert not both(*key).startswith("sound")
    wrong = both("--head", f"30:{true.hash}")
    assert "its row 30 is another one" in wrong


@CLAIM
@pytest.mark.parametrize("name", ["audit.arrow", "audit.parquet"])
def test_an_export(script: Path, used: tuple[Path, Receipt], tmp_path: Path, name: str, cases: Cases) -> None:
    _, key, rows, _ = read_ledger(used[0])
    out, head = tmp_path / name, used[1].heads["north"]
    write_audit(audit_table(rows, key), out)
    assert standalone(script, out, "--key", key.hex(), "--head", f"{head.rows}:{head.hash}").returncode == 0
    cut = tmp_path / f"cut.{name}"
    write_audit(audit_table([*rows[:9], *rows[10:]], key), cut)
    assert "row 10 is missing" in standalone(script, cut).stderr
    changed: Any = [
        row if row.sequence != 6 else Row(6, row.body.replace(b"analyst", b"nobody!"), *row[2:]) for row in rows
    ]
    write_audit(audit_table(changed, key), cut)
    assert "row 6 or the link to the row before it was changed" in standalone(script, cut).stderr
    cases(3)
