"""Heavy computation of a role in worker processes, piece by piece: results in order, few pieces ahead, soon stopped.

Not the pool itself, which is `workers`. A role waits here with checkpoints, so that its run can be cancelled, and with
a bounded number of pieces under way, so that it can send results on while later ones are still computed:

    with Ahead(blinded, "blinding", total=len(pieces)) as ahead:
        for piece in pieces:
            if ahead.full:
                yield from tell(peer, message_of((yield from ahead.next())))
            ahead.submit(secret, piece)
        while ahead.waiting:
            yield from tell(peer, message_of((yield from ahead.next())))

A piece should take about 0.2 s: stopping ends the process that works on it, and a process costs 0.4 s to start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, TypeVar

from .. import workers
from ..protocol import Role, checkpoint

POLL_S = 0.1

T = TypeVar("T")


class Ahead(Generic[T]):
    """Calls of one function by the workers, some ahead of the results that are read; a context manager.

    Parameters
    ----------
    fn : callable
        A module-level function of privsdk; see `Workers.submit` for what it may take and return.
    phase : str
        What the checkpoints call it.
    total : int
        How many pieces there will be.
    """

    def __init__(self, fn: Callable[..., T], phase: str, *, total: int) -> None:
        self._fn = fn
        self._phase = phase
        self._total = total
        self._read = 0
        self._pool = workers.shared()
        self._under_way: deque[Future[T]] = deque()

    @property
    def waiting(self) -> int:
        """How many pieces were submitted whose results were not read yet."""
        return len(self._under_way)

    @property
    def full(self) -> bool:
        """Whether enough is under way to keep every worker busy: read a result before submitting more."""
        return self.waiting >= 2 * self._pool.count

    def submit(self, *args: Any) -> None:
        """Have the next piece computed."""
        self._under_way.append(self._pool.submit(self._fn, *args))

    def next(self) -> Role[T]:
        """Wait for the result of the oldest piece; raises what it raised."""
        oldest = self._under_way[0]
        while True:
            yield from checkpoint(self._phase, self._read, self._total)
            try:
                result = oldest.result(timeout=POLL_S)
            except TimeoutError:  # ours: a worker's own would arrive as an InternalError
                continue
            self._under_way.popleft()
            self._read += 1
            return result

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever ended the role, no worker goes on for nobody."""
        self._pool.stop(*self._under_way)


def computed(fn: Callable[..., T], arguments: Iterable[tuple[Any, ...]], phase: str, *, total: int) -> Role[list[T]]:
    """`fn` of each tuple of arguments, by the workers; all results, in order."""
    results: list[T] = []
    with Ahead(fn, phase, total=total) as ahead:
        for piece in arguments:
            if ahead.full:
                results.append((yield from ahead.next()))
            ahead.submit(*piece)
        while ahead.waiting:
            results.append((yield from ahead.next()))
    return results
