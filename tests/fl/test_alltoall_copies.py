"""Where every client coordinates by itself, all copies go the same way: when stopped, and when they go on."""

from __future__ import annotations

from typing import Any

import pytest
from troubled import CLIENTS, MODEL, embedded

import privsdk as ps
from privsdk import fl
from privsdk.errors import Cancelled, PrivsdkError
from privsdk.fl import roles
from privsdk.fl.parameters import FitParameters
from privsdk.party.checkpoints import PartCheckpoints
from privsdk.protocol.operation import RoleInput
from privsdk.protocol.roles import Role

ROUNDS = 6
STRATEGIES = [fl.FedAvg(), fl.Scaffold()]


def plan(fed: ps.Federation, strategy: Any, **options: Any) -> ps.Plan[fl.Fitted]:
    learners = [fed[name]["t"] for name in CLIENTS]
    return fl.fit(MODEL, learners, label="y", rounds=ROUNDS, aggregation="all-to-all", strategy=strategy, **options)


@pytest.mark.parametrize("late", CLIENTS)
def test_a_stop_that_reaches_one_client_first_stops_all(monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    honest = roles.role

    def role(given: RoleInput, parameters: FitParameters) -> Role[Any]:
        asked = iter(range(ROUNDS))

        def stop_requested() -> bool:
            return next(asked) >= (2 if given.party == late else 4)

        monkeypatch.setattr(given.services, "stop_requested", stop_requested)
        return honest(given, parameters)

    monkeypatch.setattr(roles, "role", role)
    with embedded() as fed:
        result = plan(fed, STRATEGIES[0]).release()
    assert result.value.ended == "stopped by its caller after round 2"
    assert result.value.history.num_rows == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("number", [1, 3])
def test_copies_that_were_interrupted_apart_go_on_together(
    monkeypatch: pytest.MonkeyPatch, strategy: Any, number: int
) -> None:
    """One has kept a round that another has not."""
    save = PartCheckpoints.save

    def interrupted(self: PartCheckpoints, at: int, state: Any) -> None:
        if (self.store._party, self.name, at) == (CLIENTS[1], "coordinator", number):
            raise Cancelled("interrupted")
        save(self, at, state)

    with embedded() as fed:
        undisturbed = plan(fed, strategy).release().value
        monkeypatch.setattr(PartCheckpoints, "save", interrupted)
        with pytest.raises(PrivsdkError):
            plan(fed, strategy, name="n").release()
        monkeypatch.undo()
        resumed = plan(fed, strategy, name="n").release().value
    assert resumed.resumed == number - 1
    assert resumed.weights.tobytes() == undisturbed.weights.tobytes()
    assert resumed.history.num_rows == ROUNDS
