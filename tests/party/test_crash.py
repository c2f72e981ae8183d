"""Kill -9 at every named fail point: what a caller got was charged before, and the ledgers open and verify."""

from __future__ import annotations

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from claims import Cases
from crash_child import HOLDERS, KEEPER, Released, open_federation, work_rounds
from forked import Forked, run_command

import privsdk as ps
from privsdk import he
from privsdk.governance.charges import Charge
from privsdk.party.budget.accounting import Account
from privsdk.party.ledger.verification import verify_ledger
from privsdk.protocol.failpoints import FailPoint

KILLED = -9
FOURTH = 4
FLIGHT_ONLY = {FailPoint.ANSWER_BEFORE, FailPoint.ANSWER_AFTER}  # reached by servers: see tests/e2e
HERE = [point for point in FailPoint if point not in FLIGHT_ONLY]


def run_child(folder: Path, failpoint: str, *, rounds: int = 2, late: bool = False) -> int | None:
    """Exit code of a child over a store in `folder`."""
    folder.mkdir()
    process = Forked(work_rounds, folder, rounds, late, log=folder / "stderr", PRIVSDK_FAILPOINT=failpoint)
    code = process.wait(timeout=600)
    assert code in (0, KILLED), (folder / "stderr").read_text()
    return code


def released(folder: Path) -> list[Released]:
    log = folder / "log"
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [msgspec.json.decode(line, type=Released) for line in lines]


def check(folder: Path) -> int:
    """Fail if a ledger is damaged or holds less than the caller got; how many answers the caller got."""
    got = released(folder)
    for party in (*HOLDERS, KEEPER):
        path = folder / "store" / f"{party}.sqlite"
        due = Counter((r.run_id, d.table, d.charge) for r in got for d in r.spent.get(party, ()))
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], party
            rows = db.execute(
                "SELECT run_id, dataset, body FROM charge JOIN run USING (run_id) WHERE state != 'released'"
            )
            charged = Counter((run, dataset, msgspec.json.decode(body, type=Charge)) for run, dataset, body in rows)
        assert due <= charged, f"{party} charged less than the caller got"
        assert verify_ledger(path).first_bad == -1, party  # the tables too, as the crash left them
    for party in HOLDERS:
        with ps.Owner(folder / "store" / f"{party}.sqlite") as owner:
            owner.unfreeze("t", reason="it may have been killed before it did")
    with open_federation(folder / "store") as fed:
        for party, balances in fed.budgets().items():
            charges = [d.charge for r in got for d in r.spent.get(party, ())]
            for balance in balances:
                got_away = Account(Counter(charges))
                assert balance.exact_spent >= got_away.exact, party
                assert balance.epsilon_spent >= got_away.epsilon(balance.budget.delta), party
        assert he.sum(fed.tables("t"), "x").release().value.value == 3 * sum(range(60))
        assert {report.first_bad for report in fed.verify_audit().values()} == {-1}
    return len(got)


def kill_and_check(folder: Path, point: FailPoint, hit: int) -> tuple[bool, int]:
    died = run_child(folder, f"{point}:{hit}") == KILLED
    return died, check(folder)


@pytest.mark.claim("crash: kill -9 at every named fail point never under-counts and never corrupts")
def test_kill_at_every_fail_point(tmp_path: Path, cases: Cases, soak: bool) -> None:
    """At its fourth reach, when the caller has an answer already; long counts go through two rounds of work."""
    jobs = [(point, hit) for point in HERE for hit in (range(1, 13) if soak else (FOURTH,))]
    with ThreadPoolExecutor(2) as pool:
        outcomes = pool.map(lambda job: kill_and_check(tmp_path / f"{job[0]}-{job[1]}", *job), jobs)
        found = dict(zip(jobs, outcomes, strict=True))
    fourth = {point: outcome for (point, hit), outcome in found.items() if hit == FOURTH}
    assert {point for point, (died, _) in fourth.items() if died} == set(HERE)
    assert all(answers for _, answers in fourth.values()), "some were killed before an answer was out"
    got = [answers for died, answers in found.values() if died]
    cases(len(got))
    cases.say(f"{sum(got)} answers were out when their process was killed")


@pytest.mark.parametrize("point", sorted(FLIGHT_ONLY))
def test_points_that_only_a_server_reaches(tmp_path: Path, point: FailPoint) -> None:
    assert run_child(tmp_path / "child", point, rounds=1) == 0
    assert check(tmp_path / "child") == 5


def test_the_check_fails_on_a_ledger_that_charges_late(tmp_path: Path) -> None:
    assert run_child(tmp_path / "late", FailPoint.NOTE_BEFORE, late=True) == KILLED
    assert len(released(tmp_path / "late")) == 1
    with pytest.raises(AssertionError, match="north charged less than the caller got"):
        check(tmp_path / "late")


def test_the_command_lists_exactly_these_points(tmp_path: Path) -> None:
    assert run_command("failpoints", folder=tmp_path).stdout.split() == [point.value for point in FailPoint]
