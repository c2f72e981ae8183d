"""`fl.fit` over masks: the same model as under encryption, with clients lost, and what it does not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import fl
from privsdk.errors import DataError, InvalidArgument, PeerGone
from privsdk.fl import roles
from privsdk.fl.aggregation import SumOfOthers
from privsdk.fl.models.training import Task, in_threads
from privsdk.fl.operation import EachUpdate, Fact, TrainingFact
from privsdk.governance.learns import Caller, Coalition, Eavesdropper, Parties
from privsdk.protocol.roles import Role

MODEL = fl.Logistic(features={"x": (-1, 1), "z": (-1, 1)})


def rows(seed: int, count: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(-1, 1, (2, count))
    return pa.table({"x": x, "z": z, "y": x - z + rng.normal(0, 0.3, count) > 0})


USES = ("training feature", "training label", "model update", "aggregate", "HE operand")
POLICY = ps.Policy(operations=("fl.fit",), grants=(ps.Grant(table="*", columns={"*": USES}),), min_parties=2)


def federation(*counts: int, **others: Any) -> ps.Federation:
    parties = {f"p{i}": {"t": rows(i, count)} for i, count in enumerate(counts)}
    return ps.embedded({**parties, **others}, store=None, quiet=True, policy=POLICY)


def fit(fed: ps.Federation, **options: Any) -> fl.Fitted:
    fitted: fl.Fitted = fl.fit(MODEL, fed.tables("t"), label="y", rounds=4, **options).release().value
    return fitted


@pytest.mark.claim(
    "fl.fit: masked, all-to-all and encrypted sums give the same model, bit for bit on the same machines"
)
@pytest.mark.parametrize("coordinated", ["apart", "by a client"])
@pytest.mark.rounding
def test_all_sums_give_the_same_model(coordinated: str, cases: Cases) -> None:
    others = {"notary": {}} if coordinated == "apart" else {}
    kinds = ["all-to-all", *(["encrypted"] if others else [])]
    with federation(60, 80, 100, **others) as fed:
        leader = "notary" if others else "p2"
        models = {kind: fit(fed, aggregation=kind) for kind in kinds}
        models["masked"] = fit(fed, coordinator=leader)  # masks are the default
    for fitted in models.values():
        assert np.array_equal(fitted.weights, models["masked"].weights)
        told = ["round", "clients", "rows", "loss"]
        assert fitted.history.select(told).equals(models["masked"].history.select(told))
        assert sorted(fitted.evaluation["party"].to_pylist()) == ["p0", "p1", "p2"]
        cases()
    assert models["masked"].weights.any()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever trains on 40 rows fails in the second round."""
    steps: list[int] = []

    def train(task: Task) -> Role[Any]:
        if len(task.rows) == 40:
            steps.append(1)
            if len(steps) == 2:
                raise DataError("the disk is gone")
        return (yield from in_threads(task))

    monkeypatch.setattr(roles, "_trainer", lambda *given: train)


@pytest.mark.usefixtures("failing")
def test_a_client_that_fails_is_lost_and_named() -> None:
    with federation(60, 80, 50, 100, 90) as fed:
        fitted = fit(fed)
    assert fitted.lost.select(["party", "round"]).to_pylist() == [{"party": "p2", "round": 2}]
    assert fitted.history["clients"].to_pylist() == [5, 4, 4, 4]
    assert fitted.history["rows"].to_pylist() == [304, 264, 264, 264]


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("aggregation", ["masked", "clear"])
def test_a_loss_below_an_owners_minimum_ends_it(aggregation: str) -> None:
    """Two are left of three, and every client sees the model: each would face one other, and min_parties is 2. In the
    clear the coordinator may see single updates, and the other clients may not."""
    with federation(60, 50, 100, notary={}) as fed, pytest.raises(DataError, match="the disk is gone") as error:
        fit(fed, aggregation=aggregation)
    assert error.value.party == "p1"
    assert "p0: 2 clients are left in round 2, and p0 tells nothing for fewer than 3" in error.value.message


def test_a_round_in_the_clear_is_of_as_many_as_every_owner_asks_for() -> None:
    """Else the model after it, less the one before it, is one client's update, for all others to see."""
    with federation(60, 80, 100, 90, notary={}) as fed:
        with pytest.raises(PeerGone, match=r"1 clients are left in round 1, and p. tells nothing for fewer than 3"):
            fit(fed, aggregation="clear", participation=0.25, fewest=1)
        assert fit(fed, aggregation="clear", participation=0.75, fewest=3).history["clients"].to_pylist() == [3] * 4


@pytest.mark.usefixtures("failing")
def test_all_to_all_ends_with_a_client() -> None:
    with federation(60, 80, 50, 90) as fed, pytest.raises(DataError, match="the disk is gone"):
        fit(fed, aggregation="all-to-all")


def test_what_each_learns() -> None:
    def learns(fed: ps.Federation, **options: Any) -> dict[Any, Any]:
        plan = fl.fit(MODEL, fed.tables("t"), label="y", rounds=4, **options)
        return {each.who: each.what for each in plan.learns}

    clients = ("p0", "p1", "p2", "p3")

    with federation(60, 80, 100, 90, notary={}) as fed:
        told = learns(fed)
        assert TrainingFact(fact=Fact.ROUND_FIGURES) in told[Parties(("notary",))]
        assert not any(isinstance(what, EachUpdate) for each in told.values() for what in each)
        assert told[Coalition(("notary",), 2, clients)] == (SumOfOthers(),)
        assert Coalition(("notary",), 3, clients) in learns(fed, fewest=4)
        assert set(learns(fed, aggregation="all-to-all")) == {
            Parties(clients),
            Caller("analyst"),
            Eavesdropper(),
            Coalition((), 3, clients),
        }


def test_what_is_not_taken() -> None:
    with federation(60, 80, 100, notary={}) as fed:
        one = fed["p0"]["t"]
        with pytest.raises(InvalidArgument, match="the masked sum of one client is its own update"):
            fl.fit(MODEL, one, label="y").preview()
        with pytest.raises(InvalidArgument, match="2 to 10 clients"):
            fl.fit(MODEL, one, label="y", aggregation="all-to-all").preview()
        with pytest.raises(InvalidArgument, match="no party but the clients coordinates"):
            fit(fed, aggregation="all-to-all", coordinator="notary")
        with pytest.raises(InvalidArgument, match="all clients in every round"):
            fit(fed, aggregation="all-to-all", participation=0.5)
    with federation(*[40] * 11) as fed, pytest.raises(InvalidArgument, match="2 to 10 clients"):
        fl.fit(MODEL, fed.tables("t"), label="y", aggregation="all-to-all").preview()
