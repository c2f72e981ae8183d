"""Co-located roles: two roles of one party as one, such as a coordinator that is a client too."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import closing
from typing import Any, TypeVar

from ..errors import PeerGone
from .messages import Message
from .roles import Heard, Role, Step

T = TypeVar("T")
S = TypeVar("S")


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
