"""One BLAS thread for whoever computes on a core of its own: more of them than cores are ten times slower.

Most builds of BLAS have one pool of threads for the process, so there the first to come sets the limit and the last to
leave lifts it. Builds with OpenMP have a limit for each thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
_limits: list[Any] = []
_users = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread, at least in this thread and while anyone is within."""
    global _users  # noqa: PLW0603  # a limit of the process
    mine = _own().limit(limits=1)
    with _lock:
        _users += 1
        if _users == 1:
            _seize()
            _limits.append(_shared().limit(limits=1))
            _seize()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _seize()
                _limits.pop().restore_original_limits()
                _seize()
        mine.restore_original_limits()


@cache
def _own() -> Any:
    """Of the BLAS libraries those with a limit for each thread."""
    return _controller().select(threading_layer="openmp")


@cache
def _shared() -> Any:
    """The others."""
    own = {library.filepath for library in _own().lib_controllers}
    others = [each.filepath for each in _controller().lib_controllers if each.filepath not in own]
    return _controller().select(filepath=others)


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _seize() -> None:
    """From 3.8 on, threadpoolctl heeds only the thread that set a limit first; here any may, one after another."""
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)
