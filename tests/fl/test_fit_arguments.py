"""fl.fit says what is wrong with its arguments as its own error, before anything is asked of a party or charged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from troubled import BUDGET, CLIENTS, MODEL, POLICY, tables

import privsdk as ps
from privsdk import fl
from privsdk.errors import InvalidArgument, UsageError
from privsdk.fl.learns import NoisySumWithItsNoise
from privsdk.governance.learns import Coalition, Who


@pytest.fixture(scope="module")
def fed() -> Iterator[ps.Federation]:
    with ps.embedded(tables(), store=None, policy=POLICY, budget=BUDGET, quiet=True) as federation:
        yield federation


WRONG: list[dict[str, Any]] = [
    {name: value}
    for name in (
        "rounds", "learning_rate", "local_steps", "local_epochs", "batch_size", "strategy", "aggregation",
        "compression", "participation", "fewest", "deadline_s", "held_out", "class_weights", "evaluate_every", "seed",
        "coordinator", "name", "privacy",
    )
    for value in ("a word that is none", [3], fl.FedAvg)
    if (name, value) != ("name", "a word that is none")
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_type_is_a_usage_error(fed: ps.Federation, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        fl.fit(MODEL, fed.tables("t"), label="y", **wrong)


def test_a_class_weight_that_is_no_number_is_named(fed: ps.Federation) -> None:
    with pytest.raises(InvalidArgument, match="no number"):
        fl.fit(MODEL, fed.tables("t"), label="y", class_weights={False: 1.0, True: "a"})  # type: ignore[dict-item]


def test_a_masked_round_is_not_of_one_client(fed: ps.Federation) -> None:
    options: dict[str, Any] = {"label": "y", "fewest": 1, "participation": 0.25}
    with pytest.raises(InvalidArgument, match="rounds of 1 of 4 clients"):
        fl.fit(MODEL, fed.tables("t"), **options).preview()
    fl.fit(MODEL, fed.tables("t"), **options | {"participation": 0.5}).preview()


def test_a_coordinator_that_trains_is_one_of_those_who_collude(fed: ps.Federation) -> None:
    """It knows its own share of the noise, and sees the sum."""
    one = fl.PartyLevel(clip=1.0, noise_multiplier=4.0, collusion=1)
    none = fl.PartyLevel(clip=1.0, noise_multiplier=4.0, collusion=0)

    def who(privacy: fl.PartyLevel, **options: Any) -> list[Who]:
        plan = fl.fit(MODEL, fed.tables("t"), label="y", privacy=privacy, **options)
        plan.preview()
        return [each.who for each in plan.learns if NoisySumWithItsNoise() in each.what]

    leads: dict[str, Any]
    for leads in ({"coordinator": CLIENTS[0]}, {"aggregation": "all-to-all"}):
        with pytest.raises(InvalidArgument, match="knows its own share of the noise"):
            who(none, **leads)
    clients = tuple(CLIENTS)
    assert who(none) == [Coalition(("zrh",), 0, clients)]
    assert who(one) == [Coalition(("zrh",), 1, clients)]
    assert who(one, coordinator=CLIENTS[0]) == [Coalition(clients[:1], 0, clients[1:])]
    assert who(one, aggregation="all-to-all") == [Coalition((), 1, clients)]
