"""Runs that a federation has under way in this process, and those that ended lately, for whoever shows them.

Decides nothing. Filled by the threads that carry the runs, read and observed by any.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from ..display.cards import MOST_ROWS, Card, Displayed, Grid, without_empty
from ..display.tabular import Tabular
from ..protocol.operation import Request
from .progress import Live, Observers, ended_with

ENDED = 50  # runs that are remembered


@dataclass(eq=False, slots=True)
class TrackedRun:
    """One run.

    Attributes
    ----------
    state : str
        "running", "done", "cancelled" or "failed".
    why : str
        What it failed with; "" where it did not.
    began : float
        Seconds since the epoch.
    seconds : float
        How long it took, once it has ended.
    cancelled : Event
        Set to cancel it.
    """

    request: Request
    live: Live
    cancelled: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.time)
    state: str = "running"
    why: str = ""
    seconds: float = 0.0


class Activity(Displayed, Tabular):
    """The runs of one federation, latest last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, TrackedRun] = {}
        self._ended: deque[TrackedRun] = deque(maxlen=ENDED)
        self._observers: Observers[Activity] = Observers()

    @property
    def runs(self) -> tuple[TrackedRun, ...]:
        """Those that ended, as far as they are remembered, then those under way."""
        with self._lock:
            return (*self._ended, *self._running.values())

    def observe(self, observer: Callable[[Activity], None]) -> Callable[[], None]:
        """Have this called when a run begins, gets further or ends, in another thread; returns how to end it."""
        return self._observers.add(observer)

    def to_arrow(self) -> pa.Table:
        """A row for each run: when it began, its state, why it failed, how long it took, how far it is."""
        rows = [
            {
                "run": run.request.run_id,
                "operation": run.request.operation,
                "parties": list(run.request.parties),
                "state": run.state,
                "why": run.why or None,
                "began": datetime.fromtimestamp(run.began, UTC),
                "seconds": None if run.state == "running" else run.seconds,
                "progress": str(run.live) or None,
            }
            for run in self.runs
        ]
        return pa.Table.from_pylist(rows, schema=_RUNS)

    def _card(self) -> Card:
        runs = self.runs[::-1]
        if not runs:
            return Card(title="runs: none so far")
        rows = [
            (
                f"{datetime.fromtimestamp(run.began, UTC):%H:%M:%S}",
                run.request.operation,
                run.state,
                "" if run.state == "running" else f"{run.seconds:.2f}",
                run.why or (str(run.live) if run.state == "running" else ""),
                run.request.run_id,
            )
            for run in runs[:MOST_ROWS]
        ]
        under_way = sum(run.state == "running" for run in runs)
        header = ("began (UTC)", "operation", "state", "seconds", "how far, or why", "run")
        more = f", and {len(runs) - MOST_ROWS} more" if len(runs) > MOST_ROWS else ""
        grid = without_empty(Grid(header=header, rows=rows))
        return Card(
            title=f"runs: {under_way} under way, {len(runs) - under_way} ended", grids=((f"latest first{more}", grid),)
        )

    @contextmanager
    def carry(self, request: Request, live: Live, cancelled: threading.Event) -> Iterator[None]:
        """A run, from its beginning to its end."""
        carried, began = TrackedRun(request, live, cancelled), time.monotonic()
        leave = live.observe(lambda _: self._observers.notify(self))
        with self._lock:
            self._running[request.run_id] = carried
        self._observers.notify(self)
        try:
            yield
            carried.state = "done"
        except BaseException as error:
            carried.state, carried.why = ended_with(error)
            raise
        finally:
            leave()
            carried.seconds = time.monotonic() - began
            with self._lock:
                self._running.pop(request.run_id, None)
                self._ended.append(carried)
            self._observers.notify(self)


_RUNS = pa.schema(
    [
        ("run", pa.string()),
        ("operation", pa.string()),
        ("parties", pa.list_(pa.string())),
        ("state", pa.string()),
        ("why", pa.string()),
        ("began", pa.timestamp("us", tz="UTC")),
        ("seconds", pa.float64()),
        ("progress", pa.string()),
    ]
)
