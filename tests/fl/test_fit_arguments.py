"""fl.fit says what is wrong with its arguments as its own error, before anything is asked of a party or charged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from troubled import BUDGET, CLIENTS, MODEL, POLICY, tables

import privsdk as ps
from privsdk import fl
from privsdk.errors import InvalidArgument, UsageError
from privsdk.fl.operation import Fact, TrainingFact
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


@pytest.mark.parametrize(
    ("wrong", "written"),
    [
        ({"strategy": "fedavg"}, "give strategy=fl.FedAvg()"),
        ({"strategy": "fed_prox"}, "give strategy=fl.FedProx()"),
        ({"strategy": fl.Scaffold}, "give strategy=fl.Scaffold()"),
        ({"strategy": "sgd"}, "give strategy=fl.FedAvg(), fl.FedProx(), fl.Scaffold(), "),
        ({"compression": "TopK"}, "give compression=fl.TopK(...)"),
        ({"privacy": 1.0}, "give privacy=fl.PartyLevel(...), fl.RecordLevel(...)"),
    ],
)
def test_a_declaration_by_name_is_answered_by_what_to_write(
    fed: ps.Federation, wrong: dict[str, Any], written: str
) -> None:
    with pytest.raises(UsageError) as refused:
        fl.fit(MODEL, fed.tables("t"), label="y", **wrong)
    assert written in refused.value.hint


OF_PARTIES = {"aggregation", "deadline_s", "coordinator", "name"}  # that a simulation has not


def options_of(verb: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {name: each for name, each in inspect.signature(verb).parameters.items() if name not in ("model", "tables")}


def test_a_simulation_has_the_options_of_a_training() -> None:
    wanted = {name: each for name, each in options_of(fl.fit).items() if name not in OF_PARTIES}
    assert list(options_of(fl.simulate).items()) == list(wanted.items())  # also their order, defaults and types


CHOSEN: dict[str, Any] = {
    "label": "z", "rounds": 3, "learning_rate": 0.5, "local_steps": 2, "local_epochs": 3, "batch_size": 7,
    "strategy": fl.FedAdam(), "aggregation": "clear", "compression": fl.Quantised(), "participation": 0.75,
    "fewest": 2, "deadline_s": 9.0, "held_out": 0.3, "class_weights": "balanced", "by": "y", "groups": [0],
    "evaluate_every": 5, "seed": 8, "coordinator": CLIENTS[0], "name": "work",
    "privacy": fl.PartyLevel(clip=1.0, noise_multiplier=4.0),
}  # fmt: skip
WITH: dict[str, dict[str, Any]] = {
    "compression": {"aggregation": "clear"},
    "groups": {"by": "y"},
    "by": {"groups": [1]},
}


def test_each_option_reaches_the_request(fed: ps.Federation) -> None:
    assert set(CHOSEN) == set(options_of(fl.fit))
    model = fl.Logistic(features={"x": (-4, 4)})
    learners = [fed[name]["t"] for name in CLIENTS]
    for name, value in CHOSEN.items():
        base = {"label": "y"} | WITH.get(name, {})
        if name in ("groups", "by"):
            plain = fl.fit(model, learners, label="y").request.parameters
        else:
            plain = fl.fit(model, learners, **base).request.parameters
        assert fl.fit(model, learners, **base | {name: value}).request.parameters != plain, name


@pytest.mark.parametrize("wrong", [each for each in WRONG if not set(each) & OF_PARTIES], ids=str)
def test_a_wrong_type_is_a_usage_error_of_a_simulation_too(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        fl.simulate(MODEL, [each["t"] for each in tables().values() if each], label="y", **wrong)


def test_numbers_of_numpy_are_numbers(fed: ps.Federation) -> None:
    options = {"learning_rate": np.float32(0.5), "participation": np.float64(0.75), "held_out": np.float32(0.25)}
    parameters = fl.fit(MODEL, fed.tables("t"), label="y", **options).request.parameters
    assert (parameters["schedule"]["learning_rate"], parameters["participation"], parameters["held_out"]) == (
        0.5,
        0.75,
        0.25,
    )


def test_a_class_weight_that_is_no_number_is_named(fed: ps.Federation) -> None:
    with pytest.raises(InvalidArgument, match="no number"):
        fl.fit(MODEL, fed.tables("t"), label="y", class_weights={False: 1.0, True: "a"})  # type: ignore[dict-item]


def test_a_masked_round_is_not_of_one_client(fed: ps.Federation) -> None:
    options: dict[str, Any] = {"label": "y", "fewest": 1, "participation": 0.25}
    with pytest.raises(InvalidArgument, match="rounds of 1 of 4 clients"):
        fl.fit(MODEL, fed.tables("t"), **options).preview()
    fl.fit(MODEL, fed.tables("t"), **options | {"participation": 0.5}).preview()


def test_a_client_is_one_of_those_who_collude(fed: ps.Federation) -> None:
    """It knows its own share of the noise, and sees the sum, by the models if it does not coordinate."""
    one = fl.PartyLevel(clip=1.0, noise_multiplier=4.0, collusion=1)
    none = fl.PartyLevel(clip=1.0, noise_multiplier=4.0, collusion=0)

    def who(privacy: fl.PartyLevel, **options: Any) -> list[Who]:
        plan = fl.fit(MODEL, fed.tables("t"), label="y", privacy=privacy, **options)
        plan.preview()
        return [each.who for each in plan.learns if TrainingFact(fact=Fact.NOISY_SUM_WITH_ITS_NOISE) in each.what]

    leads: dict[str, Any]
    for leads in ({}, {"coordinator": CLIENTS[0]}, {"aggregation": "all-to-all"}, {"aggregation": "encrypted"}):
        with pytest.raises(InvalidArgument, match="knows its own share of the noise"):
            who(none, **leads)
    clients = tuple(CLIENTS)
    assert who(one) == [Coalition(("zrh",), 1, clients)]
    assert who(one, coordinator=CLIENTS[0]) == [Coalition(clients[:1], 0, clients[1:])]
    assert who(one, aggregation="all-to-all") == [Coalition((), 1, clients)]
    assert who(one, aggregation="encrypted") == [Coalition(("zrh",), 1, clients[:-1])]  # the last one adds up
