"""All roles of a protocol in one thread: the harness of the tests, and how primitives run without a federation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import pyarrow as pa

from ..errors import PeerGone, ProtocolViolation
from .messages import Binding, Message, decode, encode, tag_of
from .roles import Gone, Role, Step

Resumed = dict[str, Message | Gone]


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

    Nobody waits for a role that has ended; time passes only when all wait, and then for those who wait for so long and
    no longer. A protocol in which every role waits for another raises RuntimeError.
    """
    return _Table(roles, transcript).run()


class _Table:
    """The roles of a run: messages on their way, the step that each waits in, and the parties that each has lost."""

    def __init__(self, roles: Mapping[str, Role[Any]], transcript: list[Sent] | None) -> None:
        self._roles = roles
        self._transcript = transcript
        self._mail: dict[tuple[str, str], deque[Message]] = {}
        self._sequences: dict[tuple[str, str], int] = {}
        self._waiting: dict[str, Step] = {}
        self._outputs: dict[str, Any] = {}
        self._gone: dict[tuple[str, str], Gone] = {}

    def run(self) -> dict[str, Any]:
        """Advance whoever can go on, until nobody has to."""
        with ExitStack() as stopping:
            for role in self._roles.values():
                stopping.enter_context(closing(role))
            for name in self._roles:
                self._advance(name, None)
            while self._waiting:
                ready = {n: found for n, step in self._waiting.items() if (found := self._arrived(n, step)) is not None}
                if not ready:
                    missing = self._waiting.items()
                    ready = {n: found for n, step in missing if (found := self._without(n, step)) is not None}
                if not ready:
                    raise RuntimeError(f"every role waits: {', '.join(sorted(self._waiting))}")
                for name, heard in ready.items():
                    self._advance(name, heard)
        return self._outputs

    def _advance(self, name: str, heard: Resumed | None) -> None:
        try:
            step = self._roles[name].send(heard) if heard is not None else next(self._roles[name])
        except StopIteration as stop:
            self._outputs[name] = stop.value
            self._waiting.pop(name, None)
            return
        for receiver, message in step.send.items():
            self._deliver(name, receiver, message)
        self._waiting[name] = step

    def _deliver(self, sender: str, receiver: str, message: Message) -> None:
        binding = Binding(session="together", request="together", sender=sender)
        sequence = self._sequences.get((sender, receiver), 0)
        self._sequences[sender, receiver] = sequence + 1
        frames = list(encode(message, binding, sequence))
        pending = iter(frames)
        try:
            arrived = decode(type(message), binding, sequence, lambda: next(pending))
        except ProtocolViolation as error:  # as the driver has it: the receiver hears that the sender is lost
            self._gone[receiver, sender] = Gone(sender, error)
        else:
            self._mail.setdefault((sender, receiver), deque()).append(arrived)
        if self._transcript is not None:
            table = getattr(message, "table", None)
            size = sum(len(frame.header) + len(frame.chunk) for frame in frames)
            self._transcript.append(Sent(sender, receiver, tag_of(type(message)), frames[0].header, table, size))

    def _arrived(self, name: str, step: Step) -> Resumed | None:
        """What a role is resumed with, once everything is there that it waits for."""
        there: Resumed = {s: self._gone[name, s] for s in step.receive if (name, s) in self._gone}
        mailed = [sender for sender in step.receive if sender not in there and self._mail.get((sender, name))]
        if step.first and (there or mailed):
            first = next(sender for sender in step.receive if sender in there or sender in mailed)
            return {first: there[first] if first in there else self._mail[first, name].popleft()}
        if len(there) + len(mailed) < len(step.receive):
            return None
        if step.tolerant:
            there |= {to: self._gone[name, to] for to in step.send if (name, to) in self._gone}
        return {**there, **{sender: self._mail[sender, name].popleft() for sender in mailed}}

    def _without(self, name: str, step: Step) -> Resumed | None:
        """The same where nobody can go on: who has ended is lost, and for those in time it is up."""
        missing = [s for s in step.receive if (name, s) not in self._gone and not self._mail.get((s, name))]
        timed = step.within_s < math.inf
        late = [sender for sender in missing if sender in self._outputs or (timed and not step.first)]
        if step.first and timed and not late:
            return {}
        for sender in late:
            self._gone[name, sender] = Gone(sender, PeerGone(f"nothing comes from {sender}"))
        return self._arrived(name, step) if late else None


def pair(
    first: Role[Any], second: Role[Any], *, names: tuple[str, str] = ("a", "b"), transcript: list[Sent] | None = None
) -> tuple[Any, Any]:
    """`together` for two roles that call each other by `names`."""
    outputs = together({names[0]: first, names[1]: second}, transcript)
    return outputs[names[0]], outputs[names[1]]
