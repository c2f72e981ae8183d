"""Reservations for the ledger's tests, in a process of their own too."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from waiting import HANGS_S

from privsdk.errors import BudgetExceeded
from privsdk.governance.charges import Budget, Debit, Exact
from privsdk.party.budget.books import Books
from privsdk.party.budget.caps import Asking
from privsdk.protocol.operation import Request

LIMIT = 10
DEBIT = Debit(table="people", charge=Exact(what="race"))


def request(run_id: str) -> Request:
    return Request(
        run_id=run_id,
        operation="race",
        caller="ann",
        purpose="test",
        parties=("north",),
        operands={},
        parameters={},
    )


def open_books(ledger: Path, limit: int) -> Books:
    return Books("north", ledger, budgets={"*": Budget(exact=limit)}, datasets={"people": "people"})


def reserve(books: Books, run_id: str, times: int = 1) -> None:
    books.reserve("ann", request(run_id), [DEBIT] * times)


def spent(books: Books) -> int:
    (balance,) = books.balances(Asking("", ""))
    return balance.exact_spent


def race(books: Books, name: str, threads: int, attempts: int) -> int:
    """Reserve one exact disclosure at a time, `attempts` times in each of `threads`; how many were granted."""

    def attempt_all(thread: int) -> int:
        granted = 0
        for attempt in range(attempts):
            try:
                reserve(books, f"{name}-{thread}-{attempt}")
                granted += 1
            except BudgetExceeded:
                pass
        return granted

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(attempt_all, range(threads)))


def race_others(ledger: Path, limit: int, threads: int, attempts: int, start: Barrier) -> None:
    """In a process: print how many were granted once all others were ready."""
    with closing(open_books(ledger, limit)) as books:
        start.wait(HANGS_S)
        print(race(books, f"process{os.getpid()}", threads, attempts))
