"""Hand-made calls of a caller with a valid certificate, owners' actions at the worst moment, and threads."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from house import House, prepare
from ledger_child import open_books, request, reserve
from test_limits import ONE, spend
from test_limits import open_books as open_limited

import privsdk as ps
from privsdk import dp, he
from privsdk.client.progress import Live
from privsdk.client.tables import new_request
from privsdk.errors import BudgetExceeded, DatasetFrozen, InvalidArgument, LedgerError, PolicyRefused
from privsdk.governance.charges import Budget, Charge, Debit, DiscreteLaplace, Limit, Unit
from privsdk.governance.events import Freeze, Reset, SetBudget
from privsdk.governance.prices import answers
from privsdk.party.budget import caps
from privsdk.party.budget.accounting import Account
from privsdk.party.budget.books import Books
from privsdk.party.budget.caps import Asking
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol import control
from privsdk.protocol.operation import Operand, Request

PEOPLE = pa.table({"x": list(range(50)), "g": ["a", "b"] * 25})


def noisy(house: House, epsilon: float = 0.1, **changes: Any) -> Request:
    asked = new_request(
        house.fed,
        "dp.count",
        parties=("south",),
        operands={"south": Operand(table="t", columns=())},
        parameters={"statistic": "count", "epsilon": epsilon},
    )
    return msgspec.structs.replace(asked, **changes)


@pytest.mark.parametrize(
    ("what", "name"), [("purpose", ""), ("purpose", "p" * 101), ("run_id", ""), ("run_id", "r" * 101)]
)
def test_purposes_and_run_ids_have_letters_and_not_many(house: House, what: str, name: str) -> None:
    """No purpose would be under no limit for each purpose; a long one would stay in the ledger for free."""
    forged = noisy(house, **{what: name})
    for call in (prepare(forged), control.Quote(requests=(forged,))):
        with pytest.raises(InvalidArgument, match=r"a (purpose|run id) of \d+ letters"):
            house.ask(call)
    assert house.gates["south"]._books.known(forged.run_id) is None


def test_a_ledger_with_a_large_request_opens_and_verifies(tmp_path: Path) -> None:
    keys = [f"{'k' * 50}{n}" for n in range(400)]
    with ps.embedded(north=PEOPLE, store=tmp_path, quiet=True) as fed:
        dp.count(fed["north"]["table"], epsilon=0.1, by="g", keys=keys).release()
        assert fed.verify_audit()["north"].reason == ""
    with ps.embedded(north=PEOPLE, store=tmp_path, quiet=True) as fed:
        assert fed.budgets()["north"][0].epsilon_spent == pytest.approx(0.1)
    assert verify_ledger(tmp_path / "north.sqlite").first_bad == -1


def test_words_of_a_mark_within_a_request_do_not_lock_a_party(tmp_path: Path) -> None:
    """A large request is kept whole beside the peers' heads: it could be read as a mark of a loss."""
    tables = {name: {"t": PEOPLE} for name in ("north", "south", "east")}
    with ps.embedded({**tables, "keeper": {}}, store=tmp_path, quiet=True) as fed:
        plan = he.sum(fed.tables("t"), "x")
        forged = msgspec.structs.replace(plan.request, parameters=dict(plan.request.parameters))
        (grid,) = forged.parameters["grids"]
        forged.parameters["grids"] = [{**grid, "event": "behind", "pad": "x" * 9000}]
        with pytest.raises(InvalidArgument, match="unknown field"):
            fed.execute(Live(forged))
    with closing(open_books(tmp_path / "other.sqlite", 5)) as books:
        reserve(books, "r")
        odd = msgspec.structs.replace(request("r"), parameters={"event": "behind", "pad": "x" * 9000})
        books.start("r", "s", heads={"south": books.head()}, request=odd)
        books.rollback.meet("ann", books.head())


@pytest.mark.parametrize("action", [Freeze, Reset])
def test_what_is_reserved_and_not_started_meets_the_owners_action(house: House, action: type[Freeze | Reset]) -> None:
    books = house.gates["south"]._books
    asked = noisy(house)
    nonces = {"south": house.ask(prepare(asked)).nonce}
    books._ledger.act(action(dataset="t", reason="new data"))
    with pytest.raises((DatasetFrozen, BudgetExceeded), match=r"frozen by its owner|reset after this was reserved"):
        house.ask(house.start(asked, nonces))
    known = books.known(asked.run_id)
    assert known is not None
    assert known.state == "released"
    assert books.balances(Asking("ann", "study"))[0].epsilon_lifetime == 0


def test_a_unit_that_is_set_after_the_decision_is_not_dodged() -> None:
    budget = Budget(epsilon=5.0)
    with closing(Books("north", None, budgets={"*": budget}, datasets={"people": "people"})) as books:
        books._ledger.act(
            SetBudget(dataset="people", budget=msgspec.structs.replace(budget, unit=Unit(id="c", rows=3)), reason="ids")
        )
        asked = msgspec.structs.replace(request("r"), operands={"north": Operand(table="people", columns=())})
        debit = Debit(table="people", charge=DiscreteLaplace(scale=10, sensitivity=1))
        with pytest.raises(PolicyRefused, match="now counts 3 rows of one c"):
            books.reserve("ann", asked, [debit])
        assert books.known("r") is None


def test_purposes_out_of_thin_air_leave_no_accounts_behind() -> None:
    with closing(open_limited(None, Limit(purpose="*", exact=5))) as books:
        spend(books, "ann", "study", ONE)
        for n in range(3 * caps.MOST_WARM):
            books.balances(Asking("ann", f"purpose {n}"))
        assert len(books._accounts._warm) <= caps.MOST_WARM


def test_forecasts_of_many_prices_are_not_all_remembered() -> None:
    account = Account(Counter({DiscreteLaplace(scale=10, sensitivity=1): 1}))
    for n in range(500):
        account.times(Counter({DiscreteLaplace(scale=10 + n, sensitivity=1): 1}), 0.15, 1e-6, 3)
    assert len(account._times) <= 100


def test_threads_share_an_account() -> None:
    """Quotes are not under the ledger's lock. Of nothing spent, so that nothing is composed: many more of them meet."""
    account, errors = Account({}), []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def ask(seed: int) -> None:
        try:
            for n in range(4000):
                more: Counter[Charge] = Counter({DiscreteLaplace(scale=10 + (n * seed) % 97, sensitivity=1): 1})
                account.plus(more, 1 + n % 3)
                assert account.times(more, 1e-9, 1e-6, 2) == 0
        except Exception as error:
            errors.append(error)

    try:
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in (3, 5, 7, 11)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []


BACKDATED = {
    "out of the window": "UPDATE charge SET at = '2000-01-01T00:00:00.000000+00:00' WHERE run_id = 'late'",
    "before the reset": "UPDATE charge SET id = 0 WHERE run_id = 'late'",
}


@pytest.mark.parametrize("edit", BACKDATED)
def test_a_charge_that_is_put_back_in_time_is_found(path: Path, edit: str) -> None:
    with closing(open_books(path, 5)) as books:
        reserve(books, "early")
        books._ledger.act(Reset(dataset="people", reason="new data"))
        reserve(books, "late")
    assert verify_ledger(path).first_bad == -1
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(BACKDATED[edit])
    assert "charges of run late" in verify_ledger(path).reason
    with pytest.raises(LedgerError, match="was changed by hand"):
        open_books(path, 5)


def test_a_window_beyond_the_calendar_is_refused_when_it_is_set() -> None:
    with pytest.raises(InvalidArgument, match="36,500 days"):
        Limit(days=1e7, exact=1)
    with closing(open_limited(None, Limit(days=36_500, exact=1))) as books:
        spend(books, "ann", "study", ONE)


def test_plans_priced_together_are_each_under_the_largest_size_of_one() -> None:
    debits = [Debit(table="people", charge=DiscreteLaplace(scale=2, sensitivity=1))]
    with closing(open_limited(None, max_epsilon=0.6)) as books:
        quoted = books.quote(Asking("ann", "study"), [debits, debits])
        assert quoted.datasets[0].queries_left > 0
        large = [Debit(table="people", charge=DiscreteLaplace(scale=1, sensitivity=1))]
        with pytest.raises(BudgetExceeded, match="in one request"):
            books.quote(Asking("ann", "study"), [debits, large])
        with pytest.raises(BudgetExceeded, match="in one request"):
            books.quote(Asking("ann", "study"), [debits * 2])


def test_a_stored_answer_over_rows_is_not_given_once_ids_count(tmp_path: Path) -> None:
    """Ten rows of one customer were a group; now they are one customer."""
    table = pa.table({"customer": [0] * 20 + list(range(1, 31)), "g": ["a"] * 20 + ["b"] * 30})
    with ps.embedded(north=table, store=tmp_path, quiet=True) as fed, ps.Owner(tmp_path / "north.sqlite") as owner:
        count: Callable[[], pa.Table] = lambda: fed["north"]["table"].count(by="g").release().value  # noqa: E731
        assert count().num_rows == 2
        owner.set("table", Budget(unit=Unit(id="customer")), reason="whole customers")
        assert count().num_rows < 2


def test_an_answer_from_the_store_is_not_stored_again(tmp_path: Path) -> None:
    """It is free, so that it must not fill the owner's disk; the run it is of is in the chain."""
    table = pa.table({"g": [f"{'group' * 10}{n // 10}" for n in range(20_000)]})
    with ps.embedded(north=table, store=tmp_path, quiet=True) as fed:
        first = fed["north"]["table"].count(by="g", most_groups=2000).release()
        before = (tmp_path / "north.sqlite").stat().st_size
        for _ in range(3):
            again = fed["north"]["table"].count(by="g", most_groups=2000).release()
            assert again.value.equals(first.value)
            assert again.spent == {}
        assert (tmp_path / "north.sqlite").stat().st_size - before < 3 * (32 << 10)
        assert fed.budgets()["north"][0].exact_spent == answers(2001)
    with ps.embedded(north=table, store=tmp_path, quiet=True) as fed:
        assert fed["north"]["table"].count(by="g", most_groups=2000).release().value.equals(first.value)
    path = tmp_path / "north.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE run SET answer = ? WHERE rowid = 2", (msgspec.msgpack.encode("another"),))
    assert "stored answer" in verify_ledger(path).reason


def test_a_column_named_twice_is_refused_before_a_charge(house: House) -> None:
    forged = noisy(house, operation="dp.sum", operands={"south": Operand(table="t", columns=("x", "x"))})
    forged.parameters.update(statistic="sum", column="x", bounds=[0, 1])
    with pytest.raises(InvalidArgument, match="names a column of south/t twice"):
        house.ask(prepare(forged))


def test_a_unit_of_more_rows_than_any_table_has() -> None:
    with pytest.raises(InvalidArgument, match="a privacy unit of"):
        Unit(id="x", rows=10**400)


def test_a_set_that_the_guard_would_no_longer_find_is_found(tmp_path: Path) -> None:
    with ps.embedded(north=PEOPLE, store=tmp_path, quiet=True) as fed:
        fed["north"]["table"].count(by="g").release()
    path = tmp_path / "north.sqlite"
    assert verify_ledger(path).first_bad == -1
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE disclosed_set SET digest = x'00' WHERE id = 1")
    assert "let out of exact answers" in verify_ledger(path).reason


@pytest.mark.parametrize("number", [0, 101])
def test_a_quote_is_of_a_few_requests(house: House, number: int) -> None:
    """Quoting is free: it is not for keeping a party busy."""
    with pytest.raises(InvalidArgument, match="requests in one quote"):
        house.fed.quote([house.request()] * number) if number else control.Quote(requests=())
