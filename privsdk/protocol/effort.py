"""Effort: how much of a party's processors a free question may take, and whether its caller still wants the answer.

Whoever computes long for one calls `check` on the way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import Busy, Cancelled
from ..errors.sessions import RunCancelled, TooBusy

TURN_S = 20.0  # for a caller's question before this one; shorter than a notebook waits for an answer

wanted: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=lambda: True)
"""Whether the caller of this thread's call is still there: set by the link."""

_bound: ContextVar[tuple[str, float]] = ContextVar("bound", default=("", float("inf")))


def check() -> None:
    """Raise where the answer is no longer wanted, or takes more than is allowed."""
    if not wanted.get()():
        raise Cancelled(RunCancelled(charged=False))
    party, until = _bound.get()
    if time.thread_time() > until:
        raise Busy(TooBusy(party=party, of="effort"))


class FreeQuestions:
    """One question of each caller at a time, each of so many processor seconds."""

    def __init__(self, party: str, cpu_s: float) -> None:
        self._party = party
        self._cpu_s = cpu_s
        self._asking: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, caller: str) -> Iterator[None]:
        """The caller's turn; raises Busy where its question before takes too long."""
        with self._changed:
            if not self._changed.wait_for(lambda: caller not in self._asking, timeout=TURN_S):
                raise Busy(TooBusy(party=self._party, of="question", caller=caller))
            self._asking.add(caller)
        bound = _bound.set((self._party, time.thread_time() + self._cpu_s))
        try:
            yield
        finally:
            _bound.reset(bound)
            with self._changed:
                self._asking.discard(caller)
                self._changed.notify_all()
