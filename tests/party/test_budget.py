"""Budgets: what is covered, what a refusal says, and accounting as dp-accounting does it."""

from __future__ import annotations

import math
import re
from collections import Counter

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from dp_accounting.dp_event import DiscreteLaplaceDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import given
from hypothesis import strategies as st

import privsdk as ps
from privsdk.errors import BudgetExceeded, InvalidArgument
from privsdk.governance.charges import Budget, Charge, Debit, DiscreteLaplace, Exact, Gaussian, ZeroConcentrated
from privsdk.party.budget.accounting import Account
from privsdk.party.budget.books import Books
from privsdk.party.budget.caps import Asking, Caps
from privsdk.party.budget_status import BudgetStatus
from privsdk.protocol.operation import Request

DELTA = 1e-6


def release(epsilon: float) -> DiscreteLaplace:
    return DiscreteLaplace(scale=1 / epsilon, sensitivity=1.0)


def directly(epsilons: list[float], delta: float) -> float:
    """What dp-accounting says of these releases, one `compose` each."""
    accountant = PLDAccountant()
    for epsilon in epsilons:
        accountant.compose(DiscreteLaplaceDpEvent(epsilon, 1))
    return float(accountant.get_epsilon(delta))


def composed_epsilon(charges: list[Charge], delta: float) -> float:
    return Account(Counter(charges)).epsilon(delta)


def position(budget: Budget, existing: list[Charge], *, name: tuple[str, str] = ("north", "people")) -> Caps:
    status, account = BudgetStatus(budget=budget, configured=budget), Account(Counter(existing))
    return Caps(*name, status, Asking("ann", "study"), lambda scope: account, 0)


def check(party: str, dataset: str, budget: Budget, existing: list[Charge], new: list[Charge]) -> None:
    position(budget, existing, name=(party, dataset)).check(Counter(new))


def covered(budget: Budget, existing: list[Charge], new: list[Charge]) -> bool:
    try:
        check("north", "people", budget, existing, new)
    except BudgetExceeded:
        return False
    return True


@pytest.mark.parametrize(
    "epsilons",
    [
        [0.1] * 2,
        [0.05] * 30,
        [0.01] * 200,
        [0.1, 0.2, 0.3, 0.25],
        [1.0, 0.01, 0.01, 0.5, 2.0],
        [0.02] * 50 + [0.3] * 3 + [1.5],
    ],
)
@pytest.mark.parametrize("delta", [1e-9, DELTA, 1e-3])
def test_composition_equals_dp_accounting_called_directly(epsilons: list[float], delta: float) -> None:
    composed = composed_epsilon([*map(release, epsilons), Exact(what="sum", uses=5)], delta)
    assert composed == pytest.approx(min(sum(epsilons), directly(epsilons, delta)), rel=1e-6)


@given(st.lists(st.floats(min_value=0.01, max_value=2.0), max_size=6), st.sampled_from([1e-9, DELTA, 1e-3]))
def test_composition_is_never_above_plain_addition(epsilons: list[float], delta: float) -> None:
    composed = composed_epsilon([*map(release, epsilons)], delta)
    assert 0 <= composed <= sum(epsilons) * (1 + 1e-12)


@given(st.floats(min_value=0.01, max_value=1.0), st.integers(2, 40), st.sampled_from([1e-9, DELTA, 1e-3]))
def test_composition_is_an_upper_bound_on_the_exact_loss(epsilon: float, times: int, delta: float) -> None:
    # A count's discrete Laplace loss is +-epsilon, as of randomised response: k releases have a binomial loss, and
    # delta(e) = E[max(0, 1 - exp(e - loss))] (Kairouz, Oh, Viswanath, ICML 2015).
    composed, p = composed_epsilon([release(epsilon)] * times, delta), 1 / (1 + math.exp(-epsilon))
    exact = math.fsum(
        math.comb(times, j) * p**j * (1 - p) ** (times - j) * -math.expm1(composed - (2 * j - times) * epsilon)
        for j in range(times + 1)
        if (2 * j - times) * epsilon > composed
    )
    assert exact <= delta * (1 + 1e-6)


def test_composition_gains_where_there_are_many_releases() -> None:
    many = [0.01] * 1000
    assert composed_epsilon([*map(release, many)], DELTA) < 0.2 * sum(many)


def test_one_release_is_priced_at_its_epsilon_and_order_does_not_matter() -> None:
    assert composed_epsilon([release(0.3)], 0.5) == pytest.approx(0.3)
    assert composed_epsilon([], DELTA) == 0
    mixed = [release(0.1), release(0.7), release(0.1)]
    assert composed_epsilon(mixed, DELTA) == composed_epsilon(mixed[::-1], DELTA)


def test_a_larger_delta_leaves_more() -> None:
    charges: list[Charge] = [release(0.1)] * 50
    left = [position(Budget(epsilon=5, delta=delta), charges).balance().epsilon_left for delta in (1e-9, 1e-6, 1e-3)]
    assert left == sorted(left)
    assert left[0] < left[-1]


def test_the_exact_allowance_is_counted_in_uses() -> None:
    budget, used = Budget(exact=10), [Exact(what="psi.join"), Exact(what="model rounds", uses=6)]
    assert Account(Counter([*used, release(0.1)])).exact == 7
    assert covered(budget, used, [Exact(what="he.sum", uses=3)])
    with pytest.raises(BudgetExceeded, match=r"has 3 of 10 exact disclosures left, this needs 5 \(short by 2\)"):
        check("north", "people", budget, used, [Exact(what="a", uses=4), Exact(what="b")])


def test_a_refusal_prints_what_was_asked_what_is_left_and_the_difference() -> None:
    with pytest.raises(BudgetExceeded) as refused:
        check("hospital", "patients", Budget(epsilon=1.0, delta=DELTA), [release(0.7)], [release(0.5)])
    found = re.fullmatch(
        r"hospital/patients has epsilon ([\d.]+) left of 1 at delta 1e-06, this needs ([\d.]+) \(short by ([\d.]+)\)",
        refused.value.message,
    )
    assert found
    left, needs, short = map(float, found.groups())
    assert left == pytest.approx(0.3)
    assert needs == pytest.approx(0.5, abs=1e-3)
    assert short == pytest.approx(needs - left, abs=2e-3)
    assert "the largest request that would pass now: epsilon 0.299" in refused.value.hint


def test_the_cap_can_be_spent_to_its_end_and_no_further() -> None:
    budget = Budget(epsilon=0.5, delta=DELTA)
    assert covered(budget, [], [release(0.5)])
    assert not covered(budget, [], [release(math.nextafter(0.5, 1) * 1.00001)])
    assert not covered(budget, [release(0.5)], [release(1e-3)])


def test_the_two_currencies_do_not_mix() -> None:
    budget = Budget(epsilon=0.5, delta=DELTA, exact=1)
    spent: list[Charge] = [release(0.5), Exact(what="psi.join")]
    assert not covered(budget, spent, [release(0.1)])
    assert not covered(budget, spent, [Exact(what="psi.join")])
    assert covered(budget, spent[:1], [Exact(what="psi.join")])
    assert covered(budget, spent[1:], [release(0.5)])


@given(st.floats(min_value=1e-9, max_value=10), st.integers(1, 20))
def test_nothing_fits_a_zero_budget(epsilon: float, uses: int) -> None:
    nothing = Budget(epsilon=0, exact=0)
    assert not covered(nothing, [], [release(epsilon)])
    assert not covered(nothing, [], [Exact(what="psi.join", uses=uses)])
    assert covered(nothing, [], [])


@pytest.mark.parametrize("epsilon", [1e-12, 1e-3, 1.0])
def test_a_budget_that_was_lowered_below_what_is_spent_grants_nothing(epsilon: float) -> None:
    for delta in (DELTA, 1e-2):  # at a large delta two releases may compose to less than the first alone
        assert not covered(Budget(epsilon=0.5, delta=delta), [release(0.8)], [release(epsilon)])
    assert not covered(Budget(exact=2), [Exact(what="psi.join", uses=5)], [Exact(what="psi.join")])


def test_a_federation_with_a_zero_budget_answers_nothing_and_says_why() -> None:
    people = pa.table({"x": list(range(100))})
    with ps.embedded(north=people, store=None, budget=Budget(epsilon=0, exact=0), quiet=True) as fed:
        plan = ps.dp.count(fed["north"]["table"], epsilon=0.1)
        assert not plan.preview().allowed
        with pytest.raises(BudgetExceeded, match=r"epsilon 0 left of 0 .* this needs 0\.1 \(short by 0\.1\)"):
            plan.release()
        (balance_now,) = fed.budgets()["north"]
        assert (balance_now.epsilon_spent, balance_now.exact_spent) == (0, 0)


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag="unknown"):
    """A kind of charge that was added without saying what it comes to."""

    epsilon: float = 5.0
    delta: float = 0.0


@pytest.mark.claim("budgets: a kind of charge that no accountant knows is refused, beside every other and alone")
@pytest.mark.parametrize(
    "others", [[], [release(0.1)], [Gaussian(noise_multiplier=9.0)], [ZeroConcentrated(rho=1e-4)], [Exact(what="a")]]
)
def test_a_kind_of_charge_that_is_not_known_is_never_free(others: list[Charge], cases: Cases) -> None:
    budget = Budget(epsilon=100.0, exact=100, delta=DELTA)
    new = Counter([Unknown(), *others])
    assert covered(budget, [], others)
    for existing, charges in (
        ([], new),
        (others, Counter([Unknown()])),
        ([Unknown(), *others], Counter([release(0.1)])),
    ):
        for ask in (Caps.check, Caps.covers, Caps.queries_left, Caps.balance):
            with pytest.raises(AssertionError, match="unreachable"):
                ask(position(budget, existing), charges)
            cases()


def test_a_reservation_of_an_unknown_charge_writes_nothing() -> None:
    tables = {"people": "people"}
    books = Books("north", None, budgets={"people": Budget(epsilon=9.0)}, datasets=tables)
    before = books.head()
    request = Request(
        run_id="r", operation="x", caller="ann", purpose="p", parties=("north",), operands={}, parameters={}
    )
    with pytest.raises(AssertionError, match="unreachable"):
        books.reserve("ann", request, [Debit(table="people", charge=Unknown())])
    assert books.known("r") is None
    assert books.head() == before
    books.close()


@pytest.mark.parametrize("uses", [0, -3])
def test_an_exact_disclosure_costs_at_least_one(uses: int) -> None:
    with pytest.raises(InvalidArgument, match=f"a charge of {uses} exact disclosures"):
        Exact(what="a count", uses=uses)
