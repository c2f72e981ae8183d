"""What both ends of a stream over the network share: a queue for what goes, beside the inbox for what came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from ..errors import PeerGone, PrivsdkError
from ..errors.sessions import StreamEnded, TimedOut
from ..protocol.conversation import Inbox
from ..protocol.deadlines import DEADLINES
from ..protocol.messages import Frame
from ..protocol.timeouts import Timeouts
from .local import InboxChannel

SMALL_BYTES = 64 << 10  # a frame that needs no turn: the last word of a run is said also where nobody listens


class Outbox:
    """Frames on their way to a peer, written by the link one after the other: a large one waits for its turn."""

    def __init__(self, peer: str, stall_s: float) -> None:
        self._peer = peer
        self._stall_s = stall_s
        self._queue: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._interrupted: PrivsdkError | None = None
        self._ended = False

    def put(self, frame: Frame) -> None:
        """Queue a frame behind the one that is being written; raises PeerGone where the peer takes nothing."""
        small = len(frame.header) + len(frame.chunk) <= SMALL_BYTES
        with self._changed:
            in_time = self._changed.wait_for(
                lambda: small or self._ended or self._interrupted or not self._queue, timeout=self._stall_s
            )
            if self._ended:
                raise PeerGone(StreamEnded(peer=self._peer, how="shut"))
            if self._interrupted is not None and not small:
                raise self._interrupted
            if not in_time:
                raise PeerGone(TimedOut(peer=self._peer, seconds=self._stall_s, wait="send"))
            self._queue.append(frame)
            self._changed.notify_all()

    def interrupt(self, error: PrivsdkError) -> None:
        """Make a `put` that waits, and every later one of a large frame, raise this error."""
        with self._changed:
            self._interrupted = error
            self._changed.notify_all()

    def end(self, *, now: bool = False) -> None:
        """Take nothing more; what is queued is still written, unless it ends now."""
        with self._changed:
            self._ended = True
            if now:
                self._queue.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if not self._queue:
                    return
                frame = self._queue.popleft()
                self._changed.notify_all()
            yield frame


class Stream(InboxChannel):
    """What both ends of a stream over a network share: frames out by the outbox, frames in from the inbox."""

    def __init__(self, peer: str, timeouts: Timeouts, cut: Callable[[], object]) -> None:
        super().__init__(Inbox(peer))
        self.outbox = Outbox(peer, timeouts.read_s)
        self._linger_s = timeouts.linger_s
        self._peer = peer
        self._cut = cut
        self._lingers = -1

    def send(self, frame: Frame) -> None:
        """Write a frame; raises PeerGone where the stream is closed."""
        self.outbox.put(frame)

    def interrupt(self, error: PrivsdkError) -> None:
        """Make `receive` and a `send` that waits raise this error."""
        super().interrupt(error)
        self.outbox.interrupt(error)

    def close(self) -> None:
        """Send no more; what was sent has a while to arrive, then the stream is cut."""
        self.outbox.end()
        if self._lingers < 0:
            self._lingers = DEADLINES.add(self._linger_s, self._cut)

    def gone(self, error: PrivsdkError) -> None:
        """The stream has ended: what came can be read, nothing more is sent."""
        self.outbox.end(now=True)
        self._inbox.stop(error)
        DEADLINES.drop(self._lingers)
