"""Attacks that put exact figures of different faces together: an aggregate with an encrypted sum, a training, a join.

One of the parties colludes with the caller and knows its own part of every figure. Each attack works with the
differencing rule switched off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import fl, he, psi
from privsdk.errors import PrivsdkError
from privsdk.party.differencing.disclosed import Disclosed
from privsdk.party.differencing.history import Admission

PEOPLE, VICTIM, SALARY, K = 200, 37, 123_456, 10
PAY = np.where(np.arange(PEOPLE) == VICTIM, SALARY, 1_000 + np.arange(PEOPLE))
CITY = [f"city {n % 2}" for n in range(PEOPLE)]
RNG = np.random.default_rng(8)
BANK = pa.table(
    {
        "id": [f"p{n}" for n in range(PEOPLE)],
        "city": CITY,
        "pay": PAY,
        "shown": pa.array(PAY, mask=np.arange(PEOPLE) == VICTIM),
        "x": RNG.random(PEOPLE),
        "y": RNG.random(PEOPLE) < 0.5,
    }
)
USED = (
    *("join key", "cardinality only", "comparison", "group key", "aggregate", "HE operand", "training feature"),
    *("training label", "model update"),
)
POLICY = ps.Policy(operations=("*",), grants=(ps.Grant(table="t", columns={"*": USED}, min_count=K),), min_parties=1)
CITIES = ["city 0", "city 1"]


def opened(shop: pa.Table = BANK) -> ps.Federation:
    """The bank, and a shop and a club that tell the caller all they know."""
    parties: dict[str, Any] = {"bank": {"t": BANK}, "shop": {"t": shop}, "club": {}}
    return ps.embedded(
        parties, store=None, policy=POLICY, quiet=True, caller="eve", budget=ps.Budget(epsilon=0, exact=1_000)
    )


def by_groups_of_an_encrypted_sum() -> float:
    """Encrypted sums by city of a column that one person lacks, less the shop's own, beside the sum of all."""
    with opened() as fed:
        everyone = fed["bank"]["t"].sum("pay").release().value["sum"][0].as_py()
        pooled = he.sum(fed.tables("t"), "shown", by="city", keys=CITIES, key_holder="club").release().value
        return float(everyone - (sum(pooled["sum"].to_pylist()) - (PAY.sum() - SALARY)))


def by_nulls_of_an_encrypted_sum() -> float:
    """The encrypted sum comes first, over a column that one person lacks."""
    with opened() as fed:
        pooled = he.sum(fed.tables("t"), "shown", key_holder="club", aggregation="masked").release().value
        return float(
            fed["bank"]["t"].sum("pay").release().value["sum"][0].as_py() - (pooled.value - (PAY.sum() - SALARY))
        )


def by_the_rows_of_a_training() -> float:
    """Training and held-out rows of a feature that one person lacks, beside the count of all."""
    with opened() as fed:
        everyone = fed["bank"]["t"].count().release().value["count"][0].as_py()
        model = fl.Logistic(features={"shown": (0, 200_000), "x": (0, 1)})
        fit = fl.fit(model, fed.tables("t"), label="y", coordinator="club", rounds=1, held_out=0.3).release().value
        held = dict(zip(fit.evaluation["party"].to_pylist(), fit.evaluation["rows"].to_pylist(), strict=True))
        trained = fit.history["rows"][0].as_py() - (PEOPLE - 1 - held["shop"])
        return float(everyone - held["bank"] - trained)


def by_a_side_of_a_join() -> float:
    """The sum over the bank's people who are all of the shop's but one, beside the sum of all."""
    with opened(BANK.filter(pa.array(np.arange(PEOPLE) != VICTIM))) as fed:
        everyone = fed["bank"]["t"].sum("pay").release().value["sum"][0].as_py()
        joint = psi.join(fed["bank"]["t"], fed["shop"]["t"], on="id").release().value
        return float(everyone - joint["bank"].sum("pay").release().value["sum"][0].as_py())


@pytest.mark.claim("attacks: exact figures of two faces that differ by one person: the second is refused")
@pytest.mark.attack("sums, trainings and joins that differ by one person from an aggregate", "its value", "none")
@pytest.mark.parametrize(
    ("attack", "gained"),
    [
        (by_groups_of_an_encrypted_sum, SALARY),
        (by_nulls_of_an_encrypted_sum, SALARY),
        (by_the_rows_of_a_training, 1),
        (by_a_side_of_a_join, SALARY),
    ],
)
def test_figures_of_two_faces(
    attack: Callable[[], float], gained: float, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    with pytest.raises(PrivsdkError, match=r"bank refuses \(differencing\)"):
        attack()
    monkeypatch.setattr(Disclosed, "screen", lambda *_: Admission.ADMITTED)
    assert attack() == gained
    cases(2)
    cases.gains("none")
