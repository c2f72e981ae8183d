"""One member, or as many as may collude, in every role of a pooled release: what they know leaves the charged noise.

A member knows what it draws and what it receives. Here the vector that each contributor gives into the sum is kept, and
with it its own noise; who sees the totals takes its own noise off them, and that of whoever colludes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from claims import Cases, Counts
from releasing import PARAMETERS, pooled, request_for
from test_noise import ALPHA, p_value

import privsdk as ps
from privsdk import dp
from privsdk.crypto.sums.base import Vector
from privsdk.dp.operation import NoisyRelease
from privsdk.errors import InvalidArgument
from privsdk.governance.learns import Caller, Coalition, Parties
from privsdk.protocol.operation import operation_of

CLAIM = pytest.mark.claim("dp: a caller, adder or key holder with its own share, or t of them, meets the charged noise")
NAMES = ("north", "south", "east", "west", "home")
SCALE = 20.0  # of a count at an epsilon of 0.05
Integers = npt.NDArray[np.int64]


def released(
    given_in: Mapping[str, Vector], contributors: int, times: int, **options: Any
) -> tuple[Integers, dict[str, Integers]]:
    """The noise in so many noisy counts, and each contributor's own."""
    names = NAMES[:contributors]
    frames = {name: pa.table({"g": list(range(times)) * (i + 1)}) for i, name in enumerate(names)}
    result = pooled(frames, "count", epsilon=1 / SCALE, by="g", keys=list(range(times)), **options)
    rows = {name: i + 1 for i, name in enumerate(names)}
    own = {name: given_in[name].astype(np.int64) - rows[name] for name in names}
    return result.noisy[0] - sum(rows.values()), own


def variance(shares: int, of: int = 1) -> float:
    ratio = math.exp(-1 / SCALE)
    return 2 * ratio / (1 - ratio) ** 2 * shares / of


def check_what_is_left(noise: Integers, own: Mapping[str, Integers], collusion: int) -> int:
    """Of every coalition of up to `collusion` contributors, the noise that it does not know."""
    coalitions = [c for size in range(collusion + 1) for c in itertools.combinations(own, size)]
    for coalition in coalitions:
        left = noise - sum((own[name] for name in coalition), np.zeros_like(noise))
        shares = len(own) - len(coalition)
        due = variance(shares, len(own) - collusion)
        assert due >= variance(1)
        assert abs(left.var() / due - 1) <= 6 * math.sqrt(5 / len(left))  # kurtosis is at most 6
        if len(coalition) == collusion:
            assert p_value(left, SCALE) > ALPHA
    return len(coalitions)


@CLAIM
@pytest.mark.parametrize(
    ("contributors", "collusion"), [(2, 1), (3, 1), (3, 2), (5, 1), (5, 2), (5, 4)], ids=lambda n: str(n)
)
def test_no_coalition_up_to_the_stated_one_takes_off_charged_noise(
    given_in: dict[str, Vector], contributors: int, collusion: int, cases: Cases, counts: Counts
) -> None:
    times = counts(2_000, 4_000, 20_000)
    options = {} if collusion == 1 else {"collusion": collusion}
    noise, own = released(given_in, contributors, times, **options)
    assert np.array_equal(noise, np.sum(list(own.values()), axis=0))
    for name in own:  # that anyone drew all of it, or nothing
        assert np.count_nonzero(own[name]) > times / 10
        assert np.count_nonzero(noise - own[name]) > times / 10
    cases(times * check_what_is_left(noise, own, collusion))


@CLAIM
def test_one_more_contributor_takes_off_what_is_stated(
    given_in: dict[str, Vector], cases: Cases, counts: Counts
) -> None:
    """So the coalition that is named is the smallest that matters, and what it is said to learn is what it learns."""
    times = counts(2_000, 4_000, 20_000)
    noise, own = released(given_in, 5, times, collusion=2)
    left = noise - own["north"] - own["west"] - own["home"]
    assert abs(left.var() / variance(2, 3) - 1) <= 6 * math.sqrt((3 + 3 * 3 / 2 - 1) / times)
    assert left.var() < variance(1)
    with pytest.raises(AssertionError):
        check_what_is_left(noise, own, 3)
    cases(times)


def test_the_adder_and_the_key_holder_see_each_contribution_with_its_share(given_in: dict[str, Vector]) -> None:
    """All of the noise where all others may collude, else a part."""
    for collusion, shares in ((4, 1), (1, 4)):
        _, own = released(given_in, 5, 3_000, collusion=collusion)
        for share in own.values():
            assert abs(share.var() / variance(1, shares) - 1) <= 6 * math.sqrt((2 + 3 * shares) / 3_000)


# Through a whole federation: whoever asks, subtracts what it drew, and rounds.

SECRET = np.random.default_rng(1).integers(0, 100, 200)
IDS = [f"c{i}" for i in range(len(SECRET))]
POLICY = ps.Policy(
    operations=("dp.sum",),
    grants=(ps.Grant(table="t", columns={"id": "DP release", "debt": "DP release"}, max_epsilon=0.01),),
    min_parties=3,
)
CALLERS = [
    *((caller, 1) for caller in ("owner", "adder", "notary", "analyst")),
    *((caller, others) for others in (2, 4) for caller in ("owner", "between", "adder", "notary", "analyst")),
]


@CLAIM
@pytest.mark.attack(
    "a caller that adds up a pooled DP release takes its noise off", "200 rows of 200", "0.02 rows by chance"
)
@pytest.mark.parametrize(("caller", "others"), CALLERS)
def test_rows_recovered_by_a_caller_in_any_role_are_what_chance_gives(
    given_in: dict[str, Vector], caller: str, others: int, cases: Cases
) -> None:
    """At epsilon 0.01 noise is 10,000 units wide: guessed right is one row of 200 in a hundred releases or fewer."""
    held: dict[str, Any] = {"owner": {"t": pa.table({"id": IDS, "debt": pa.array(SECRET)})}}
    names = ["between", "further", "another"][: others - 1]
    for name in (*names, "adder"):
        held[name] = {"t": pa.table({"id": IDS, "debt": pa.array(np.zeros(len(IDS), np.int64))})}
    tables, held = list(held), held | {"notary": {}}
    budget = ps.Budget(epsilon=1.0, exact=0)
    with ps.embedded(held, table="t", store=None, policy=POLICY, budget=budget, caller=caller, quiet=True) as fed:
        plan = dp.sum([fed[name]["t"] for name in tables], "debt", bounds=(0, 100), by="id", keys=IDS, epsilon=0.01)
        answer = plan.release().value["sum"].to_numpy()
    own = given_in[caller] - (SECRET if caller == "owner" else 0) if caller in tables else 0
    guessed = answer - own
    assert np.count_nonzero(guessed == SECRET) <= 2  # three by chance in one of 5 million releases
    assert np.sqrt(np.mean((guessed - SECRET).astype(float) ** 2)) > 10_000
    cases.gains(f"{np.count_nonzero(guessed == SECRET)} rows of {len(IDS)}")
    cases()


# What is said of it


@pytest.mark.parametrize("contributors", [2, 3, 5])
@pytest.mark.parametrize("caller", ["north", "last", "k", "analyst"])
def test_every_assignment_of_roles_states_its_smallest_coalition(contributors: int, caller: str) -> None:
    names = NAMES[:contributors]
    who = names[-1] if caller == "last" else caller
    for collusion in range(1, contributors):
        request = request_for("count", parties=(*names, "k"), epsilon=1.0, collusion=collusion)
        operation = operation_of(msgspec.structs.replace(request, caller=who))
        assert isinstance(operation, NoisyRelease)
        beyond = [
            item.who
            for item in operation.learns()
            if isinstance(item.who, Coalition) and item.who.members in ((who,), ("k",))
        ]
        if collusion == contributors - 1:  # only all of them are more, and they have all data
            assert beyond == []
            continue
        assert {coalition.members[0] for coalition in beyond} == {who, "k"}
        for coalition in beyond:
            within = coalition.members[0] in names
            assert coalition.any + within == collusion + 1
            assert set(coalition.of) == set(names) - set(coalition.members)
        assert any(item.who == Caller(who) for item in operation.learns())
        assert any(item.who == Parties(names) for item in operation.learns())


def test_every_dataset_is_charged_the_whole_noise_whatever_the_collusion() -> None:
    for statistic, parameters in PARAMETERS.items():
        prices = [
            operation_of(request_for(statistic, parties=(*NAMES, "k"), collusion=t, **parameters)).price()
            for t in (1, 2, 4)
        ]
        alone = operation_of(request_for(statistic, **parameters)).price()["north"]
        assert prices[0] == prices[1] == prices[2] == dict.fromkeys(NAMES, alone)


@pytest.mark.parametrize(("contributors", "collusion"), [(2, 2), (3, 3), (2, 0), (5, -1), (1, 2), (3, "1"), (3, 1.5)])
def test_a_collusion_that_leaves_no_noise_is_refused(contributors: int, collusion: Any) -> None:
    with pytest.raises(InvalidArgument, match="collusion"):
        operation_of(request_for("count", parties=(*NAMES[:contributors], "k"), epsilon=1.0, collusion=collusion))
    with pytest.raises(InvalidArgument, match="collusion"):
        operation_of(request_for("count", epsilon=1.0, collusion=2))


def test_a_request_without_it_is_one_with_a_collusion_of_one() -> None:
    """So were those that ledgers hold from before there was any."""
    request = request_for("mean", parties=("north", "south", "k"), **PARAMETERS["mean"])
    assert "collusion" not in request.parameters
    operation = operation_of(request)
    assert isinstance(operation, NoisyRelease)
    assert (operation.parameters.collusion, operation.shares, operation.shape) == (1, 1, 2)
