"""Joint tables of one party: what joins left there, and who may use it, how long and over which content.

They are in memory, and gone with the process; or, where the owner allows it (`Joins.keep_days`), in files beside the
ledger, read at each use.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from ..errors import PrivsdkError, StaleJoin
from ..errors.inputs import JointProblem, JointUnusable
from ..protocol.deadlines import DEADLINES
from ..protocol.operation import Alignment, Operand, Request
from ..protocol.timeouts import Joins, Limits
from .budget.books import Books
from .joint_bounds import JoinFacts, check_bound
from .joint_files import LARGEST, JointFiles, JointHead, name_of
from .tables import Store

log = logging.getLogger("privsdk.party")

SWEPT_S = 3600.0  # at least so often: a machine may have slept


class _Owned(NamedTuple):
    caller: str
    purpose: str
    table: str


class _Held(NamedTuple):
    """One in memory."""

    owned: _Owned
    version: str
    join: JoinFacts
    alignment: Alignment
    since: float


class JointTables:
    """All joint tables of one party."""

    def __init__(self, party: str, store: Store, books: Books, limits: Limits, joins: Joins) -> None:
        self._party = party
        self._store = store
        self._limits = limits
        self._keep = timedelta(days=joins.keep_days)
        self._files = books.joint_files()
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._due = -1
        self._closed = False
        self._sweep()

    def keep(self, request: Request, version: str, alignment: Alignment | None) -> tuple[str, str]:
        """Keep what a run left; its random id, and until when it outlives this process: "" where it does not."""
        if alignment is None:
            return "", ""
        table, key = request.operands[self._party].table, secrets.token_hex(16)
        owned, join = _Owned(request.caller, request.purpose, table), JoinFacts.of(request, alignment)
        if self._files and self._keep and (until := self._kept(self._files, key, owned, version, join, alignment)):
            return key, until
        with self._lock:
            while len(self._held) >= self._limits.joint_tables:
                del self._held[next(iter(self._held))]
            self._held[key] = _Held(owned, version, join, alignment, time.monotonic())
        return key, ""

    def check(self, request: Request, operand: Operand) -> None:
        """Raise as `rows` does, where an operand names a joint table that this request may not use."""
        if operand.alignment:
            self._found(request, operand, self._store.version(operand.table))

    def rows(self, request: Request, operand: Operand, version: str) -> Alignment:
        """The rows of the joint table that an operand names, or all others, if this request may use it.

        Raises
        ------
        StaleJoin
            It is unknown, ended, damaged, of another caller, purpose or table, or the table has changed since.
        PolicyRefused
            It is for a release with noise, and how far a unit of this party's table moves that is not bounded.
        """
        alignment = self._found(request, operand, version)()
        return alignment.unmatched() if operand.unmatched else alignment

    def close(self) -> None:
        self._closed = True
        DEADLINES.drop(self._due)

    def _kept(
        self, files: JointFiles, key: str, owned: _Owned, version: str, join: JoinFacts, alignment: Alignment
    ) -> str:
        """Until when it is on disk; "" where it is too large or cannot be written, which must not lose a paid join."""
        try:
            content, now = self._content(owned.table), files.now()
        except PrivsdkError:  # its rows cannot be told apart, or are being changed
            return ""
        head = JointHead(
            **owned._asdict(),
            join=join,
            content=content,
            since=now,
            until=now + self._keep,
            min_count=alignment.min_count,
            session=alignment.session,
            matched=len(alignment.rows),
            rows=len(alignment.codes),
        )
        if head.size > LARGEST or self._store.version(owned.table) != version:
            return ""
        try:
            files.add(name_of(key), head, alignment)
        except OSError as error:
            log.warning("%s: a joint table is kept in memory only (%s)", self._party, error.strerror)
            return ""
        self._sweep()
        return head.until.isoformat(timespec="seconds")

    def _found(self, request: Request, operand: Operand, version: str) -> Callable[[], Alignment]:
        """How to read its rows."""
        held = self._held.get(operand.alignment)
        asked = _Owned(request.caller, request.purpose, operand.table)
        if held is None:
            join, read = self._stored(name_of(operand.alignment), asked, version)
            check_bound(self._party, request, operand, join)
            return read
        if time.monotonic() - held.since > self._limits.joint_table_s:
            raise self._stale("expired")
        if held.owned != asked:
            raise self._stale("another's")
        if held.version != version:
            raise self._stale("changed", operand.table)
        check_bound(self._party, request, operand, held.join)
        return lambda: held.alignment

    def _stored(self, name: str, asked: _Owned, version: str) -> tuple[JoinFacts | None, Callable[[], Alignment]]:
        files = self._files
        head = None if files is None else files.head(name)
        if files is None or head is None:
            raise self._stale("gone")
        if (head.caller, head.purpose, head.table) != asked:
            raise self._stale("another's")
        if head.ended is None and min(head.until, head.since + self._keep) <= files.now():
            raise self._stale("expired")
        if head.ended is None and head.content != self._content(head.table):
            files.end(name, "changed")
            raise self._stale("changed", head.table)
        if head.ended is not None:
            problem: JointProblem = "gone" if head.ended == "replaced" else head.ended
            raise self._stale(problem, head.table, head.reason)
        if self._store.version(head.table) != version:
            raise self._stale("changed", head.table)
        return head.join, lambda: files.alignment(name)

    def _content(self, table: str) -> str:
        """The same for the same rows in the same order, in another process too."""
        return self._store.digest(table, tuple(self._store.schema(table).names))

    def _stale(self, problem: JointProblem, table: str = "", why: str = "") -> StaleJoin:
        return StaleJoin(JointUnusable(party=self._party, problem=problem, table=table, why=why))

    def _sweep(self) -> None:
        """End what is over its time on disk, now and whenever one's time comes."""
        if self._files is None:
            return
        left = self._files.sweep(self._keep, self._limits.joint_tables)
        with self._lock:
            DEADLINES.drop(self._due)
            if left is not None and not self._closed:
                self._due = DEADLINES.add(min(left.total_seconds() + 0.1, SWEPT_S), self._swept)

    def _swept(self) -> None:
        with suppress(PrivsdkError, OSError):  # its ledger may be closed by now, or held by another for long
            self._sweep()
