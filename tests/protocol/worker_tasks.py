"""What the tests of workers have them do: functions of a module, since a worker calls by name."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from privsdk.errors import BudgetExceeded


def same(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def power(base: int, *, exponent: int) -> int:
    return int(base**exponent)


def after(seconds: float, value: Any) -> Any:
    time.sleep(seconds)
    return value


def reversed_bytes(data: bytes) -> bytes:
    return data[::-1]


def segfault() -> None:
    ctypes.string_at(0)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(code: int) -> None:
    os._exit(code)


def refuse() -> None:
    raise BudgetExceeded("too much", hint="ask for less", party="north", run_id="r1", phase="reserve")


def fail(text: str) -> None:
    raise ValueError(text)


def import_missing() -> None:
    import a_module_that_is_missing  # type: ignore[import-not-found]  # noqa: F401


def unsendable() -> object:
    return object()


def chatter(value: int) -> int:
    """Prints as Python, C libraries and child processes do, and reads what is not its to read."""
    print("from Python")
    os.write(1, b"from C\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    assert sys.stdin.read() == ""
    return value


def wait_busily(mark: str) -> None:
    """Say who runs, in a file that appears whole, and go on for long."""
    draft = Path(mark + ".draft")
    draft.write_text(str(os.getpid()))
    draft.rename(mark)
    while True:
        time.sleep(0.01)


def hold_the_gil(mark: str) -> None:
    """As TenSEAL does, but for longer: no thread of this process notices anything."""
    draft = Path(mark + ".draft")
    draft.write_text(f"{os.getpid():12}")
    draft.rename(mark)
    ctypes.PyDLL(None).sleep(90)


def threads() -> list[str | None]:
    return [os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]


def shadowed() -> list[str]:
    """Where modules come from of which the current folder has a namesake."""
    import random

    import privsdk

    return [random.__file__, privsdk.__file__ or "", os.getcwd()]


def interrupt_itself() -> str:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.raise_signal(signal.SIGINT)
    return "still here"


class Holder:
    def method(self) -> None: ...

    @staticmethod
    def static() -> None: ...
