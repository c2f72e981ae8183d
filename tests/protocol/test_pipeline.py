"""Heavy columns go to the workers in pieces: in order, few ahead, and stopped when their role is."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from forked import NEEDS_FORK, in_fork
from waiting import HANGS_S, until

import privsdk as ps
from privsdk import psi
from privsdk.errors import Cancelled, InternalError
from privsdk.protocol.in_memory import together
from privsdk.protocol.roles import Role
from privsdk.protocol.workers import pool as workers
from privsdk.protocol.workers.pool import Pipeline, computed, threads
from privsdk.psi.oprf.ristretto import PIECE, hash_all, hash_piece, multiply_all, multiply_piece

SCALAR = (7).to_bytes(32, "little")


def run(role: Role[Any]) -> Any:
    return together({"only": role})["only"]


def idle() -> bool:
    pool = workers.shared()
    return not pool._running and not any(not task.future.cancelled() for task in pool._waiting)


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the shared workers are given, by name."""
    pool, names = workers.shared(), list[str]()
    submit = pool.submit

    def noted(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        names.append(fn.__name__)
        return submit(fn, *args, **kwargs)

    monkeypatch.setattr(pool, "submit", noted)
    yield names
    until(idle)


@pytest.mark.parametrize(("count", "pieces"), [(0, 0), (1, 0), (PIECE, 0), (PIECE + 1, 2), (2 * PIECE, 2)])
def test_columns_are_the_same_here_and_in_pieces(count: int, pieces: int, submitted: list[str]) -> None:
    keys = [b"%d" % i for i in range(count)]
    hashed = run(hash_all(b"domain", keys, "hashing"))
    assert hashed == hash_piece(b"domain", keys)
    assert submitted == ["hash_piece"] * pieces
    some = [*range(min(count, 3)), *range(max(3, count - 3), count)]
    products = run(multiply_all(SCALAR, hashed, "multiplying"))
    assert len(products) == count
    assert [products[i] for i in some] == multiply_piece(SCALAR, [hashed[i] for i in some])
    assert submitted == ["hash_piece"] * pieces + ["multiply_piece"] * pieces


def test_results_come_in_order_and_few_are_ahead(submitted: list[str]) -> None:
    most, ahead_of = 2 * workers.shared().count, []

    def arguments() -> Iterator[tuple[bytes, list[bytes]]]:
        for i in range(50):
            ahead_of.append(len(submitted))
            yield b"", [b"%d" % i] * (1000 if i % 3 == 0 else 1)  # later ones are done sooner

    role = computed(hash_piece, arguments(), "hashing", total=50)
    progress = []
    while True:
        try:
            step = next(role)
        except StopIteration as stop:
            results = stop.value
            break
        assert not step.send
        assert not step.receive
        assert step.progress is not None
        progress.append((step.progress.done, step.progress.total))
        assert len(submitted) - step.progress.done <= most
    assert [part[0] for part in results] == hash_piece(b"", [b"%d" % i for i in range(50)])
    assert sorted(progress) == progress
    assert ({done for done, _ in progress}, {total for _, total in progress}) == (set(range(50)), {50})


def test_results_can_be_sent_on_while_others_are_computed(submitted: list[str]) -> None:
    def streaming() -> Role[list[int]]:
        under_way = []
        with Pipeline(hash_piece, "hashing", total=20) as pipeline:
            for i in range(20):
                if pipeline.full:
                    yield from pipeline.next()
                    under_way.append(pipeline.waiting)
                pipeline.submit(b"", [b"%d" % i])
            while pipeline.waiting:
                yield from pipeline.next()
        return under_way

    most = 2 * workers.shared().count
    assert run(streaming()) == [most - 1] * (20 - most)


STOPS = pytest.mark.claim("a stopped run leaves no worker busy")


@STOPS
@pytest.mark.parametrize("steps", [1, 3])
def test_a_role_that_is_closed_stops_its_pieces(steps: int, cases: Cases, submitted: list[str]) -> None:
    minutes = hash_piece(b"", [b"x"]) * 300_000
    role = computed(multiply_piece, ((SCALAR, minutes) for _ in range(9)), "multiplying", total=9)
    for _ in range(steps):
        next(role)
    assert workers.shared()._running or workers.shared()._waiting
    role.close()
    cases.say(f"{until(idle):.2f} s")
    assert run(multiply_all(SCALAR, minutes[: PIECE + 1], "multiplying")) == multiply_piece(SCALAR, minutes[:1]) * (
        PIECE + 1
    )
    cases()


@STOPS
def test_an_error_of_one_piece_stops_the_others(cases: Cases, submitted: list[str]) -> None:
    minutes = hash_piece(b"", [b"x"]) * 300_000
    pieces = [(SCALAR, [bytes(32)]), (SCALAR, minutes), (SCALAR, minutes)]
    with pytest.raises(InternalError, match="multiply_piece: RuntimeError"):
        run(computed(multiply_piece, pieces, "multiplying", total=3))
    cases.say(f"{until(idle):.2f} s")
    cases()


@STOPS
@pytest.mark.parametrize("verb", [functools.partial(psi.join, protocol="ddh"), psi.cardinality])
def test_a_cancelled_run_stops_its_pieces(verb: Any, cases: Cases, submitted: list[str]) -> None:
    table = pa.table({"id": np.arange(16_000)})
    policy = ps.Policy(operations=("*",), grants=(ps.Grant(table="t", columns={"id": "join key"}),))
    with ps.embedded({p: {"t": table} for p in ("a", "b")}, store=None, policy=policy, quiet=True) as fed:
        started = verb(fed["a"]["t"], fed["b"]["t"], on="id").start()
        until(lambda: "multiply_piece" in submitted)
        began = time.monotonic()
        started.cancel()
        with pytest.raises(Cancelled):
            started.result(timeout_s=HANGS_S)
        until(idle)
        cases.say(f"{time.monotonic() - began:.2f} s")
    cases()


def in_threads(fn: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> Role[list[Any]]:
    found = []
    with Pipeline(fn, "computing", total=len(arguments), pool=threads()) as pipeline:
        for each in arguments:
            pipeline.submit(*each)
        while pipeline.waiting:
            found.append((yield from pipeline.next()))
    return found


def test_threads_give_results_in_order_and_their_own_errors() -> None:
    assert run(in_threads(divmod, [(9, 2), (7, 2), (5, 2)])) == [(4, 1), (3, 1), (2, 1)]
    with pytest.raises(ZeroDivisionError):
        run(in_threads(divmod, [(1, 0)]))


@STOPS
def test_a_stopped_role_leaves_no_piece_to_the_threads(cases: Cases) -> None:
    """What a thread has begun ends by itself; what it has not is not begun."""
    begun, release = [], threading.Event()

    def piece(number: int) -> None:
        begun.append(number)
        release.wait(HANGS_S)

    pool = threads()
    role = in_threads(piece, [(number,) for number in range(pool.count + 5)])
    next(role)
    until(lambda: len(begun) == pool.count)
    role.close()
    release.set()
    pool.submit(int).result(HANGS_S)  # behind all others
    assert sorted(begun) == list(range(pool.count))
    cases()


@NEEDS_FORK
def test_a_forked_process_has_threads_of_its_own() -> None:
    run(in_threads(abs, [(-1,)]))
    assert in_fork(lambda: threads().submit(abs, -5).result(2)) == 5
