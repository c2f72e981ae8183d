"""What tests of trainings share."""

from __future__ import annotations

import pytest

from privsdk.fl.loops.best import BestModel


@pytest.fixture
def _last_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings end with their last model: where strategies go, and not what is best on the way there."""
    monkeypatch.setattr(BestModel, "instead_of", lambda self, number, weights, *, known: (number, weights))
