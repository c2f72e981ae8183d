"""Run states: all legal transitions are in one table, and a state that is added without thinking fails closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from claims import Cases
from ledger_child import LIMIT, open_books, request, reserve, spent

from privsdk.errors import AnswerLost, InternalError, LedgerError
from privsdk.governance.events import (
    NEXT,
    OPEN,
    AnswerRepeated,
    RunFailed,
    RunFinished,
    RunPaid,
    RunReleased,
    RunReserved,
    RunStarted,
    RunState,
    after,
)
from privsdk.governance.policy import NO_KEY_BOUNDS
from privsdk.party.budget.books import Books
from privsdk.party.run import PartyRun
from privsdk.protocol.control import Finished
from privsdk.protocol.timeouts import Timeouts

KINDS = (RunReserved, AnswerRepeated, RunReleased, RunStarted, RunPaid, RunFinished, RunFailed)


class Paused(StrEnum):
    PAUSED = "paused"


CLAIM = "a run state that is added without thinking fails closed: nothing leads out of it, and it counts as spent"


@pytest.fixture
def books(path: Path) -> Iterator[Books]:
    with closing(open_books(path, LIMIT)) as opened:
        yield opened


def test_every_state_has_its_row_in_the_table() -> None:
    assert set(NEXT) == {None, *RunState}
    assert {state for following in NEXT.values() for state in following.values()} == set(RunState)
    assert OPEN == ("reserved", "started")


def test_what_is_not_in_the_table_is_refused(cases: Cases) -> None:
    allowed = {(state, kind) for state, following in NEXT.items() for kind in following}
    for state, kind in product((None, *RunState), KINDS):
        if (state, kind) not in allowed:
            with pytest.raises(InternalError, match="cannot go on by"):
                after(state, kind)
            cases()


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leads_out_of_a_new_state(kind: Any, cases: Cases) -> None:
    with pytest.raises(InternalError, match=f"a run that is paused cannot go on by {kind.__name__}"):
        after(Paused.PAUSED, kind)  # type: ignore[arg-type]
    cases()


@pytest.mark.claim(CLAIM)
@pytest.mark.parametrize("before", ["reserved", "started"])
def test_a_new_state_in_a_ledger(books: Books, path: Path, before: str, cases: Cases) -> None:
    reserve(books, "a", 3)
    if before == "started":
        books.start("a", "s")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE run SET state = 'paused'")
    rows = books.head().rows
    with pytest.raises(AnswerLost):
        books.start("a", "s")
    books.release("a", "given back")
    books.finish("a", Finished(value={}), [])
    books.fail("a", "x")
    assert (books.head().rows, spent(books)) == (rows, 3)
    with pytest.raises(LedgerError, match="has run a in the state 'paused', which this privsdk does not know"):
        books.known("a")
    assert "has the state 'paused'" in books.verify().reason
    cases()


def test_a_chain_that_moves_a_run_as_none_may_is_named(books: Books) -> None:
    reserve(books, "a")
    books._ledger.note(RunFinished(run="a", learns=(), answer=""))
    assert books.verify().reason == "row 4 of the chain says 'finished' of run a, then reserved"
    books._ledger.note(RunStarted(run="b", session="s"))


def test_a_run_in_memory_moves_by_the_same_table() -> None:
    operation: Any = SimpleNamespace(request=request("r"))
    run = PartyRun("north", operation, 0, NO_KEY_BOUNDS, Timeouts())
    with pytest.raises(InternalError, match="a run that is reserved cannot go on by RunFinished"):
        run.end(None, lambda peer, hello: pytest.fail("nobody is waited for"))
    run.move(RunStarted)
    run.end(None, lambda peer, hello: pytest.fail("nobody is waited for"))
    assert run.state is RunState.FINISHED
    with pytest.raises(InternalError, match="a run that is finished cannot go on by RunStarted"):
        run.move(RunStarted)
