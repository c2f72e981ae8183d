"""The receiving half of every channel: a queue that a link fills and a role's thread empties, both able to end it."""

from __future__ import annotations

import queue
import threading

from ..errors import PrivsdkError, ProtocolViolation, ReadTimeout
from ..errors.details import TimedOut
from ..protocol.messages import Frame

MAX_QUEUED_BYTES = 2 << 30


class Inbox:
    """Frames that arrived and were not read yet. Bounded in bytes, and never blocks the link that fills it."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self._queue: queue.SimpleQueue[Frame | PrivsdkError] = queue.SimpleQueue()
        self._queued = 0
        self._end: PrivsdkError | None = None
        self._watching = threading.Event()

    def put(self, frame: Frame) -> None:
        self._queued += len(frame.header) + len(frame.chunk)
        if self._queued > MAX_QUEUED_BYTES:
            self.stop(ProtocolViolation(f"{self.peer} sent more than {MAX_QUEUED_BYTES} bytes unasked"))
        else:
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
