"""Facts of a federation are kept fresh: no run passes unseen, however short it is beside what is shown meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from people import federation, north

from privsdk import dp
from privsdk.widgets import watching
from privsdk.widgets.watching import Watching


def spent(told: dict[str, Any]) -> float:
    (balance,) = next(party for party in told["parties"] if party["name"] == "north")["balances"]
    return float(balance["epsilon"]["spent"])


def test_a_run_between_two_looks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins and ends while the page is being told something else."""
    monkeypatch.setattr(watching, "ASKED_S", 1000.0)
    monkeypatch.setattr(watching, "IDLE_S", 1000.0)
    shown: list[float] = []
    first, go_on, second = threading.Event(), threading.Event(), threading.Event()

    def show(told: dict[str, Any]) -> None:
        shown.append(spent(told))
        if len(shown) == 1:
            first.set()
            go_on.wait(20)
        elif shown[-1] > 0:
            second.set()

    with federation() as fed:
        watched = Watching(fed, show)
        assert first.wait(20)
        dp.count(north(fed), epsilon=0.5).release()
        go_on.set()
        assert second.wait(20)
        watched.close()
    assert shown[0] == 0
    assert shown[-1] == pytest.approx(0.5)
