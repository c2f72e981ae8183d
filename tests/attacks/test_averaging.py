"""Asking for one number again and again, and in disguises, against one table's budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from averaging import averaged, guessed
from claims import Cases

import privsdk as ps
from privsdk import dp, workshop
from privsdk.errors import PolicyRefused

EPSILON, QUESTIONS = 1.0, 20


def borrowers(number: int) -> tuple[pa.Table, Any]:
    """Real loans of several lenders, each its own public key, and secret coins: which of them are this lender's."""
    loans = pa.concat_tables([t["loans"] for t in workshop.lending_club().values() if "loans" in t]).slice(0, number)
    secret = np.random.default_rng(8).integers(0, 2, number)
    known = loans.append_column("loan", pa.array(np.arange(number)))
    mine = known.filter(pa.array(secret == 1)).append_column("one", pa.array(np.ones(secret.sum(), np.int64)))
    return mine, secret


def told(coins: int, budget: float, each: float) -> tuple[float, int]:
    """Which share of the coins an analyst guesses, and by how many answers, each of which costs `each`."""
    mine, secret = borrowers(coins)
    grant = ps.Grant(table="t", columns={"*": "DP release", "rows": "DP release"}, max_epsilon=10.0)
    policy, allowed = ps.Policy(operations=("*",), grants=(grant,)), ps.Budget(epsilon=budget, exact=0)
    with ps.embedded(lender=mine, table="t", store=None, policy=policy, budget=allowed, quiet=True) as fed:
        t, keys = fed["lender"]["t"], list(range(coins))
        by: dict[str, Any] = {"epsilon": each, "by": "loan", "keys": keys}
        edges = [key - 0.5 for key in range(coins + 1)]
        disguises = [
            lambda: dp.count(t, **by).release().value["count"].to_numpy(),
            lambda: dp.sum(t, "one", bounds=(0, 1), **by).release().value["sum"].to_numpy(),
            lambda: dp.sum(t, "one", bounds=(-1, 1), **by).release().value["sum"].to_numpy(),
            lambda: dp.count(t, **by | {"keys": keys[::-1]}).release().value["count"].to_numpy()[::-1],
            lambda: dp.histogram(t, "loan", edges=edges, epsilon=each).release().value["count"].to_numpy(),
        ]
        mean, answers = averaged(disguises, QUESTIONS)
    return float(((mean > 0.5) == secret).mean()), answers


@pytest.mark.claim(
    "attacks: answers with noise, averaged however often and in whatever words, tell what their budget lets"
)
@pytest.mark.attack("the same DP question again and again, and in five disguises, averaged")
def test_noise_is_not_averaged_away(cases: Cases) -> None:
    before, answers = told(400, budget=1000.0, each=2 * EPSILON)
    assert answers == QUESTIONS
    assert before > 0.98
    bound, gained = guessed(EPSILON), list[str]()
    for asked, coins in ((1, 3200), (10, 400)):
        share, answers = told(coins, budget=EPSILON, each=EPSILON / asked)
        assert answers == asked
        assert share <= bound + 4 * np.sqrt(bound * (1 - bound) / coins)
        gained.append(f"{share:.1%} of {coins:,} in {answers}")
        cases(coins)
    error = np.sqrt(bound * (1 - bound) / 3200)
    cases.gains(
        " or ".join(gained),
        before=f"{before:.0%} of 400 coins in {QUESTIONS} answers",
        bound=f"{bound:.1%} by epsilon {EPSILON:g}; of 3,200 coins a share is off by {error:.1%}",
    )


def test_a_larger_answer_than_granted_is_no_way_round() -> None:
    with pytest.raises(PolicyRefused):
        told(400, budget=1000.0, each=20.0)
