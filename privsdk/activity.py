"""Runs that a federation has under way in this process, and those that ended lately, for whoever shows them.

Decides nothing. Filled by the threads that carry the runs, read and observed by any.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .errors import Cancelled, PrivsdkError
from .live import Live
from .observers import Observers
from .operations import Request

ENDED = 50  # runs that are remembered


@dataclass(eq=False, slots=True)
class Carried:
    """One run.

    Attributes
    ----------
    state : str
        "running", "done", "cancelled" or "failed".
    why : str
        What it failed with; "" where it did not.
    began : float
        Seconds since the epoch.
    seconds : float
        How long it took, once it has ended.
    cancelled : Event
        Set to cancel it.
    """

    request: Request
    live: Live
    cancelled: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.time)
    state: str = "running"
    why: str = ""
    seconds: float = 0.0


class Activity:
    """The runs of one federation, latest last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Carried] = {}
        self._ended: deque[Carried] = deque(maxlen=ENDED)
        self._observers: Observers[Activity] = Observers()

    @property
    def runs(self) -> tuple[Carried, ...]:
        """Those that ended, as far as they are remembered, then those under way."""
        with self._lock:
            return (*self._ended, *self._running.values())

    def observe(self, observer: Callable[[Activity], None]) -> Callable[[], None]:
        """Have this called when a run begins, gets further or ends, in another thread; returns how to end it."""
        return self._observers.add(observer)

    @contextmanager
    def carry(self, request: Request, live: Live, cancelled: threading.Event) -> Iterator[None]:
        """A run, from its beginning to its end."""
        carried, began = Carried(request, live, cancelled), time.monotonic()
        leave = live.observe(lambda _: self._observers.tell(self))
        with self._lock:
            self._running[request.run_id] = carried
        self._observers.tell(self)
        try:
            yield
            carried.state = "done"
        except BaseException as error:
            carried.state = "cancelled" if isinstance(error, Cancelled) else "failed"
            carried.why = error.message if isinstance(error, PrivsdkError) else type(error).__name__
            raise
        finally:
            leave()
            carried.seconds = time.monotonic() - began
            with self._lock:
                self._running.pop(request.run_id, None)
                self._ended.append(carried)
            self._observers.tell(self)
