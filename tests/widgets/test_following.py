"""Views that follow a federation: fresh while they are open, nothing left of them afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest
from claims import Cases
from ipywidgets.widgets.widget import _instances
from people import federation, north

import privsdk as ps
from privsdk import dp
from privsdk.client.federation import openings
from privsdk.errors import InvalidArgument
from privsdk.widgets import budgets, picker, watching
from privsdk.widgets.following import Following

VIEWS: tuple[Callable[[ps.Federation], Following], ...] = (picker, budgets)


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    with federation() as opened:
        yield opened


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("privsdk-watching")]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def left(fed: ps.Federation) -> tuple[int, ...]:
    """Threads, observers of runs and of openings, widgets, comms."""
    return (
        len(watchers()),
        len(fed.activity._observers),
        len(openings),
        len(_instances),
        len(comm.get_comm_manager().comms),
    )


@pytest.mark.claim("100 times opened and closed, a picker and a budget view leave no thread, observer or comm")
def test_nothing_is_left_of_closed_views(fed: ps.Federation, cases: Cases) -> None:
    before = left(fed)
    for _ in range(100):
        for view in VIEWS:
            opened = view(fed)
            during = left(fed)
            assert all(now > then for now, then in zip(during, before, strict=True)), (during, before)
            opened.close()
            opened.close()  # harmless
            wait_until(lambda: len(watchers()) == before[0], "a thread is left")
            cases()
    assert left(fed) == before


@pytest.mark.parametrize("view", VIEWS)
def test_a_closed_federation_is_said_so_and_not_watched(
    view: Callable[[ps.Federation], Following], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "IDLE_S", 3600.0)  # it is told, and does not merely find out
    with federation() as fed:
        opened = view(fed)
        shown = opened._parties  # type: ignore[attr-defined]
        assert not opened._ended
    wait_until(lambda: opened._ended, "the view does not say that its federation is closed")
    assert opened._parties == shown  # type: ignore[attr-defined]
    assert "closed" in repr(opened).splitlines()[0]
    wait_until(lambda: not watchers(), "a thread is left")
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
        view._watching.refresh()  # type: ignore[union-attr]
        wait_until(lambda: view._ended, "the view does not say that its federation is closed")
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
    wait_until(lambda: view._parties[0]["balances"][0]["epsilon"]["spent"] == pytest.approx(0.5), "not told")
    wait_until(lambda: len(view._spending) == 1, "the run is not among what was spent")
    view.close()
