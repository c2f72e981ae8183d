"""A member that is caller and partner multiplies a column with many of its own, and solves for its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi
from privsdk.errors import DifferencingRefused
from privsdk.governance.policy import Disclosure
from privsdk.party.budget import bits

PEOPLE, COLUMNS = 160, 32


def solved(seed: int) -> tuple[float, int]:
    """Which share of a partner's flags it gets right, and from how many equations: covariances with its own columns."""
    rng = np.random.default_rng(seed)
    flags, own = rng.permutation(PEOPLE) % 2 == 0, rng.integers(0, 2, (PEOPLE, 6 * COLUMNS))
    ids = pa.array(range(PEOPLE))
    tables: dict[str, Any] = {
        "bank": {"t": pa.table({"id": ids, **{f"r{i}": pa.array(own[:, i]) for i in range(own.shape[1])}})},
        "shop": {"t": pa.table({"id": ids, "flag": pa.array(flags)})},
    }
    grant = ps.Grant(table="*", columns={"*": tuple(Disclosure)}, max_epsilon=1.0)
    policy, budget = ps.Policy(operations=("*",), grants=(grant,), min_parties=1), ps.Budget(exact=10_000)
    rows, totals, asked = list[Any](), list[float](), 0
    with ps.embedded(tables, store=None, quiet=True, policy=policy, budget=budget, caller="bank") as fed:
        joint = psi.join(fed["bank"]["t"], fed["shop"]["t"], on="id").release().value
        for width in (COLUMNS,) * 6 + (1,) * 40:  # all at once where it is let, else one by one
            mine = [f"bank.r{i}" for i in range(asked, asked + width)]
            try:
                found = joint.covariance([*mine, "shop.flag"]).release().value
            except DifferencingRefused:
                continue
            centred = own[:, asked : asked + width] - own[:, asked : asked + width].mean(axis=0)
            rows += list(centred.T)
            totals += list(found.values[-1, :-1] * (PEOPLE - 1))
            asked += width
            if asked == own.shape[1]:
                break
    if not rows:
        return 0.5, 0
    guess = np.linalg.lstsq(np.array(rows), np.array(totals), rcond=None)[0]
    guess = guess + 0.5 - guess.mean()  # that half of them are set it may know
    return float(((guess > np.median(guess)) == flags).mean()), asked


@pytest.mark.claim("attacks: who multiplies with columns of its own does not solve for a partner's")
@pytest.mark.attack("linear algebra on products of a partner's flags with the attacker's own columns")
def test_a_column_is_not_solved_for(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr(bits, "SHARE", np.inf)
        before, equations = solved(0)
    assert before > 0.75
    assert equations == 6 * COLUMNS
    shares, most = list[float](), 0
    for seed in range(1, 13):
        share, equations = solved(seed)
        shares.append(share)
        most = max(most, equations)
        cases(PEOPLE)
    gained, error = float(np.mean(shares)), 0.5 / np.sqrt(12 * PEOPLE)
    assert most <= 2
    # An equation of m bits tells of n coin tosses no more than m bits do: a share q with n (1 - H(q)) <= m.
    bound = 0.65  # 80 of 160 bits would give 0.89; one of about 8 bits beyond its noise gives less than this
    assert gained <= bound + 4 * error
    cases.gains(
        f"{gained:.1%} of {PEOPLE} flags from at most {most} equation{'s' * (most != 1)}",
        before=f"{before:.0%} from {6 * COLUMNS} equations",
        bound="50% is guessing; half of the entropy is 89%",
    )
