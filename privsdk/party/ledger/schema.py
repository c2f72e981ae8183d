"""The tables of a ledger file, their version, and the way up from older ones.

A newer file than this privsdk knows is refused; an older one is copied beside itself and then migrated in one
transaction.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ...atomic import remove_drafts, replacing
from . import pooled_runs, row_sets

VERSION = 4
APPLICATION_ID = 0x50524956  # "PRIV"
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE run (run_id TEXT PRIMARY KEY, digest TEXT NOT NULL, caller TEXT NOT NULL, state TEXT NOT NULL,
                  instance TEXT NOT NULL, answer BLOB, purpose TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE charge (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES run, dataset TEXT NOT NULL,
                     at TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX charge_dataset ON charge (dataset);
CREATE TABLE audit (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL, signature BLOB NOT NULL)
STRICT;
"""
VERSION_2 = """
CREATE TABLE standing (dataset TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE INDEX charge_run ON charge (run_id);
CREATE INDEX run_open ON run (run_id) WHERE state IN ('reserved', 'started');
"""


def create(db: sqlite3.Connection) -> None:
    """Make the tables of the present version, within the caller's transaction."""
    _run(db, TABLES + VERSION_2 + row_sets.SCHEMA + pooled_runs.SCHEMA)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute(f"PRAGMA user_version={VERSION}")


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring tables of an older version to the present one, within the caller's transaction."""
    if version < 2:
        # the purposes were in the audit alone
        db.execute("ALTER TABLE run ADD COLUMN purpose TEXT NOT NULL DEFAULT ''")
        db.execute(
            """UPDATE run SET purpose = reserved.purpose FROM (
                   SELECT json_extract(text, '$.request.run_id') AS id,
                          json_extract(text, '$.request.purpose') AS purpose
                   FROM (SELECT CAST(body AS TEXT) AS text FROM audit)
                   WHERE json_extract(text, '$.event') = 'reserved') AS reserved
               WHERE reserved.id = run.run_id"""
        )
        _run(db, VERSION_2 + row_sets.SCHEMA)
    if version < 3:
        _run(db, pooled_runs.SCHEMA)
    if 2 <= version < 4:
        db.execute(row_sets.VERSION_4)
    db.execute(f"PRAGMA user_version={VERSION}")


def back_up(path: Path, version: int) -> Path:
    """Copy a ledger beside itself before it is migrated; an earlier copy of that version is kept as it is."""
    copy = path.with_name(f"{path.stem}.version{version}{path.suffix}")
    if copy.exists():
        return copy
    remove_drafts(copy)
    with (
        replacing(copy) as draft,
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(draft)) as target,
    ):
        source.backup(target)
    return copy


def _run(db: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";"):
        db.execute(statement)
