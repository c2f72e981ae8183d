"""Follows one run for a view: what it tells, where each party is, what is left of the budgets it draws on.

All in threads of its own: a cell that blocks the notebook does not stop it, and a party that is slow to say what is
left does not hold up what the run tells. It ends with the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ..client.federation import Federation
from ..client.plan import Run
from ..client.runs import Carried
from ..errors import PrivsdkError
from ..governance.charges import Exact
from . import facts

SOON_S = 0.05  # after news, so that much of it makes one update
SECOND_S = 1.0  # between two updates without news, for the seconds; and between two questions what is left


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset that the run is charged to has left, of the currency that it is charged in."""

    party: str
    dataset: str
    currency: str
    left: float
    cap: float
    text: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run failed: whose error it is and in which phase, where they are known, and what to do."""

    message: str
    hint: str
    party: str
    phase: str


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a view shows it."""

    run: facts.RunFacts
    awaited: bool
    stopped: str
    left: tuple[Left, ...]
    failure: Failure | None
    result: facts.CardFacts | None


class Tracing:
    """Calls `show` with a run as plain JSON values, at once, with all news, and when it has ended.

    `show` runs in this object's thread, never twice at a time, and its last call is the run's end.
    """

    def __init__(self, run: Run[Any], show: Callable[[dict[str, Any]], None]) -> None:
        self._run = run
        self._show = show
        self._news = threading.Condition()
        self._pending = True
        self._closed = False
        self._asking = False
        self._left: tuple[Left, ...] = ()
        self._leave = run.progress.observe(lambda _: self.wake())
        self._thread = threading.Thread(
            target=self._work, name=f"privsdk-following-{run.plan.request.run_id}", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Show it anew."""
        with self._news:
            self._pending = True
            self._news.notify_all()

    def close(self) -> None:
        """End it; waits for nothing."""
        self._leave()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _work(self) -> None:
        asked = 0.0
        while True:
            with self._news:
                self._news.wait_for(lambda: self._pending or self._closed, timeout=SECOND_S)
                if self._closed:
                    return
                self._pending = False
            over = self._run.done()
            if over:
                self._leave()
                self._ask()
            elif not self._asking and time.monotonic() - asked >= SECOND_S:
                asked, self._asking = time.monotonic(), True
                threading.Thread(target=self._ask, name=f"{self._thread.name}-left", daemon=True).start()
            followed = msgspec.to_builtins(self._followed())
            if not self._closed:
                self._show(followed)
            if over:
                return
            time.sleep(SOON_S)

    def _followed(self) -> Followed:
        run, over = self._run, self._run.done()
        error = run.error
        result = run.result() if over and error is None else None
        carried = Carried(run.plan.request, run.progress, began=run.began, state=run.state, why=_why(error))
        carried.seconds = self._seconds() if result is None else result.seconds
        return Followed(
            run=facts.of_run(carried),
            awaited=run.progress.awaited and not over,
            stopped=str(getattr(result.value, "ended", "")) if result is not None else "",
            left=self._left,
            failure=None if error is None else _failure(error),
            result=None if result is None else facts.of_card(result._card()),
        )

    def _seconds(self) -> float:
        """Since it began, or until it failed where that is remembered; else 0."""
        if not self._run.done():
            return max(0.0, time.time() - self._run.began)
        runner = self._run.plan._runner
        runs = runner.activity.runs if isinstance(runner, Federation) else ()
        return next((each.seconds for each in runs if each.live is self._run.progress), 0.0)

    def _ask(self) -> None:
        """Ask the parties that are charged what is left."""
        runner, price = self._run.plan._runner, self._run.plan.price
        if not isinstance(runner, Federation):
            return
        try:
            described = runner.describe()
        except PrivsdkError:  # the federation closed in between: what was known stays
            return
        finally:
            self._asking = False
        left: dict[tuple[str, str, str], Left] = {}
        for party in price.keys() & described.keys():
            datasets = {table.name: table.dataset for table in described[party].tables}
            balances = {balance.dataset: balance for balance in described[party].balances}
            for debit in price[party]:
                balance = balances.get(datasets.get(debit.table, ""))
                if balance is None:
                    continue
                told = facts.of_balance(party, balance)
                currency = "exact" if isinstance(debit.charge, Exact) else "epsilon"
                meter = told.exact if currency == "exact" else told.epsilon
                left[party, balance.dataset, currency] = Left(
                    party=party,
                    dataset=balance.dataset,
                    currency=currency,
                    left=meter.left,
                    cap=meter.cap,
                    text=meter.text,
                )
        self._left = tuple(left[key] for key in sorted(left))


def _why(error: BaseException | None) -> str:
    return "" if error is None else error.message if isinstance(error, PrivsdkError) else type(error).__name__


def _failure(error: BaseException) -> Failure:
    if not isinstance(error, PrivsdkError):  # of the notebook's own code: what it says may quote a value
        return Failure(message=type(error).__name__, hint="run.error holds it", party="", phase="")
    return Failure(message=error.message, hint=error.hint, party=error.party, phase=error.phase)
