"""Runs under way are those of processes that run."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
from ledger_child import open_books, reserve

from privsdk.party.budget.caps import Asking
from privsdk.party.ledger import instances


def test_an_instance_runs_until_it_leaves_or_its_process_is_gone() -> None:
    name = instances.enter()
    assert instances.runs(name)
    instances.leave(name)
    assert not instances.runs(name)
    number, _, rest = name.partition(".")
    assert number == str(os.getpid())
    assert instances.runs(f"{os.getppid()}.{instances._process(os.getppid()).partition('.')[2]}-00")
    for gone in (f"{os.getppid()}.1-00", f"{2**31 - 7}.{rest}", "00ff", "", "a.b-c", f"{'9' * 40}.1-00"):
        assert not instances.runs(gone), gone


def test_what_a_process_that_is_gone_had_under_way_is_spent_and_not_under_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(instances, "enter", lambda: f"{2**31 - 7}.1-00")
        with closing(open_books(path, 10)) as books:
            reserve(books, "a")
    with closing(open_books(path, 10)) as books:
        reserve(books, "b")
        (balance,) = books.balances(Asking("ann", "study"))
        assert (balance.exact_spent, balance.reserved, balance.exact_reserved) == (2, 1, 1)
