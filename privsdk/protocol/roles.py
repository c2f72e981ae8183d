"""Protocols as pairs of generators, and how one is driven over channels; all in one thread is `together`.

A role is a generator. It yields a `Step` (what to send, whom to hear, how far it is) and is resumed with what it
heard. Roles are written with the sub-generators `tell`, `hear`, `ask`, `gather` and `checkpoint`, which type what comes
back:

    reply = yield from ask(peer, Blinded(table=points), Blinded)

A role knows no socket, file, clock, policy or budget. Its data, parameters and entropy are arguments.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ..errors import PeerError, PeerGone, PrivsdkError
from .conversation import Conversation
from .messages import M, Message, Packed, pack

S = TypeVar("S")
T = TypeVar("T")


class Progress(NamedTuple):
    """How far a role is: `done` of `total` units of `phase`.

    `figures` are for the caller, who may be shown them and these numbers while the run goes on; where they are None it
    is shown the phase alone, as numbers of units can disclose the size of a table.
    """

    phase: str
    done: int
    total: int
    figures: Mapping[str, float] | None = None


class Gone(NamedTuple):
    """What a role is resumed with instead of a message when a party is lost."""

    party: str
    reason: PrivsdkError


class Step(NamedTuple):
    """What a role does next: what it sends, then whom it waits for.

    Attributes
    ----------
    tolerant : bool
        A party that is lost here, stays away or sends what it may not resumes the role as `Gone`, instead of ending it;
        it stays lost.
    within_s : float
        Seconds for all that it waits for; the driver's own bound where that is shorter.
    first : bool
        Resume with the first message there is, and leave the others for later.
    """

    send: Mapping[str, Message]
    receive: Mapping[str, type[Message]]
    progress: Progress | None = None
    tolerant: bool = False
    within_s: float = math.inf
    first: bool = False


Heard = Mapping[str, Message | Gone]
Role = Generator[Step, Heard, T]


class Entropy(Protocol):
    """Source of cryptographic randomness; an argument, so that transcripts can be fixed in tests."""

    def draw(self, size: int) -> bytes:
        """`size` fresh bytes, uniformly random."""


class SystemEntropy:
    """The operating system's generator."""

    def draw(self, size: int) -> bytes:
        return secrets.token_bytes(size)


def tell(to: str, message: Message) -> Role[None]:
    """Send one message; nothing comes back."""
    yield Step({to: message}, {})


def tell_all(messages: Mapping[str, Message]) -> Role[None]:
    """Send each party its message."""
    yield Step(messages, {})


def hear(sender: str, kind: type[M]) -> Role[M]:
    """Wait for one message of this kind."""
    return (yield from gather([sender], kind))[sender]


def ask(peer: str, message: Message, kind: type[M]) -> Role[M]:
    """Send a message and wait for the reply."""
    heard = yield Step({peer: message}, {peer: kind})
    return _present(heard, peer, kind)


def gather(senders: Sequence[str], kind: type[M]) -> Role[dict[str, M]]:
    """Wait for one message of this kind from each sender."""
    heard = yield Step({}, dict.fromkeys(senders, kind))
    return {sender: _present(heard, sender, kind) for sender in senders}


class Gathered(NamedTuple, Generic[M]):
    """What came of those that were waited for, and who was lost and why."""

    messages: dict[str, M]
    lost: dict[str, PrivsdkError]


def collect(
    senders: Sequence[str], kind: type[M], *, send: Mapping[str, Message] | None = None, within_s: float = math.inf
) -> Role[Gathered[M]]:
    """Send, then wait for one message of this kind from each sender, but for those that are lost: they stay lost."""
    heard = yield Step(send or {}, dict.fromkeys(senders, kind), tolerant=True, within_s=within_s)
    lost = _lost(heard)
    return Gathered({party: _present(heard, party, kind) for party in senders if party not in lost}, lost)


def next_of(senders: Sequence[str], kind: type[M], *, within_s: float = math.inf) -> Role[Gathered[M]]:
    """Wait for the first message of any of these senders, or until one of them is lost; neither where time is up."""
    heard = yield Step({}, dict.fromkeys(senders, kind), tolerant=True, within_s=within_s, first=True)
    lost = _lost(heard)
    return Gathered({party: _present(heard, party, kind) for party in heard if party not in lost}, lost)


def tell_present(messages: Mapping[str, Message]) -> Role[dict[str, PrivsdkError]]:
    """Send each party its message; returns who was lost, and why."""
    return _lost((yield Step(messages, {}, tolerant=True)))


def checkpoint(phase: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> Role[None]:
    """Report progress and give the driver a chance to stop the run; call it every 0.2 s of work or so."""
    yield Step({}, {}, Progress(phase, done, total, figures))


def altered(role: Role[T], change: Callable[[Step], Step]) -> Role[T]:
    """A role whose steps are others: `change` says what each becomes, or raises in its place."""
    heard: Heard | None = None
    with closing(role):
        while True:
            try:
                step = role.send(heard) if heard is not None else next(role)
            except StopIteration as stop:
                result: T = stop.value
                return result
            heard = yield change(step)


def during(phase: str, role: Role[T]) -> Role[T]:
    """A role as part of a phase, whose name goes before those of its own phases."""

    def renamed(step: Step) -> Step:
        if step.progress is None:
            return step
        return step._replace(progress=step.progress._replace(phase=f"{phase}, {step.progress.phase}"))

    return altered(role, renamed)


def _lost(heard: Heard) -> dict[str, PrivsdkError]:
    return {party: message.reason for party, message in heard.items() if isinstance(message, Gone)}


def _present(heard: Heard, sender: str, kind: type[M]) -> M:
    message = heard[sender]
    if isinstance(message, Gone):
        raise message.reason
    if not isinstance(message, kind):
        raise TypeError(f"the driver resumed a role with {type(message).__name__} for {kind.__name__}")
    return message


def colocated(me: str, first: Role[S], second: Role[T]) -> Role[tuple[S, T]]:
    """Two roles of one party as one: what either sends to `me`, the other hears. The second goes first where both can.

    Both hear other parties through the one link, so no two of their messages may be of one sender.
    """
    pair = [_Colocated(first), _Colocated(second)]
    with closing(first), closing(second):
        for inner, other in ((pair[1], pair[0]), (pair[0], pair[1])):
            yield from inner.advance(me, None, other)
        while not all(inner.ended for inner in pair):
            ready = [i for i in reversed(pair) if not i.ended and (i.mail or me not in i.awaited)]
            if not ready:
                raise PeerGone(f"one role of {me} waits for the other, which has ended or waits too")
            inner = ready[0]
            heard = dict(inner.lost)
            peers = list(inner.awaited)
            outside = {peer: kind for peer, kind in inner.awaited.items() if peer != me}
            if inner.step.first and me in peers:  # its own is there, but those named before it may be, too
                before = {peer: inner.awaited[peer] for peer in peers[: peers.index(me)]}
                if before:
                    heard |= yield inner.step._replace(send={}, receive=before, within_s=0)
                if not heard:
                    heard[me] = inner.mail.popleft()
            else:
                if me in peers:
                    heard[me] = inner.mail.popleft()
                if outside:
                    heard |= yield inner.step._replace(send={}, receive=outside)
            yield from inner.advance(me, heard, pair[1 - pair.index(inner)])
    return pair[0].output, pair[1].output


class _Colocated:
    """One of two co-located roles: what it waits for, and what the other has sent it."""

    def __init__(self, role: Role[Any]) -> None:
        self.mail: deque[Message] = deque()
        self.lost: Heard = {}
        self.step = Step({}, {})
        self.ended = False
        self.output: Any = None
        self._role = role

    @property
    def awaited(self) -> Mapping[str, type[Message]]:
        return self.step.receive

    def advance(self, me: str, heard: Heard | None, other: _Colocated) -> Role[None]:
        """Resume the role, and send what it sends; it then waits."""
        try:
            self.step = self._role.send(heard) if heard is not None else next(self._role)
        except StopIteration as stop:
            self.output, self.ended, self.step = stop.value, True, Step({}, {})
            return
        if me in self.step.send:
            other.mail.append(self.step.send[me])
        outside = {peer: message for peer, message in self.step.send.items() if peer != me}
        self.lost = yield self.step._replace(send=outside, receive={})


def drive(
    role: Role[T],
    conversation: Callable[[str], Conversation],
    on_step: Callable[[Progress | None], None],
    step_s: float = math.inf,
    lost: dict[str, Gone] | None = None,
) -> T:
    """Run a role over conversations until it returns; one that is stopped is closed, and with it what it had begun.

    `on_step` is called before every step; raising from it stops the role (this is how cancelling works). `step_s`
    bounds the waiting of each step, but of one for whoever is first. `lost` takes whom the role lost, and why.
    """
    heard: dict[str, Message | Gone] | None = None
    lost = {} if lost is None else lost
    with closing(role):
        while True:
            try:
                step = role.send(heard) if heard is not None else next(role)
            except StopIteration as stop:
                result: T = stop.value
                return result
            on_step(step.progress)
            if not step.first:
                step = step._replace(within_s=min(step.within_s, step_s))
            heard = _tolerated(step, conversation, lost) if step.tolerant else _exchanged(step, conversation, lost)


def _packed(send: Mapping[str, Message]) -> Iterator[tuple[str, Packed]]:
    """Each receiver's message, packed; one that goes to several in a row is packed once."""
    packed: Packed | None = None
    for peer, message in send.items():
        if packed is None or packed.message is not message:
            packed = pack(message)
        yield peer, packed


def _exchanged(
    step: Step, conversation: Callable[[str], Conversation], lost: dict[str, Gone]
) -> dict[str, Message | Gone]:
    """One step in which whoever is lost ends the role, where it waits for them."""
    for peer, packed in _packed(step.send):
        conversation(peer).send(packed)
    heard: dict[str, Message | Gone] = {}
    deadline = time.monotonic() + step.within_s
    for peer, kind in step.receive.items():
        try:
            heard[peer] = conversation(peer).receive(kind, deadline - time.monotonic(), step.within_s)
        except PeerGone as error:
            heard[peer] = lost[peer] = Gone(peer, error)
    return heard


def _tolerated(
    step: Step, conversation: Callable[[str], Conversation], lost: dict[str, Gone]
) -> dict[str, Message | Gone]:
    """One step that goes on without those who are lost; their conversations are ended, so that they learn of it."""

    def attempt(peer: str, act: Callable[[Conversation], T]) -> T | None:
        reached = None
        try:
            if peer not in lost:
                reached = conversation(peer)
                return act(reached)
        except PeerError as error:
            lost[peer] = Gone(peer, error)
            if reached is not None:
                reached.end(error)
        return None

    heard: dict[str, Message | Gone] = {}
    deadline = time.monotonic() + step.within_s
    for peer, packed in _packed(step.send):
        attempt(peer, partial(Conversation.send, packed=packed))
    waited = _first(step, attempt, deadline) if step.first and step.receive else step.receive
    for peer, kind in waited.items():
        left = deadline - time.monotonic()
        arrived = attempt(peer, partial(Conversation.receive, kind=kind, within_s=left, step_s=step.within_s))
        if arrived is not None:
            heard[peer] = arrived
    return heard | {peer: lost[peer] for peer in (*step.send, *waited) if peer in lost}


def _first(
    step: Step, attempt: Callable[[str, Callable[[Conversation], Any]], Any], deadline: float
) -> Mapping[str, type[Message]]:
    """Of those a step waits for, one of which something is there or who is lost; none where time is up."""
    arrived = threading.Event()
    while True:
        for peer, kind in step.receive.items():
            if attempt(peer, partial(Conversation.watch, arrived=arrived)) is not False:
                return {peer: kind}
        left = min(deadline - time.monotonic(), threading.TIMEOUT_MAX)
        if left <= 0 or not arrived.wait(left):
            return {}
        arrived.clear()
