"""The limits below a cap: for analysts, purposes and windows of time; and clocks that are set back."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import msgspec
import pytest
from claims import Cases

from privsdk.errors import BudgetExceeded
from privsdk.governance.charges import Budget, Charge, Debit, DiscreteLaplace, Exact, Limit
from privsdk.party.budget.accounting import Account
from privsdk.party.budget.books import Books
from privsdk.party.budget.caps import Asking
from privsdk.party.ledger import database
from privsdk.party.ledger.verification import read_ledger
from privsdk.protocol.operation import Request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """The ledger's clock, to be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = NOON
        monkeypatch.setattr(database, "_clock", lambda: self.time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


ids = count()
Made = tuple[str, str, datetime, Charge]


def spend(books: Books, analyst: str, purpose: str, charge: Charge) -> None:
    request = Request(
        run_id=f"r{next(ids)}",
        operation="race",
        caller=analyst,
        purpose=purpose,
        parties=("north",),
        operands={},
        parameters={},
    )
    books.reserve(analyst, request, [Debit(table="people", charge=charge)])


def open_books(path: Path | None, *limits: Limit, **budget: float) -> Books:
    return Books(
        "north",
        path,
        budgets={"*": Budget(**{"exact": 100, "epsilon": 10, **budget}, limits=limits)},
        datasets={"people": "people"},
    )


ONE = Exact(what="sum")


def test_each_analyst_has_a_limit_and_all_together_the_cap() -> None:
    with closing(open_books(None, Limit(analyst="*", exact=3), exact=5)) as books:
        for _ in range(3):
            spend(books, "ann", "study", ONE)
        with pytest.raises(BudgetExceeded, match=r"0 of 3 exact disclosures left under its limit for each analyst"):
            spend(books, "ann", "billing", ONE)
        for _ in range(2):
            spend(books, "bob", "study", ONE)
        with pytest.raises(BudgetExceeded, match=r"has 0 of 5 exact disclosures left, this needs 1 \(short by 1\)"):
            spend(books, "cid", "study", ONE)


def test_a_limit_for_one_name_does_not_hold_for_others() -> None:
    with closing(open_books(None, Limit(analyst="ann", purpose="billing", exact=1))) as books:
        spend(books, "ann", "billing", ONE)
        with pytest.raises(BudgetExceeded, match="under its limit for analyst ann, purpose billing"):
            spend(books, "ann", "billing", ONE)
        spend(books, "ann", "study", ONE)
        spend(books, "bob", "billing", ONE)
        shown = books.balances(Asking("ann", "billing"))[0].limits
        assert [balance.exact_spent for balance in shown] == [1]
        assert books.balances(Asking("bob", "billing"))[0].limits == ()


def test_a_purpose_may_be_limited_over_all_analysts() -> None:
    with closing(open_books(None, Limit(purpose="*", exact=2))) as books:
        spend(books, "ann", "study", ONE)
        spend(books, "bob", "study", ONE)
        with pytest.raises(BudgetExceeded, match="under its limit for each purpose"):
            spend(books, "cid", "study", ONE)
        spend(books, "cid", "billing", ONE)


def test_a_window_opens_again_and_the_lifetime_stays(clock: Clock) -> None:
    with closing(open_books(None, Limit(days=7, epsilon=0.5), epsilon=1.2)) as books:
        half = DiscreteLaplace(scale=2.0, sensitivity=1.0)
        spend(books, "ann", "study", half)
        with pytest.raises(BudgetExceeded, match="under its limit for 7 days") as refused:
            spend(books, "ann", "study", half)
        assert "no such request would pass now" in refused.value.hint
        clock.time += timedelta(days=6.9)
        with pytest.raises(BudgetExceeded, match="7 days"):
            spend(books, "ann", "study", half)
        clock.time += timedelta(days=0.2)
        smaller = DiscreteLaplace(scale=3.0, sensitivity=1.0)
        spend(books, "ann", "study", smaller)
        balance = books.balances(Asking("ann", "study"))[0]
        assert balance.limits[0].epsilon_spent == pytest.approx(1 / 3)
        assert balance.epsilon_spent == balance.epsilon_lifetime > 0.8
        clock.time += timedelta(days=400)
        with pytest.raises(BudgetExceeded, match=r"epsilon 0\.\d+ left of 1\.2"):  # the cap knows no window
            spend(books, "ann", "study", half)


@pytest.mark.claim("clock set back: no window opens again, and the audit names it")
def test_a_clock_that_is_set_back_opens_nothing(tmp_path: Path, clock: Clock, cases: Cases) -> None:
    path = tmp_path / "north.sqlite"
    for back in (timedelta(hours=1), timedelta(days=8), timedelta(days=4000)):
        clock.time = NOON + timedelta(days=20) * (cases.tried + 1)
        with closing(open_books(path, Limit(days=7, exact=1))) as books:
            spend(books, "ann", "study", ONE)
            clock.time -= back
            with pytest.raises(BudgetExceeded, match="under its limit for 7 days"):
                spend(books, "ann", "study", ONE)
        with closing(open_books(path, Limit(days=7, exact=1))) as books:  # a restart does not help
            with pytest.raises(BudgetExceeded, match="under its limit for 7 days"):
                spend(books, "ann", "study", ONE)
            spend(books, "ann", "study", DiscreteLaplace(scale=100.0, sensitivity=1.0))
        rows = [msgspec.json.decode(row.body) for row in read_ledger(path).rows]
        assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
        assert rows[-1]["clock_set_back_to"] == clock.time.isoformat(timespec="microseconds")
        cases()


def test_the_check_fails_for_a_ledger_that_trusts_its_clock(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.Database, "now", lambda self: clock.time)
    with closing(open_books(tmp_path / "north.sqlite", Limit(days=7, exact=1))) as books:
        clock.time -= timedelta(days=8)
        spend(books, "ann", "study", ONE)
        clock.time += timedelta(days=8)
        spend(books, "ann", "study", ONE)  # the first charge was dated outside of the window


@pytest.mark.claim("limits: any order of charges is granted exactly where the cap and every limit cover it")
def test_random_charges_against_every_limit(tmp_path: Path, clock: Clock, cases: Cases, soak: bool) -> None:
    """Against a plain list of charges, composed anew for every decision."""
    rng = random.Random(8)
    limits = (
        Limit(analyst="*", epsilon=0.6, exact=6),
        Limit(purpose="*", days=3, exact=5),
        Limit(analyst="ann", purpose="study", epsilon=0.3),
        Limit(days=10, epsilon=0.7),
    )
    budget = Budget(epsilon=1.5, exact=20, limits=limits)
    for n in range(20 if soak else 3):
        clock.time, made = NOON, list[Made]()
        with closing(open_books(tmp_path / f"{n}.sqlite", *limits, epsilon=1.5, exact=20)) as books:
            for _ in range(60):
                clock.time += timedelta(days=rng.expovariate(2))
                analyst, purpose = rng.choice(["ann", "bob", "cid"]), rng.choice(["study", "billing"])
                charge: Charge = ONE
                if rng.random() < 0.6:
                    charge = DiscreteLaplace(scale=rng.choice([5.0, 10.0, rng.uniform(4, 30)]), sensitivity=1.0)
                due = all(
                    (limit.epsilon is None or isinstance(charge, Exact) or within(limit.epsilon, counted, budget.delta))
                    and (limit.exact is None or not isinstance(charge, Exact) or uses(counted) <= limit.exact)
                    for limit, counted in counting(budget, made, analyst, purpose, clock.time, charge)
                )
                try:
                    spend(books, analyst, purpose, charge)
                    granted = True
                    made.append((analyst, purpose, clock.time, charge))
                except BudgetExceeded:
                    granted = False
                assert granted is due
                cases()
        assert len(made) < 60, "some were refused"


def counting(
    budget: Budget,
    made: list[tuple[str, str, datetime, Charge]],
    analyst: str,
    purpose: str,
    now: datetime,
    new: Charge,
) -> list[tuple[Limit, list[Charge]]]:
    """For the cap and each limit that concerns this caller, the charges that count against it, the new one included."""
    whole = Limit(epsilon=budget.epsilon, exact=budget.exact)
    found = []
    for limit in (whole, *budget.limits):
        if limit.analyst not in ("", "*", analyst) or limit.purpose not in ("", "*", purpose):
            continue
        counted = [
            charge
            for who, why, at, charge in made
            if (not limit.analyst or who == analyst)
            and (not limit.purpose or why == purpose)
            and (not limit.days or at > now - timedelta(days=limit.days))
        ]
        found.append((limit, [*counted, new]))
    return found


def within(epsilon: float, charges: list[Charge], delta: float) -> bool:
    return Account(Counter(charges)).epsilon(delta) <= epsilon * (1 + 1e-9)


def uses(charges: list[Charge]) -> int:
    return sum(charge.uses for charge in charges if isinstance(charge, Exact))
