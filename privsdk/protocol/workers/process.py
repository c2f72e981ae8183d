"""One worker process: both ends of its pipes, what a task and an answer are. Not the pool; that is `workers`.

A worker is a fresh interpreter that enters at `work`: no fork, which hangs where threads run, and no import of the
user's script. It calls functions by name. What travels is msgpack behind eight bytes of length; nothing is pickled.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Final

import msgspec

from ...errors import Cancelled, InternalError, InvalidArgument, PrivsdkError, WorkerDied
from ...errors.record import ErrorRecord

READY: Final = b"privsdk: a worker is ready\n"

# Modules are found where the parent finds them, but not in the current folder, where a random.py may lie. privsdk
# itself comes from the parent's very files: there may be another version ahead of it on the path.
ENTRY: Final = """
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
home, *sys.path = sys.argv[1:]
spec = PathFinder.find_spec("privsdk", [home])
sys.modules["privsdk"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["privsdk"])
from privsdk.protocol.workers.process import work
work()
"""
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
PATIENCE_S: Final = 5.0  # an idle worker ends within milliseconds of its input


class TaskReply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task. An error is a record: no traceback holds on to the task's data, or shows it."""

    value: Any = None
    error: ErrorRecord | None = None


_answers = msgspec.msgpack.Decoder(TaskReply)  # built here, in one thread: see messages.build


class Worker:
    """The parent's end: one process at a time, replaced when it died. One thread asks; any thread may stop it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskReply:
        """Have the function `name` called, and wait."""
        try:
            task = msgspec.msgpack.encode((name, args, kwargs))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            hint = "pass None, numbers of at most 64 bits, text, bytes, and lists and dicts of these"
            return _failed(InvalidArgument(f"an argument of {name} cannot be sent to a worker: {error}", hint=hint))
        try:
            process = self._started()
            _write(process.stdin, task)
            del task
            return _answers.decode(_read(process.stdout))
        except EOFError:
            code = self.end()
        except Exception as error:  # no process could be started, say
            self.end()
            return _defect(name, error)
        if self._stopped:
            return _failed(Cancelled(f"{name} was stopped"))
        hint = "other tasks go on. Try again, on less data if memory may have run out; if it dies again, report it"
        return _failed(WorkerDied(f"the process that ran {name} {_in_words(code)}", hint=hint))

    def stop(self) -> None:
        """End the process whatever it does; what it was asked becomes Cancelled."""
        self._stopped = True  # here flag, then process; in _started process, then flag: one of them sees the other
        if process := self._process:
            process.kill()

    def settle(self) -> None:
        """After a task, when none may stop it any more: a killed process can look alive, and is not asked again."""
        if self._stopped:
            self.end()
            self._stopped = False

    def end(self) -> int:
        """Close the pipes and wait; returns the exit code as subprocess has it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what could not be written is written again on closing
                if pipe:
                    pipe.close()
        try:
            return process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process and self._process.poll() is None:
            return self._process
        self.end()
        home = str(Path(__file__).parents[3])
        path = [folder for folder in sys.path if isinstance(folder, str) and folder]
        self._process = process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", ENTRY, home, *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ONE_THREAD,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        if self._stopped:
            process.kill()
        for line in process.stdout or ():  # an interpreter may print on its way here
            if line.endswith(READY):
                return process
        raise EOFError


def work() -> None:
    """The process's end: answer tasks until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print goes to stderr, not into an answer
    sys.stdout = sys.stderr
    sink.write(READY)
    sink.flush()
    tasks: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(source, tasks), daemon=True).start()
    while True:
        _write(sink, _perform(tasks.get()))


def _receive(source: IO[bytes], tasks: SimpleQueue[bytes]) -> None:
    """In a thread of its own, so that the parent's end is noticed in the middle of a task."""
    with suppress(EOFError):
        while True:
            tasks.put(_read(source))
    os._exit(0)


def _perform(task: bytes) -> bytes:
    name, args, kwargs = msgspec.msgpack.decode(task)
    module, _, function = name.partition(":")
    try:
        value = getattr(importlib.import_module(module), function)(*args, **kwargs)
        return msgspec.msgpack.encode(TaskReply(value=value))
    except PrivsdkError as error:
        return msgspec.msgpack.encode(_failed(error))
    except Exception as error:
        return msgspec.msgpack.encode(_defect(name, error))


def _failed(error: PrivsdkError) -> TaskReply:
    return TaskReply(error=error.to_record())


def _defect(name: str, error: Exception) -> TaskReply:
    """An exception that is not ours: its place and nothing else, as at the gate, since its message may hold data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{name}: {type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return _failed(InternalError(place, hint="please report this with the call that led to it"))


def _in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by signal {-code} ({signal.strsignal(-code) or 'unknown'})"


def _write(pipe: Any, body: bytes) -> None:
    try:
        pipe.write(len(body).to_bytes(8, "big"))
        pipe.write(body)
        pipe.flush()
    except OSError:
        raise EOFError from None  # a broken pipe; Windows calls it an invalid argument


def _read(pipe: Any) -> bytes:
    if len(head := pipe.read(8)) == 8:
        body: bytes = pipe.read(size := int.from_bytes(head, "big"))
        if len(body) == size:
            return body
    raise EOFError
