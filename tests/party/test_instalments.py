"""Instalments: what a started run is charged on its way is on disk at once, never given back, and never overspends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from ledger_child import DEBIT, LIMIT, open_books, request, reserve, spent

import privsdk as ps
from privsdk import fl
from privsdk.errors import AnswerLost, BudgetExceeded, DatasetFrozen
from privsdk.governance.charges import Budget, Debit, DiscreteLaplace, Exact
from privsdk.governance.events import Freeze, Reset, Unfreeze
from privsdk.party.budget.books import Books
from privsdk.party.budget.caps import Asking
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol.control import Finished
from privsdk.protocol.operation import Operand


@pytest.fixture
def books(path: Path) -> Iterator[Books]:
    opened = open_books(path, LIMIT)
    yield opened
    opened.close()


def begin(books: Books, run_id: str, times: int = 1) -> None:
    reserve(books, run_id, times)
    books.start(run_id, "s")


def pay(books: Books, run_id: str, uses: int = 1) -> None:
    books.pay(request(run_id), [Debit(table="people", charge=Exact(what="race", uses=uses))])


def test_an_instalment_is_charged_until_the_budget_ends_and_is_in_the_chain(books: Books) -> None:
    begin(books, "a")
    for paid in range(2, LIMIT + 1):
        pay(books, "a")
        assert spent(books) == paid
    rows = books.head().rows
    with pytest.raises(BudgetExceeded, match="has 0 of 10 exact disclosures left, this needs 1"):
        pay(books, "a")
    assert (spent(books), books.head().rows) == (LIMIT, rows)
    books.finish("a", Finished(value={}), [])
    assert books.verify().first_bad == -1


def test_only_a_run_that_goes_on_here_pays(books: Books, path: Path) -> None:
    reserve(books, "reserved")
    begin(books, "failed")
    books.fail("failed", "x")
    begin(books, "running")
    with closing(open_books(path, LIMIT)) as other:
        for run_id in ("unknown", "reserved", "failed"):
            for debits in ([], [DEBIT]):
                with pytest.raises(AnswerLost):
                    books.pay(request(run_id), debits)
        with pytest.raises(AnswerLost):  # started by another process
            pay(other, "running")
    assert spent(books) == 3


def test_what_was_paid_outlives_a_failure_and_a_restart(path: Path) -> None:
    with closing(open_books(path, LIMIT)) as first:
        begin(first, "a")
        pay(first, "a", 4)
        begin(first, "b")
        pay(first, "b", 2)
        first.fail("b", "x")
        first.release("a", "too late")
    with closing(open_books(path, LIMIT)) as second:  # as after a crash: a never ended
        assert spent(second) == 8
        assert second.verify().first_bad == -1


def test_a_run_starts_only_where_one_instalment_is_covered_too(books: Books) -> None:
    reserve(books, "before", LIMIT - 1)
    with pytest.raises(BudgetExceeded, match="has 1 of 10 exact disclosures left, this needs 2"):
        books.reserve("ann", request("a"), [DEBIT], then=[DEBIT])
    assert (spent(books), books.known("a")) == (LIMIT - 1, None)
    books.release("before", "given back")
    books.reserve("ann", request("b"), [DEBIT], then=[DEBIT])
    assert spent(books) == 1  # the instalment is looked at, and paid when it is due


def test_a_freeze_stops_a_run_that_has_started_and_a_reset_counts_what_follows(books: Books) -> None:
    begin(books, "a")
    books._ledger.act(Freeze(dataset="people", reason="a question"))
    with pytest.raises(DatasetFrozen, match="a question"):
        pay(books, "a")
    whole = msgspec.structs.replace(request("a"), operands={"north": Operand(table="people", columns=())})
    with pytest.raises(DatasetFrozen, match="a question"):
        books.pay(whole, [])  # a round that adds nothing to the price
    books._ledger.act(Unfreeze(dataset="people", reason="answered"))
    pay(books, "a", 5)
    books._ledger.act(Reset(dataset="people", reason="a new year"))
    assert spent(books) == 0
    pay(books, "a", 3)
    assert spent(books) == 3
    assert books.verify().first_bad == -1


def test_the_largest_epsilon_of_one_request_holds_for_all_its_instalments(path: Path) -> None:
    budget = Budget(epsilon=10, max_epsilon=1.0)
    tenth = [Debit(table="people", charge=DiscreteLaplace(scale=2.5, sensitivity=1))]
    with closing(Books("north", path, budgets={"*": budget}, datasets={"people": "people"})) as books:
        books.reserve("ann", request("a"), tenth)
        books.start("a", "s")
        books.pay(request("a"), tenth)
        with pytest.raises(BudgetExceeded, match="allows epsilon 1 in one request"):
            books.pay(request("a"), tenth)
        (balance,) = books.balances(Asking("", ""))
        assert balance.epsilon_spent == pytest.approx(0.8, rel=1e-4)
        books.reserve("ann", request("b"), tenth)  # another request has a bound of its own


@pytest.mark.parametrize("change", [
    "UPDATE charge SET body = (SELECT body FROM charge WHERE id = 1) WHERE id = 3",
    "DELETE FROM charge WHERE id = 3",
    "UPDATE charge SET at = '2001-01-01T00:00:00.000000+00:00' WHERE id = 3",
    "swap bodies",
    "INSERT INTO charge SELECT 9, run_id, dataset, at, body FROM charge WHERE id = 3",
    "UPDATE charge SET id = 8 - id WHERE id IN (3, 5)",
], ids=["smaller", "removed", "earlier", "swapped with the deposit", "added", "moved"])  # fmt: skip
def test_an_instalment_that_was_changed_by_hand_is_named(path: Path, change: str) -> None:
    with closing(open_books(path, LIMIT)) as books:
        begin(books, "a")
        begin(books, "b")
        pay(books, "a", 3)
        books._ledger.act(Reset(dataset="people", reason="a new year"))
        begin(books, "c")
        pay(books, "a", 2)
        assert books.verify().first_bad == -1
    with closing(sqlite3.connect(path)) as db:
        if "8 - id" in change:  # a late instalment takes the place of one before the reset, and the other its own
            db.execute("UPDATE charge SET id = -id WHERE id IN (3, 5)")
            change = "UPDATE charge SET id = 8 + id WHERE id < 0"
        if change == "swap bodies":
            (first,), (third,) = db.execute("SELECT body FROM charge WHERE id IN (1, 3) ORDER BY id").fetchall()
            db.execute("UPDATE charge SET body = ? WHERE id = 1", (third,))
            db.execute("UPDATE charge SET body = ? WHERE id = 3", (first,))
        else:
            db.execute(change)
        db.commit()
    verdict = verify_ledger(path)
    assert verdict.first_bad == 0
    assert "the charges of run a are " in verdict.reason


@pytest.mark.claim("instalments of runs side by side never overspend a budget")
def test_instalments_that_race(path: Path, cases: Cases, soak: bool) -> None:
    for attempt in range(20 if soak else 3):
        store = path.with_name(f"race{attempt}.sqlite")
        with closing(open_books(store, 20)) as books, closing(open_books(store, 20)) as other:
            begin(books, "a")
            begin(other, "b")

            def pay_all(which: int, here: Books = books, there: Books = other) -> int:
                granted = 0
                for _ in range(10):
                    try:
                        pay(*((here, "a") if which % 2 else (there, "b")))
                        granted += 1
                    except BudgetExceeded:
                        pass
                return granted

            with ThreadPoolExecutor(4) as threads:
                assert sum(threads.map(pay_all, range(4))) == 18
            assert spent(books) == 20
            assert books.verify().first_bad == -1
            cases(40)


def learners(budget: Budget, rounds: int) -> tuple[ps.Federation, ps.Plan[fl.Fitted]]:
    table = pa.table({"x": [0.1 * n for n in range(40)], "y": [0, 1] * 20})
    budgets = {name: Budget() for name in ("south", "east", "keeper")} | {"north": budget}
    names = ("north", "south", "east")
    fed = ps.embedded({**dict.fromkeys(names, table), "keeper": {}}, store=None, budget=budgets, quiet=True)
    model = fl.Logistic(features={"x": (0, 4)})
    return fed, fl.fit(model, fed.tables("table"), label="y", rounds=rounds, coordinator="keeper")


def test_a_training_pays_each_round_and_says_what_it_paid() -> None:
    fed, plan = learners(Budget(exact=6), rounds=4)
    with fed:
        preview = plan.preview()
        assert (preview.allowed, preview.queries_left, preview.remaining["north"][0].exact_left) == (True, 3, 4)
        result = plan.release()
        each = Debit(table="table", charge=Exact(what="model rounds"))
        first = Debit(table="table", charge=Exact(what="one evaluation"))
        # 8 figures beforehand, then 4 a round: the third makes it more than 16
        assert result.spent == dict.fromkeys(("north", "south", "east"), (first, each))
        assert "north/table, south/table, east/table: 1 exact disclosure (model rounds)" in str(result)
        assert {b.exact_spent for balances in fed.budgets().values() for b in balances} == {2}
        assert plan.release().spent == result.spent  # the stored answer of the same run


def test_a_training_that_the_budget_covers_in_part_may_start_and_says_so() -> None:
    fed, plan = learners(Budget(exact=4), rounds=80)
    with fed:
        preview = plan.preview()
        assert preview.allowed
        said = " ".join(str(preview).split())
        assert "north/table has 4 of 4 exact disclosures left, this needs 5 (short by 1)" in said
    fed, plan = learners(Budget(exact=0), rounds=80)
    with fed:
        assert not plan.preview().allowed
        with pytest.raises(BudgetExceeded, match="has 0 of 0 exact disclosures left, this needs 1"):
            plan.release()
        assert fed.budgets()["south"][0].exact_spent == 0


def test_finished_says_how_many_instalments_in_its_stored_form() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Finished(value={}, instalments=7)), type=Finished).instalments == 7
