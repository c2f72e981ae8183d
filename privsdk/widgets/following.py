"""A view that follows a federation: told by a thread, closed as a whole."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import Any

import traitlets

from ..client.federation import Federation
from ..errors import InvalidArgument
from .view import View
from .watching import Watching

FIRST_S = 5.0  # for the parties' first replies: a view's card, which a saved notebook keeps, is made at once


class Following(View):
    """A view of a federation, kept fresh by a thread until `close()`.

    Traits whose names begin with "_" are set by that thread, so do not observe them; all others change only when the
    notebook or its reader changes them. A reader's change that is made while a cell runs reaches the kernel when that
    cell ends.
    """

    _ended = traitlets.Bool().tag(sync=True)
    _caller = traitlets.Unicode().tag(sync=True)
    _purpose = traitlets.Unicode().tag(sync=True)

    def __init__(self, fed: Federation, **given: Any) -> None:
        self._setting = threading.RLock()  # what ipywidgets keeps of changes to be sent is not made for two threads
        self._gone = False
        self._watching: Watching | None = None
        if not isinstance(fed, Federation):
            raise InvalidArgument(
                f"a federation was expected, not a {type(fed).__name__}", hint="ps.embedded(...) or ps.connect(...)"
            )
        if fed.closed:
            raise InvalidArgument("this federation is closed", hint="open it anew")
        self._fed = fed
        self._first = threading.Event()
        super().__init__(_caller=fed.caller, _purpose=fed.purpose, **given)
        self._watching = Watching(fed, self._told)
        self._first.wait(FIRST_S)

    def close(self) -> None:
        """Take it out of the notebook and release all that it holds: its thread, its observers, its comm."""
        with self._setting:
            self._gone = True
            super().close()
            if self._watching is not None:  # None where it was refused, and is closed by being forgotten
                self._watching.close()

    def notify_change(self, change: Any) -> None:
        with self._setting:
            super().notify_change(change)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        with self._setting:
            super().set_state(sync_data)

    @abstractmethod
    def _drawn(self, told: dict[str, Any]) -> dict[str, Any]:
        """The values of traits that show these facts; may ask parties."""

    def _told(self, told: dict[str, Any]) -> None:
        self._put(_ended=told["closed"], **self._drawn(told))
        self._first.set()

    def _put(self, **values: Any) -> None:
        with self._setting:
            if self._gone:
                return
            with self.hold_sync():
                for name, value in values.items():
                    setattr(self, name, value)
