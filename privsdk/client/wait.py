"""Waiting for a run: the line that follows it, and what an interrupt does to it. Not the run itself.

A run that goes in rounds is worth something before its end: a first interrupt lets the present round end and has what
there is by then, a second one cancels. Any other run has nothing to give before its end and is cancelled at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..protocol.operation import operation_named
from ..protocol.request import Request
from .progress import Live
from .ticker import Ticker

LOOK_S = 0.2  # between two times that the line is drawn
CANCELLED_S = 5.0  # for a cancelled run to end

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Awaited(Generic[T]):
    """A run as who waits for it sees it."""

    future: Future[T]
    live: Live
    request: Request
    cancel: Callable[[], None]

    def outcome(self, timeout_s: float | None) -> T:
        """What comes of it, as its future has it.

        Raises
        ------
        TimeoutError
            `timeout_s` passed; it goes on.
        KeyboardInterrupt
            It was interrupted, and is cancelled.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        ticker, main = Ticker(), threading.current_thread() is threading.main_thread()
        try:
            if main:
                self._say_awaited(True)
            while True:
                try:
                    return self._look(ticker, deadline, timeout_s)
                except KeyboardInterrupt:
                    if not self._may_stop():
                        raise
                    self.live.stopping.set()
                    named = self.request.operation
                    ticker.leave(f"{named} ends after the present round with what it has; interrupt again to cancel it")
        except KeyboardInterrupt:
            self.cancel()
            wait([self.future], timeout=CANCELLED_S)
            raise
        finally:
            ticker.end()
            if main:
                self._say_awaited(False)

    def _look(self, ticker: Ticker, deadline: float | None, timeout_s: float | None) -> T:
        while True:
            ticker.show(f"{self.request.operation}: {self.live}")
            left = LOOK_S if deadline is None else min(LOOK_S, deadline - time.monotonic())
            try:
                return self.future.result(timeout=max(0.0, left))
            except FutureTimeout:
                if self.future.done():
                    raise
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(
                        f"run {self.request.run_id} did not end within {timeout_s:g} s; "
                        "it goes on: wait again with result() or release(), or cancel() it"
                    ) from None

    def _may_stop(self) -> bool:
        """Whether it is worth something by now, and was not told to stop before."""
        stops = operation_named(self.request.operation).stops
        return stops and bool(self.live.latest) and not self.live.stopping.is_set()

    def _say_awaited(self, awaited: bool) -> None:
        self.live.awaited = awaited
        self.live.tell()
