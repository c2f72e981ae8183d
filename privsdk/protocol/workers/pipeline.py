"""Heavy computation of a role, piece by piece, on all cores: results in order, few pieces ahead, soon stopped.

What holds the interpreter's lock, such as a loop over points, goes to worker processes (`workers`). What releases it,
such as NumPy and AES over a bucket of keys, goes to threads: nothing is copied, no process is started, and a notebook
answers just as well. A role waits here with checkpoints, so that its run can be cancelled, and with a bounded number of
pieces under way, so that it can send results on while later ones are still computed:

    with Pipeline(blinded, "blinding", total=len(pieces)) as pipeline:
        for piece in pieces:
            if pipeline.full:
                yield from tell(peer, message_of((yield from pipeline.next())))
            pipeline.submit(secret, piece)
        while pipeline.waiting:
            yield from tell(peer, message_of((yield from pipeline.next())))

A piece should take about 0.2 s: stopping ends the process that works on it, and a process costs 0.4 s to start. A
thread ends its piece first.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from ..roles import Role, checkpoint
from . import pool as workers

POLL_S = 0.1

T = TypeVar("T")


class Pool(Protocol):
    """What pieces need of an executor: `Workers` is one."""

    count: int

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]: ...

    def stop(self, *futures: Future[Any]) -> None:
        """Let none of these go on for nobody."""


class Threads(ThreadPoolExecutor):
    """As many threads as usable cores."""

    def __init__(self) -> None:
        self.count = workers.usable_cores()
        super().__init__(self.count, thread_name_prefix="privsdk pieces")

    def stop(self, *futures: Future[Any]) -> None:
        """Cancel what has not begun; the rest ends by itself."""
        for future in futures:
            future.cancel()


@cache
def threads() -> Threads:
    """The process's own: made at the first call, and anew in a process that was forked."""
    return Threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=threads.cache_clear)


class Pipeline(Generic[T]):
    """Calls of one function by a pool, some ahead of the results that are read; a context manager.

    Parameters
    ----------
    fn : callable
        A module-level function of privsdk; see `Workers.submit` for what it may take and return.
    phase : str
        What the checkpoints call it.
    total : int
        How many pieces there will be.
    pool : Pool
        The workers unless another is given. To threads any function and any arguments may go.
    """

    def __init__(self, fn: Callable[..., T], phase: str, *, total: int, pool: Pool | None = None) -> None:
        self._fn = fn
        self._phase = phase
        self._total = total
        self._read = 0
        self._pool = pool or workers.shared()
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

    def __enter__(self) -> Pipeline[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever ended the role, no worker goes on for nobody."""
        self._pool.stop(*self._under_way)


def computed(fn: Callable[..., T], arguments: Iterable[tuple[Any, ...]], phase: str, *, total: int) -> Role[list[T]]:
    """`fn` of each tuple of arguments, by the workers; all results, in order."""
    results: list[T] = []
    with Pipeline(fn, phase, total=total) as pipeline:
        for piece in arguments:
            if pipeline.full:
                results.append((yield from pipeline.next()))
            pipeline.submit(*piece)
        while pipeline.waiting:
            results.append((yield from pipeline.next()))
    return results
