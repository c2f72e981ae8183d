"""Plans and runs: what an analyst holds before and during a joint computation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

import pyarrow as pa

from ..display.cards import Card, Displayed
from ..display.titles import Titles
from ..errors import Cancelled
from ..errors.absent import NoContainer
from ..errors.calls import verb
from ..governance.suggested import smallest_grants
from ..protocol.operation import Request, operation_of
from .audit import Receipt
from .budgets import Grants, Price, price_text
from .preview import Outlook, Preview, TrainingForecast
from .progress import Live, Ticker, ended_with
from .results import Answers, Learned, Result, learns_grid
from .runner import Runner

LOOK_S = 0.2  # between two times that the line of a run that is waited for is drawn
CANCELLED_S = 5.0  # for a cancelled run to end

T = TypeVar("T")


class Plan(Displayed, NoContainer, Generic[T]):
    """A joint computation that has been described and not yet done.

    A plan is one request. Releasing it twice returns the stored answer and charges once; for a second
    release call the verb again.

    Attributes
    ----------
    request : Request
    price : Price, a mapping of party to debits
    learns : Learned, a tuple of Learns
        What each party, the caller and an eavesdropper will learn.
    notes : tuple of (label, text)
        The verb's own remarks.
    outlook : Outlook or None
        What can be said of a noisy answer beforehand.
    after_cancel : str
        What can be done with a run of it that was cancelled; "" for nothing.
    forecast : TrainingForecast or None
        What a private training would cost otherwise.
    """

    def __init__(
        self,
        runner: Runner,
        request: Request,
        finish: Callable[[Answers], T],
        *,
        notes: tuple[tuple[str, str], ...] = (),
        outlook: Outlook | None = None,
        after_cancel: str = "",
        forecast: TrainingForecast | None = None,
    ) -> None:
        self._operation = operation_of(request)
        self.request = request
        self.price = Price(self._operation.price())
        self.learns = Learned(self._operation.learns(), request)
        self.notes = notes
        self.outlook = outlook
        self.after_cancel = after_cancel
        self.forecast = forecast
        self._runner = runner
        self._finish = finish
        self._run: Run[T] | None = None
        self._lock = threading.Lock()

    @verb
    def preview(self, *, mock: pa.Table | None = None) -> Preview:
        """Ask the parties what they would say, and what would be left; spends nothing.

        Parameters
        ----------
        mock : Arrow table, optional
            Public or invented rows with the columns of the question, for dp releases: gives the expected error of the
            smallest group and simulated outcomes. Never a party's own data.
        """
        return Preview([self], self._runner.quote([self.request]), mock=mock)

    @property
    def titles(self) -> Titles:
        """What its parties call themselves."""
        return self._runner.titles

    def suggest_grants(self) -> Grants:
        """By party, the smallest grants with which its owner would allow this plan, whatever it allows now."""
        needs, to, purpose = self._operation.needs(), self.request.caller, self.request.purpose
        return Grants(
            {party: smallest_grants(needs.get(party, ()), to=to, purpose=purpose) for party in self.request.parties}
        )

    def start(self) -> Run[T]:
        """Start in the background; see `Run`. While it runs, starting it again gives the same run."""
        with self._lock:
            if self._run is None or self._run.done():
                self._run = Run(self, self._runner, self._finish)
            return self._run

    @verb
    def release(self, *, timeout_s: float | None = None) -> Result[T]:
        """Run, wait and return the result. Interrupting the cell stops or cancels the run: see `Run.result`.

        Raises
        ------
        TimeoutError
            `timeout_s` passed. The run goes on: release the plan again to wait for it, or `start()` it to cancel it.
        """
        return self.start().result(timeout_s=timeout_s)

    def spent(self, answers: Answers) -> Price:
        """What each party was charged for these answers; one that is lost and does not say, the most it can be."""
        paid = {party: answer.instalments for party, answer in answers.items() if not answer.stored}
        spent = self._operation.paid({**answers.paid, **paid})
        unknown = answers.lost.keys() - answers.paid.keys()
        return Price(spent | {party: debits for party, debits in self.price.items() if party in unknown})

    def _card(self) -> Card:
        with self._lock:
            state = "nothing done yet" if self._run is None else f"its run is {self._run.state}"
        facts = [*_parties(self), *self.notes, ("price", price_text(self.price))]
        title, learns = f"plan of {self.request.operation}: {state}", (("will learn", learns_grid(self.learns)),)
        return Card(title=title, facts=facts, pictures=(self.learns.picture,), grids=learns)


class Run(Displayed, NoContainer, Generic[T]):
    """A computation under way. `result()` waits, `cancel()` stops it at every party, `await run` works too.

    Attributes
    ----------
    progress : Live
        How far it is, asked of the parties a few times a second.
    stops : bool
        Whether it goes in rounds: `stop()` ends it after the present one, with its result so far.
    began : float
        Seconds since the epoch.
    """

    def __init__(self, plan: Plan[T], runner: Runner, finish: Callable[[Answers], T]) -> None:
        self.plan = plan
        self.progress = Live(plan.request)
        self.began = self.progress.began
        self.stops = plan._operation.stops
        self._future: Future[Result[T]] = Future()
        self._future.set_running_or_notify_cancel()

        def work() -> None:
            began = time.monotonic()
            try:
                foreseen = () if plan.outlook is None else plan.outlook.expected(None)
                answers = runner.execute(self.progress)
                result = Result(
                    value=finish(answers),
                    operation=plan.request.operation,
                    learned=plan.learns,
                    spent=plan.spent(answers),
                    receipt=Receipt(
                        run_id=plan.request.run_id,
                        heads={p: a.receipt for p, a in answers.items() if a.receipt is not None},
                    ),
                    notes=(  # the answer has its own error
                        *plan.titles.facts(plan.request.parties),
                        *(note for note in plan.notes if note not in foreseen),
                    ),
                    seconds=time.monotonic() - began,
                )
            except BaseException as error:  # handed to whoever waits, who raises it
                if isinstance(error, Cancelled) and plan.after_cancel:
                    error.advise(plan.after_cancel)
                self._future.set_exception(error)
            else:
                self._future.set_result(result)
            self.progress.notify()

        self._thread = threading.Thread(target=work, name=f"privsdk-run-{plan.request.run_id}", daemon=True)
        self._thread.start()

    def done(self) -> bool:
        return self._future.done()

    @property
    def state(self) -> str:
        """One of "running", "done", "cancelled" and "failed"."""
        if not self.done():
            return "running"
        return "done" if self.error is None else ended_with(self.error)[0]

    @property
    def error(self) -> BaseException | None:
        """What it failed with; None where it has not."""
        return self._future.exception() if self.done() else None

    def cancel(self) -> None:
        """Stop the run at every party. What was already charged stays charged."""
        self.progress.cancelled.set()

    def stop(self) -> None:
        """Have what there is: a run that goes in rounds ends after the present one, with its result so far."""
        self.progress.stopping.set()

    def result(self, *, timeout_s: float | None = None) -> Result[T]:
        """Wait for the result.

        Interrupting the cell ends a run that goes in rounds after the present one and returns its result so far;
        interrupting again cancels it. Any other run, and one before its first round, is cancelled at once.

        Raises
        ------
        TimeoutError
            `timeout_s` passed; the run goes on and may be waited for again.
        Cancelled
            `cancel()` was called.
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
                    live = self.progress
                    if not (self.stops and live.latest) or live.stopping.is_set():  # a stop would give no result
                        raise
                    self.stop()
                    named = live.request.operation
                    ticker.leave(f"{named} ends after the present round with what it has; interrupt again to cancel it")
        except KeyboardInterrupt:
            self.cancel()
            wait([self._future], timeout=CANCELLED_S)
            raise
        finally:
            ticker.end()
            if main:
                self._set_awaited(False)

    def _look(self, ticker: Ticker, deadline: float | None, timeout_s: float | None) -> Result[T]:
        request = self.plan.request
        while True:
            ticker.show(f"{request.operation}: {self.progress}")
            left = LOOK_S if deadline is None else min(LOOK_S, deadline - time.monotonic())
            try:
                return self._future.result(timeout=max(0.0, left))
            except TimeoutError:
                if self.done():
                    raise
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(
                        f"run {request.run_id} did not end within {timeout_s:g} s; "
                        "it goes on: wait again with result() or release(), or cancel() it"
                    ) from None

    def _set_awaited(self, awaited: bool) -> None:
        self.progress.awaited = awaited
        self.progress.notify()

    def __await__(self) -> Generator[Any, None, Result[T]]:
        import asyncio

        async def wait() -> Result[T]:
            try:
                return await asyncio.shield(asyncio.wrap_future(self._future))
            except asyncio.CancelledError:
                self.cancel()
                raise

        return wait().__await__()

    def _card(self) -> Card:
        request, far, state = self.plan.request, str(self.progress), self.state
        facts = [("run", request.run_id), *_parties(self.plan)]
        facts += [("so far" if state == "running" else "when last asked", far)] if far else []
        facts += [] if self.error is None else [("why", ended_with(self.error)[1])]
        if state == "running":
            facts.append(("meanwhile", "result() waits; stop() ends it at its next round; cancel() ends it at once"))
        elif state == "done":
            facts.append(("next", "result() gives what came of it"))
        shown = self.progress._card()
        title = f"run of {request.operation}: {state}"
        return Card(title=title, facts=facts, pictures=shown.pictures, grids=shown.grids)


def _parties(plan: Plan[Any]) -> list[tuple[str, str]]:
    parties = plan.request.parties
    return plan.titles.facts(parties) or [("parties", ", ".join(parties))]
