"""Deadlines: ends what takes too long, by one thread for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count


class Deadlines:
    """Calls that are due some time from now, unless they are dropped before; each is short."""

    def __init__(self) -> None:
        self._due: dict[int, tuple[float, Callable[[], object]]] = {}
        self._numbers = count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, seconds: float, end: Callable[[], object]) -> int:
        """Call `end` after so many seconds, unless this is dropped before."""
        with self._changed:
            number = next(self._numbers)
            self._due[number] = time.monotonic() + seconds, end
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="privsdk-deadlines", daemon=True)
                self._thread.start()
            self._changed.notify()
        return number

    def drop(self, number: int) -> None:
        with self._changed:
            self._due.pop(number, None)

    @contextmanager
    def within(self, seconds: float, end: Callable[[], object]) -> Iterator[None]:
        """Call `end` where the block takes longer."""
        number = self.add(seconds, end)
        try:
            yield
        finally:
            self.drop(number)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                late = [number for number, (at, _) in self._due.items() if at <= now]
                ends = [self._due.pop(number)[1] for number in late]
                if not ends:
                    if not self._due:
                        self._thread = None
                        return
                    self._changed.wait(max(0.0, min(at for at, _ in self._due.values()) - now))
            for end in ends:
                end()


DEADLINES = Deadlines()
