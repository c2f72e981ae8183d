"""A federation in one process whose link goes wrong at one message of one party, and in which nobody waits in vain.

Time passes only when every party of the run waits for a message that nobody sends: then one of them, drawn from the
seed, is told that its time is up. So no case depends on how fast a machine is, and each order of timeouts comes up.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
from waiting import HANGS_S

import privsdk as ps
from privsdk.client.federation import Federation
from privsdk.errors import PeerGone, ReadTimeout
from privsdk.errors.sessions import StreamEnded, TimedOut
from privsdk.party.budget.books import Books
from privsdk.party.gate import Gate
from privsdk.party.tables import Store
from privsdk.protocol.control import Call, Hello, Start
from privsdk.protocol.conversation import Channel, Inbox
from privsdk.protocol.messages import Frame
from privsdk.protocol.timeouts import Timeouts
from privsdk.testing import Members
from privsdk.transport.local import LocalChannel, LocalNetwork

FAULTS = ("killed", "frozen", "cut off", "dropped", "truncated", "doubled", "swapped")
LOOK_S = 0.005


class Point(NamedTuple):
    """Where a link goes wrong: at the message of this number that this party sends, from 0."""

    party: str
    turn: int
    fault: str


class FaultyNetwork(LocalNetwork):
    """Goes wrong at `point`; `struck` says whether the run came so far, `sent` how many messages each party sent."""

    def __init__(self, caller: str, seed: int) -> None:
        super().__init__(caller)
        self.lock = threading.RLock()
        self.thawed = threading.Event()
        self._draw = random.Random(seed)
        self.watch((), None)

    def watch(self, parties: tuple[str, ...], point: Point | None) -> None:
        """Count from here the messages of a run of these parties."""
        self.point, self.struck, self.frozen, self.killed = point, False, "", ""
        self.sent = dict.fromkeys(parties, 0)
        self._under_way = set(parties)
        self._waiting: dict[str, Way] = {}
        self._ways: list[Way] = []

    def call(self, party: str, call: Call, kind: Any) -> Any:
        if not isinstance(call, Start):
            self._reachable(party)
            return super().call(party, call, kind)
        answers: list[Any] = []
        starting = threading.Thread(target=self._start, args=(party, call, kind, answers), daemon=True)
        starting.start()
        while not answers:
            starting.join(LOOK_S)
            if self.frozen == party and self._under_way <= {party}:
                self._reachable(party)
        self._reachable(party)
        if isinstance(answers[0], BaseException):
            raise answers[0]
        return answers[0]

    def _start(self, party: str, call: Call, kind: Any, answers: list[Any]) -> None:
        try:
            answer = super().call(party, call, kind)
        except BaseException as error:
            answer = error
        with self.lock:
            self._under_way.discard(party)
        answers.append(answer)

    def _reachable(self, party: str) -> None:
        """As the network link has it for the caller, who finds a frozen party by its keepalive."""
        if party == self.killed:
            raise PeerGone(f"{party}: it closed the connection in mid-call")
        if party == self.frozen:
            raise ReadTimeout(f"{party}: it did not answer in time")

    def dial(self, caller: str, peer: str, hello: Hello) -> Channel:
        there, here = Inbox(caller), Inbox(peer)
        near, far = Way(here, there, caller, peer, self), Way(there, here, peer, caller, self)
        with self.lock:
            if self.killed in (caller, peer):
                raise PeerGone(StreamEnded(peer=peer, how="broke"))
            self._ways += [near, far]
        try:
            self._endpoint(peer).accept(caller, hello, far)
        except ps.PrivsdkError:
            raise PeerGone(StreamEnded(peer=peer, how="closed")) from None
        return near

    def due(self, party: str, frame: Frame) -> str:
        """The fault of the frame that this party is about to send; "" for none."""
        with self.lock:
            if party == self.killed:
                raise PeerGone(StreamEnded(peer=party, how="broke"))
            if not frame.header:
                return ""
            turn, self.sent[party] = self.sent.get(party, 0), self.sent.get(party, 0) + 1
            if self.struck or self.point is None or self.point[:2] != (party, turn):
                return ""
            self.struck = True
            return self.point.fault

    def kill(self, party: str) -> None:
        """All of its streams break, and it says nothing more."""
        with self.lock:
            self.killed = party
            for way in self._ways:
                if party in (way.me, way.peer):
                    way.broken()
        raise PeerGone(StreamEnded(peer=party, how="broke"))

    def freeze(self, party: str) -> None:
        self.frozen = party
        assert self.thawed.wait(HANGS_S)

    def take(self, way: Way, seconds: float) -> Frame | None:
        """What has come by now; raises ReadTimeout where all wait in vain and this one is drawn."""
        with self.lock:
            try:
                frame = way.inbox.get(0)
            except ReadTimeout:
                self._waiting[way.me] = way
            except PeerGone:
                self._waiting.pop(way.me, None)
                raise
            else:
                self._waiting.pop(way.me, None)
                return frame
            waiting = (name for name, each in self._waiting.items() if not each.inbox.watch(threading.Event()))
            vain = self._under_way.intersection(waiting)
            if vain and self._under_way <= vain | {self.frozen} and self._draw.choice(sorted(vain)) == way.me:
                self._waiting.pop(way.me)
                raise ReadTimeout(TimedOut(peer=way.peer, seconds=seconds, wait="read"))
            return None


class Way(LocalChannel):
    """One end of a stream that may go wrong."""

    def __init__(self, inbox: Inbox, outbox: Inbox, me: str, peer: str, network: FaultyNetwork) -> None:
        super().__init__(inbox, outbox, me)
        self.me, self.peer, self.inbox = me, peer, inbox
        self._network = network
        self._held: Frame | None = None

    def broken(self) -> None:
        self.inbox.stop(PeerGone(StreamEnded(peer=self.peer, how="broke")))

    def send(self, frame: Frame) -> None:
        network, frames = self._network, [frame]
        match network.due(self.me, frame):
            case "killed":
                network.kill(self.me)
            case "frozen":
                network.freeze(self.me)
            case "cut off":
                for inbox, peer in ((self.inbox, self.peer), (self._outbox, self.me)):
                    inbox.stop(PeerGone(StreamEnded(peer=peer, how="broke")))
                raise PeerGone(StreamEnded(peer=self.peer, how="broke"))
            case "dropped":
                return
            case "truncated":
                chunk = frame.chunk[: len(frame.chunk) // 2]
                frames = [Frame(frame.header, chunk) if frame.chunk else Frame(frame.header[:-9], frame.chunk)]
            case "doubled":
                frames = [frame, frame]
            case "swapped":
                self._held = frame
                return
        for each in frames:
            super().send(each)
        if self._held is not None:
            held, self._held = self._held, None
            super().send(held)

    def receive(self, timeout_s: float) -> Frame:
        until = time.monotonic() + HANGS_S
        while time.monotonic() < until:
            if (frame := self._network.take(self, timeout_s)) is not None:
                return frame
            time.sleep(LOOK_S)
        raise AssertionError(f"{self.me} waits for {self.peer}")


class Parties:
    """Gates over such a link, with ledgers in memory, and a federation that asks them."""

    def __init__(self, tables: Mapping[str, Mapping[str, pa.Table]], policy: ps.Policy, seed: int) -> None:
        self.network = FaultyNetwork("analyst", seed)
        self.gates: dict[str, Gate] = {}
        self.books: dict[str, Books] = {}
        members = Members(tuple(tables))
        for name, held in tables.items():
            budget = ps.Budget(epsilon=1000, delta=1e-6, exact=10_000)
            self.books[name] = Books(name, None, budgets={"*": budget}, datasets={table: table for table in held})
            self.gates[name] = Gate(
                name,
                store=Store(name, held),
                policy=policy,
                books=self.books[name],
                dial=partial(self.network.dial, name),
                timeouts=Timeouts(connect_s=5),
                identity=members.of(name),
                members=tables.keys,
            )
            self.network.add(name, self.gates[name])
        self.fed = Federation(self.network, caller="analyst", purpose="workshop", close=lambda: None)

    def running(self) -> int:
        return sum(gate._runs.running for gate in self.gates.values())

    def close(self) -> None:
        self.network.thawed.set()
        self.fed.close()
        for gate in self.gates.values():
            gate.close()
