"""Who coordinates or holds a key where nobody is named: a party whose policy allows it."""

from __future__ import annotations

from typing import Any

import pytest
from claims import Cases
from people import people

import privsdk as ps
from privsdk import dp, fl, he
from privsdk.errors import PolicyRefused, UnknownName

MODEL = fl.Logistic(features={"age": (0, 60)})
REFUSES = ps.Policy(operations=("psi.join",), min_parties=2)
PLANS: dict[str, Any] = {
    "he.mean": lambda fed, **who: he.mean(fed.tables("people"), "age", **who),
    "dp.count": lambda fed, **who: dp.count(fed.tables("people"), epsilon=0.1, **who),
    "fl.fit": lambda fed, **who: fl.fit(MODEL, fed.tables("people"), label="late", rounds=1, **who),
    "fl.cross_validate": lambda fed, **who: fl.cross_validate(
        MODEL, fed.tables("people"), label="late", folds=2, rounds=1, **who
    ),
}


def opened(**helpers: ps.Policy | None) -> ps.Federation:
    parties: dict[str, Any] = {name: {} for name in helpers}
    parties |= {name: {"people": people()} for name in ("north", "south", "east")}
    rules = {name: policy for name, policy in helpers.items() if policy is not None}
    return ps.embedded(parties, store=None, policy=rules, quiet=True)


@pytest.mark.claim("a party that only helps is chosen among those whose policies allow the operation")
@pytest.mark.parametrize("name", PLANS)
def test_who_refuses_is_passed_over(name: str, cases: Cases) -> None:
    with opened(strict=REFUSES, notary=None, other=None) as fed:
        plan = PLANS[name](fed)
        assert plan.request.parties[-1] == "notary"
        plan.release()
        named = {"coordinator" if name.startswith("fl.") else "key_holder": "strict"}
        with pytest.raises(PolicyRefused, match=f"strict does not allow the operation {name}"):
            PLANS[name](fed, **named).release()
        cases()
    only = ps.Policy(operations=(name,), min_parties=2)
    with opened(strict=REFUSES, other=REFUSES, notary=only) as fed:
        assert PLANS[name](fed).request.parties[-1] == "notary"
        cases()


def test_where_all_refuse_the_first_says_so_or_a_client_coordinates() -> None:
    with opened(strict=REFUSES, other=REFUSES) as fed:
        with pytest.raises(PolicyRefused, match=r"strict does not allow the operation he\.mean"):
            PLANS["he.mean"](fed).release()
        training = PLANS["fl.fit"](fed)
        assert training.request.parties[-1] == "north"
        training.release()
        clear = fl.fit(MODEL, fed.tables("people"), label="late", rounds=1, aggregation="clear")
        assert clear.request.parties[-1] == "strict"  # and no client sees the others' updates unasked
        with pytest.raises(UnknownName):
            PLANS["fl.fit"](fed, coordinator="nobody")
