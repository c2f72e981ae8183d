"""A client that asks for a party-level training, or coordinates it, takes off its own noise: the rest is charged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from claims import Cases
from troubled import CLIENTS, LEADER, POLICY, tables

import privsdk as ps
from privsdk import fl
from privsdk.crypto.sums.base import Integers
from privsdk.fl.privacy.party_level import NoiseShares
from privsdk.protocol.roles import Entropy

CLAIM = pytest.mark.claim("DP-FedAvg: the noise of any m - c parties together is the discrete Gaussian that is charged")
MODEL = fl.MLP(features={"x": (-4, 4), "z": (-4, 4)}, hidden=(500,))
NOISE = 4.0
BUDGET = ps.Budget(epsilon=100, exact=1)


def check_own_noise(monkeypatch: pytest.MonkeyPatch, **options: Any) -> int:
    """That the noise of a round, less that of any one client, has the variance that is charged; how many entries."""
    drawn: list[Integers] = []
    units: set[int] = set()
    honest = NoiseShares.noise

    def remembered(self: NoiseShares, size: int, entropy: Entropy) -> Integers:
        drawn.append(honest(self, size, entropy))
        units.add(self.clip_units)
        return drawn[-1]

    monkeypatch.setattr(NoiseShares, "noise", remembered)
    privacy = fl.PartyLevel(clip=1.0, noise_multiplier=NOISE)
    caller = options.get("coordinator", CLIENTS[0])
    with ps.embedded(tables(), store=None, policy=POLICY, budget=BUDGET, caller=caller, quiet=True) as fed:
        learners = [fed[name]["t"] for name in CLIENTS]
        fl.fit(MODEL, learners, label="y", rounds=1, privacy=privacy, fewest=len(CLIENTS), **options).release()
    total, charged = np.sum(drawn, axis=0), NOISE * units.pop()
    assert len(drawn) == len(CLIENTS)
    for own in drawn:
        assert (total - own).var() > charged**2 * (1 - 5 * np.sqrt(2 / len(total)))
    return len(drawn) * len(total)


@CLAIM
@pytest.mark.parametrize(
    "options",
    [
        {"coordinator": CLIENTS[0]},
        {"coordinator": CLIENTS[-1]},
        {"coordinator": LEADER},
        {"aggregation": "encrypted", "coordinator": LEADER},
        {"aggregation": "all-to-all"},
    ],
    ids=str,
)
def test_a_client_in_any_role_meets_the_noise_that_is_charged(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    cases(check_own_noise(monkeypatch, **options))


@CLAIM
def test_shares_that_need_every_client_are_found(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """As a collusion of 0 would have them, which is refused: one client's own noise is missing then."""
    needs_all = property(lambda self: len(CLIENTS), lambda self, value: None)
    monkeypatch.setattr(NoiseShares, "honest", needs_all, raising=False)
    with pytest.raises(AssertionError):
        check_own_noise(monkeypatch, coordinator=CLIENTS[0])
    cases(len(CLIENTS))
