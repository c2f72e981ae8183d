"""Waiting for a run: a line of text that shows how far it is, and what an interrupt does to it. Not the run itself.

A run that goes in rounds has a result before its end: a first interrupt stops it after the present round and keeps that
result, a second one cancels it. Any other run is cancelled at once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..protocol.operation import Request, operation_named
from .progress import Live

AFTER_S = 2.0  # shorter runs are done before anyone could read it
WIDTH = 100
LOOK_S = 0.2  # between two times that the line is drawn
CANCELLED_S = 5.0  # for a cancelled run to end

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Waiting(Generic[T]):
    """A run, for whoever waits for it."""

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
                self._set_awaited(True)
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
                self._set_awaited(False)

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
        """Whether a stop would give a result, and none was requested yet."""
        stops = operation_named(self.request.operation).stops
        return stops and bool(self.live.latest) and not self.live.stopping.is_set()

    def _set_awaited(self, awaited: bool) -> None:
        self.live.awaited = awaited
        self.live.notify()


class TextStream(Protocol):
    """What of a text stream is used."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class Ticker:
    """A line of text in a terminal or notebook, each text in place of the one before; none in a file or a pipe."""

    def __init__(self, output: TextStream | None = None) -> None:
        self._output = output if output is not None else _interactive()
        self._began = time.monotonic()
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line, if there is somewhere to show it and it is another one."""
        line = text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
        if self._output is None or line == self._shown or time.monotonic() - self._began < AFTER_S:
            return
        self._output.write(f"\r{line.ljust(len(self._shown))}")
        self._output.flush()
        self._shown = line

    def leave(self, text: str) -> None:
        """Say something that stays, above the line; on standard error where nobody watches standard output."""
        self.end()
        output = self._output if self._output is not None else sys.stderr
        if output is not None:
            output.write(f"{text}\n")
            output.flush()

    def end(self) -> None:
        """Take the line away: what came of it is shown by whoever waited."""
        if self._output is not None and self._shown:
            self._output.write(f"\r{' ' * len(self._shown)}\r")
            self._output.flush()
            self._shown = ""


def _interactive() -> TextStream | None:
    """Standard output, where somebody watches it: a terminal, or a notebook's cell."""
    output = sys.stdout
    in_notebook = type(output).__module__.startswith("ipykernel.")
    return output if output is not None and (in_notebook or output.isatty()) else None
