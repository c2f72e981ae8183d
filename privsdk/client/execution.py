"""Runs over all parties: each prepared, started, watched, stopped, gathered, and kept for whoever shows it.

A run's calls are sent to all parties at once. The threads that carry runs fill `Activity`; any thread may read it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from ..display.cards import MOST_ROWS, Card, Displayed, Grid, without_empty
from ..display.tabular import Tabular, table_of
from ..display.titles import Titles
from ..errors import Cancelled, PeerError, PeerGone, PrivsdkError, ProtocolViolation, Refused
from ..errors.sessions import RunCancelled
from ..protocol import control
from ..protocol.operation import operation_of
from .pinned_heads import PinnedHeads
from .progress import Live, Observers, ended_with
from .results import Answers
from .root_cause import lost_in_turn, root_cause

AGAIN_S = 0.5  # between two requests to stop
WATCH_S = 0.25
CANCELLED_S = 2.0  # for parties to say that a cancelled run has ended; who is silent is not waited for
LAST_WORD_S = 1.0  # for a party's last report, or its payments where the run went on without it
ENDED = 50  # runs that are remembered


class Asker:
    """Asks parties through a link, each in a thread of its own: a run's calls must all be under way at once."""

    def __init__(self, link: control.Link) -> None:
        self._link = link
        self.titles = Titles(link.parties)

    def call(self, party: str, call: control.Call, kind: type[control.R]) -> control.R:
        """Ask one, and wait; keeps the title that it gives itself, and shows it in its errors."""
        try:
            reply = self._link.call(party, call, kind)
        except PrivsdkError as error:
            error.title = self.titles.of(error.party)
            raise
        if isinstance(reply, control.Description):
            self.titles.give(party, reply.title)
        return reply

    def submit(self, party: str, call: control.Call, kind: type[control.R]) -> Future[control.R]:
        """Ask one, and go on."""
        future: Future[control.R] = Future()

        def work() -> None:
            try:
                future.set_result(self.call(party, call, kind))
            except BaseException as error:  # raised where the future is read
                future.set_exception(error)

        threading.Thread(target=work, name=f"privsdk-call-{party}", daemon=True).start()
        return future

    def ask(
        self, parties: Iterable[str], call: control.Call, kind: type[control.R], *, quietly: bool = False
    ) -> dict[str, control.R]:
        """Ask all at once. `quietly` leaves out parties that cannot be reached, who then need no telling."""
        asked = {party: self.submit(party, call, kind) for party in parties}
        wait(asked.values())
        return {p: f.result() for p, f in asked.items() if not (quietly and isinstance(f.exception(), PrivsdkError))}


class Running:
    """One run of a request."""

    def __init__(self, asker: Asker, pinned_heads: PinnedHeads, live: Live, *, stragglers_s: float) -> None:
        self._stragglers_s = stragglers_s
        self._asker = asker
        self._pinned_heads = pinned_heads
        self._request = live.request
        self._essential = operation_of(live.request).essential()
        self._live = live
        self._watching: dict[str, tuple[int, Future[control.Watched] | None]] = {}

    def execute(self) -> Answers:
        """Run the request to its end, or until it is cancelled; each party's answer."""
        request = self._request
        prepared = self._prepare()
        nonces = {party: reply.nonce for party, reply in prepared.items()}
        heads = {party: reply.head for party, reply in prepared.items()}
        start = control.Start(run_id=request.run_id, nonces=nonces, heads=heads)
        running = {party: self._asker.submit(party, start, control.Finished) for party in request.parties}
        self._attend(running)
        if self._live.cancelled.is_set() and not all(future.done() for future in running.values()):
            raise Cancelled(RunCancelled(charged=True), run_id=request.run_id)
        ended = {party: future for party, future in running.items() if future.done()}
        errors = {party: e for party, future in ended.items() if (e := future.exception()) is not None}
        self._raise(errors)
        lost = {party: e for party, e in errors.items() if isinstance(e, PrivsdkError)}
        lost |= {
            party: PeerGone(f"{party} had not ended when the others had", party=party, run_id=request.run_id)
            for party in running
            if party not in ended
        }
        whole = {p: future.result() for p, future in ended.items() if p not in errors}
        answers = Answers(whole, lost, self._paid(lost))
        self._pinned_heads.remember({party: a.receipt for party, a in answers.items() if a.receipt is not None})
        return answers

    def _attend(self, running: Mapping[str, Future[control.Finished]]) -> None:
        """Wait until all have ended, or all that are essential and the others a little longer."""
        run_id, cancelled = self._request.run_id, self._live.cancelled
        essential = {running[party] for party in self._essential}
        failed, asked_to_stop, leave, watch = False, 0.0, math.inf, time.monotonic() + WATCH_S
        pending, told = set(running.values()), dict[str, Future[control.Done]]()
        while pending and time.monotonic() < leave:
            done, pending = wait(pending, timeout=0.05, return_when=FIRST_COMPLETED)
            failed = failed or any(future.exception() is not None for future in done & essential)
            for party, future in running.items():
                if future in done:
                    self._end(party, future)
            now = time.monotonic()
            if not pending & essential:  # what the others still do nobody waits for
                leave = min(leave, now + self._stragglers_s)
            if cancelled.is_set():
                leave = min(leave, now + CANCELLED_S)
            due = now >= watch
            self._watch([party for party, future in running.items() if future in pending], ask=due)
            watch = now + WATCH_S if due else watch
            # sent again until it ends: a Cancel or Stop that overtakes the Start finds no run
            if (
                pending
                and now - asked_to_stop > AGAIN_S
                and (failed or cancelled.is_set() or self._live.stopping.is_set())
            ):
                asked_to_stop = now
                stop = control.Cancel(run_id=run_id) if failed or cancelled.is_set() else control.Stop(run_id=run_id)
                due_again = [p for p in self._request.parties if p not in told or told[p].done()]
                told |= {party: self._asker.submit(party, stop, control.Done) for party in due_again}
        for party, future in running.items():
            if future in pending:
                self._live.end(party, why="had not ended when the others had")
        if pending:
            cancel = control.Cancel(run_id=run_id)
            wait([self._asker.submit(p, cancel, control.Done) for p in self._request.parties], timeout=LAST_WORD_S)

    def _end(self, party: str, future: Future[Any]) -> None:
        """Take how a party ended."""
        error = future.exception()
        if error is None:
            answer = future.result()
            reported = answer.trace.done
            if reported and reported[-1] > max((each.done for each in self._live.reports(party)), default=-1):
                self._hear(party)
            self._live.end(party, instalments=answer.instalments)
        else:
            state, why = ended_with(error)
            self._live.end(party, why=why, cancelled=state == "cancelled")

    def _hear(self, party: str) -> None:
        """Take the last reports of a party that has ended."""
        since = len(self._live.reports(party))
        asked = self._ask_how_far(party, since)
        wait([asked], timeout=LAST_WORD_S)
        if asked.done() and asked.exception() is None:
            self._live.update(party, asked.result(), since)

    def _watch(self, parties: Iterable[str], *, ask: bool) -> None:
        """Take what they have said since, and where it is time ask those again who have answered."""
        for party in parties:
            since, asked = self._watching.get(party, (0, None))
            if asked is not None and asked.done():
                self._watching[party] = since, None
                if asked.exception() is None:
                    self._live.update(party, asked.result(), since)
                asked = None
            if ask and asked is None:
                since = len(self._live.reports(party))
                self._watching[party] = since, self._ask_how_far(party, since)

    def _ask_how_far(self, party: str, since: int = 0) -> Future[control.Watched]:
        return self._asker.submit(party, control.Watch(run_id=self._request.run_id, since=since), control.Watched)

    def _paid(self, lost: Iterable[str]) -> dict[str, int]:
        """What those who are lost say they have paid, as far as they answer."""
        asked = {party: self._ask_how_far(party) for party in lost}
        wait(asked.values(), timeout=LAST_WORD_S)
        return {p: f.result().instalments for p, f in asked.items() if f.done() and f.exception() is None}

    def _raise(self, errors: Mapping[str, BaseException]) -> None:
        """Raise the error that ended the run, if one did, with party and phase."""
        essential, run_id = self._essential, self._request.run_id
        if not any(party in essential or not isinstance(e, PrivsdkError) for party, e in errors.items()):
            return
        if self._live.cancelled.is_set() and all(
            isinstance(e, Cancelled | PeerError | Refused) for e in errors.values()
        ):
            raise Cancelled(RunCancelled(charged=True), run_id=run_id)
        party, cause = root_cause({p: e for p, e in errors.items() if p in essential} or errors)
        if isinstance(cause, PrivsdkError):
            cause.with_others(lost_in_turn(party, errors))
        if isinstance(cause, PeerError):  # it follows from others' own errors, where there are any
            others = {p: e for p, e in errors.items() if p not in essential and isinstance(e, PrivsdkError)}
            own = {p: e for p, e in others.items() if not isinstance(e, PeerError | Cancelled)}
            if own:
                own[party] = cause
                party = min(own, key=lambda p: isinstance(own[p], Refused))  # who refuses may do so for another's loss
                cause = own.pop(party)
                cause.with_others(e.at(party=p) for p, e in own.items())
        if isinstance(cause, PrivsdkError):  # of a party that is gone the others say in which phase they lost it
            phases = [e.phase for e in errors.values() if isinstance(e, PrivsdkError) and e.phase]
            cause.at(party=party, run_id=run_id, phase=next(iter(phases), ""))
        raise cause

    def _prepare(self) -> dict[str, control.Prepared]:
        """Have every party decide and reserve; if one does not, the others get their reservations back."""
        request = self._request
        seen = {p: self._pinned_heads.seen(p) for p in request.parties}
        asked = {
            p: self._asker.submit(p, control.Prepare(request=request, seen=seen[p]), control.Prepared) for p in seen
        }
        wait(asked.values())
        errors = {party: e for party, future in asked.items() if (e := future.exception()) is not None}
        replies = {party: future.result() for party, future in asked.items() if party not in errors}
        if not errors:
            digest = request.digest()
            errors = {
                party: ProtocolViolation(f"{party} approved another request than the one it was sent")
                for party, reply in replies.items()
                if reply.digest != digest
            }
        try:
            self._pinned_heads.remember({party: reply.head for party, reply in replies.items()}, shown=seen)
        except PrivsdkError as error:
            errors[error.party] = error
        if self._live.cancelled.is_set():
            errors.setdefault("", Cancelled(RunCancelled(charged=False), run_id=request.run_id))
        for party in errors.keys() & asked.keys():
            self._live.end(party, why=ended_with(errors[party])[1])
        if errors:
            self._asker.ask(tuple(replies), control.Release(run_id=request.run_id), control.Done, quietly=True)
            raise root_cause(errors)[1]
        return replies


class Activity(Displayed, Tabular):
    """The runs of one federation, latest last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Live] = {}
        self._ended: deque[Live] = deque(maxlen=ENDED)
        self._observers: Observers[Activity] = Observers()

    @property
    def runs(self) -> tuple[Live, ...]:
        """Those that ended, as far as they are remembered, then those under way."""
        with self._lock:
            return (*self._ended, *self._running.values())

    def observe(self, observer: Callable[[Activity], None]) -> Callable[[], None]:
        """Have this called when a run begins, gets further or ends, in another thread; returns how to end it."""
        return self._observers.add(observer)

    def to_arrow(self) -> pa.Table:
        """A row for each run: when it began, its state, why it failed, how long it took, how far it is."""
        columns = {
            "run": pa.string(),
            "operation": pa.string(),
            "parties": pa.list_(pa.string()),
            "state": pa.string(),
            "why": pa.string(),
            "began": pa.timestamp("us", tz="UTC"),
            "seconds": pa.float64(),
            "progress": pa.string(),
        }
        rows = []
        for live in self.runs:
            request, seconds = live.request, None if live.state == "running" else live.seconds
            asked = (request.run_id, request.operation, request.parties)
            began = datetime.fromtimestamp(live.began, UTC)
            rows.append((*asked, live.state, live.why or None, began, seconds, str(live) or None))
        return table_of(columns, rows)

    def _card(self) -> Card:
        runs = self.runs[::-1]
        if not runs:
            return Card(title="runs: none so far")
        rows = [
            (
                f"{datetime.fromtimestamp(live.began, UTC):%H:%M:%S}",
                live.request.operation,
                live.state,
                "" if live.state == "running" else f"{live.seconds:.2f}",
                live.why or (str(live) if live.state == "running" else ""),
                live.request.run_id,
            )
            for live in runs[:MOST_ROWS]
        ]
        under_way = sum(live.state == "running" for live in runs)
        header = ("began (UTC)", "operation", "state", "seconds", "how far, or why", "run")
        more = f", and {len(runs) - MOST_ROWS} more" if len(runs) > MOST_ROWS else ""
        grid = without_empty(Grid(header=header, rows=rows))
        title = f"runs: {under_way} under way, {len(runs) - under_way} ended"
        return Card(title=title, grids=((f"latest first{more}", grid),))

    @contextmanager
    def carry(self, live: Live) -> Iterator[None]:
        """A run, from its beginning to its end."""
        began = time.monotonic()
        leave = live.observe(lambda _: self._observers.notify(self))
        with self._lock:
            self._running[live.request.run_id] = live
        self._observers.notify(self)
        try:
            yield
            live.state = "done"
        except BaseException as error:
            live.state, live.why = ended_with(error)
            raise
        finally:
            leave()
            live.seconds = time.monotonic() - began
            with self._lock:
                self._running.pop(live.request.run_id, None)
                self._ended.append(live)
            self._observers.notify(self)
