"""One thread for each federation that somebody looks at: it asks the parties, and tells all views what changed.

News is a run of this notebook that begins, gets further or ends; what others do at a party is seen by asking now and
then. The thread is not the notebook's, so that a cell that blocks does not stop it, and parties are asked in a further
one, so that a slow party does not hold up how runs go on. Both end when the last view is closed.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any, cast

from ..client.federation import Federation, openings
from ..client.plan import Run
from ..errors import PrivsdkError
from ..protocol.control import Description
from . import facts, run_facts
from .facts import Json

SOON_S = 0.05  # after news, so that much of it makes one update
ASKED_S = 1.0  # between two times that parties are asked while runs go on, and between two updates of a run's seconds
IDLE_S = 10.0  # and while none does
EVENTS = 50  # audit rows of each party

_followers: dict[int, Follower] = {}  # by the federation's number
_lock = threading.Lock()  # of `_followers`: held to join one, and to end it


class Subscription:
    """What one view is shown by its federation's follower, until `close()`.

    `show` is called in the follower's thread, never twice at a time, with facts of no earlier than the subscription;
    its last call says that the federation is closed.
    """

    def __init__(self, fed: Federation, show: Callable[[Json], None]) -> None:
        self.show = show
        self.shown: Json | None = None
        self.since = 0  # the number of the asking whose replies it waits for
        with _lock:
            joined = _followers.get(fed.number)
            self.follower = joined or Follower(fed)
            self.follower.add(self)
        if joined is None:  # with no lock held: a new thread may come upon a view that nobody holds, and close it
            self.follower.thread.start()

    def refresh(self) -> None:
        """Ask all parties again now."""
        self.follower.ask_again()

    def close(self) -> None:
        """End it; waits for nothing."""
        self.follower.remove(self)

    def update(self, follower: Follower) -> None:
        """Show the federation's facts, where they are new."""
        known = follower.facts
        if self.shown is not known and (follower.answered >= self.since or known["closed"]):
            self.shown = known
            self.show(known)
        if known["closed"]:
            self.close()


class RunSubscription(Subscription):
    """What a view of one run is shown: at once, with all news, and when it has ended, which is the last."""

    def __init__(self, run: Run[Any], show: Callable[[Json], None]) -> None:
        self._run = run
        self._fed = fed = cast(Federation, run.plan._runner)
        self._over = False
        self._left: tuple[Json, ...] = ()
        self._leave = run.progress.observe(lambda _: _wake(fed.number))
        super().__init__(fed, show)

    def close(self) -> None:
        self._leave()
        super().close()

    def update(self, follower: Follower) -> None:
        run, closed = self._run, follower.facts["closed"]
        over = run.done()
        if over and not self._over:
            self._over, self.since = True, follower.ask_again()  # what is left after its last charge
        ended = over and (closed or follower.answered >= self.since)
        if ended or not over:
            if follower.described:
                self._left = run_facts.left_of_budgets(run, follower.described)
            self.show(run_facts.followed(run, self._left))
        if ended:
            self.close()


def _wake(number: int) -> None:
    follower = _followers.get(number)
    if follower is not None:
        follower.wake()


class Follower:
    """The thread of one federation, which it does not keep alive.

    Attributes
    ----------
    facts : dict
        What is known of the federation; replaced when it changes, and said to be closed once it is closed or forgotten.
    described : dict of party to Description
        The latest replies.
    answered : int
        The number of the asking that they answer; 0 before the first.
    """

    def __init__(self, fed: Federation) -> None:
        self._fed = weakref.ref(fed)
        self._number = fed.number
        self._subscriptions: list[Subscription] = []
        self._news = threading.Condition()
        self._pending = self._asking = False
        self._replies: tuple[dict[str, Description], Json] | None = None
        self._asked, self._asked_at = 0, 0.0
        self._states: dict[str, str] = {}  # of the runs, when the parties were last asked
        self.answered = 0
        self.described: dict[str, Description] = {}
        self.facts: Json = {**facts.of_federation(fed, {}, {}), "runs": ()}
        self._leaves = fed.activity.observe(lambda _: self.wake()), openings.add(lambda _: self.wake())
        self.thread = threading.Thread(target=self._work, name=f"privsdk-following-{fed.number}", daemon=True)
        _followers[fed.number] = self

    def add(self, subscription: Subscription) -> None:
        """Show it what the parties reply to the next asking."""
        subscription.since = self.ask_again()
        self._subscriptions.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Show it no more; after the last one the thread ends."""
        with contextlib.suppress(ValueError):  # it was removed before
            self._subscriptions.remove(subscription)
        self.wake()

    def wake(self) -> None:
        """There is news."""
        with self._news:
            self._pending = True
            self._news.notify_all()

    def ask_again(self) -> int:
        """Ask all parties, where they are being asked once they have answered; returns the number of that asking."""
        with self._news:
            self._asking = True
            self.wake()
            return self._asked + 1

    def _work(self) -> None:
        while not self._ends():
            self._wait()
            if self._subscriptions:
                self._look()
                time.sleep(SOON_S)

    def _ends(self) -> bool:
        """Whether nobody looks any more; then it can be joined no more."""
        with _lock:
            if self._subscriptions:
                return False
            del _followers[self._number]
        for leave in self._leaves:
            leave()
        return True

    def _wait(self) -> None:
        """Wait for news, replies, or until it is time to ask again."""
        hurried = "running" in self._states.values() or any(isinstance(s, RunSubscription) for s in self._subscriptions)
        with self._news:
            heard = self._news.wait_for(
                lambda: self._pending or self._replies is not None or not self._subscriptions,
                timeout=ASKED_S if hurried else IDLE_S,
            )
            late = time.monotonic() - self._asked_at >= ASKED_S
            self._asking = self._asking or not heard or (self._pending and late)
            self._pending = False

    def _look(self) -> None:
        """Ask the parties if it is time, and show all views what is new."""
        fed = self._fed()
        with self._news:
            replies, self._replies = self._replies, None
            self.answered = self.answered if replies is None else self._asked
        known = self.facts
        if fed is not None and not fed.closed:
            self._ask_if_due(fed)
            self.described, replied = replies or (self.described, {})
            known = {**known, **replied, "runs": tuple(map(run_facts.of_run, fed.activity.runs))}
        if fed is None or fed.closed:  # its parties are not unreachable, but gone
            known = {**self.facts, "closed": True}
        del fed
        if known != self.facts:
            self.facts = known
        for subscription in tuple(self._subscriptions):
            try:
                subscription.update(self)
            except Exception as error:
                subscription.close()
                warnings.warn(f"a view failed and is not kept fresh: {error!r}", RuntimeWarning, stacklevel=2)

    def _ask_if_due(self, fed: Federation) -> None:
        states = {run.request.run_id: run.state for run in fed.activity.runs}  # also of one that has already ended
        with self._news:
            self._asking = self._asking or states != self._states
            self._states = states
            if not self._asking or self._asked > self.answered:  # one asking at a time
                return
            self._asking, self._asked_at = False, time.monotonic()
            self._asked += 1
        threading.Thread(target=self._ask, args=(fed,), name=f"{self.thread.name}-ask", daemon=True).start()

    def _ask(self, fed: Federation) -> None:
        described: dict[str, Description] = {}
        replied: Json = {}
        try:
            described = fed.describe()
            audits = any(not isinstance(each, RunSubscription) for each in tuple(self._subscriptions))
            logs = fed.audit_log(most=EVENTS, quietly=True) if audits else {}
            replied = facts.of_federation(fed, described, logs)
        except PrivsdkError:  # the federation was closed in between
            pass
        finally:
            with self._news:
                self._replies = described, replied
                self._news.notify_all()
