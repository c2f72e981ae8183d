"""A partner that enters guesses in place of its customers' keys: M. Ion et al., "On Deploying Secure Computation",
EuroS&P 2020, section 5, on what intersections leave to a party that chooses its input; J. Hagen et al., "All the
Numbers are US", NDSS 2021, section III, on enumerating the telephone numbers of a whole exchange.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi, workshop
from privsdk.errors import BudgetExceeded, DataError

GUESSES, LARGEST, ALLOWANCE = 10_000, 1_000, 4


def passengers() -> set[int]:
    """The invented telephone numbers of one train company's passengers, all of one exchange of 10,000."""
    phones = workshop.tourism()["RAIL"]["trips"]["phone"].drop_null().to_pylist()
    return {int(phone.replace(" ", "")) for phone in phones}


def join(held: set[int], guesses: Any, folder: Path, grant: ps.Grant, allowance: int) -> set[int]:
    """The owner's keys that a partner's side of one join finds among its guesses."""
    tables = {"owner": {"t": pa.table({"phone": sorted(held)})}, "partner": {"t": pa.table({"phone": guesses})}}
    policy = {"owner": ps.Policy(operations=("psi.join",), grants=(grant,))}
    budget = {"owner": ps.Budget(exact=allowance), "partner": ps.Budget(exact=10_000)}
    with ps.embedded(tables, store=folder, policy=policy, budget=budget, caller="partner", quiet=True) as fed:
        psi.join(fed["partner"]["t"], fed["owner"]["t"], on="phone").release()
        (joint,) = fed._link._endpoints["partner"]._joints._held.values()  # type: ignore[attr-defined]
        return set(guesses[joint.alignment.rows].tolist())


def probed(held: set[int], guesses: Any, folder: Path, grant: ps.Grant, allowance: int) -> set[int]:
    """The same of all joins that the owner lets it ask, each with as many guesses as it may enter."""
    most = min(grant.most_partner_keys or len(guesses), int((grant.most_keys_ratio or len(guesses)) * len(held)))
    known: set[int] = set()
    for at in range(0, len(guesses), most):
        try:
            known |= join(held, guesses[at : at + most], folder, grant, allowance)
        except BudgetExceeded:
            break
    return known


@pytest.mark.claim("attacks: a partner that enters guesses finds no more keys than it may enter, and joins it may ask")
@pytest.mark.attack("a partner enters every telephone number of an exchange as its customers'")
@pytest.mark.parametrize("bounds", [{"most_partner_keys": LARGEST}, {"most_keys_ratio": 0.25}])
def test_a_dictionary_is_as_long_as_the_owner_lets_it(bounds: dict[str, Any], tmp_path: Path, cases: Cases) -> None:
    held = passengers()
    guesses = np.random.default_rng(1).permutation(np.arange(GUESSES) + workshop.EXCHANGE)
    open_grant = ps.Grant(table="t", columns={"phone": "join key"})
    before = probed(held, guesses, tmp_path / "open", open_grant, 100)
    assert before == held
    grant = ps.Grant(table="t", columns={"phone": "join key"}, **bounds)
    most = bounds.get("most_partner_keys") or int(bounds["most_keys_ratio"] * len(held))
    found = probed(held, guesses, tmp_path / "bounded", grant, ALLOWANCE)
    entered = set(guesses[: most * ALLOWANCE].tolist())
    assert found == held & entered
    assert len(found) < len(held) / 2
    with pytest.raises(DataError, match="lets a partner bring"):
        join(held, guesses[: most + 1], tmp_path / "more", grant, ALLOWANCE)
    cases(2)
    cases.gains(
        f"{len(found):,} keys of {len(held):,}",
        before=f"{len(before):,} keys of {len(held):,}",
        bound=f"those of {ALLOWANCE} joins with {most:,} guesses of {GUESSES:,}",
    )
