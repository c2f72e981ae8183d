"""What follows a federation: one thread for all views, which keeps them fresh and of which nothing is left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import comm
import pytest
from claims import Cases, Counts
from ipywidgets.widgets.widget import _instances
from people import everyone, federation, north
from waiting import until

import privsdk as ps
from privsdk import dp, fl
from privsdk.client.federation import openings
from privsdk.errors import InvalidArgument
from privsdk.widgets import budgets, follower, picker, progress
from privsdk.widgets.follower import Subscription
from privsdk.widgets.panel import Panel
from privsdk.widgets.view import FederationView

VIEWS: tuple[Callable[[ps.Federation], FederationView], ...] = (picker, budgets)


def followers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("privsdk-following")]


def left(fed: ps.Federation) -> tuple[int, ...]:
    """Threads, observers of runs and of openings, widgets, comms."""
    return (
        len(followers()),
        len(fed.activity._observers),
        len(openings),
        len(_instances),
        len(comm.get_comm_manager().comms),
    )


@pytest.mark.claim("100 times opened and closed, a picker and a budget view leave no thread, observer or comm")
def test_nothing_is_left_of_closed_views(fed: ps.Federation, cases: Cases, counts: Counts) -> None:
    before = left(fed)
    for _ in range(counts(10, 100, 100)):
        for view in VIEWS:
            opened = view(fed)
            during = left(fed)
            assert all(now > then for now, then in zip(during, before, strict=True)), (during, before)
            opened.close()
            opened.close()  # harmless
            until(lambda: len(followers()) == before[0], "a thread is left")
            cases()
    assert left(fed) == before


@pytest.mark.parametrize("view", VIEWS)
def test_a_closed_federation_is_said_so_and_not_watched(
    view: Callable[[ps.Federation], FederationView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "IDLE_S", 3600.0)  # it is told, and does not merely find out
    with federation() as fed:
        opened = view(fed)
        shown = opened._parties  # type: ignore[attr-defined]
        assert not opened._ended
    until(lambda: opened._ended, "the view does not say that its federation is closed")
    assert opened._parties == shown  # type: ignore[attr-defined]
    assert "closed" in repr(opened).splitlines()[0]
    until(lambda: not followers(), "a thread is left")
    assert len(fed.activity._observers) == 0
    opened.close()
    with pytest.raises(InvalidArgument, match="closed"):
        view(fed)


def test_a_federation_that_closes_while_its_parties_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with federation() as fed:
        view = picker(fed)
        shown = view._parties

        def describe() -> dict[str, Any]:
            fed.close()
            return {}

        monkeypatch.setattr(fed, "describe", describe)
        monkeypatch.setattr(fed, "audit_log", lambda **_: {})
        told: list[Any] = []
        view.observe(lambda change: told.append(change["new"]), "_parties")
        view._subscription.refresh()  # type: ignore[union-attr]
        until(lambda: view._ended, "the view does not say that its federation is closed")
        assert told == []  # nobody cannot be reached: they are gone
        assert view._parties == shown
        view.close()


def test_only_federations_are_followed() -> None:
    with pytest.raises(InvalidArgument, match="not a str"):
        picker("fed")  # type: ignore[arg-type]


def test_what_pages_are_told_adds_up_whichever_thread_tells(fed: ps.Federation) -> None:
    """The messages of a view, one after the other, make its state, while the notebook and the parties' thread both
    change it."""
    view = picker(fed)
    told: dict[str, Any] = {}

    def sent(msg_type: str, data: Any = None, **_: Any) -> None:
        if data and data.get("method") == "update":
            told.update(data["state"])

    view.comm.publish_msg = sent
    began, stop = threading.Event(), threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            view._put(_parties=[{"name": f"p{number}", "reachable": False, "tables": []}], _name=f"fed{number}")
            began.set()

    thread = threading.Thread(target=work)
    thread.start()
    began.wait()
    for number in range(300):
        view.set_state({"columns": [f"c{number}"]})
        view.chosen = {"north": f"t{number}"}
    stop.set()
    thread.join()
    assert view.columns == ["c299"]
    for name in ("_parties", "_name", "chosen", "_taken"):
        assert told[name] == getattr(view, name), name
    view.close()


def test_a_view_that_is_closed_takes_no_more_news(fed: ps.Federation) -> None:
    view = budgets(fed)
    shown = view._parties
    view.close()
    view._put(_parties=[])
    assert view._parties == shown


def test_budgets_follow_runs(fed: ps.Federation) -> None:
    view = budgets(fed)
    dp.count(north(fed), epsilon=0.5).release()
    until(lambda: view._parties[0]["balances"][0]["epsilon"]["spent"] == pytest.approx(0.5), "not told")
    until(lambda: len(view._spending) == 1, "the run is not among what was spent")
    view.close()


def test_all_views_share_one_thread(fed: ps.Federation) -> None:
    run = fl.fit(fl.Logistic(features={"age": (0, 60)}), everyone(fed), label="late", rounds=5).start()
    panel = Panel(lambda _: None)
    panel.take({"kind": "hello", "page": "a", "visit": 1})
    views = picker(fed), budgets(fed), progress(run), progress(run)
    run.result()
    assert len({thread for thread in followers() if thread.name.endswith(f"-{fed.number}")}) == 1
    for view in views:
        view.close()
    assert len(followers()) >= 1
    panel.take({"kind": "bye", "page": "a", "visit": 1})
    until(lambda: not followers(), "a thread is left")
    assert not follower._followers


def test_a_slow_party_does_not_hold_up_a_run(fed: ps.Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, asked = threading.Event(), threading.Event()

    def describe() -> dict[str, Any]:
        asked.set()
        answer.wait(120)
        return {}

    monkeypatch.setattr(fed, "describe", describe)
    run = fl.fit(fl.Logistic(features={"age": (0, 60)}), everyone(fed), label="late", rounds=5000).start()
    view = progress(run)
    assert asked.wait(120)
    until(lambda: len(view.facts.get("run", {}).get("curve", ())) > 2, "the run's rounds wait for the party")
    run.cancel()
    answer.set()
    until(lambda: view.facts["run"]["state"] == "cancelled", "the view does not show the end")
    view.close()


def test_a_view_that_fails_is_dropped_and_others_go_on(fed: ps.Federation) -> None:
    told = threading.Event()

    def fail(_: Any) -> None:
        raise ValueError("a view's own mistake")

    sound = Subscription(fed, lambda _: told.set())
    assert told.wait(120)
    with pytest.warns(RuntimeWarning, match="own mistake") as warned:  # noqa: PT031
        failing = Subscription(fed, fail)
        until(lambda: bool(warned.list), "nothing is said of a view that fails")
    assert failing not in failing.follower._subscriptions
    told.clear()
    dp.count(north(fed), epsilon=0.1).release()
    assert told.wait(120)
    sound.close()


def spent(told: dict[str, Any]) -> float:
    (balance,) = next(party for party in told["parties"] if party["name"] == "north")["balances"]
    return float(balance["epsilon"]["spent"])


def test_a_run_between_two_looks_is_seen(fed: ps.Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins and ends while a view is busy with what it was shown before."""
    monkeypatch.setattr(follower, "ASKED_S", 1000.0)
    monkeypatch.setattr(follower, "IDLE_S", 1000.0)
    shown: list[float] = []
    first, go_on, second = threading.Event(), threading.Event(), threading.Event()

    def show(told: dict[str, Any]) -> None:
        shown.append(spent(told))
        if len(shown) == 1:
            first.set()
            go_on.wait(120)
        elif shown[-1] > 0:
            second.set()

    subscription = Subscription(fed, show)
    assert first.wait(120)
    dp.count(north(fed), epsilon=0.5).release()
    go_on.set()
    assert second.wait(120)
    subscription.close()
    assert shown[0] == 0
    assert shown[-1] == pytest.approx(0.5)


def test_closing_waits_for_nobody_who_opens(fed: ps.Federation) -> None:
    """The collector closes a forgotten view in any thread, also in one that is being started for another view."""
    view = budgets(fed)
    closing = threading.Thread(target=view.close)
    with follower._lock:
        closing.start()
        closing.join(20)
        assert not closing.is_alive()
    until(lambda: not followers(), "a thread is left")
