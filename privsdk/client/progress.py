"""How far a run is: each party's phase, the figures that it reported so far, how it ended. Decides nothing.

`execution` fills it with the parties' replies; any thread may read it.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TextIO, TypeVar

import pyarrow as pa

from ..display.cards import Card, Displayed, Grid, size_text, without_empty
from ..display.curves import course
from ..display.readable import one_line, readable
from ..display.tabular import Tabular, table_of
from ..errors import Cancelled, PrivsdkError
from ..protocol.control import ProgressReport, Watched
from ..protocol.operation import Request

AFTER_S = 2.0  # shorter runs are done before anyone could read their line
WIDTH = 100

T = TypeVar("T")


class Observers(Generic[T]):
    """A list of callbacks; thread-safe. One that fails is not called again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # an observer that nobody holds may leave from within
        self._observers: list[Callable[[T], None]] = []

    def add(self, observer: Callable[[T], None]) -> Callable[[], None]:
        """Add a callback; returns the function that removes it, which may be called twice."""
        with self._lock:
            self._observers.append(observer)

        def leave() -> None:
            with self._lock:
                if observer in self._observers:
                    self._observers.remove(observer)

        return leave

    def notify(self, news: T) -> None:
        """Call them all, in this thread. What one raises becomes a warning."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a party is in a run.

    Attributes
    ----------
    state : str
        "working", "waiting" for the parties in `waits_for`, "ended", "cancelled", or "lost" for the reason `why`.
    phase : str
        What it was at when it was last asked.
    instalments : int
        How many it has paid after its start.
    """

    state: str
    phase: str = ""
    waits_for: tuple[str, ...] = ()
    instalments: int = 0
    why: str = ""


class Live(Displayed, Tabular):
    """A run while it goes on, and how it ended.

    Attributes
    ----------
    request : Request
    cancelled, stopping : Event
        Set to have each party end at once, and at its next round with what there is.
    awaited : bool
        Whether the main thread waits for it: then a notebook hears no click, and an interrupt reaches the run.
    state : str
        "running", "done", "cancelled" or "failed".
    why : str
        What it failed with; "" where it did not.
    began, seconds : float
        Since the epoch; and how long it took, once it has ended.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.cancelled = threading.Event()
        self.stopping = threading.Event()
        self.awaited = False
        self.state, self.why = "running", ""
        self.began, self.seconds = time.time(), 0.0
        self._lock = threading.Lock()
        self._whereabouts: dict[str, Whereabouts] = {}
        self._reports: dict[str, list[ProgressReport]] = {}
        self._observers: Observers[Live] = Observers()

    @property
    def phases(self) -> dict[str, str]:
        """By party, the phase that it was in when it was last asked."""
        return {party: each.phase for party, each in self.whereabouts.items()}

    @property
    def whereabouts(self) -> dict[str, Whereabouts]:
        """By party, where it is; those that have not begun are left out."""
        with self._lock:
            return dict(self._whereabouts)

    @property
    def latest(self) -> dict[str, ProgressReport]:
        """By party, its last report; parties that report phases alone are left out."""
        with self._lock:
            return {party: reports[-1] for party, reports in self._reports.items() if reports}

    @property
    def curve(self) -> tuple[ProgressReport, ...]:
        """The reports of the party whose figures are of the whole run, such as a coordinator's loss."""
        with self._lock:
            return max((tuple(reports) for reports in self._reports.values()), key=_figures, default=())

    def reports(self, party: str) -> tuple[ProgressReport, ...]:
        """All reports of this party so far."""
        with self._lock:
            return tuple(self._reports.get(party, ()))

    def observe(self, observer: Callable[[Live], None]) -> Callable[[], None]:
        """Have this called with the run's progress whenever there is news, in another thread; returns how to end it."""
        return self._observers.add(observer)

    def update(self, party: str, watched: Watched, since: int) -> None:
        """Add a party's reply to a `Watch` for its reports after the first `since`."""
        with self._lock:
            reports = self._reports.setdefault(party, [])
            fresh = watched.told[len(reports) - since :] if since <= len(reports) else ()
            known = self._whereabouts.get(party)
            there = Whereabouts(
                state="waiting" if watched.waits_for else "working",
                phase=watched.phase,
                waits_for=watched.waits_for,
                instalments=watched.instalments,
            )
            if known is not None and known.state in _OVER:  # asked before it ended, answered after
                there = replace(known, phase=watched.phase)
            news = bool(fresh) or known != there
            self._whereabouts[party] = there
            reports.extend(fresh)
        if news:
            self.notify()

    def end(self, party: str, *, why: str = "", cancelled: bool = False, instalments: int | None = None) -> None:
        """Take that a party has ended or was cancelled, or why it is lost."""
        with self._lock:
            known = self._whereabouts.get(party, Whereabouts(state="working"))
            paid = known.instalments if instalments is None else instalments
            state = "cancelled" if cancelled else "lost" if why else "ended"
            self._whereabouts[party] = replace(known, state=state, waits_for=(), instalments=paid, why=why)
        self.notify()

    def notify(self) -> None:
        """Call its observers: something has changed."""
        self._observers.notify(self)

    def __str__(self) -> str:
        """One line: how many rounds are done, the last figures; the parties' phases where there are no reports."""
        curve = self.curve
        if curve:
            last = curve[-1]
            figures = "".join(f", {name} {value:.4g}" for name, value in last.figures.items())
            return f"{last.done} of {last.total} done{figures}"
        return "; ".join(f"{party}: {phase}" for party, phase in self.phases.items() if phase)

    def to_arrow(self) -> pa.Table:
        """All reports: party, done, total, seconds, bytes_sent, bytes_received and figures by name."""
        with self._lock:
            reports = {party: tuple(each) for party, each in self._reports.items()}
        columns = {
            "party": pa.string(),
            "done": pa.int64(),
            "total": pa.int64(),
            "seconds": pa.float64(),
            "bytes_sent": pa.int64(),
            "bytes_received": pa.int64(),
            "figures": pa.map_(pa.string(), pa.float64()),
        }
        rows = [
            (party, r.done, r.total, r.seconds, r.bytes_sent, r.bytes_received, list(r.figures.items()))
            for party, each in reports.items()
            for r in each
        ]
        return table_of(columns, rows)

    def _card(self) -> Card:
        phases, latest, curve = self.phases, self.latest, self.curve
        rows = [(party, phase, *_shown(latest.get(party))) for party, phase in phases.items()]
        header = ("party", "phase", "done", "seconds", "sent", "received")
        name = next((name for each in curve for name in each.figures), "")
        points = [(each.done, each.figures.get(name)) for each in curve]
        picture = course(f"{name}, as reported on the way", {name: points}, step="step", y=name) if name else None
        return Card(
            title=str(self) or "no reports yet",
            pictures=() if picture is None else (picture,),
            grids=(("each party, when last asked", without_empty(Grid(header=header, rows=rows))),) if rows else (),
        )


_OVER = ("ended", "cancelled", "lost")


def _figures(reports: tuple[ProgressReport, ...]) -> tuple[int, int]:
    return sum(bool(each.figures) for each in reports), len(reports)


def ended_with(error: BaseException) -> tuple[str, str]:
    """The state of a run that ended with this, and why; of an error of the notebook's own code its class alone."""
    state = "cancelled" if isinstance(error, Cancelled) else "failed"
    return state, error.message if isinstance(error, PrivsdkError) else type(error).__name__


def _shown(report: ProgressReport | None) -> tuple[str, ...]:
    if report is None:
        return "", "", "", ""
    sizes = size_text(report.bytes_sent), size_text(report.bytes_received)
    return f"{report.done:,} of {report.total:,}", f"{report.seconds:.2f}", *sizes


class Ticker:
    """A line of text in a terminal or notebook, each text in place of the one before; none in a file or a pipe."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output if output is not None else _interactive()
        self._began = time.monotonic()
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line, if there is somewhere to show it and it is another one."""
        text = one_line(text)
        line = text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
        if self._output is None or line == self._shown or time.monotonic() - self._began < AFTER_S:
            return
        self._output.write(f"\r{line.ljust(len(self._shown))}")
        self._output.flush()
        self._shown = line

    def leave(self, text: str) -> None:
        """Say something that stays, above the line; on standard error where nobody watches standard output."""
        self.end()
        output = self._output if self._output is not None else sys.stderr
        if output is not None:
            output.write(f"{readable(text)}\n")
            output.flush()

    def end(self) -> None:
        """Take the line away: what came of it is shown by whoever waited."""
        if self._output is not None and self._shown:
            self._output.write(f"\r{' ' * len(self._shown)}\r")
            self._output.flush()
            self._shown = ""


def _interactive() -> TextIO | None:
    """Standard output, where somebody watches it: a terminal, or a notebook's cell."""
    output = sys.stdout
    in_notebook = type(output).__module__.startswith("ipykernel.")
    return output if output is not None and (in_notebook or output.isatty()) else None
