"""Composition: as dp-accounting has it, warm or cold, on every kind of charge; and what a forecast says comes true."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count
from pathlib import Path

import pytest
from claims import Cases, Counts, lengthy
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from ledger_child import request

from privsdk.errors import BudgetExceeded
from privsdk.governance.charges import Budget, Charge, Debit, DiscreteLaplace, Exact, Gaussian, Limit, ZeroConcentrated
from privsdk.party.budget.accounting import Account, renyi_epsilon
from privsdk.party.budget.books import Books
from privsdk.party.budget.caps import Asking

DELTA = 1e-6
ANN = Asking("ann", "test")


def laplace(epsilon: float) -> DiscreteLaplace:
    return DiscreteLaplace(scale=1 / epsilon, sensitivity=1.0)


def event(charge: Charge) -> dp_event.DpEvent:
    """The charge as dp-accounting's own event, written down apart from the accountant under test."""
    match charge:
        case DiscreteLaplace(scale=scale, sensitivity=sensitivity):
            return dp_event.DiscreteLaplaceDpEvent(sensitivity / scale, 1)
        case Gaussian(noise_multiplier=noise, sampling_rate=1.0, steps=steps):
            return dp_event.SelfComposedDpEvent(dp_event.GaussianDpEvent(noise), steps)
        case Gaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps):
            sampled = dp_event.PoissonSampledDpEvent(rate, dp_event.GaussianDpEvent(noise))
            return dp_event.SelfComposedDpEvent(sampled, steps)
        case ZeroConcentrated(rho=rho):
            return dp_event.ZCDpEvent(rho)
        case Exact():
            return dp_event.NoOpDpEvent()


def directly(charges: list[Charge], delta: float) -> float:
    accountant = PLDAccountant()
    for charge in charges:
        accountant.compose(event(charge))
    return float(accountant.get_epsilon(delta))


def some(rng: random.Random, kinds: int = 3) -> Charge:
    """A charge of one of the kinds that have a privacy loss distribution, or an exact one."""
    made: tuple[Charge, ...] = (
        laplace(rng.choice([0.05, 0.1, rng.uniform(0.02, 0.8)])),
        Gaussian(noise_multiplier=rng.choice([4.0, 8.0, rng.uniform(3, 20)])),
        Gaussian(
            noise_multiplier=rng.uniform(0.8, 3), sampling_rate=rng.uniform(0.005, 0.05), steps=rng.randint(1, 50)
        ),
        Exact(what="psi.join", uses=rng.randint(1, 5)),
    )
    return made[rng.randrange(kinds + 1)]


@pytest.mark.claim("accounts: equal dp-accounting called directly, on mixed mechanisms, composed at once or one by one")
def test_mixed_accounts_equal_dp_accounting(cases: Cases, counts: Counts) -> None:
    rng = random.Random(3)
    for _ in range(counts(4, 10, 200)):
        charges = [some(rng) for _ in range(rng.randint(2, 8))]
        private = [c for c in charges if not isinstance(c, Exact)]
        pure = [c.epsilon for c in private if isinstance(c, DiscreteLaplace)]
        expected = directly(private, DELTA)
        if len(pure) == len(private):
            expected = min(expected, sum(pure))
        at_once, warm = Account(Counter(charges)), Account({})
        for charge in charges:
            warm = warm.plus({charge: 1})
            warm.within(1.0, DELTA)  # what a ledger does between: it warms the account
        for account in (at_once, warm):
            assert account.epsilon(DELTA) == pytest.approx(expected, rel=1e-5)
            assert account.within(expected * 1.0001 + 1e-9, DELTA)
            assert expected < 0.01 or not account.within(expected * 0.9999, DELTA)
            assert account.exact == sum(c.uses for c in charges if isinstance(c, Exact))
        cases(2)


def test_the_comparison_fails_for_the_continuous_laplace_event() -> None:
    """It puts less mass on the full loss than a count's discrete noise has, and would under-count."""
    accountant = PLDAccountant()
    accountant.compose(dp_event.LaplaceDpEvent(1 / 0.5), 50)
    assert Account({laplace(0.5): 50}).epsilon(DELTA) > accountant.get_epsilon(DELTA) * 1.001


@pytest.mark.parametrize(
    ("sigma", "epochs", "renyi", "losses"),
    [*lengthy((1.12, 60, 2.52, 2.31), (0.6, 30, 8.78, 7.69)), (1.2, 10, 0.93, 0.79)],
)
@pytest.mark.claim("accounts: the DP-SGD table of 60,000 rows, batches of 256, delta 1e-5, by RDP and by PLD")
def test_the_table_of_dp_sgd(sigma: float, epochs: int, renyi: float, losses: float, cases: Cases) -> None:
    training = Gaussian(noise_multiplier=sigma, sampling_rate=256 / 60_000, steps=epochs * 60_000 // 256)
    assert round(renyi_epsilon({training: 1}, 1e-5), 2) == renyi
    assert round(Account({training: 1}).epsilon(1e-5), 2) == losses
    cases(2)


def test_zcdp_is_composed_by_renyi_divergences() -> None:
    accountant = RdpAccountant()
    accountant.compose(dp_event.ZCDpEvent(0.01), 3)
    alone = Account({ZeroConcentrated(rho=0.01): 3})
    assert alone.epsilon(DELTA) == pytest.approx(min(accountant.get_epsilon(DELTA), accountant.get_epsilon(DELTA / 2)))


def test_zcdp_beside_others_is_the_smaller_of_two_bounds() -> None:
    mixed: Counter[Charge] = Counter({ZeroConcentrated(rho=0.02): 2, laplace(0.1): 4, Gaussian(noise_multiplier=5): 1})
    zcdp, renyi = RdpAccountant(), RdpAccountant()
    zcdp.compose(dp_event.ZCDpEvent(0.02), 2)
    apart = zcdp.get_epsilon(DELTA / 2) + directly([laplace(0.1)] * 4 + [Gaussian(noise_multiplier=5)], DELTA / 2)
    renyi.compose(dp_event.ZCDpEvent(0.02), 2).compose(dp_event.ZCDpEvent(0.1**2 / 2), 4)
    renyi.compose(dp_event.GaussianDpEvent(5.0))
    assert Account(mixed).epsilon(DELTA) == pytest.approx(min(apart, renyi.get_epsilon(DELTA)), rel=1e-5)
    assert Account(mixed).epsilon(DELTA) > directly([laplace(0.1)] * 4 + [Gaussian(noise_multiplier=5)], DELTA)


def budgets(rng: random.Random) -> Budget:
    limits = [
        Limit(analyst="*", epsilon=rng.uniform(0.3, 1.5), exact=rng.randint(5, 40)),
        Limit(purpose="test", exact=rng.randint(5, 40)),
        Limit(days=1, epsilon=rng.uniform(0.3, 2)),
    ]
    chosen = tuple(rng.sample(limits, rng.randint(0, 3)))
    return Budget(epsilon=rng.uniform(0.3, 2), delta=DELTA, exact=rng.randint(5, 60), limits=chosen)


@pytest.mark.claim("budgets: queries left are exactly those then granted; the largest request that would pass, passes")
def test_forecasts_come_true(tmp_path: Path, cases: Cases, counts: Counts) -> None:
    rng, ids = random.Random(5), count()
    for n in range(counts(12, 25, 200)):
        books = Books("north", tmp_path / f"{n}.sqlite", budgets={"*": budgets(rng)}, datasets={"people": "people"})
        for _ in range(rng.randint(0, 3)):  # something is spent already
            try:
                books.reserve(
                    "ann", request(f"r{next(ids)}"), [Debit(table="people", charge=laplace(rng.uniform(0.01, 0.1)))]
                )
            except BudgetExceeded:
                break
        price = [Debit(table="people", charge=laplace(rng.uniform(0.01, 0.15)))]
        if rng.random() < 0.5:
            price.append(Debit(table="people", charge=Exact(what="sum", uses=rng.randint(1, 3))))
        try:
            forecast = books.quote(ANN, [price]).datasets[0].queries_left
        except BudgetExceeded:
            forecast = 0
        for _ in range(forecast):
            books.reserve("ann", request(f"r{next(ids)}"), price)
        with pytest.raises(BudgetExceeded) as refused:
            books.reserve("ann", request(f"r{next(ids)}"), price)
        cases()
        if "would pass now: epsilon " in refused.value.hint:
            largest = float(refused.value.hint.split("would pass now: epsilon ")[1].split(";")[0])
            exact = [debit for debit in price if isinstance(debit.charge, Exact)]
            more = [Debit(table="people", charge=laplace(largest * 1.02)), *exact]
            with pytest.raises(BudgetExceeded):
                books.reserve("ann", request(f"r{next(ids)}"), more)
            books.reserve("ann", request(f"r{next(ids)}"), [Debit(table="people", charge=laplace(largest)), *exact])
            cases()
        books.close()


def test_several_plans_are_priced_together() -> None:
    books = Books("north", None, budgets={"*": Budget(epsilon=1.0)}, datasets={"people": "people"})
    each = [Debit(table="people", charge=laplace(0.3))]
    quoted = books.quote(ANN, [each, each]).datasets[0]
    assert quoted.after.epsilon_spent == pytest.approx(directly([laplace(0.3)] * 2, DELTA), rel=1e-5)
    assert quoted.now.epsilon_spent == 0
    assert quoted.queries_left == 1  # both of them once, not twice
    with pytest.raises(BudgetExceeded):
        books.quote(ANN, [each] * 4)
    books.close()


@pytest.mark.parametrize("small", [1e-9, 4.9e-5])
def test_many_tiny_releases_cost_all_no_more_than_whoever_makes_them(small: float) -> None:
    """A grid of losses rounds each up: 10,000 of epsilon 1e-9 took 0.5 from everyone, under a limit of 1e-5 for one."""
    others = Account(Counter({DiscreteLaplace(scale=10, sensitivity=1): 100}))
    tiny = Counter({DiscreteLaplace(scale=1 / small, sensitivity=1): 10_000})
    both, before = others.plus(tiny), others.epsilon(1e-6)
    assert before <= both.epsilon(1e-6) <= before + Account(tiny).epsilon(1e-6) + 1e-9
    fresh = Account(others.tally + tiny)
    assert fresh.within(both.epsilon(1e-6), 1e-6)
    assert not Account(others.tally + tiny).within(both.epsilon(1e-6) * (1 - 1e-5), 1e-6)
    mixed = fresh.plus(Counter({ZeroConcentrated(rho=0.01): 1})).epsilon(1e-6)
    without = others.plus(Counter({ZeroConcentrated(rho=0.01): 1})).epsilon(1e-6)
    assert mixed <= without + Account(tiny).epsilon(1e-6) + 1e-9
    more = Counter({DiscreteLaplace(scale=20, sensitivity=1): 1})
    most = fresh.times(more, before + 1, 1e-6, 1000)
    assert fresh.plus(more, most).within(before + 1, 1e-6)
    assert not fresh.plus(more, most + 1).within(before + 1, 1e-6)


def test_a_forecast_of_mixed_prices_takes_few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where charges fit without any composition, their excess says nothing of where they end to fit."""
    trials = list[int]()
    within = Account.within

    def counted(account: Account, epsilon: float, delta: float) -> bool:
        trials.append(account.private.total())
        return within(account, epsilon, delta)

    monkeypatch.setattr(Account, "within", counted)
    for spent, price, epsilon in (((), (0.1, 0.5), 3), ((0.1, 0.1), (0.3,), 3), ((0.5, 0.7), (0.2, 0.05, 0.3), 10)):
        trials.clear()
        account, more = Account(Counter(map(laplace, spent))), Counter(map(laplace, price))
        found = account.times(more, epsilon, DELTA, 1000)
        assert len(trials) <= 12
        assert max(trials) <= 5 * found * len(price)
        assert within(account.plus(more, found), epsilon, DELTA)
        assert not within(account.plus(more, found + 1), epsilon, DELTA)
