"""Changes to an audit row in a ledger file, behind its party's back."""

from __future__ import annotations

import random
import sqlite3

ROWS = 61  # of the ledger after real use
COLUMNS = ("body", "hash", "signature")


def flip(db: sqlite3.Connection, rng: random.Random, row: int) -> None:
    """Change one bit of one byte in this row."""
    column = rng.choice(COLUMNS)
    (old,) = db.execute(f"SELECT {column} FROM audit WHERE sequence = ?", (row,)).fetchone()  # noqa: S608
    new = bytearray(old)
    new[rng.randrange(len(new))] ^= 1 << rng.randrange(8)
    db.execute(f"UPDATE audit SET {column} = ? WHERE sequence = ?", (bytes(new), row))  # noqa: S608


def cut(db: sqlite3.Connection) -> None:
    """Take the last run away from the chain and the tables alike: the file alone is sound."""
    (run_id,) = db.execute("SELECT run_id FROM run ORDER BY rowid DESC").fetchone()
    db.execute("DELETE FROM charge WHERE run_id = ?", (run_id,))
    db.execute("DELETE FROM run WHERE run_id = ?", (run_id,))
    db.execute("DELETE FROM audit WHERE sequence > ?", (ROWS - 3,))
