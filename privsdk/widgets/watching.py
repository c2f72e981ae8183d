"""Keeps the facts of a federation fresh while somebody looks at them: asks its parties again when there is news.

News is a run of this notebook that begins, gets further or ends. What others do at a party is seen by asking it now
and then. All in a thread of its own, so that a cell that blocks the notebook does not stop it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import PrivsdkError
from ..federation import Federation, openings
from . import facts

SOON_S = 0.05  # after news, so that much of it makes one update
ASKED_S = 1.0  # between two times that parties are asked while runs go on
IDLE_S = 10.0  # and while none does
EVENTS = 50  # audit rows of each party


class Watching:
    """Calls `show` with a federation's facts, as plain JSON values, at once and whenever they change.

    `show` runs in this object's thread, never twice at a time. `close()` ends it; it also ends with the federation,
    of which it then says that it is closed.
    """

    def __init__(self, fed: Federation, show: Callable[[dict[str, Any]], None]) -> None:
        self._fed = fed
        self._show = show
        self._news = threading.Condition()
        self._pending = self._asking = True
        self._closed = False
        self._leaves = fed.activity.observe(lambda _: self._tell()), openings.add(lambda _: self._tell())
        self._shown: facts.FederationFacts | None = None
        self._thread = threading.Thread(target=self._work, name=f"privsdk-watching-{fed.number}", daemon=True)
        self._thread.start()

    def refresh(self) -> None:
        """Ask all parties again now."""
        self._tell(asking=True)

    def close(self) -> None:
        """End it; waits for nothing."""
        for leave in self._leaves:
            leave()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _tell(self, *, asking: bool = False) -> None:
        with self._news:
            self._pending = True
            self._asking = self._asking or asking
            self._news.notify_all()

    def _work(self) -> None:
        asked, running = 0.0, frozenset[str]()
        while True:
            with self._news:
                self._news.wait_for(lambda: self._pending or self._closed, timeout=ASKED_S if running else IDLE_S)
                if self._closed:
                    return
                asking, self._pending, self._asking = self._asking or not self._pending, False, False
            if self._fed.closed:
                self.close()
                last = self._shown or facts.of_federation(self._fed, {}, {})
                self._show(msgspec.to_builtins(msgspec.structs.replace(last, closed=True)))
                return
            now = frozenset(run.request.run_id for run in self._fed.activity.runs if run.state == "running")
            asking = asking or now != running or time.monotonic() - asked >= ASKED_S
            running = now
            if asking:
                asked = time.monotonic()
            try:
                fresh = self._facts(asking=asking)
            except PrivsdkError:  # the federation closed in between
                continue
            if self._fed.closed:  # its parties are not unreachable, but gone
                continue
            if fresh != self._shown:
                self._shown = fresh
                self._show(msgspec.to_builtins(fresh))
            time.sleep(SOON_S)

    def _facts(self, *, asking: bool) -> facts.FederationFacts:
        if self._shown is None or asking:
            return facts.of_federation(self._fed, self._fed.describe(), self._fed.audit_log(most=EVENTS, quietly=True))
        runs = tuple(map(facts.of_run, self._fed.activity.runs))
        return msgspec.structs.replace(self._shown, runs=runs)
