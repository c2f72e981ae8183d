"""How far a run is: the latest that each party said, and the figures told on the way. For displays; decides nothing.

Only what the run's record says that its caller learns is told early. Filled by the thread that asks the parties, read
by any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .calls import Told, Watched
from .observers import Observers


class Live:
    """A run while it goes on.

    Attributes
    ----------
    stopping : Event
        Set to have each party end at its next round, with what there is.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._phases: dict[str, str] = {}
        self._told: dict[str, list[Told]] = {}
        self._observers: Observers[Live] = Observers()

    @property
    def phases(self) -> dict[str, str]:
        """By party, the phase that it was in when it was last asked."""
        with self._lock:
            return dict(self._phases)

    @property
    def latest(self) -> dict[str, Told]:
        """By party, the last that it told; parties that tell phases alone are left out."""
        with self._lock:
            return {party: told[-1] for party, told in self._told.items() if told}

    @property
    def curve(self) -> tuple[Told, ...]:
        """All that was told by the party whose figures are of the whole run, such as a coordinator's loss."""
        with self._lock:
            return max((tuple(told) for told in self._told.values()), key=_figures, default=())

    def count(self, party: str) -> int:
        """How much this party has told."""
        with self._lock:
            return len(self._told.get(party, ()))

    def observe(self, observer: Callable[[Live], None]) -> Callable[[], None]:
        """Have this called with the run's progress whenever there is news, in another thread; returns how to end it."""
        return self._observers.add(observer)

    def update(self, party: str, watched: Watched, since: int) -> None:
        """Take what a party said when asked for what it told after the first `since`."""
        with self._lock:
            told = self._told.setdefault(party, [])
            fresh = watched.told[len(told) - since :] if since <= len(told) else ()
            news = bool(fresh) or self._phases.get(party) != watched.phase
            self._phases[party] = watched.phase
            told.extend(fresh)
        if news:
            self._observers.tell(self)

    def __str__(self) -> str:
        """One line: how many rounds are done, the last figures; the parties' phases where nothing else is told."""
        curve = self.curve
        if curve:
            last = curve[-1]
            figures = "".join(f", {name} {value:.4g}" for name, value in last.figures.items())
            return f"{last.done} of {last.total} done{figures}"
        return "; ".join(f"{party}: {phase}" for party, phase in self.phases.items() if phase)

    def __repr__(self) -> str:
        return str(self)


def _figures(told: tuple[Told, ...]) -> tuple[int, int]:
    return sum(bool(each.figures) for each in told), len(told)
