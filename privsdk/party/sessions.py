"""Runs and joint tables of one party while they live: limits, lifetimes, streams to the peers, cancelling.

Decides nothing about data: that is the gate. What is lost with the process (unstarted reservations, alignments) is only
here; what must survive is in the ledger.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..calls import Hello
from ..errors import Busy, Cancelled, InvalidArgument, PeerGone, PrivsdkError, ProtocolViolation, StaleJoin, UnknownName
from ..messages import Binding
from ..operations import Alignment, Operand, Operation, Request
from ..protocol import Channel, Conversation, Progress

Dial = Callable[[str, Hello], Channel]


class Limits(NamedTuple):
    """Bounds on what callers may keep a party busy with; times in seconds."""

    runs: int = 64
    prepared_s: float = 60.0
    connect_s: float = 30.0
    step_s: float = 600.0
    alignments: int = 1000
    alignment_s: float = 8 * 3600.0


class Session:
    """One run at this party, from its reservation to its end."""

    def __init__(
        self, party: str, request: Request, operation: Operation[Any], parameters: Any, min_count: int, limits: Limits
    ) -> None:
        self.request = request
        self.operation = operation
        self.parameters = parameters
        self.min_count = min_count
        self.digest = request.digest()
        self.nonce = secrets.token_hex(16)
        self.id = ""
        self.phase = ""
        self.since = time.monotonic()
        self.cancelled = threading.Event()
        self._party = party
        self._limits = limits
        self._changed = threading.Condition()
        self._arrived: dict[str, tuple[Hello, Channel]] = {}
        self._conversations: dict[str, Conversation] = {}

    def begin(self, nonces: Mapping[str, str]) -> None:
        """Fix the session's id from every party's nonce."""
        if set(nonces) != set(self.request.parties) or nonces[self._party] != self.nonce:
            raise ProtocolViolation("the nonces are not those that the request's parties gave")
        joined = json.dumps([self.digest, sorted(nonces.items())])
        self.id = hashlib.sha256(joined.encode()).hexdigest()

    def arrive(self, peer: str, hello: Hello, channel: Channel) -> None:
        """Take a stream that a peer earlier in the request's order opened."""
        order = self.request.parties
        if peer not in order or order.index(peer) >= order.index(self._party):
            raise ProtocolViolation(f"{peer} is not to open a stream to {self._party} in this run")
        with self._changed:
            if peer in self._arrived:
                raise ProtocolViolation(f"{peer} opened a second stream in one run")
            self._arrived[peer] = (hello, channel)
            self._changed.notify_all()

    def conversation(self, peer: str, dial: Dial) -> Conversation:
        """The conversation with a peer: dialled by whoever comes first in the request's order."""
        if peer not in self._conversations:
            order = self.request.parties
            if order.index(self._party) < order.index(peer):
                channel = dial(peer, Hello(run_id=self.request.run_id, session=self.id))
            else:
                channel = self._await(peer)
            with self._changed:
                if self.cancelled.is_set():
                    channel.close()
                    raise Cancelled("the run was cancelled")
                self._conversations[peer] = Conversation(
                    channel, self._binding(self._party), self._binding(peer), self._limits.step_s
                )
        return self._conversations[peer]

    def learned(self) -> list[str]:
        """What everyone learns, as the audit records it."""
        return [f"{item.who}: {item.what}" for item in self.operation.learns(self.request, self.parameters)]

    def on_step(self, progress: Progress | None) -> None:
        if progress is not None:
            self.phase = progress.phase
        if self.cancelled.is_set():
            raise Cancelled("the run was cancelled")

    def cancel(self) -> None:
        with self._changed:
            self.cancelled.set()
            for conversation in self._conversations.values():
                conversation.interrupt(Cancelled("the run was cancelled"))
            self._changed.notify_all()

    def end(self, error: PrivsdkError | None) -> None:
        """Close every stream, telling the peers why if it failed."""
        for conversation in self._conversations.values():
            conversation.end(error)
        for peer, (_, channel) in self._arrived.items():
            if peer not in self._conversations:
                channel.close()

    def _await(self, peer: str) -> Channel:
        with self._changed:
            self._changed.wait_for(
                lambda: peer in self._arrived or self.cancelled.is_set(), timeout=self._limits.connect_s
            )
            if self.cancelled.is_set():
                raise Cancelled("the run was cancelled")
            if peer not in self._arrived:
                raise PeerGone(f"{peer} did not connect within {self._limits.connect_s:g} s")
            hello, channel = self._arrived[peer]
        if hello.session != self.id:
            raise ProtocolViolation(f"{peer} approved another request or session")
        return channel

    def _binding(self, sender: str) -> Binding:
        return Binding(session=self.id, request=self.digest, sender=sender)


class JointRows(NamedTuple):
    """A stored alignment, and everything that a later use of it must match."""

    alignment: Alignment
    table: str
    version: str
    caller: str
    purpose: str
    request: str
    since: float


class Sessions:
    """All sessions and alignments of one party."""

    def __init__(self, party: str, limits: Limits) -> None:
        self.limits = limits
        self._party = party
        self._lock = threading.Lock()
        self._prepared: dict[str, Session] = {}
        self._running: dict[str, Session] = {}
        self._joints: dict[str, JointRows] = {}
        self._entering = 0

    @property
    def running(self) -> int:
        return len(self._running)

    @contextmanager
    def admission(self) -> Iterator[None]:
        """Keep a place while a run is decided on and prepared; raises Busy where there is none and never waits."""
        with self._lock:
            if len(self._prepared) + len(self._running) + self._entering >= self.limits.runs:
                raise Busy(f"{self._party} runs {self.limits.runs} sessions already", hint="try again in a while")
            self._entering += 1
        try:
            yield
        finally:
            with self._lock:
                self._entering -= 1

    def prepare(self, request: Request, operation: Operation[Any], parameters: Any, min_count: int) -> Session:
        session = Session(self._party, request, operation, parameters, min_count, self.limits)
        with self._lock:
            self._prepared[request.run_id] = session
        return session

    def begin(self, run_id: str, caller: str) -> Session | None:
        """Move a prepared session to running; None where there is none of this caller."""
        with self._lock:
            session = self._prepared.get(run_id)
            if session is None or session.request.caller != caller:
                return None
            self._running[run_id] = self._prepared.pop(run_id)
            return session

    def drop_prepared(self, run_id: str, caller: str) -> bool:
        with self._lock:
            session = self._prepared.get(run_id)
            if session is None or session.request.caller != caller:
                return False
            del self._prepared[run_id]
            return True

    def overdue(self) -> list[str]:
        """Prepared runs that nobody started in time; they are forgotten here and theirs to release in the ledger."""
        now = time.monotonic()
        with self._lock:
            late = [r for r, s in self._prepared.items() if now - s.since > self.limits.prepared_s]
            for run_id in late:
                del self._prepared[run_id]
        return late

    def ended(self, run_id: str) -> None:
        with self._lock:
            self._running.pop(run_id, None)

    def cancel(self, run_id: str, caller: str) -> None:
        session = self._running.get(run_id)
        if session is not None and session.request.caller == caller:
            session.cancel()

    def cancel_all(self) -> None:
        for session in list(self._running.values()):
            session.cancel()

    def accept(self, peer: str, hello: Hello, channel: Channel) -> None:
        with self._lock:
            session = self._running.get(hello.run_id) or self._prepared.get(hello.run_id)
        if session is None:
            raise UnknownName(f"{self._party} has no run {hello.run_id} that {peer} could join")
        session.arrive(peer, hello, channel)

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
            while len(self._joints) >= self.limits.alignments:
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
        if joint is None or time.monotonic() - joint.since > self.limits.alignment_s:
            raise StaleJoin(f"{self._party} no longer has this joint table", hint=hint)
        if (joint.caller, joint.purpose, joint.table) != (request.caller, request.purpose, operand.table):
            raise StaleJoin("this joint table belongs to another caller, purpose or table", hint=hint)
        if joint.version != version:
            raise StaleJoin(f"{self._party}/{operand.table} has changed since the join", hint=hint)
        return joint.alignment


def reject_names(names: tuple[str, ...]) -> None:
    """Names of parties go into certificates, file names and displays."""
    for name in names:
        if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii() or len(name) > 63:
            raise InvalidArgument(
                f"{name!r} cannot be a party's name", hint="use letters, digits, - and _, at most 63 of them"
            )
