"""Whether a dataset's cap and the limits below it cover a request, how many such requests they would, and what is left.

All figures come from the composition of the accounts, which are kept warm between requests: a remainder is never
divided by a price.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_FLOOR, Context
from typing import NamedTuple, assert_never

import msgspec

from ...errors import BudgetExceeded, DatasetFrozen, LedgerError
from ...errors.refusals import EpsilonExceeded, ExactExceeded, Frozen, RequestTooLarge
from ...governance.charges import (
    MOST_QUERIES,
    Balance,
    Charge,
    ColumnBits,
    DiscreteLaplace,
    Exact,
    Gaussian,
    Limit,
    LimitBalance,
    ZeroConcentrated,
)
from ...governance.prices import Figures
from ...protocol import effort
from ..budget_status import BudgetStatus
from ..ledger.ledger import Ledger
from .accounting import Account

_STEPS = 12  # of a bisection: the largest request that would pass, to three digits


class Asking(NamedTuple):
    """In whose name and for which purpose is asked; "" where it is not known."""

    analyst: str
    purpose: str


class Scope(NamedTuple):
    """Which of a dataset's charges count: those of an analyst, a purpose, the last days ("" and 0 for all), and of the
    time before a reset too where `lifetime` is set."""

    analyst: str = ""
    purpose: str = ""
    days: float = 0.0
    lifetime: bool = False


class Cap(NamedTuple):
    """A bound on what an account may amount to."""

    name: str
    epsilon: float | None
    exact: int | None
    account: Account

    def covers(self, more: Account, delta: float) -> bool:
        """Whether these charges still fit; a kind that they do not hold is not looked at."""
        if self.exact is not None and more.exact and self.account.exact + more.exact > self.exact:
            return False
        return self.epsilon is None or not more.private or self.account.plus(more.tally).within(self.epsilon, delta)


class Caps:
    """One dataset as one caller meets it: its budget status, and every cap with the account that counts against it.

    Parameters
    ----------
    party, dataset : str
    status : BudgetStatus
    asking : Asking
    account : function of Scope
        The charges that count, composed.
    reserved : int
        Runs that have reserved and not ended.
    held : Counter of charges
        What those are charged.
    """

    def __init__(
        self,
        party: str,
        dataset: str,
        status: BudgetStatus,
        asking: Asking,
        account: Callable[[Scope], Account],
        reserved: int,
        held: Counter[Charge] | None = None,
    ) -> None:
        self._name = f"{party}/{dataset}"
        self._dataset = dataset
        self._status = status
        self._reserved = reserved
        self._held = Account(held or Counter())
        budget = status.budget
        self._delta = budget.delta
        self._cap = Cap("", budget.epsilon, budget.exact, account(Scope()))
        self._limits: list[tuple[Limit, Cap]] = []
        for limit in budget.limits:
            if _concerns(limit, asking):
                analyst, purpose = asking.analyst if limit.analyst else "", asking.purpose if limit.purpose else ""
                under = account(Scope(analyst, purpose, limit.days))
                self._limits.append((limit, Cap(str(limit), limit.epsilon, limit.exact, under)))
        self._lifetime = account(Scope(lifetime=True)) if status.since else self._cap.account

    def check(self, charges: Counter[Charge], *, sized: bool = False, figures: Figures | None = None) -> None:
        """Raise DatasetFrozen or BudgetExceeded unless every cap covers these charges beside the existing ones.

        `sized` where they are of several requests, each with a size that was checked; `figures` of one, by which the
        error says what would pass.
        """
        more = Account(charges)
        if charges:
            self.refuse_frozen()
        if not sized:
            self.check_size(charges)
        for cap in self._all:
            if not cap.covers(more, self._delta):
                self._refuse(cap, more, figures)

    def refuse_frozen(self) -> None:
        """Raise DatasetFrozen where its owner has frozen it."""
        if self._status.frozen:
            raise DatasetFrozen(Frozen(dataset=self._name, why=self._status.frozen))

    def check_all(self, requests: Sequence[Counter[Charge]], figures: Figures | None = None) -> None:
        """`check` of several requests, one after the other; `figures` where it is one."""
        for charges in filter(None, requests):
            self.check_size(charges)
        self.check(sum(requests, start=Counter[Charge]()), sized=True, figures=figures)

    @property
    def sized(self) -> bool:
        """Whether the owner lets one request be of a certain size only."""
        return self._status.budget.max_epsilon is not None

    def check_size(self, charges: Counter[Charge]) -> None:
        """Raise BudgetExceeded where one request of these charges is larger than the owner lets one be."""
        more = Account(charges)
        if not self._small_enough(more):
            each, asked = self._status.budget.max_epsilon or 0.0, more.epsilon(self._delta)
            fitting = self._fitting(more)
            raise BudgetExceeded(RequestTooLarge(dataset=self._name, allowed=each, needed=asked, fitting=fitting))

    def covers(self, charges: Counter[Charge], *, sized: bool = False) -> bool:
        """Whether `check` would pass."""
        more = Account(charges)
        if self._status.frozen and charges:
            return False
        return (sized or self._small_enough(more)) and all(cap.covers(more, self._delta) for cap in self._all)

    def _small_enough(self, more: Account) -> bool:
        each = self._status.budget.max_epsilon
        return each is None or not more.private or more.within(each, self._delta)

    def price(self, charges: Counter[Charge]) -> float:
        """Composed epsilon of these charges alone, at the budget's delta."""
        return Account(charges).epsilon(self._delta)

    def queries_left(self, charges: Counter[Charge], *, sized: bool = False) -> int:
        """How many requests of exactly this price, one after the other, every cap would cover."""
        if not charges or not self.covers(charges, sized=sized):
            return 0
        more, most = Account(charges), MOST_QUERIES
        for cap in self._all:
            if cap.exact is not None and more.exact:
                most = min(most, (cap.exact - cap.account.exact) // more.exact)
        bounded = [(cap.epsilon, cap) for cap in self._all if cap.epsilon is not None and more.private]
        for epsilon, cap in sorted(bounded, key=lambda pair: pair[0]):  # the tightest first: it leaves least to try
            if most:
                most = cap.account.times(more.tally, epsilon, self._delta, most)
        return most

    def balance(self, charges: Counter[Charge] | None = None) -> Balance:
        """What is spent and left, these charges included."""
        more = Counter(charges or {})
        cap, lifetime = self._cap.account.plus(more), self._lifetime.plus(more)
        return Balance(
            dataset=self._dataset,
            budget=self._status.budget,
            epsilon_spent=cap.epsilon(self._delta),
            exact_spent=cap.exact,
            epsilon_lifetime=lifetime.epsilon(self._delta),
            exact_lifetime=lifetime.exact,
            reserved=self._reserved,
            epsilon_reserved=self._held.epsilon(self._delta) if self._held.private else 0.0,
            exact_reserved=self._held.exact,
            frozen=self._status.frozen,
            limits=tuple(
                LimitBalance(limit=limit, epsilon_spent=account.epsilon(self._delta), exact_spent=account.exact)
                for limit, account in ((limit, c.account.plus(more)) for limit, c in self._limits)
            ),
        )

    @property
    def _all(self) -> list[Cap]:
        return [self._cap, *(cap for _, cap in self._limits)]

    def _refuse(self, cap: Cap, more: Account, figures: Figures | None) -> None:
        uses = cap.account.exact + more.exact
        if cap.exact is not None and more.exact and uses > cap.exact:
            fitting = max(0, min(c.exact - c.account.exact for c in self._all if c.exact is not None))
            raise BudgetExceeded(
                ExactExceeded(
                    dataset=self._name,
                    left=cap.exact - cap.account.exact,
                    of=cap.exact,
                    needed=more.exact,
                    limit=cap.name,
                    fitting=fitting,
                    fitting_epsilon=self._fitting(more) if more.private else None,
                    levers=() if figures is None else figures.cheaper(fitting),
                    noise="" if figures is None else figures.noise,
                )
            )
        limit, before = cap.epsilon or 0.0, cap.account.epsilon(self._delta)
        raise BudgetExceeded(
            EpsilonExceeded(
                dataset=self._name,
                left=limit - before,
                of=limit,
                delta=self._delta,
                needed=cap.account.plus(more.tally).epsilon(self._delta) - before,
                limit=cap.name,
                fitting=self._fitting(more),
            )
        )

    def _fitting(self, more: Account) -> float:
        """The largest epsilon of this kind of request that would pass now."""
        low, high = 0.0, 1.0
        for _ in range(_STEPS):
            effort.check()
            middle = (low + high) / 2
            low, high = (middle, high) if self.covers(_scaled(more.tally, middle)) else (low, middle)
        three_digits = Context(prec=3, rounding=ROUND_FLOOR)
        return float(three_digits.create_decimal_from_float(more.epsilon(self._delta) * low))


def _concerns(limit: Limit, asking: Asking) -> bool:
    pairs = ((limit.analyst, asking.analyst), (limit.purpose, asking.purpose))
    return all(not wanted or (name and wanted in ("*", name)) for wanted, name in pairs)


def _scaled(tally: Counter[Charge], share: float) -> Counter[Charge]:
    """The same request at a smaller epsilon: more noise, the exact disclosures unchanged."""
    scaled: Counter[Charge] = Counter()
    for charge, n in tally.items():
        match charge:
            case DiscreteLaplace(scale=scale, sensitivity=sensitivity):
                scaled[DiscreteLaplace(scale=scale / share, sensitivity=sensitivity)] += n
            case Gaussian(noise_multiplier=noise):
                scaled[msgspec.structs.replace(charge, noise_multiplier=noise / share)] += n
            case ZeroConcentrated(rho=rho):
                scaled[msgspec.structs.replace(charge, rho=rho * share**2)] += n
            case Exact() | ColumnBits():
                scaled[charge] += n
            case _:
                assert_never(charge)
    return scaled


MOST_WARM = 64  # accounts kept: a purpose is whatever a caller says, and describing or quoting one is free


class Accounts:
    """Accounts over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._warm: dict[tuple[str, Scope], Account] = {}
        self._lock = threading.Lock()

    def of(self, dataset: str, asking: Asking) -> Caps:
        """The dataset's caps now; within a check of the ledger, at the moment of the reservation."""
        status, reserved = self.status(dataset), self._ledger.reserved(dataset)
        spent = self._ledger.spent(dataset, since=status.since)

        def account(scope: Scope) -> Account:
            if scope.lifetime:
                return self._account(dataset, scope, self._ledger.spent(dataset))
            if scope.days:
                return self._account(dataset, scope, self._ledger.spent(dataset, since=status.since, days=scope.days))
            return self._account(dataset, scope, spent)

        held = self._ledger.held(dataset, since=status.since) if reserved else Counter[Charge]()
        return Caps(self._ledger.party, dataset, status, asking, account, reserved, held)

    def account(self, dataset: str, scope: Scope) -> Account:
        """The charges of an analyst, a purpose or both since the last reset."""
        return self._account(dataset, scope, self._ledger.spent(dataset, since=self.status(dataset).since))

    def status(self, dataset: str) -> BudgetStatus:
        status = self._ledger.status(dataset)
        if status is None:
            known = ", ".join(self._ledger.datasets()) or "none"
            raise LedgerError(f"{self._ledger.party}'s ledger has no budget for {dataset!r}", hint=f"known: {known}")
        return status

    def _account(self, dataset: str, scope: Scope, spent: Mapping[tuple[str, str], Counter[Charge]]) -> Account:
        """The charges within a scope, composed; what was composed before is not composed again."""
        tally = Counter[Charge]()
        for (analyst, purpose), charges in spent.items():
            if scope.analyst in ("", analyst) and scope.purpose in ("", purpose):
                tally += charges
        with self._lock:
            known = self._warm.get((dataset, scope))
            same = next((account for account in self._warm.values() if account.tally == tally), None)
        if same is not None:  # as before, or as in another scope: one analyst's charges are often all there are
            account = same
        elif known is None or known.tally - tally:  # new, or charges left it: released, out of the window, reset
            account = Account(tally)
        else:
            account = known.plus(tally - known.tally)
        with self._lock:
            self._warm.pop((dataset, scope), None)
            self._warm[dataset, scope] = account
            while len(self._warm) > MOST_WARM:  # the one that was asked for longest ago
                del self._warm[next(iter(self._warm))]
        return account
