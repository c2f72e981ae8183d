"""Processes forked from one that has imported the libraries, which takes a fresh interpreter seconds."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from privsdk.__main__ import main

FORKSERVER = get_context("forkserver")
FORKSERVER.set_forkserver_preload(
    ["privsdk.deploy.serve", "dp_accounting.pld", "duckdb", "opendp.prelude", "tenseal", "pyarrow.parquet", "pytest"]
)


class Forked:
    """A process that calls a function of a module, with the part of `subprocess.Popen` that tests use.

    What it prints can be read here, what it writes to stderr is in the file `log`.
    """

    def __init__(self, target: Callable[..., Any], *arguments: Any, log: Path, **environment: str) -> None:
        self._printed, printing = FORKSERVER.Pipe(duplex=False)
        self._process = FORKSERVER.Process(target=_enter, args=(target, arguments, printing, log, environment))
        self._process.start()
        printing.close()

    def readline(self) -> str:
        """The next line that it prints; empty once it has ended."""
        line = b""
        while not line.endswith(b"\n") and (byte := os.read(self._printed.fileno(), 1)):
            line += byte
        return line.decode()

    def poll(self) -> int | None:
        """The exit code, as `subprocess` has it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code once it has ended, None if it still runs then."""
        self._process.join(timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ended, and its exit code is on its way here
                os.kill(self._process.pid or 0, number)

    def kill(self) -> None:
        self._process.kill()


NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")


def in_fork(work: Callable[[], int]) -> int:
    """What it returns in a fork of this process, threads or not; ValueError where it raised there."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that forking with threads may hang: what is tested
        child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"%d" % work())
        finally:
            os._exit(0)  # whatever came of it, this is not pytest's process
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        return int(told.read())


def run_command(*arguments: str, folder: Path) -> CompletedProcess[str]:
    """`python -m privsdk` with these arguments in a process; `folder` takes what it writes to stderr."""
    log = folder / "stderr"
    log.unlink(missing_ok=True)
    process = Forked(main, list(arguments), log=log)
    printed = "".join(iter(process.readline, ""))
    return CompletedProcess(arguments, process.wait() or 0, printed, log.read_text())


def _enter(
    target: Callable[..., Any], arguments: tuple[Any, ...], printing: Connection, log: Path, environment: dict[str, str]
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)
    os.dup2(printing.fileno(), 1)
    printing.close()
    with log.open("a") as file:
        os.dup2(file.fileno(), 2)
    try:
        if code := target(*arguments):
            raise SystemExit(code)
    finally:
        atexit._run_exitfuncs()  # which a process of multiprocessing leaves out


def _end_with_parent() -> None:
    """A process of tests that were killed outright serves nobody."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
