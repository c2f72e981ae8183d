"""Every strategy and compression by `fl.fit` itself, embedded and over links; a coordinator apart, or a client too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cluster import Cluster

import privsdk as ps
from privsdk import fl
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import PolicyRefused
from privsdk.fl.operation import EachUpdate
from privsdk.governance.charges import Exact
from privsdk.governance.learns import Parties

MODEL = fl.Logistic(features={"a": (-3, 3), "b": (-3, 3)})
UPDATES = ps.Grant(table="sales", columns=dict.fromkeys(("a", "b", "late"), "model update"))
POLICY = ps.Policy(operations=("*",), grants=(*WORKSHOP_POLICY.grants, UPDATES), min_parties=2)
BUDGET = ps.Budget(epsilon=1.0, delta=1e-6, exact=100_000)
SHOPS = ("north", "south", "east", "west")


def sales(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.3 * seed, 1, 120), rng.normal(0, 1, 120)
    return pa.table({"a": a, "b": b, "late": 2 * a - b + rng.normal(0, 0.5, 120) > 0})


TABLES: dict[str, dict[str, pa.Table]] = {**{name: {"sales": sales(i)} for i, name in enumerate(SHOPS)}, "notary": {}}


@pytest.fixture(scope="module", params=["embedded", "flight"])
def fed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ps.Federation]:
    if request.param == "embedded":
        with ps.embedded(TABLES, store=None, policy=POLICY, budget=BUDGET, quiet=True) as opened:
            yield opened
    else:
        with (
            Cluster(tmp_path_factory.mktemp("shops"), TABLES, policy=POLICY, budget=BUDGET) as cluster,
            ps.connect(cluster.federation) as opened,
        ):
            yield opened


CHOICES: dict[str, dict[str, Any]] = {
    "FedProx": {"strategy": fl.FedProx(mu=0.1)},
    "Scaffold": {"strategy": fl.Scaffold()},
    "Scaffold, half": {"strategy": fl.Scaffold(), "aggregation": "clear", "participation": 0.5},
    "FedAdam": {"strategy": fl.FedAdam(eta=0.3)},
    "FedYogi": {"strategy": fl.FedYogi(eta=0.3)},
    "Median": {"strategy": fl.Median(), "aggregation": "clear"},
    "TrimmedMean": {"strategy": fl.TrimmedMean(beta=0.25), "aggregation": "clear"},
    "FedBuff": {"strategy": fl.FedBuff(K=2), "aggregation": "clear"},
    "Quantised": {"compression": fl.Quantised(), "aggregation": "clear"},
    "TopK": {"compression": fl.TopK(share=0.5), "aggregation": "clear"},
    "FedBuff, TopK": {"strategy": fl.FedBuff(K=3), "compression": fl.TopK(share=0.5), "aggregation": "clear"},
    "FedBuff at a client": {"strategy": fl.FedBuff(K=2), "aggregation": "clear", "coordinator": "east"},
    "Quantised at a client": {"compression": fl.Quantised(), "aggregation": "clear", "coordinator": "north"},
}


@pytest.mark.parametrize("choice", CHOICES)
def test_fit_trains_with_every_strategy(fed: ps.Federation, choice: str) -> None:
    options = CHOICES[choice]
    rounds = 12 if isinstance(options.get("strategy"), fl.FedBuff) else 6  # of which each takes a few updates only
    tables = [fed[name]["sales"] for name in SHOPS]
    result = fl.fit(MODEL, tables, label="late", rounds=rounds, local_steps=5, learning_rate=1.0, **options).release(
        timeout_s=60
    )
    fitted = result.value
    assert fitted.lost.num_rows == 0
    assert fitted.history.num_rows == rounds
    assert set(fitted.evaluation["party"].to_pylist()) == set(SHOPS)
    assert min(fitted.evaluation["accuracy"].to_pylist()) > 0.7  # of FedBuff the order of updates is the real one
    if options.get("aggregation") == "clear":
        bytes_ = [{p: n for p, n in told if n} for told in fitted.history["update_bytes"].to_pylist()]
        assert all(
            len(told) == clients for told, clients in zip(bytes_, fitted.history["clients"].to_pylist(), strict=True)
        )
    else:
        assert "update_bytes" not in fitted.history.column_names
    if isinstance(options.get("strategy"), fl.FedBuff):
        assert "staleness" in fitted.history.column_names


def test_fedbuff_is_paid_for_in_updates_and_says_what_is_seen(fed: ps.Federation) -> None:
    tables = [fed[name]["sales"] for name in SHOPS]
    plan = fl.fit(MODEL, tables, label="late", rounds=5, strategy=fl.FedBuff(K=3), aggregation="clear")
    for debits in plan.price.values():  # 15 updates; of 5 rounds it would be 2
        assert [debit.charge.uses for debit in debits if isinstance(debit.charge, Exact)] == [3]
    learns = {each.who: each.what for each in plan.learns}
    assert EachUpdate(timed=True) in learns[Parties(("notary",))]
    assert not any(isinstance(what, EachUpdate) for what in learns[Parties(SHOPS)])


def test_updates_in_the_clear_need_a_grant() -> None:
    with ps.embedded(TABLES, store=None, quiet=True) as fed:
        tables = [fed[name]["sales"] for name in SHOPS]
        for strategy in (fl.Median(), fl.FedBuff()):
            with pytest.raises(PolicyRefused, match="model update"):
                fl.fit(MODEL, tables, label="late", rounds=2, strategy=strategy, aggregation="clear").release()
