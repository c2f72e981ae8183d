"""Two-way streams between parties: a link's channel of frames, its inbox, and a conversation of messages over one."""

from __future__ import annotations

import math
import queue
import threading
import time
from contextlib import suppress
from typing import Protocol

from ..errors import PeerGone, PrivsdkError, ProtocolViolation, ReadTimeout, StepTimeout
from ..errors.sessions import TimedOut
from .failpoints import FailPoint, reach
from .messages import Abort, Binding, End, Frame, M, Packed, decode, frames, pack

MAX_QUEUED_BYTES = 2 << 30


class Channel(Protocol):
    """A link's two-way stream of frames to one peer, whose identity the link has established."""

    def send(self, frame: Frame) -> None:
        """Send a frame; raises PeerGone when the stream is closed."""

    def listen(self) -> None:
        """Begin to take what comes; before, next to nothing of it is kept."""

    def receive(self, timeout_s: float) -> Frame:
        """The next frame; raises PeerGone when the stream closed or nothing came in time."""

    def watch(self, arrived: threading.Event) -> bool:
        """Have this event set whenever something comes; returns whether something is there already."""

    def interrupt(self, error: PrivsdkError) -> None:
        """Make a `receive` that waits, and every later one, raise this error."""

    def close(self) -> None:
        """End the stream, what was sent before arrives. Closing twice is harmless."""


class Inbox:
    """The receiving half of every channel: frames that arrived and were not read yet, for a role's thread to read.

    Bounded in bytes, and never blocks the link that fills it; both ends can end it.
    """

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self._queue: queue.SimpleQueue[Frame | PrivsdkError] = queue.SimpleQueue()
        self._queued = 0
        self._end: PrivsdkError | None = None
        self._watching = threading.Event()

    def put(self, frame: Frame) -> None:
        """Queue a frame; raises ProtocolViolation where it is too much, which the reader finds then, too."""
        self._queued += len(frame.header) + len(frame.chunk)
        if self._queued > MAX_QUEUED_BYTES:
            error = ProtocolViolation(f"{self.peer} sent more than {MAX_QUEUED_BYTES} bytes unasked")
            self.interrupt(error)
            raise error
        self._queue.put(frame)
        self._watching.set()

    def stop(self, error: PrivsdkError) -> None:
        """Nothing more will come: frames already here can be read, then `error` is raised."""
        self._queue.put(error)
        self._watching.set()

    def interrupt(self, error: PrivsdkError) -> None:
        """Raise `error` at the next `get` and at one that waits, whatever is queued."""
        self._end = error
        self._queue.put(error)
        self._watching.set()

    def watch(self, arrived: threading.Event) -> bool:
        """Have this event set whenever something comes; returns whether something is there already."""
        self._watching = arrived  # before the look: what comes in between is seen by one or the other
        return self._end is not None or not self._queue.empty()

    def get(self, timeout_s: float) -> Frame:
        if self._end is not None:
            raise self._end
        try:
            item = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            raise ReadTimeout(TimedOut(peer=self.peer, seconds=timeout_s, wait="read")) from None
        if self._end is not None:
            raise self._end
        if isinstance(item, PrivsdkError):
            self._end = item
            raise item
        self._queued -= len(item.header) + len(item.chunk)
        return item


class Conversation:
    """One peer's channel, with messages in place of frames: encodes, numbers, binds and checks them."""

    def __init__(self, channel: Channel, outgoing: Binding, incoming: Binding, timeout_s: float) -> None:
        self._channel = channel
        self._outgoing = outgoing
        self._incoming = incoming
        self._timeout_s = timeout_s
        self._sent = 0
        self._ended = False
        self._heard = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.waiting = False  # for the peer's next message

    def send(self, packed: Packed) -> None:
        if self._ended:
            raise PeerGone(f"the conversation with {self._incoming.sender} has ended")
        reach(FailPoint.SEND_BEFORE)
        for frame in frames(packed, self._outgoing, self._sent):
            self._channel.send(frame)
            self.bytes_sent += len(frame.header) + len(frame.chunk)
        self._sent += 1
        reach(FailPoint.SEND_AFTER)

    def receive(self, kind: type[M], within_s: float = math.inf, step_s: float = math.inf) -> M:
        """The next message, within what is left of a step's `step_s` seconds."""
        deadline = time.monotonic() + within_s

        def frame() -> Frame:
            left = deadline - time.monotonic()
            try:
                came = self._channel.receive(max(0.0, min(self._timeout_s, left)))
            except ReadTimeout:
                if left > self._timeout_s:
                    raise
                due = TimedOut(
                    peer=self._incoming.sender, seconds=within_s if math.isinf(step_s) else step_s, wait="step"
                )
                raise StepTimeout(due) from None
            self.bytes_received += len(came.header) + len(came.chunk)
            return came

        self.waiting = True
        try:
            message = decode(kind, self._incoming, self._heard, frame)
        finally:
            self.waiting = False
        self._heard += 1
        return message

    def watch(self, arrived: threading.Event) -> bool:
        """Have this event set whenever something comes; returns whether something is there already."""
        return self._channel.watch(arrived)

    def interrupt(self, error: PrivsdkError) -> None:
        """Make a `receive` that waits raise this error, from another thread."""
        self._channel.interrupt(error)

    def end(self, error: PrivsdkError | None = None) -> None:
        """Tell the peer that this role is done, or why it stopped, and close. What ended before stays as it ended."""
        if self._ended:
            return
        with suppress(PeerGone):  # where the peer left first there is nobody to tell
            self.send(pack(Abort(code=error.code) if error else End()))
        self._ended = True
        self._channel.close()
