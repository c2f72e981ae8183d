"""The ledger: the states of a run, and reservations that race."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from claims import Cases
from forked import FORKSERVER, Forked
from ledger_child import DEBIT, LIMIT, open_books, race, race_others, request, reserve, spent

from privsdk.errors import AnswerLost, BudgetExceeded, InvalidArgument
from privsdk.governance.events import Freeze
from privsdk.party.budget.books import Books
from privsdk.protocol.control import Finished
from privsdk.protocol.failpoints import FailPoint


@pytest.fixture
def books(path: Path) -> Iterator[Books]:
    opened = open_books(path, LIMIT)
    yield opened
    opened.close()


def state(books: Books, run_id: str) -> str:
    known = books.known(run_id)
    return known.state if known else ""


def test_a_run_goes_from_reserved_to_started_to_its_end(books: Books) -> None:
    assert state(books, "a") == ""
    for run_id in ("a", "b", "c"):
        reserve(books, run_id)
    assert state(books, "a") == "reserved"
    books.start("a", "s")
    books.start("b", "s")
    assert state(books, "a") == "started"
    books.finish("a", Finished(value={"n": 1}), [])
    books.fail("b", "peer.gone")
    books.release("c", "given back")
    assert [state(books, r) for r in ("a", "b", "c")] == ["finished", "failed", "released"]
    assert spent(books) == 2
    assert books.stored_answer("ann", "a").value == {"n": 1}
    with pytest.raises(AnswerLost, match=r"charged and its answer is lost \(failed\)"):
        books.stored_answer("ann", "b")
    assert books.verify().first_bad == -1


def test_no_state_is_left_twice_or_skipped(books: Books) -> None:
    reserve(books, "a")
    rows = books.head().rows
    books.finish("a", Finished(value={}), [])  # was not started
    books.fail("unknown", "x")
    books.release("unknown", "x")
    assert (state(books, "a"), books.head().rows) == ("reserved", rows)
    books.start("a", "s")
    with pytest.raises(AnswerLost):
        books.start("a", "s")
    books.release("a", "too late")
    assert state(books, "a") == "started"
    books.finish("a", Finished(value={"n": 1}), [])
    books.fail("a", "too late")
    assert state(books, "a") == "finished"
    assert books.stored_answer("ann", "a").value == {"n": 1}


def test_a_released_reservation_gives_the_budget_back(books: Books) -> None:
    reserve(books, "a", LIMIT)
    with pytest.raises(BudgetExceeded):
        reserve(books, "b")
    books.release("a", "given back")
    assert spent(books) == 0
    reserve(books, "c", LIMIT)
    with pytest.raises(AnswerLost):
        books.start("a", "s")


def test_only_the_instance_that_reserved_may_release_or_start(books: Books, path: Path) -> None:
    reserve(books, "a")
    with closing(open_books(path, LIMIT)) as other:
        other.release("a", "not mine")
        with pytest.raises(AnswerLost):
            other.start("a", "s")
        assert (spent(other), state(other, "a")) == (1, "reserved")
    books.release("a", "mine")
    assert spent(books) == 0


def test_after_reopening_an_unstarted_reservation_counts_as_spent(path: Path) -> None:
    with closing(open_books(path, LIMIT)) as first:
        reserve(first, "a", 4)
    with closing(open_books(path, LIMIT)) as second:
        second.release("a", "of another life")
        assert spent(second) == 4
        with pytest.raises(BudgetExceeded, match=r"has 6 of 10 exact disclosures left, this needs 7 \(short by 1\)"):
            reserve(second, "b", 7)


def test_a_repeated_run_id_is_not_charged_again(books: Books) -> None:
    reserve(books, "a", 3)
    with pytest.raises(InvalidArgument, match="north has this run id already"):
        reserve(books, "a", 3)
    assert spent(books) == 3
    assert books.verify().first_bad == -1


def test_a_refused_reservation_leaves_no_trace_of_itself(books: Books) -> None:
    rows = books.head().rows
    with pytest.raises(BudgetExceeded):
        reserve(books, "a", LIMIT + 1)
    assert (spent(books), state(books, "a"), books.head().rows) == (0, "", rows)


@pytest.mark.parametrize("point", [p for p in FailPoint if p.startswith("ledger.") and p.endswith(".inside")])
def test_a_write_that_is_cut_off_leaves_nothing(
    books: Books, monkeypatch: pytest.MonkeyPatch, point: FailPoint
) -> None:
    writes = {
        FailPoint.RESERVE_INSIDE: lambda: reserve(books, "new"),
        FailPoint.RELEASE_INSIDE: lambda: books.release("reserved", "given back"),
        FailPoint.START_INSIDE: lambda: books.start("reserved", "s"),
        FailPoint.PAY_INSIDE: lambda: books.pay(request("started"), [DEBIT]),
        FailPoint.FINISH_INSIDE: lambda: books.finish("started", Finished(value={}), []),
        FailPoint.DISCLOSE_INSIDE: lambda: books.settle("started", "a question", lambda tables: []),
        FailPoint.NOTE_INSIDE: lambda: books.refused("ann", request("new"), "because"),
        FailPoint.OWNER_INSIDE: lambda: books._ledger.act(Freeze(dataset="people", reason="a question")),
    }
    for run_id in ("reserved", "started"):
        reserve(books, run_id)
    books.start("started", "s")

    def cut_off(reached: FailPoint) -> None:
        if reached is point:
            raise KeyboardInterrupt

    before = books.head(), spent(books)
    monkeypatch.setattr("privsdk.party.ledger.database.reach", cut_off)
    with pytest.raises(KeyboardInterrupt):
        writes[point]()
    monkeypatch.undo()
    assert (books.head(), spent(books)) == before
    assert [state(books, run_id) for run_id in ("reserved", "started", "new")] == ["reserved", "started", ""]
    writes[point]()
    assert books.head().rows == before[0].rows + 1


@pytest.mark.claim("ledger: 64 threads and 4 processes reserving at once never overspend")
def test_processes_with_threads_never_overspend(path: Path, cases: Cases, soak: bool) -> None:
    limit, processes, threads, attempts = 300, 4, 16, 10 if not soak else 100
    start, log = FORKSERVER.Barrier(processes), path.with_name("log")
    with closing(open_books(path, limit)) as books:
        children = [Forked(race_others, path, limit, threads, attempts, start, log=log) for _ in range(processes)]
        granted = [int(child.readline() or log.read_text()) for child in children]
        assert sum(granted) == spent(books) == limit
        assert max(granted) < limit, "they did not race"
        assert books.verify().first_bad == -1
    cases(processes * threads * attempts)


@pytest.mark.claim("ledger: 64 threads and 4 processes reserving at once never overspend")
def test_threads_of_one_process_never_overspend(path: Path, cases: Cases, soak: bool) -> None:
    limit, threads, attempts = 200, 64, 8 if not soak else 80
    with closing(open_books(path, limit)) as books:
        assert race(books, "one", threads, attempts) == spent(books) == limit
        assert books.verify().first_bad == -1
    cases(threads * attempts)
