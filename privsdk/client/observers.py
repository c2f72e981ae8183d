"""Functions that are called when something has news, in whatever thread has it. One that fails is not called again."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Observers(Generic[T]):
    """Those of one thing; may be added to, told and left from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # an observer that nobody holds may leave from within
        self._observers: list[Callable[[T], None]] = []

    def add(self, observer: Callable[[T], None]) -> Callable[[], None]:
        """Have this called with each piece of news; returns how to end it, which may be called twice."""
        with self._lock:
            self._observers.append(observer)

        def leave() -> None:
            with self._lock:
                if observer in self._observers:
                    self._observers.remove(observer)

        return leave

    def tell(self, news: T) -> None:
        """Call them all. What one raises becomes a warning: whatever has news goes on."""
        with self._lock:
            observers = list(self._observers)
        for observer in observers:
            try:
                observer(news)
            except Exception as error:
                with self._lock:
                    if observer in self._observers:
                        self._observers.remove(observer)
                warnings.warn(f"an observer failed and is not called again: {error!r}", RuntimeWarning, stacklevel=2)

    def __len__(self) -> int:
        with self._lock:
            return len(self._observers)
