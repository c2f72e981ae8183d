"""Keeps the facts of a federation fresh while somebody looks at them: asks its parties again when there is news.

News is a run of this notebook that begins, gets further or ends. What others do at a party is seen by asking it now
and then. All in a thread of its own, so that a cell that blocks the notebook does not stop it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import msgspec

from ..client.federation import Federation, openings
from ..errors import PrivsdkError
from . import facts

SOON_S = 0.05  # after news, so that much of it makes one update
ASKED_S = 1.0  # between two times that parties are asked while runs go on
IDLE_S = 10.0  # and while none does
EVENTS = 50  # audit rows of each party


class Watching:
    """Calls `show` with a federation's facts, as plain JSON values, at once and whenever they change.

    `show` runs in this object's thread, never twice at a time. `close()` ends it; it also ends with the federation,
    of which it then says that it is closed, and which it does not keep: one that the notebook has forgotten is gone.
    `ended` is called last, however it ends.
    """

    def __init__(
        self, fed: Federation, show: Callable[[dict[str, Any]], None], *, ended: Callable[[], None] = lambda: None
    ) -> None:
        self._fed = weakref.ref(fed)
        self._show = show
        self._ended = ended
        self._news = threading.Condition()
        self._pending = self._asking = True
        self._closed = False
        self._leaves = fed.activity.observe(lambda _: self._tell()), openings.add(lambda _: self._tell())
        self._shown: facts.FederationFacts | None = None
        self._runs: dict[str, str] = {}  # their states when the parties were last asked
        self._asked = 0.0
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
        try:
            while self._look():
                time.sleep(SOON_S)
        finally:
            self.close()
            self._ended()

    def _look(self) -> bool:
        """Wait for news and show what there is; whether there may be more."""
        with self._news:
            self._news.wait_for(lambda: self._pending or self._closed, timeout=self._patience())
            if self._closed:
                return False
            asking, self._pending, self._asking = self._asking or not self._pending, False, False
        fed = self._fed()
        if fed is None or fed.closed:
            last = self._shown or (None if fed is None else facts.of_federation(fed, {}, {}))
            if last is not None:
                self._show(msgspec.to_builtins(msgspec.structs.replace(last, closed=True)))
            return False
        now = {run.request.run_id: run.state for run in fed.activity.runs}  # also one that began and ended in between
        asking = asking or now != self._runs or time.monotonic() - self._asked >= ASKED_S
        self._runs = now
        if asking:
            self._asked = time.monotonic()
        try:
            fresh = self._facts(fed, asking=asking)
        except PrivsdkError:  # the federation closed in between
            return True
        if fresh != self._shown and not fed.closed:  # else its parties are not unreachable, but gone
            self._shown = fresh
            self._show(msgspec.to_builtins(fresh))
        return True

    def _patience(self) -> float:
        return ASKED_S if "running" in self._runs.values() else IDLE_S

    def _facts(self, fed: Federation, *, asking: bool) -> facts.FederationFacts:
        if self._shown is None or asking:
            return facts.of_federation(fed, fed.describe(), fed.audit_log(most=EVENTS, quietly=True))
        runs = tuple(map(facts.of_run, fed.activity.runs))
        return msgspec.structs.replace(self._shown, runs=runs)
