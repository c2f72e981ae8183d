"""What a role asks of its party without having declared it is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import fl
from privsdk.errors import InternalError
from privsdk.fl.operation import Fit
from privsdk.party.run import RunServices

TABLE = pa.table({"x": np.linspace(0, 1, 40), "y": [True, False] * 20})
CLAIM = pytest.mark.claim("exact figures that no guard has seen, and rounds that nobody pays, do not leave a party")


@CLAIM
def test_exact_figures_that_no_guard_was_asked_about_do_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunServices, "screen", lambda self, sets, min_count: [each.figures for each in sets])
    with ps.embedded({"north": {"t": TABLE}}, store=None, quiet=True) as fed:
        plan = fed["north"]["t"].count()
        with pytest.raises(InternalError, match=r"aggregate tells exact figures of north's rows, and .*screen"):
            plan.release()


@CLAIM
def test_rounds_without_a_price_do_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fit, "by_rounds", False)
    with ps.embedded({name: {"t": TABLE} for name in "abc"}, store=None, quiet=True) as fed:
        plan = fl.fit(fl.Logistic(features={"x": (0, 1)}), fed.tables("t"), label="y", aggregation="all-to-all")
        with pytest.raises(InternalError, match=r"fl\.fit pays by the round, and does not say what"):
            plan.release()
