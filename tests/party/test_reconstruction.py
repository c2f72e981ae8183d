"""An attack that rebuilds an owner's rows from sums by labels of its partner's making: what is left of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi
from privsdk.errors import DifferencingRefused, PolicyRefused
from privsdk.party.differencing.disclosed import Disclosed
from privsdk.party.differencing.history import Admission

PEOPLE, QUESTIONS, K = 60, 20, 10
CLAIM = pytest.mark.claim("attacks: sums by labels of a partner's making rebuild none of an owner's values")
PHONE = {"phone": "join key", "debt": "aggregate"}


def labels(rng: np.random.Generator) -> dict[str, Any]:
    """Every question is by five groups of twelve people, drawn anew."""
    return {f"g{q}": rng.permutation(np.repeat(np.arange(5), PEOPLE // 5)) for q in range(QUESTIONS)}


def rebuilt(columns: dict[str, Any]) -> int:
    """How many people's debts the sums give to whoever solves for them."""
    rng = np.random.default_rng(3)
    phones, debt, of = np.arange(1000, 1000 + PEOPLE), rng.integers(0, 100_000, PEOPLE), labels(rng)
    tables = {
        "north": {"t": pa.table({"phone": phones, "debt": debt})},
        "south": {"t": pa.table({"phone": phones, **of})},
    }
    grant = ps.Grant(table="t", columns=columns, min_count=K)  # type: ignore[arg-type]
    policy = {
        "north": ps.Policy(operations=("psi.join", "aggregate"), grants=(grant,)),
        "south": ps.Policy(
            operations=("*",), grants=(ps.Grant(table="t", columns={"*": ("join key", "group key", "payload")}),)
        ),
    }
    budget = ps.Budget(epsilon=0, exact=100)
    rows, sums, refused = [np.zeros(PEOPLE)], [0.0], 0
    with ps.embedded(tables, store=None, quiet=True, policy=policy, budget=budget) as fed:
        joint = psi.join(fed["south"]["t"], fed["north"]["t"], on="phone").release().value
        for name, group in of.items():
            try:
                answer = joint["north"].sum("debt", by=f"south.{name}").release().value
            except DifferencingRefused:
                refused += 1
                continue
            for label, total in zip(answer[f"south.{name}"].to_pylist(), answer["sum"].to_pylist(), strict=True):
                rows.append((group == label).astype(float))
                sums.append(total)
    found = np.linalg.lstsq(np.array(rows), np.array(sums), rcond=None)[0]
    assert refused < QUESTIONS
    return int((np.rint(found) == debt).sum())


@CLAIM
@pytest.mark.attack("sums by labels of a partner's making, solved for rows", "60 rows of 60", "none")
def test_rows_are_not_rebuilt(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    granted = {**PHONE, "rows": "group key"}
    gained = rebuilt(granted)
    assert gained == 0
    monkeypatch.setattr(Disclosed, "screen", lambda *_: Admission.ADMITTED)
    assert rebuilt(granted) == PEOPLE
    cases(2)
    cases.gains(f"{gained} rows of {PEOPLE}")
    cases.say(f"{gained} of {PEOPLE} values, {PEOPLE} without the guard")


@CLAIM
def test_labels_of_a_partner_need_the_owners_consent(cases: Cases) -> None:
    with pytest.raises(PolicyRefused) as refused:
        rebuilt(PHONE)
    assert "t.rows as group key" in str(refused.value)
    assert refused.value.party == "north"
    cases()
