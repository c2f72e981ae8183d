"""Protocols as pairs of generators, and the two ways to drive them: over channels, or all in one thread.

A role is a generator. It yields a `Step` (what to send, whom to hear, how far it is) and is resumed with what it
heard. Roles are written with the sub-generators `tell`, `hear`, `ask`, `gather` and `checkpoint`, which type what comes
back:

    reply = yield from ask(peer, Blinded(table=points), Blinded)

A role knows no socket, file, clock, policy or budget. Its data, parameters and entropy are arguments.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from .errors import PeerGone, PrivsdkError
from .failpoints import FailPoint, reach
from .messages import Abort, Binding, End, Frame, M, Message, decode, encode, tag_of

T = TypeVar("T")


class Progress(NamedTuple):
    """How far a role is: `done` of `total` units of `phase`."""

    phase: str
    done: int
    total: int


class Gone(NamedTuple):
    """What a role is resumed with instead of a message when a party is lost."""

    party: str
    reason: PrivsdkError


class Step(NamedTuple):
    send: Mapping[str, Message]
    receive: Mapping[str, type[Message]]
    progress: Progress | None = None


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


def checkpoint(phase: str, done: int, total: int) -> Role[None]:
    """Report progress and give the driver a chance to stop the run; call it every 0.2 s of work or so."""
    yield Step({}, {}, Progress(phase, done, total))


def _present(heard: Heard, sender: str, kind: type[M]) -> M:
    message = heard[sender]
    if isinstance(message, Gone):
        raise message.reason
    if not isinstance(message, kind):
        raise TypeError(f"the driver resumed a role with {type(message).__name__} for {kind.__name__}")
    return message


class Channel(Protocol):
    """A link's two-way stream of frames to one peer, whose identity the link has established."""

    def send(self, frame: Frame) -> None:
        """Send a frame; raises PeerGone when the stream is closed."""

    def receive(self, timeout_s: float) -> Frame:
        """The next frame; raises PeerGone when the stream closed or nothing came in time."""

    def interrupt(self, error: PrivsdkError) -> None:
        """Make a `receive` that waits, and every later one, raise this error."""

    def close(self) -> None:
        """End the stream, what was sent before arrives. Closing twice is harmless."""


class Conversation:
    """One peer's channel, with messages in place of frames: encodes, numbers, binds and checks them."""

    def __init__(self, channel: Channel, outgoing: Binding, incoming: Binding, timeout_s: float) -> None:
        self._channel = channel
        self._outgoing = outgoing
        self._incoming = incoming
        self._timeout_s = timeout_s
        self._sent = 0
        self._heard = 0

    def send(self, message: Message) -> None:
        reach(FailPoint.SEND_BEFORE)
        for frame in encode(message, self._outgoing, self._sent):
            self._channel.send(frame)
        self._sent += 1
        reach(FailPoint.SEND_AFTER)

    def receive(self, kind: type[M]) -> M:
        message = decode(kind, self._incoming, self._heard, lambda: self._channel.receive(timeout_s=self._timeout_s))
        self._heard += 1
        return message

    def interrupt(self, error: PrivsdkError) -> None:
        """Make a `receive` that waits raise this error, from another thread."""
        self._channel.interrupt(error)

    def end(self, error: PrivsdkError | None = None) -> None:
        """Tell the peer that this role is done, or why it stopped, and close."""
        with suppress(PeerGone):  # where the peer left first there is nobody to tell
            self.send(Abort(code=error.code) if error else End())
        self._channel.close()


def drive(role: Role[T], conversation: Callable[[str], Conversation], on_step: Callable[[Progress | None], None]) -> T:
    """Run a role over conversations until it returns; one that is stopped is closed, and with it what it had begun.

    `on_step` is called before every step; raising from it stops the role (this is how cancelling works).
    """
    heard: dict[str, Message | Gone] | None = None
    with closing(role):
        while True:
            try:
                step = role.send(heard) if heard is not None else next(role)
            except StopIteration as stop:
                result: T = stop.value
                return result
            on_step(step.progress)
            for peer, message in step.send.items():
                conversation(peer).send(message)
            heard = {}
            for peer, kind in step.receive.items():
                try:
                    heard[peer] = conversation(peer).receive(kind)
                except PeerGone as error:
                    heard[peer] = Gone(peer, error)


class Sent(NamedTuple):
    """One line of a transcript: everything an observer of the link's plaintext would see."""

    sender: str
    receiver: str
    tag: str
    header: bytes
    table: pa.Table | None
    size: int


def together(roles: Mapping[str, Role[Any]], transcript: list[Sent] | None = None) -> dict[str, Any]:
    """Run all roles of a protocol in this thread, each message encoded and decoded, and return their outputs.

    This is the harness of the protocol tests and the way primitives run without a federation. A protocol in which every
    role waits for another raises RuntimeError.
    """
    mail: dict[tuple[str, str], deque[Message]] = {}
    sequences: dict[tuple[str, str], int] = {}
    waiting: dict[str, Step] = {}
    outputs: dict[str, Any] = {}

    def deliver(sender: str, receiver: str, message: Message) -> None:
        binding = Binding(session="together", request="together", sender=sender)
        sequence = sequences.get((sender, receiver), 0)
        sequences[sender, receiver] = sequence + 1
        frames = list(encode(message, binding, sequence))
        pending = iter(frames)
        arrived = decode(type(message), binding, sequence, lambda: next(pending))
        mail.setdefault((sender, receiver), deque()).append(arrived)
        if transcript is not None:
            table = getattr(message, "table", None)
            size = sum(len(frame.header) + len(frame.chunk) for frame in frames)
            transcript.append(Sent(sender, receiver, tag_of(type(message)), frames[0].header, table, size))

    def advance(name: str, heard: dict[str, Message | Gone] | None) -> None:
        try:
            step = roles[name].send(heard) if heard is not None else next(roles[name])
        except StopIteration as stop:
            outputs[name] = stop.value
            waiting.pop(name, None)
            return
        for receiver, message in step.send.items():
            deliver(name, receiver, message)
        waiting[name] = step

    with ExitStack() as stopping:
        for role in roles.values():
            stopping.enter_context(closing(role))
        for name in roles:
            advance(name, None)
        while waiting:
            ready = [n for n, step in waiting.items() if all(mail.get((sender, n)) for sender in step.receive)]
            if not ready:
                raise RuntimeError(f"every role waits: {', '.join(sorted(waiting))}")
            for name in ready:
                advance(name, {sender: mail[sender, name].popleft() for sender in waiting[name].receive})
    return outputs


def pair(
    first: Role[Any], second: Role[Any], *, names: tuple[str, str] = ("a", "b"), transcript: list[Sent] | None = None
) -> tuple[Any, Any]:
    """`together` for two roles that call each other by `names`."""
    outputs = together({names[0]: first, names[1]: second}, transcript)
    return outputs[names[0]], outputs[names[1]]
