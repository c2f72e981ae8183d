"""Ledger files of an older version: brought up to the present one with a copy kept, and nothing forgotten.

`ledgers/version1.sqlite` was written by privsdk 0.1.0 before version 2 existed: five noisy releases and one refused, an
encrypted mean, a join and a count of its rows, all by carol for research.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow as pa
import pytest
from claims import Cases
from forked import FORKSERVER, Forked
from ledger_refusal import refusal
from waiting import HANGS_S

import privsdk as ps
from privsdk import dp
from privsdk.errors import AnswerLost, BudgetExceeded, InvalidArgument, LedgerError
from privsdk.party.budget.books import Books
from privsdk.party.ledger import schema
from privsdk.party.ledger.verification import read_ledger, verify_ledger

STORED = Path(__file__).with_name("ledgers") / "version1.sqlite"
EPSILON, EXACT = 2.19988734560131, 3  # as version 1 gave them for this file


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copy(STORED.with_suffix(".ed25519"), tmp_path / "north.ed25519")
    return Path(shutil.copy(STORED, tmp_path / "north.sqlite"))


def open_old(path: Path) -> ps.Federation:
    table = {"sales": pa.table({"id": range(60)})}
    cap = ps.Budget(epsilon=3.0, exact=200)
    return ps.embedded(north=table, store=path.parent, budget=cap, caller="carol", purpose="research", quiet=True)


@pytest.mark.claim("upgrade: a stored ledger of version 1 opens with a copy kept, and nothing is under-counted")
def test_a_stored_ledger_of_version_1(old: Path, cases: Cases) -> None:
    before = read_ledger(old)
    with open_old(old) as fed:
        (balance,) = fed.budgets()["north"]
        assert (balance.epsilon_spent, balance.exact_spent) == (pytest.approx(EPSILON), EXACT)
        assert fed.verify_audit()["north"].first_bad == -1
        with pytest.raises(BudgetExceeded):
            dp.count(fed["north"]["sales"], epsilon=1.0).release()
        dp.count(fed["north"]["sales"], epsilon=0.5).release()
    after = read_ledger(old)
    assert after.rows[: len(before.rows)] == before.rows
    assert after.tables.runs.items() > {run: (*_filled(facts),) for run, facts in before.tables.runs.items()}.items()
    copy = old.with_name("north.version1.sqlite")
    assert read_ledger(copy) == before
    cases(len(before.tables.runs))
    with open_old(old) as fed:  # and once only
        assert fed.budgets()["north"][0].epsilon_spent > EPSILON
    assert read_ledger(copy) == before


def _filled(facts: tuple[str, str | None, str, str]) -> tuple[str, str, str, str]:
    caller, _, state, answer = facts
    return caller, "research", state, answer  # purposes were in the audit alone


def test_what_analysts_spent_before_counts_under_limits_that_came_later(old: Path) -> None:
    open_old(old).close()
    with ps.Owner(old) as owner:
        limit = ps.Limit(analyst="*", purpose="*", epsilon=2.3)
        owner.set("sales", ps.Budget(epsilon=3.0, exact=200, limits=(limit,)), reason="a limit for each")
        assert owner.spending().select(["analyst", "purpose", "runs"]).to_pylist() == [
            {"analyst": "carol", "purpose": "research", "runs": 8}
        ]
    with open_old(old) as fed, pytest.raises(BudgetExceeded, match="under its limit for each analyst, each purpose"):
        dp.count(fed["north"]["sales"], epsilon=0.4).release()


def test_the_old_file_is_read_and_verified_without_being_changed(old: Path) -> None:
    before = old.read_bytes()
    assert verify_ledger(old).first_bad == -1
    with closing(sqlite3.connect(old)) as db, db:
        db.execute("UPDATE run SET state = 'released' WHERE rowid = 2")
    assert "has the state 'released'" in verify_ledger(old).reason
    old.write_bytes(before)
    assert verify_ledger(old).first_bad == -1


def test_an_edited_old_file_is_not_migrated_into_a_sound_one(old: Path) -> None:
    with closing(sqlite3.connect(old)) as db, db:
        db.execute("DELETE FROM charge WHERE id = 1")
    with pytest.raises(LedgerError, match=r"was changed by hand: the charges of run .* are not those of the chain"):
        open_old(old)


def test_answers_given_before_are_given_again(old: Path) -> None:
    with open_old(old) as fed:
        plan = dp.count(fed["north"]["sales"], epsilon=0.1)
        run_id = next(run for run, (_, _, state, _) in read_ledger(old).tables.runs.items() if state == "finished")
        with pytest.raises((AnswerLost, ps.errors.InvalidArgument)):  # another request under its id
            type(plan)(fed, _renamed(plan.request, run_id), lambda answers: answers).release()


def _renamed(request: object, run_id: str) -> object:
    import msgspec

    return msgspec.structs.replace(request, run_id=run_id)


def test_a_migration_that_is_cut_off_leaves_the_old_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, whole = old.read_bytes(), schema.migrate

    def cut_off(db: sqlite3.Connection, version: int) -> None:
        whole(db, version)
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "migrate", cut_off)
    with pytest.raises(KeyboardInterrupt):
        open_old(old)
    assert old.read_bytes() == before
    monkeypatch.undo()
    with open_old(old) as fed:
        assert fed.budgets()["north"][0].exact_spent == EXACT


def test_a_version_of_the_future_is_refused(old: Path) -> None:
    with closing(sqlite3.connect(old)) as db:
        db.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    assert "upgrade privsdk" in refusal(old).hint


def open_at_once(path: Path, start: Barrier) -> None:
    start.wait(HANGS_S)
    Books("north", path, budgets={"*": ps.Budget(epsilon=3.0)}, datasets={"sales": "sales"}).close()


def test_two_processes_open_an_old_file_at_once(old: Path) -> None:
    start, log = FORKSERVER.Barrier(2), old.with_name("log")
    both = [Forked(open_at_once, old, start, log=log) for _ in range(2)]
    assert [process.wait(HANGS_S) for process in both] == [0, 0], log.read_text()
    assert verify_ledger(old).first_bad == -1
    events = [row.body for row in read_ledger(old).rows]
    assert sum(b'"migrated"' in body for body in events) == 1


def test_charges_of_rows_do_not_go_on_as_charges_of_ids(old: Path) -> None:
    """Version 1 knew no other unit than a row, and no standing that says so."""
    budget = ps.Budget(epsilon=3.0, exact=200, unit=ps.Unit(id="id", rows=2))
    table = {"sales": pa.table({"id": range(60)})}
    with pytest.raises(InvalidArgument, match="was charged for one row and cannot go on for 2 rows of one id"):
        ps.embedded(north=table, store=old.parent, budget=budget, caller="carol", quiet=True)
    open_old(old).close()
    with ps.Owner(old) as owner:
        owner.reset("sales", reason="whole ids from now on")
    ps.embedded(north=table, store=old.parent, budget=budget, caller="carol", quiet=True).close()
