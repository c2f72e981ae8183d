"""Worker processes: what they return and raise, and that they die alone and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
import worker_tasks as tasks
from claims import Cases, Counts
from waiting import HANGS_S, until

import privsdk
from privsdk.errors import BudgetExceeded, Cancelled, InternalError, InvalidArgument, WorkerDied
from privsdk.protocol.workers import pool as workers
from privsdk.protocol.workers.pool import Workers, usable_cores
from privsdk.protocol.workers.process import READY, Worker

TESTS = Path(__file__).parent


def of_two() -> Iterator[Workers]:
    with Workers(2, packages=("worker_tasks",)) as pool:
        yield pool
        pool._end()


own = pytest.fixture(of_two, name="own")  # for tests that change how processes start, count them or shut down
pool = pytest.fixture(of_two, scope="module", name="pool")


def busy(pool: Workers, folder: Path) -> tuple[Future[None], int]:
    """A task that runs until it is stopped, and the process that runs it."""
    mark = folder / f"mark-{time.monotonic_ns()}"
    future = pool.submit(tasks.wait_busily, str(mark))
    until(mark.exists)
    return future, int(mark.read_text())


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def script(folder: Path, text: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A user's script: top-level code without a guard. It ends with the block."""
    file = folder / "script.py"
    file.write_text(text)
    path = os.pathsep.join([str(Path(privsdk.__file__).parents[1]), str(TESTS)])
    with subprocess.Popen(
        [sys.executable, str(file)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_results_come_in_order(pool: Workers) -> None:
    delays = [0.05, 0.0, 0.02, 0.0]
    assert list(pool.map(tasks.after, delays, range(4))) == [0, 1, 2, 3]


def test_values_pass_both_ways(pool: Workers) -> None:
    value = [None, True, -3, 2**63, 0.5, "ä", b"\0\xff", [1, [2]], {"a": {"b": [3.0]}}]
    assert pool.submit(tasks.same, value).result() == value
    assert pool.submit(tasks.same, (1, 2)).result() == [1, 2]
    assert pool.submit(tasks.power, 2, exponent=10).result() == 1024


def test_a_function_of_privsdk_runs() -> None:
    with Workers(1) as pool:
        assert pool.submit(usable_cores).result() >= 1


def test_many_small_tasks(pool: Workers) -> None:
    assert list(pool.map(tasks.same, range(2000))) == list(range(2000))


def test_large_argument_and_result(pool: Workers) -> None:
    data = os.urandom(1 << 20) * 64
    futures = [pool.submit(tasks.reversed_bytes, data) for _ in range(3)]
    expected = data[::-1]
    assert all(future.result() == expected for future in futures)


def test_one_after_another_uses_one_process(own: Workers) -> None:
    assert len({own.submit(tasks.pid).result() for _ in range(50)}) == 1


def test_none_before_the_first_task() -> None:
    before = children()
    with Workers(2):
        assert children() == before


CRASHES: dict[str, tuple[Callable[..., object], tuple[object, ...], str]] = {
    "segfault": (tasks.segfault, (), f"signal {int(signal.SIGSEGV)}"),
    "kill": (tasks.kill, (), "signal 9"),
    "exit": (tasks.leave, (3,), "exit code 3"),
}


@pytest.mark.claim("a worker that crashes fails its own task only, and is replaced")
@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_fails_its_own_task(pool: Workers, cases: Cases, crash: str, counts: Counts) -> None:
    function, arguments, words = CRASHES[crash]
    for _ in range(counts(1, 3, 3)):
        before = [pool.submit(tasks.after, 0.02, i) for i in range(4)]
        died = pool.submit(function, *arguments)
        later = [pool.submit(tasks.same, i) for i in range(4)]
        with pytest.raises(WorkerDied, match=words) as error:
            died.result()
        assert f"worker_tasks:{function.__name__}" in error.value.message
        assert error.value.hint
        assert [future.result() for future in before + later] == [0, 1, 2, 3] * 2
        cases()


def test_a_worker_that_died_idle_fails_no_task(own: Workers) -> None:
    pid = own.submit(tasks.pid).result()
    psutil.Process(pid).kill()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # its leading thread is a zombie before all of it is
    assert own.submit(tasks.pid).result() != pid


def test_our_errors_come_back_as_they_were(pool: Workers) -> None:
    with pytest.raises(BudgetExceeded) as error:
        pool.submit(tasks.refuse).result()
    found = error.value
    assert (found.message, found.hint) == ("too much", "ask for less")
    assert (found.party, found.run_id, found.phase) == ("north", "r1", "reserve")


def test_other_errors_tell_their_place_and_no_value(pool: Workers) -> None:
    with pytest.raises(InternalError, match=r"worker_tasks:fail: ValueError in worker_tasks.py, line \d+") as error:
        pool.submit(tasks.fail, "alice earns 100").result()
    seen: list[BaseException | None] = [error.value]
    while (last := seen[-1]) is not None:
        assert "alice" not in str(last)
        frame = last.__traceback__
        while frame:
            if frame.tb_frame.f_code.co_filename.startswith(str(Path(workers.__file__).parent)):
                assert "alice" not in str(frame.tb_frame.f_locals)
            frame = frame.tb_next
        seen.append(last.__cause__ or last.__context__)
    with pytest.raises(InternalError, match="ModuleNotFoundError"):
        pool.submit(tasks.import_missing).result()
    with pytest.raises(InternalError, match="worker_tasks:unsendable: TypeError"):
        pool.submit(tasks.unsendable).result()
    assert pool.submit(tasks.same, 1).result() == 1


def test_what_cannot_be_sent_is_refused(pool: Workers) -> None:
    endless: list[object] = []
    endless.append(endless)
    for value in (object(), 2**64, endless, {1, 2, object()}):
        with pytest.raises(InvalidArgument, match="cannot be sent"):
            pool.submit(tasks.same, value).result()
    assert pool.submit(tasks.same, 1).result() == 1


def test_only_functions_of_the_package_run(pool: Workers) -> None:
    def local() -> None: ...

    foreign = [lambda: 1, local, tasks.Holder, tasks.Holder().method, tasks.Holder.static, partial(tasks.same, 1)]
    foreign += [print, json.dumps, usable_cores, os.system]
    for function in foreign:
        with pytest.raises(InvalidArgument, match="cannot run") as error:
            pool.submit(function)
        assert "module-level function" in error.value.hint
    with Workers(1) as strict, pytest.raises(InvalidArgument, match="cannot run same"):
        strict.submit(tasks.same, 1)
    with Workers(1, packages=("worker",)) as narrow, pytest.raises(InvalidArgument, match="cannot run same"):
        narrow.submit(tasks.same, 1)
    with pytest.raises(InvalidArgument, match="0 workers"):
        Workers(0)


def test_cancel_of_a_queued_task(pool: Workers, tmp_path: Path) -> None:
    running = [busy(pool, tmp_path)[0] for _ in range(2)]
    queued, kept = pool.submit(tasks.pid), pool.submit(tasks.same, 7)
    assert queued.cancel()
    assert not running[0].cancel()
    pool.stop(*running)
    assert kept.result() == 7
    assert queued.cancelled()


@pytest.mark.claim("a worker's task is stopped while it computes, and the others go on")
def test_stop_of_a_running_task(pool: Workers, cases: Cases, tmp_path: Path, counts: Counts) -> None:
    for _ in range(counts(1, 3, 3)):
        stopped, pid = busy(pool, tmp_path)
        other = pool.submit(tasks.after, 0.1, "whole")
        pool.stop(stopped)
        with pytest.raises(Cancelled, match="worker_tasks:wait_busily was stopped"):
            stopped.result(HANGS_S)
        assert gone(pid)
        assert other.result() == "whole"
        assert [pool.submit(tasks.same, i).result() for i in range(3)] == [0, 1, 2]
        pool.stop(stopped, other)
        cases()


def test_stop_at_any_moment_hits_no_later_task() -> None:
    with Workers(1, packages=("worker_tasks",)) as pool:
        for i in range(6):
            hit = pool.submit(tasks.after, 0.002, i)
            time.sleep(i / 1200)
            pool.stop(hit)
            assert pool.submit(tasks.same, i).result(HANGS_S) == i
            assert hit.cancelled() or isinstance(hit.exception(), Cancelled) or hit.result() == i


def test_a_stop_before_the_process_is_there() -> None:
    worker = Worker()
    worker.stop()
    error = worker.ask("worker_tasks:after", (2, None), {}).error
    assert error
    assert error.code == Cancelled.code


def test_a_stop_after_the_answer_spoils_no_further_task() -> None:
    worker = Worker()
    for i in range(2):
        assert worker.ask("worker_tasks:same", (i,), {}).value == i
        worker.stop()
        worker.settle()
    worker.end()


def test_prints_do_not_disturb(
    own: Workers, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    assert [own.submit(tasks.chatter, i).result() for i in range(3)] == [0, 1, 2]
    own.shutdown()
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("from Python") == printed.err.count("from C") == printed.err.count("from a child") == 3


def test_blas_has_one_thread(pool: Workers) -> None:
    assert pool.submit(tasks.threads).result() == ["1", "1"]


def test_several_threads_submit(pool: Workers) -> None:
    found: dict[int, list[int]] = {}

    def use(number: int) -> None:
        found[number] = list(pool.map(tasks.same, range(number, number + 100)))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: list(range(number, number + 100)) for number in range(8)}


def test_the_shared_pool_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Workers):
        def __init__(self) -> None:
            time.sleep(0.05)
            super().__init__(1)

    monkeypatch.setattr(workers, "_shared", None)
    monkeypatch.setattr(workers, "Workers", Slow)
    found: list[Workers] = []
    threads = [threading.Thread(target=lambda: found.append(workers.shared())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    found[0].shutdown()


def test_at_most_so_many_processes_and_none_after_shutdown(own: Workers) -> None:
    before = children()
    wait([own.submit(tasks.after, 0.01, None) for _ in range(40)])
    assert len(children() - before) == 2
    pids = {own.submit(tasks.pid).result() for _ in range(3)}
    queued = [own.submit(tasks.after, 0.02, i) for i in range(6)]
    own.shutdown()
    assert [future.result() for future in queued] == list(range(6))
    assert not children() - before
    assert all(gone(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="shut down"):
        own.submit(tasks.pid)


def test_shutdown_can_drop_what_waits(own: Workers, tmp_path: Path) -> None:
    running = [busy(own, tmp_path)[0] for _ in range(2)]
    queued = [own.submit(tasks.pid) for _ in range(3)]
    own.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in queued)
    own.stop(*running)
    own.shutdown()
    assert all(isinstance(future.exception(), Cancelled) for future in running)


def test_modules_of_the_current_folder_are_not_taken(
    own: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "privsdk", "signal", "msgspec", "importlib", "types"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    random, package, folder = own.submit(tasks.shadowed).result()
    assert (package, folder) == (privsdk.__file__, str(tmp_path))
    assert not random.startswith(str(tmp_path))


def test_privsdk_is_the_parents_own(own: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "privsdk").mkdir()
    (tmp_path / "privsdk" / "__init__.py").write_text("raise SystemExit('another version')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert own.submit(tasks.shadowed).result()[1] == privsdk.__file__


def test_an_interpreter_that_prints_while_it_starts(
    own: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(1, b'hello\\n' * 20000 + b'and ')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert own.submit(tasks.same, 1).result(HANGS_S) == 1


def test_a_worker_that_cannot_start_says_so(own: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(TESTS / "no such python"))
    with pytest.raises(InternalError, match="FileNotFoundError"):
        own.submit(tasks.same, 1).result()
    monkeypatch.undo()
    assert own.submit(tasks.same, 1).result() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize(("end", "words"), [("exit 7", "exit code 7"), ("exec 1>&-; exec sleep 30", "signal 9")])
def test_a_process_that_does_not_do_its_part(
    own: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, words: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{READY.decode().strip()}'\n{end}\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr("privsdk.protocol.workers.process.PATIENCE_S", 0.2)
    with pytest.raises(WorkerDied, match=words):
        own.submit(tasks.same, bytes(1 << 20 if end == "exit 7" else 1)).result(HANGS_S)


def test_workers_ignore_an_interrupt(pool: Workers) -> None:
    assert pool.submit(tasks.interrupt_itself).result() == "still here"


UNGUARDED = """
import worker_tasks
from privsdk.protocol.workers.pool import Workers, shared, usable_cores
print("once")
with Workers(2, packages=("worker_tasks",)) as pool:
    print(sum(pool.map(worker_tasks.same, range(10))))
print(shared().submit(usable_cores).result() > 0)
"""


def test_an_unguarded_script(tmp_path: Path) -> None:
    with script(tmp_path, UNGUARDED) as process:
        out, err = process.communicate(timeout=HANGS_S)
    assert (out.split(), err, process.returncode) == (["once", "45", "True"], "", 0)


BUSY = """
import os, time
import worker_tasks
from privsdk.protocol.workers import pool as workers
other = workers.Workers(1, packages=("worker_tasks",))
idle = other.submit(worker_tasks.pid).result()
workers.Workers.__init__.__kwdefaults__["packages"] = ("worker_tasks",)
pool = workers.shared()
task = pool.submit(worker_tasks.wait_busily, "mark")
queued = [pool.submit(worker_tasks.after, 600, i) for i in range(20)]
while not os.path.exists("mark"):
    time.sleep(0.01)
try:
    print(idle, open("mark").read(), flush=True)
"""


def started(process: subprocess.Popen[str]) -> tuple[int, int]:
    assert process.stdout
    idle, busy = map(int, process.stdout.readline().split())
    assert not gone(idle)
    assert not gone(busy)
    return idle, busy


@pytest.mark.claim("workers end with their parent, also where it is killed and they compute")
def test_a_killed_parent_leaves_no_worker(tmp_path: Path, cases: Cases) -> None:
    with script(tmp_path, BUSY + "    time.sleep(600)\nfinally: pass") as process:
        pids = started(process)
        process.kill()
        for pid in pids:
            until(partial(gone, pid))
            cases()


def test_the_interpreter_ends_while_tasks_run(tmp_path: Path) -> None:
    with script(tmp_path, BUSY.replace("wait_busily", "hold_the_gil") + "    input()\nfinally: pass") as process:
        pids = started(process)
        _, err = process.communicate("\n", timeout=HANGS_S)
    assert (err, process.returncode) == ("", 0)
    for pid in pids:
        until(partial(gone, pid))


INTERRUPTED = """
    task.result()
except KeyboardInterrupt:
    pool.stop(task, *queued)
print(type(task.exception()).__name__, all(q.cancelled() or q.exception() for q in queued))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_an_interrupt_of_the_group_reaches_the_parent_alone(tmp_path: Path) -> None:
    with script(tmp_path, BUSY.rstrip() + INTERRUPTED) as process:
        idle, busy = started(process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=HANGS_S)
    assert (out.split(), err) == (["Cancelled", "True"], "")
    for pid in (idle, busy):
        until(partial(gone, pid))


STARTING = """
import os, signal, time
from privsdk.protocol.workers.pool import Workers, usable_cores
signal.signal(signal.SIGINT, lambda *_: None)
with Workers(1) as pool:
    future = pool.submit(usable_cores)
    while not future.done():
        os.killpg(0, signal.SIGINT)
        time.sleep(0.001)
    print(future.result() > 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_an_interrupt_of_the_group_while_a_worker_starts(tmp_path: Path) -> None:
    with script(tmp_path, STARTING) as process:
        out, err = process.communicate(timeout=HANGS_S)
    assert (out.split(), err) == (["True"], "")


FORKING = """
import os, warnings
warnings.simplefilter("ignore")
from privsdk.protocol.workers.pool import shared, usable_cores
before = shared().submit(usable_cores).result()
child = os.fork()
if child == 0:
    raise SystemExit(shared().submit(usable_cores).result() != before)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shared().submit(usable_cores).result() == before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_users_fork_has_a_pool_of_its_own(tmp_path: Path) -> None:
    with script(tmp_path, FORKING) as process:
        out, err = process.communicate(timeout=HANGS_S)
    assert (out.split(), err) == (["0", "True"], "")
