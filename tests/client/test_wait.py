"""What an interrupt does to a run that is waited for: one that goes in rounds ends with what it has, others at once."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from people import everyone, federation, north

import privsdk as ps
from privsdk import dp, fl
from privsdk.client.plan import Plan
from privsdk.client.progress import Live
from privsdk.client.results import Answers
from privsdk.display.titles import Titles
from privsdk.errors import Cancelled
from privsdk.governance.prices import answers
from privsdk.protocol.control import ProgressReport, Watched
from privsdk.protocol.operation import Request, operation_named, operation_names

MODEL = fl.Logistic(features={"age": (0, 60)})
SAID = "fl.fit ends after the present round with what it has; interrupt again to cancel it\n"


class Rounds:
    """A federation whose run tells one round, then does as `then` says; it interrupts the main thread itself."""

    caller, purpose, parties = "analyst", "workshop", ("north",)
    titles = Titles(lambda: ("north",))

    def __init__(self, then: Callable[[threading.Event, Live], None], *, told: bool = True) -> None:
        self._then = then
        self._told = told

    def quote(self, requests: Sequence[Request]) -> Any:
        raise NotImplementedError

    def execute(self, live: Live) -> Answers:
        if self._told:
            live.update("north", Watched(phase="round 2", told=(ProgressReport(done=1, total=9),)), 0)
        self._then(live.cancelled, live)
        if live.cancelled.is_set():
            raise Cancelled("the run was cancelled")
        return Answers({})


def waited(runner: Rounds, request: Request) -> Any:
    return Plan(runner, request, lambda answers: "a model so far").release(timeout_s=120).value


def interrupt() -> None:
    _thread.interrupt_main()


@pytest.fixture
def training() -> Request:
    with federation() as fed:
        return fl.fit(MODEL, everyone(fed), label="late", rounds=9).request


def until_awaited(live: Live) -> None:
    reached = threading.Event()
    leave = live.observe(lambda now: reached.set() if now.awaited else None)
    assert live.awaited or reached.wait(120)
    leave()


def test_the_first_interrupt_has_what_there_is(training: Request, capsys: pytest.CaptureFixture[str]) -> None:
    def then(cancelled: threading.Event, live: Live) -> None:
        until_awaited(live)
        interrupt()
        assert live.stopping.wait(120)
        assert not cancelled.is_set()

    assert waited(Rounds(then), training) == "a model so far"
    assert capsys.readouterr() == ("", SAID)


def test_the_second_interrupt_cancels(training: Request, capsys: pytest.CaptureFixture[str]) -> None:
    def then(cancelled: threading.Event, live: Live) -> None:
        until_awaited(live)
        interrupt()
        assert live.stopping.wait(120)
        interrupt()
        assert cancelled.wait(120)

    with pytest.raises(KeyboardInterrupt):
        waited(Rounds(then), training)
    assert capsys.readouterr() == ("", SAID)


def test_nothing_is_to_be_had_before_the_first_round(training: Request, capsys: pytest.CaptureFixture[str]) -> None:
    def then(cancelled: threading.Event, live: Live) -> None:
        until_awaited(live)
        interrupt()
        assert cancelled.wait(120)
        assert not live.stopping.is_set()

    with pytest.raises(KeyboardInterrupt):
        waited(Rounds(then, told=False), training)
    assert capsys.readouterr() == ("", "")


def test_a_run_without_rounds_is_cancelled_at_once() -> None:
    with federation() as fed:
        request = dp.count(north(fed), epsilon=0.1).request

    def then(cancelled: threading.Event, live: Live) -> None:
        until_awaited(live)
        interrupt()
        assert cancelled.wait(120)

    with pytest.raises(KeyboardInterrupt):
        waited(Rounds(then), request)


def test_only_the_main_thread_is_said_to_wait(training: Request) -> None:
    seen: list[bool] = []

    def then(cancelled: threading.Event, live: Live) -> None:
        seen.append(live.awaited)

    run = Plan(Rounds(then), training, lambda answers: "").start()
    other = threading.Thread(target=run.result)
    other.start()
    other.join(120)
    run.progress.observe(lambda live: seen.append(live.awaited))
    run.result()
    assert seen[0] is False
    assert seen[1:] == [True, False]


def test_a_training_that_is_interrupted_gives_its_model_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    with federation() as fed:
        run = fl.fit(MODEL, everyone(fed), label="late", rounds=5000).start()
        told = threading.Event()
        run.progress.observe(lambda live: told.set() if live.curve and live.curve[-1].done > 2 else None)

        def stop() -> None:
            assert told.wait(120)
            interrupt()

        threading.Thread(target=stop).start()
        fitted = run.result(timeout_s=60).value
        rounds = fitted.history.num_rows
        assert 2 < rounds < 5000
        assert fitted.ended == f"stopped by its caller after round {rounds}"
        assert capsys.readouterr().err == SAID
        assert run.state == "done"
        paid = {party: each.instalments for party, each in run.progress.whereabouts.items()}
        assert paid == {"north": rounds, "south": rounds, "east": rounds, "keeper": 0}
        # each round tells a weight, a bias, the loss and its weight; before, the rows and the evaluation's 7 figures
        assert fed.budgets()["north"][0].exact_spent == answers(8 + 4 * rounds)
        assert {each.state for each in run.progress.whereabouts.values()} == {"ended"}


@pytest.mark.parametrize("name", operation_names())
def test_what_asks_whether_to_stop_says_so(name: str) -> None:
    assert operation_named(name).stops is (name == "fl.fit")


def test_a_party_that_is_waited_for_is_named() -> None:
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    named = threading.Event()

    def look(live: Live) -> None:
        seen.update((party, each.state, each.waits_for) for party, each in live.whereabouts.items())
        if "keeper" in live.whereabouts["north"].waits_for:
            named.set()

    with federation() as fed:
        run = fl.fit(MODEL, everyone(fed), label="late", rounds=5_000, aggregation="masked").start()
        run.progress.observe(look)
        assert named.wait(120)
        run.stop()
        run.result(timeout_s=120)
    assert all(peers for _, state, peers in seen if state == "waiting")
    assert not any(peers for _, state, peers in seen if state != "waiting")


def test_a_party_that_refuses_says_why() -> None:
    with federation() as fed:
        run = dp.count(north(fed), epsilon=2.0).start()
        with pytest.raises(ps.errors.PolicyRefused) as refused:
            run.result(timeout_s=120)
        assert run.error is refused.value
        there = run.progress.whereabouts["north"]
        assert (there.state, there.why) == ("lost", refused.value.message)
