"""Runs and joint tables of one party while they live: admission, lifetimes, finding the run that a call is about.

Decides nothing about data: that is the gate. What is lost with the process (unstarted reservations, alignments) is only
here; what must survive is in the ledger.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from ..errors import Busy, StaleJoin, UnknownName
from ..governance.policy import KeyBounds
from ..protocol.control import Hello, Watched
from ..protocol.conversation import Channel
from ..protocol.operation import Alignment, Operand, Operation, Request
from ..protocol.timeouts import Limits, Timeouts
from .run import PartyRun

MOST_ENDED = 100  # runs of which it is remembered how far they came
LAST_TOLD = 200  # of each: what its caller may not have asked for before it ended


class JointRows(NamedTuple):
    """A stored alignment, and everything that a later use of it must match."""

    alignment: Alignment
    table: str
    version: str
    caller: str
    purpose: str
    request: str
    since: float


class PartyRuns:
    """All runs and alignments of one party."""

    def __init__(self, party: str, limits: Limits, timeouts: Timeouts) -> None:
        self._limits = limits
        self._timeouts = timeouts
        self._party = party
        self._lock = threading.Lock()
        self._prepared: dict[str, PartyRun] = {}
        self._running: dict[str, PartyRun] = {}
        self._ended: dict[str, tuple[str, int, Watched]] = {}
        self._joints: dict[str, JointRows] = {}
        self._entering = 0

    @property
    def running(self) -> int:
        return len(self._running)

    @contextmanager
    def admission(self) -> Iterator[None]:
        """Keep a place while a run is decided on and prepared; raises Busy where there is none and never waits."""
        with self._lock:
            if len(self._prepared) + len(self._running) + self._entering >= self._limits.runs:
                raise Busy(f"{self._party} has {self._limits.runs} runs already", hint="try again in a while")
            self._entering += 1
        try:
            yield
        finally:
            with self._lock:
                self._entering -= 1

    def prepare(self, operation: Operation[Any], min_count: int, key_bounds: KeyBounds) -> PartyRun:
        run = PartyRun(self._party, operation, min_count, key_bounds, self._timeouts)
        with self._lock:
            self._prepared[operation.request.run_id] = run
        return run

    def begin(self, run_id: str, caller: str) -> PartyRun | None:
        """Move a prepared run to running; None where there is none of this caller."""
        with self._lock:
            run = self._prepared.get(run_id)
            if run is None or run.request.caller != caller:
                return None
            self._running[run_id] = self._prepared.pop(run_id)
            return run

    def drop_prepared(self, run_id: str, caller: str) -> bool:
        with self._lock:
            run = self._prepared.get(run_id)
            if run is None or run.request.caller != caller:
                return False
            del self._prepared[run_id]
            return True

    def overdue(self) -> list[str]:
        """Prepared runs that nobody started in time; they are forgotten here and theirs to release in the ledger."""
        now = time.monotonic()
        with self._lock:
            late = [r for r, s in self._prepared.items() if now - s.since > self._timeouts.prepared_s]
            for run_id in late:
                del self._prepared[run_id]
        return late

    def ended(self, run_id: str) -> None:
        with self._lock:
            run = self._running.pop(run_id, None)
            if run is not None:
                first = max(0, len(run.told) - LAST_TOLD)
                self._ended[run_id] = run.request.caller, first, run.watched(first)
            while len(self._ended) > MOST_ENDED:
                del self._ended[next(iter(self._ended))]

    def watched(self, run_id: str, caller: str, since: int) -> Watched:
        """How far a run of this caller is, or was when it ended a while ago."""
        with self._lock:
            run = self._running.get(run_id)
            owner, first, last = self._ended.get(run_id, ("", 0, None))
        if run is not None and run.request.caller == caller:
            return run.watched(since)
        if last is None or owner != caller:
            raise UnknownName(f"{self._party} has no run {run_id} under way", hint="watch it while it runs")
        return msgspec.structs.replace(last, told=last.told[since - first :] if since >= first else ())

    def stop(self, run_id: str, caller: str) -> None:
        """Let a run end with what there is, at its next round."""
        run = self._running.get(run_id)
        if run is not None and run.request.caller == caller:
            run.stop_requested.set()

    def cancel(self, run_id: str, caller: str) -> None:
        run = self._running.get(run_id)
        if run is not None and run.request.caller == caller:
            run.cancel()

    def cancel_all(self) -> None:
        for run in list(self._running.values()):
            run.cancel()

    def accept(self, peer: str, hello: Hello, channel: Channel) -> None:
        with self._lock:
            run = self._running.get(hello.run_id) or self._prepared.get(hello.run_id)
        if run is None:
            raise UnknownName(f"{self._party} has no run {hello.run_id} that {peer} could join")
        run.arrive(peer, hello, channel)

    def keep(self, request: Request, operand: Operand, version: str, alignment: Alignment) -> str:
        """Store an alignment; returns its random id."""
        joint = JointRows(
            alignment,
            operand.table,
            version,
            request.caller,
            request.purpose,
            request.digest(),
            time.monotonic(),
        )
        key = secrets.token_hex(16)
        with self._lock:
            while len(self._joints) >= self._limits.joint_tables:
                del self._joints[next(iter(self._joints))]
            self._joints[key] = joint
        return key

    def joint_rows(self, request: Request, operand: Operand, version: str) -> Alignment:
        """The alignment an operand names, if this request may use it.

        Raises
        ------
        StaleJoin
            It is unknown, expired, of another caller, purpose or table, or the table has changed since.
        """
        joint = self._joints.get(operand.alignment)
        hint = "join again with psi.join (a new charge)"
        if joint is None or time.monotonic() - joint.since > self._limits.joint_table_s:
            raise StaleJoin(f"{self._party} no longer has this joint table", hint=hint)
        if (joint.caller, joint.purpose, joint.table) != (request.caller, request.purpose, operand.table):
            raise StaleJoin("this joint table belongs to another caller, purpose or table", hint=hint)
        if joint.version != version:
            raise StaleJoin(f"{self._party}/{operand.table} has changed since the join", hint=hint)
        return joint.alignment
