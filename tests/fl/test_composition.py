"""Which choices of `fl.fit` go together: every pair, before anything is charged, with the reason."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import fl
from privsdk.errors import InvalidArgument, PrivsdkError
from privsdk.fl.aggregation import mode_named
from privsdk.fl.parameters import Compressions, Strategies, check_choices

STRATEGIES: list[Strategies] = [
    fl.FedAvg(),
    fl.FedProx(mu=0.1),
    fl.Scaffold(),
    fl.FedAdam(),
    fl.FedYogi(),
    fl.Median(),
    fl.TrimmedMean(beta=0.2),
    fl.FedBuff(K=2),
]
ALONE = (fl.Median, fl.TrimmedMean, fl.FedBuff)  # need each update in the clear
COMPRESSIONS: list[Compressions | None] = [None, fl.Quantised(), fl.TopK()]

RULES = pytest.mark.claim("fl: choices that do not go together are refused with the reason, before any charge")


def goes(strategy: Strategies, aggregation: str, participation: float, compression: Compressions | None) -> bool:
    """The rules once more, as a table."""
    if aggregation != "clear" and (isinstance(strategy, ALONE) or compression):
        return False
    if isinstance(strategy, fl.FedBuff) and participation < 1:
        return False
    if isinstance(strategy, fl.Scaffold) and compression:
        return False
    return not (isinstance(strategy, fl.Median | fl.TrimmedMean) and isinstance(compression, fl.TopK))


@RULES
def test_every_combination_is_allowed_or_refused_with_a_reason_and_a_way_out(cases: Cases) -> None:
    for choice in product(STRATEGIES, ("clear", "encrypted", "masked"), (1.0, 0.5), COMPRESSIONS):
        strategy, aggregation, share, compression = choice
        if goes(*choice):
            check_choices(strategy, mode_named(aggregation), share, compression)
        else:
            with pytest.raises(InvalidArgument) as raised:
                check_choices(strategy, mode_named(aggregation), share, compression)
            assert ":" in raised.value.message, "says why"
            assert raised.value.hint.startswith("use ")
        cases()


def sales(seed: int) -> pa.Table:
    amounts = [(seed * 37 + i * 11) % 100 for i in range(40)]
    return pa.table({"amount": amounts, "late": [amount > 50 for amount in amounts]})


MODEL = fl.Logistic(features={"amount": (0, 100)})
REFUSED: dict[str, dict[str, Any]] = {
    "a sum has none of them left": {"strategy": fl.Median()},
    "nobody knows beforehand who will be in a sum": {"strategy": fl.FedBuff(K=2)},
    "a sum adds integers of one public grid": {"compression": fl.Quantised()},
    "each client has other largest entries": {"compression": fl.TopK()},
    "has to stay the mean of the clients'": {
        "strategy": fl.Scaffold(),
        "compression": fl.Quantised(),
        "aggregation": "clear",
    },
    "has a median of zero": {"strategy": fl.Median(), "compression": fl.TopK(), "aggregation": "clear"},
    "no rounds to draw clients for": {"strategy": fl.FedBuff(), "participation": 0.5, "aggregation": "clear"},
}


@RULES
def test_refusals_come_before_any_charge(cases: Cases) -> None:
    held = {name: {"sales": sales(i)} for i, name in enumerate(("north", "south", "east"))}
    with ps.embedded({**held, "notary": {}}, store=None, quiet=True) as fed:
        before = fed.budgets()
        for why, options in REFUSED.items():
            with pytest.raises(InvalidArgument, match=why):
                fl.fit(MODEL, fed.tables("sales"), label="late", rounds=2, **options)
            cases()
        assert fed.budgets() == before


@RULES
def test_a_party_refuses_what_a_caller_sends_all_the_same(cases: Cases) -> None:
    held = {name: {"sales": sales(i)} for i, name in enumerate(("north", "south", "east"))}
    with ps.embedded({**held, "notary": {}}, store=None, quiet=True) as fed:
        before = fed.budgets()
        plan = fl.fit(MODEL, fed.tables("sales"), label="late", rounds=2)
        changed = {"strategy": {"type": "Median"}}
        request = msgspec.structs.replace(plan.request, parameters=plan.request.parameters | changed)
        plan.request = request
        with pytest.raises(PrivsdkError, match="a sum has none of them left"):
            plan.release()
        assert fed.budgets() == before
        cases()
