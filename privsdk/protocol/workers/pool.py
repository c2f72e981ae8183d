"""Heavy computation on all cores: pools of workers, and a role's pieces through them in order, few ahead, soon stopped.

What holds the interpreter's lock, such as TenSEAL or a loop over points, would freeze the notebook in a thread, and use
one core: it goes to worker processes, an Executor for functions of privsdk and not for a notebook's code. What releases
the lock, such as NumPy and AES over a bucket of keys, goes to threads: nothing is copied, no process is started, and a
notebook answers just as well. A role waits here with checkpoints, so that its run can be cancelled, and with a bounded
number of pieces under way, so that it can send results on while later ones are still computed:

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

import atexit
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cache
from types import FunctionType, TracebackType
from typing import Any, Final, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

from ...errors import InvalidArgument, PrivsdkError
from ..roles import Role, checkpoint
from .process import Worker

P = ParamSpec("P")
T = TypeVar("T")

MOST: Final = 8
POLL_S = 0.1


class QueuedCall(NamedTuple):
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any]


class Workers(Executor):
    """Worker processes, started when first needed, used again, replaced when they die.

    Arguments and results are made of None, bool, int of 64 bits, float, str, bytes, list, tuple and dict; tuples
    arrive as lists. Arguments are encoded when a worker is free for them: do not change them before.

    Parameters
    ----------
    count : int, optional
        The most processes; by default one for each usable core, at most 8.
    packages : tuple of str
        Whose functions may run; for tests.

    Examples
    --------
    >>> with Workers(2) as workers:
    ...     cores = workers.submit(usable_cores).result()
    """

    def __init__(self, count: int | None = None, *, packages: tuple[str, ...] = ("privsdk",)) -> None:
        if count is not None and count < 1:
            raise InvalidArgument(f"a pool of {count} workers", hint="ask for 1 or more")
        self.count = count or min(MOST, usable_cores())
        self._packages = packages
        self._changed = threading.Condition()  # guards what follows
        self._waiting: deque[QueuedCall] = deque()
        self._running: dict[Future[Any], Worker] = {}
        self._unfinished = 0
        self._threads: list[threading.Thread] = []  # one for each process
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a worker call `fn`, a module-level function of privsdk.

        Returns
        -------
        Future
            It raises what `fn` raised where that is a PrivsdkError; InternalError with the place of any other
            exception; WorkerDied where the process ended; Cancelled after `stop`; InvalidArgument for an argument
            that cannot be sent.
        """
        future: Future[T] = Future()
        task = QueuedCall(self._name(fn), args, kwargs, future)
        with self._changed:
            if self._closed:
                raise RuntimeError("these workers were shut down")  # the class that Executor asks for
            self._waiting.append(task)
            self._unfinished += 1
            if len(self._threads) < min(self.count, self._unfinished):
                self._threads.append(threading.Thread(target=self._serve, name="privsdk worker", daemon=True))
                self._threads[-1].start()
            self._changed.notify()
        return future

    def stop(self, *futures: Future[Any]) -> None:
        """Cancel those that wait; then end the processes of those that run, whose futures raise Cancelled."""
        begun = [future for future in futures if not future.cancel()]
        with self._changed:
            for future in begun:
                if future in self._running:
                    self._running[future].stop()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; processes end when those taken are done. `cancel_futures` drops those that wait."""
        with self._changed:
            self._closed = True
            dropped = [task.future for task in self._waiting] if cancel_futures else []
            self._changed.notify_all()
        for future in dropped:
            future.cancel()
        if wait:
            for thread in self._threads:
                thread.join()

    def _end(self) -> None:
        self.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            self.stop(*self._running)
        self.shutdown()

    def _name(self, fn: Callable[..., object]) -> str:
        if isinstance(fn, FunctionType) and f"{fn.__module__}.".startswith(tuple(f"{p}." for p in self._packages)):
            module, name = fn.__module__, fn.__qualname__
            if getattr(sys.modules.get(module), name, None) is fn:
                return f"{module}:{name}"
        shown = getattr(fn, "__qualname__", type(fn).__name__)
        raise InvalidArgument(f"a worker cannot run {shown}", hint="name a module-level function of privsdk")

    def _serve(self) -> None:
        """One thread's life: it asks one worker, task by task."""
        if hasattr(signal, "pthread_sigmask"):
            # A process is born with the mask of the thread that starts it: Ctrl-C never reaches a worker.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        worker = Worker()
        while self._serve_next(worker):
            pass
        worker.end()

    def _serve_next(self, worker: Worker) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return False
            name, args, kwargs, future = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                self._unfinished -= 1
                return True
            self._running[future] = worker
        answer = worker.ask(name, args, kwargs)
        with self._changed:  # before the future is done: who waits for it and submits again needs no further process
            self._unfinished -= 1
            del self._running[future]
        worker.settle()
        if answer.error:
            future.set_exception(PrivsdkError.from_record(answer.error))
        else:
            future.set_result(answer.value)
        return True


def usable_cores() -> int:
    """How many cores this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_shared: Workers | None = None
_sharing = threading.Lock()


def shared() -> Workers:
    """The process's own pool: made at the first call, ended with the interpreter whatever it still runs."""
    global _shared  # noqa: PLW0603
    with _sharing:
        if _shared is None:
            _shared = Workers()
            atexit.register(_shared._end)
        return _shared


def _forget() -> None:
    """After a fork by the user: the child has none of the pool's threads, and must not end the parent's workers."""
    global _shared, _sharing
    if _shared is not None:
        atexit.unregister(_shared._end)
    _shared, _sharing = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Pool(Protocol):
    """What pieces need of an executor: `Workers` is one."""

    count: int

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]: ...

    def stop(self, *futures: Future[Any]) -> None:
        """Let none of these go on for nobody."""


class Threads(ThreadPoolExecutor):
    """As many threads as usable cores."""

    def __init__(self) -> None:
        self.count = usable_cores()
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
        self._pool = pool or shared()
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


def computed(
    fn: Callable[..., T], arguments: Iterable[tuple[Any, ...]], phase: str, *, total: int, pool: Pool | None = None
) -> Role[list[T]]:
    """`fn` of each tuple of arguments, by the workers or another pool; all results, in order."""
    results: list[T] = []
    with Pipeline(fn, phase, total=total, pool=pool) as pipeline:
        for piece in arguments:
            if pipeline.full:
                results.append((yield from pipeline.next()))
            pipeline.submit(*piece)
        while pipeline.waiting:
            results.append((yield from pipeline.next()))
    return results
