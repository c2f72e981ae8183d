"""Runs of one party while they live: admission, lifetimes, finding the run that a call is about, and what its role is
handed: the columns that were decided on, read once the run is paid.

Decides nothing about data: that is the gate, before. What is lost with the process (unstarted reservations) is only
here; what must survive is in the ledger.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from ..errors import Busy, DataError, PrivsdkError, UnknownName
from ..errors.sessions import TooBusy
from ..errors.sources import ChangedWhileRead
from ..governance.charges import Unit
from ..governance.policy import KeyBounds
from ..protocol.columns.arrow import taken
from ..protocol.control import Hello, Watched
from ..protocol.conversation import Channel
from ..protocol.deadlines import DEADLINES
from ..protocol.effort import FreeQuestions
from ..protocol.operation import Alignment, Operand, Operation, Request, RoleInput
from ..protocol.roles import Entropy
from ..protocol.services import Checkpoints, Identity
from ..protocol.timeouts import Limits, Timeouts
from .budget.books import Books
from .checkpoints import CheckpointStore, Work
from .differencing.guard import Guard, Screen
from .joint_bounds import bounded
from .joints import JointTables
from .run import PartyRun, RunServices
from .tables import Store

MOST_ENDED = 100  # runs of which it is remembered how far they came
CLOSE_S = 2.0  # for runs to end when a party is closed
LAST_TOLD = 200  # of each: what its caller may not have asked for before it ended


class PartyRuns:
    """All runs of one party."""

    def __init__(self, party: str, limits: Limits, timeouts: Timeouts, give_back: Callable[[str, str], object]) -> None:
        self._give_back = give_back  # in the ledger
        self._due = -1
        self.questions = FreeQuestions(party, limits.quote_s)
        self._limits = limits
        self._timeouts = timeouts
        self._party = party
        self._lock = threading.Lock()
        self._prepared: dict[str, PartyRun] = {}
        self._running: dict[str, PartyRun] = {}
        self._ended: dict[str, tuple[str, int, Watched]] = {}
        self._entering: Counter[str] = Counter()

    @property
    def running(self) -> int:
        return len(self._running)

    @contextmanager
    def admission(self, caller: str) -> Iterator[None]:
        """Keep a place while a run is decided on and prepared; raises Busy where there is none and never waits.

        A caller has a share of the places, and one who has none gets in though others have taken all.
        """
        with self._lock:
            places = Counter(run.request.caller for run in (*self._prepared.values(), *self._running.values()))
            places.update(self._entering)
            if places[caller] and places.total() >= self._limits.runs:
                raise Busy(TooBusy(party=self._party, of="runs", most=self._limits.runs))
            if places[caller] >= self._limits.runs_each:
                raise Busy(TooBusy(party=self._party, of="runs", most=self._limits.runs_each, caller=caller))
            self._entering[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._entering[caller] -= 1

    def prepare(self, operation: Operation[Any], min_count: int, key_bounds: KeyBounds) -> PartyRun:
        run = PartyRun(self._party, operation, min_count, key_bounds, self._timeouts)
        with self._lock:
            self._prepared[operation.request.run_id] = run
            DEADLINES.drop(self._due)
            self._due = DEADLINES.add(self._timeouts.prepared_s + 0.1, self._expire)
        return run

    def begin(self, run_id: str, caller: str) -> PartyRun | None:
        """Move a prepared run to running; None where there is none of this caller."""
        with self._lock:
            run = _own(self._prepared, run_id, caller)
            if run is not None:
                self._running[run_id] = self._prepared.pop(run_id)
            return run

    def drop_prepared(self, run_id: str, caller: str) -> bool:
        with self._lock:
            run = _own(self._prepared, run_id, caller)
            if run is not None:
                del self._prepared[run_id]
        if run is not None:
            run.close()
        return run is not None

    def release_overdue(self) -> None:
        """Forget prepared runs that nobody started in time; they are given back in the ledger."""
        now = time.monotonic()
        with self._lock:
            late = [run for run in self._prepared.values() if now - run.since > self._timeouts.prepared_s]
            for run in late:
                del self._prepared[run.request.run_id]
        for run in late:
            run.close()
            self._give_back(run.request.run_id, "not started in time")

    def _expire(self) -> None:
        """Where no call came since: the last run that was prepared is due."""
        with suppress(PrivsdkError):
            self.release_overdue()

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
            run = _own(self._running, run_id, caller)
            owner, first, last = self._ended.get(run_id, ("", 0, None))
        if run is not None:
            return run.watched(since)
        if last is None or owner != caller:
            raise UnknownName(f"{self._party} has no run {run_id} under way", hint="watch it while it runs")
        return msgspec.structs.replace(last, told=last.told[since - first :] if since >= first else ())

    def stop(self, run_id: str, caller: str) -> None:
        """Let a run end with what there is, at its next round."""
        if run := _own(self._running, run_id, caller):
            run.stop_requested.set()

    def cancel(self, run_id: str, caller: str) -> None:
        with self._lock:  # one that is about to begin finds that it was cancelled
            run = _own(self._running, run_id, caller) or _own(self._prepared, run_id, caller)
        if run is not None:
            run.cancel()

    def close(self) -> None:
        """Cancel all runs, and give them a moment to end."""
        with self._lock:
            running, prepared = list(self._running.values()), list(self._prepared.values())
            self._prepared.clear()
        for run in running:
            run.cancel()
        for run in prepared:
            run.close()
        DEADLINES.drop(self._due)
        deadline = time.monotonic() + CLOSE_S
        while self._running and time.monotonic() < deadline:
            time.sleep(0.01)

    def accept(self, peer: str, hello: Hello, channel: Channel) -> None:
        with self._lock:
            run = self._running.get(hello.run_id) or self._prepared.get(hello.run_id)
        if run is None:
            raise UnknownName(f"{self._party} has no run {hello.run_id} that {peer} could join")
        run.arrive(peer, hello, channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Of one party's roles: its columns, and its ways to the books."""

    store: Store
    joints: JointTables
    guard: Guard
    books: Books
    checkpoints: CheckpointStore
    entropy: Entropy
    identity: Identity
    min_parties: int

    def of(self, party: str, run: PartyRun) -> tuple[RoleInput, str]:
        """The role's input, and the version of the table it was read from."""
        request, operand = run.request, run.request.operands.get(party)
        table, keys, joint, version, min_count = None, None, None, "", run.min_count
        screen: Screen | None = None
        if operand is not None:
            version = self.store.version(operand.table)
            if operand.alignment:
                joint = self._joint(request, operand, version)
            unit = operand.unit if joint is None else Unit()  # of a joint table its rows are bounded
            table = self.store.read(operand.table, operand.columns, unit)
            if self.store.version(operand.table) != version:
                raise DataError(ChangedWhileRead(where=f"{party}/{operand.table}"))
            if not operand.unit.id:  # an exact answer's: rows bounded by their id are others than the table's
                keys = self.guard.units(operand.table)
            if joint is not None:
                table, keys = taken(table, joint.rows), joint.keys
                min_count = max(min_count, joint.min_count)
            if not operand.unit.id and operand.bound is UNSET:
                remembered = run.operation.remembered
                screen = self.guard.screener(request, operand, version, joint, run.min_count, remembered=remembered)
        given = RoleInput(
            request=request,
            party=party,
            session=bytes.fromhex(run.session),
            table=table,
            keys=keys,
            min_count=min_count,
            entropy=self.entropy,
            joint=b"" if joint is None else joint.session,
            min_parties=self.min_parties,
            key_bounds=run.key_bounds,
            services=RunServices(
                run, books=self.books, identity=self.identity, screen=screen, work=self._open(party, run)
            ),
        )
        return given, version

    def _joint(self, request: Request, operand: Operand, version: str) -> Alignment:
        """The rows of a joint table, bounded where the operand says so."""
        joint, bound = self.joints.rows(request, operand, version), operand.bound
        if bound is UNSET or not bound.rows:
            return joint if bound is UNSET else joint.none()
        within = self.store.within(operand.table, operand.unit) if operand.unit.id else None
        return bounded(joint, bound.rows, within=within, order=self.guard.content(operand.table))

    def work(self, party: str, request: Request, name: str) -> Work:
        """The named work of a request: its states go with what the columns hold now."""
        operand, content = request.operands.get(party), ""
        if operand is not None:
            content = self.store.digest(operand.table, operand.columns)
        return Work(request.caller, request.purpose, name, request.question(), content)

    def check(self, party: str, request: Request, name: str) -> None:
        """Raise InvalidArgument where work of this name is not the one that is asked for."""
        if name:
            self.checkpoints.check(self.work(party, request, name))

    def _open(self, party: str, run: PartyRun) -> Callable[[str], Checkpoints] | None:
        name = run.operation.name_of_work()
        return self.checkpoints.open(self.work(party, run.request, name)) if name else None


def _own(runs: Mapping[str, PartyRun], run_id: str, caller: str) -> PartyRun | None:
    run = runs.get(run_id)
    return run if run is not None and run.request.caller == caller else None
