"""What exact answers a party has let out, as rows of its ledger: row sets, their figures, and the questions.

Tables of the ledger's own file, so that comparing and keeping are one transaction with the audit row. Only stores: the
rule is `party.differencing`. Sets are bits over the rows ever seen of a table, in the order in which they were
seen first.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ...governance.events import AnswerRepeated, RunState, after
from ...protocol.services import Figures
from ..row_hashes import RowHash, Words

SCHEMA = """
CREATE TABLE seen_row (tbl TEXT NOT NULL, start INTEGER NOT NULL, ids BLOB NOT NULL, units BLOB NOT NULL,
                       hashed TEXT NOT NULL, PRIMARY KEY (tbl, start)) STRICT;
CREATE TABLE disclosed_set (id INTEGER PRIMARY KEY, tbl TEXT NOT NULL, digest BLOB NOT NULL,
                                          sketch BLOB NOT NULL, bits BLOB NOT NULL, UNIQUE (tbl, digest)) STRICT;
CREATE TABLE disclosed_figure (id INTEGER NOT NULL REFERENCES disclosed_set, measure TEXT NOT NULL,
                                             figures TEXT NOT NULL, run_id TEXT NOT NULL,
                                             PRIMARY KEY (id, measure)) STRICT;
CREATE TABLE question (digest TEXT PRIMARY KEY, run_id TEXT NOT NULL REFERENCES run) STRICT;
"""

VERSION_4 = f"ALTER TABLE seen_row ADD COLUMN hashed TEXT NOT NULL DEFAULT '{RowHash.TEXT}'"
HASHED = "SELECT hashed FROM seen_row WHERE tbl = ? LIMIT 1"

Bits = npt.NDArray[np.uint8]
_TRIED = 1 << 15  # bytes of a set that are packed for trial
_DEPENDS = b"\x01"  # in place of a sketch, each of which is longer
_FIGURES = msgspec.json.Decoder(Figures)


class Connection(Protocol):
    """As much of the ledger's database as is needed here."""

    def execute(self, statement: str, arguments: Sequence[Any] = (), /) -> Any: ...


class Extent(NamedTuple):
    """How many sets of a table there are, the number of the last, and its digest."""

    sets: int
    last: int
    digest: bytes


class DisclosureTables:
    """The tables within one transaction of the ledger."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def rows_seen(self, table: str) -> int:
        """How many rows were ever seen of a table."""
        found = self._db.execute("SELECT sum(length(ids)) FROM seen_row WHERE tbl = ?", (table,)).fetchone()
        return (found[0] or 0) // 8

    def seen(self, table: str) -> tuple[Words, Words]:
        """Ids and units of the rows ever seen of a table: one array where each row is its own unit."""
        query = "SELECT ids, units FROM seen_row WHERE tbl = ? ORDER BY start"
        found = self._db.execute(query, (table,)).fetchall()
        ids = np.frombuffer(b"".join(own for own, _ in found), np.uint64)
        if not any(units for _, units in found):
            return ids, ids
        return ids, np.frombuffer(b"".join(units or own for own, units in found), np.uint64)

    def see(self, table: str, start: int, ids: Words, units: Words) -> None:
        """Add rows that were not seen before."""
        how = hashed(self._db.execute(HASHED, (table,)).fetchall())
        row = (table, start, ids.data, b"" if units is ids else units.data, how)
        self._db.execute("INSERT INTO seen_row VALUES (?, ?, ?, ?, ?)", row)

    def extent(self, table: str, until: int = 1 << 62) -> Extent:
        """Of the sets of a table up to a number."""
        found = self._db.execute(
            "SELECT count(*), coalesce(max(id), 0) FROM disclosed_set WHERE tbl = ? AND id <= ?", (table, until)
        ).fetchone()
        digest = self._db.execute("SELECT digest FROM disclosed_set WHERE id = ?", (found[1],)).fetchone()
        return Extent(found[0], found[1], digest[0] if digest else b"")

    def sets_after(self, table: str, number: int, *, every: bool = True) -> Iterable[tuple[Bits, bool]]:
        """The sets of a table after one, and of which of them a minimum or maximum was told; else not `every` one, but
        without those that depend on earlier ones and have neither."""
        query = (
            "SELECT bits, (SELECT count(*) FROM disclosed_figure AS f WHERE f.id = s.id "
            "AND (measure LIKE 'min of %' OR measure LIKE 'max of %')) AS extremes FROM disclosed_set AS s "
            "WHERE tbl = ? AND s.id > ? AND (? OR sketch <> ? OR extremes) ORDER BY s.id"
        )
        for packed, extremes in self._db.execute(query, (table, number, every, _DEPENDS)).fetchall():
            yield np.frombuffer(zlib.decompress(packed), np.uint8), extremes > 0

    def number_of(self, table: str, digest: bytes) -> int | None:
        """The number of a set, if it was disclosed before."""
        found = self._db.execute(
            "SELECT id FROM disclosed_set WHERE tbl = ? AND digest = ?", (table, digest)
        ).fetchone()
        return None if found is None else found[0]

    def add(self, table: str, digest: bytes, bits: Bits, *, depends: bool = False) -> int:
        """Keep a set, and whether it is a linear combination of earlier ones."""
        sketch = _DEPENDS if depends else b""  # ledgers of before have a sketch of the set
        start = bits[:_TRIED].tobytes()  # rows in no order of their own are not to be packed, which takes long
        packs = len(zlib.compress(start, level=1)) < 0.8 * len(start)
        row = (table, digest, sketch, zlib.compress(bits.tobytes(), level=1 if packs or len(bits) <= _TRIED else 0))
        return int(
            self._db.execute("INSERT INTO disclosed_set (tbl, digest, sketch, bits) VALUES (?, ?, ?, ?)", row).lastrowid
        )

    def figures(self, number: int, measure: str) -> Figures | None:
        """What was told of a set, if this measure of it was."""
        query = "SELECT figures FROM disclosed_figure WHERE id = ? AND measure = ?"
        found = self._db.execute(query, (number, measure)).fetchone()
        return None if found is None else _FIGURES.decode(found[0])

    def tell(self, number: int, measure: str, figures: Figures, run_id: str) -> None:
        row = (number, measure, msgspec.json.encode(figures).decode(), run_id)
        self._db.execute("INSERT INTO disclosed_figure VALUES (?, ?, ?, ?)", row)

    def ask(self, question: str, run_id: str) -> None:
        """Keep which run a question was last answered in."""
        self._db.execute("INSERT OR REPLACE INTO question VALUES (?, ?)", (question, run_id))

    def answer(self, question: str) -> str | None:
        """The run that has the answer to a question."""
        found = self._db.execute(
            "SELECT run_id FROM question JOIN run USING (run_id) WHERE question.digest = ? AND state = ?",
            (question, RunState.FINISHED),
        ).fetchone()
        return None if found is None else found[0]

    def answered(self, run_id: str, *, digest: str, caller: str, purpose: str, answer: bytes) -> None:
        """A run that ends before it began, with an earlier run's answer and no charge."""
        self._db.execute(
            "INSERT INTO run VALUES (?, ?, ?, ?, '', ?, ?)",
            (run_id, digest, caller, after(None, AnswerRepeated), answer, purpose),
        )

    def told(self, run_id: str) -> str:
        """A hash over what a run added, for the audit; "" where it added nothing."""
        return told(self._db, run_id).get(run_id, "")


def hashed(found: Sequence[tuple[str]]) -> RowHash:
    """How the rows of a table are hashed, of what `HASHED` found: as those that were seen first."""
    return RowHash(found[0][0]) if found else RowHash.WORDS


def told(db: Connection, run_id: str | None = None) -> dict[str, str]:
    """For each run, or for one, a hash over what it added: sets as their bits and sketches say, measures, figures."""
    rows = db.execute(
        "SELECT run_id, tbl, bits, digest, sketch, measure, figures "
        "FROM disclosed_figure JOIN disclosed_set USING (id) "
        "WHERE run_id = coalesce(?, run_id) ORDER BY run_id, id, measure",
        (run_id,),
    )
    added: dict[str, list[bytes]] = {}
    for run, table, packed, digest, sketch, measure, figures in rows:
        held = hashlib.sha256(zlib.decompress(packed).rstrip(b"\0")).hexdigest()
        held = held if held == digest.hex() else "its digest is another"  # by which the guard finds it
        added.setdefault(run, []).append(msgspec.json.encode([table, held, sketch.hex(), measure, figures]))
    return {run: hashlib.sha256(b"".join(entries)).hexdigest() for run, entries in added.items()}
