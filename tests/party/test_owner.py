"""What an owner does to a ledger: seen by a running party, signed, audited, and in force after a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import dp, he
from privsdk.errors import BudgetExceeded, DatasetFrozen, InvalidArgument, LedgerError, UnknownName
from privsdk.party.ledger.verification import read_ledger, verify_ledger

CAP = ps.Budget(epsilon=1.0, exact=10)


def embedded(store: Path, budget: ps.Budget = CAP, *, caller: str = "ann") -> ps.Federation:
    table = {"people": pa.table({"id": range(50), "age": range(50)})}
    return ps.embedded(
        {"north": table, "south": table, "east": table, "keeper": {}},
        store=store,
        budget=budget,
        caller=caller,
        quiet=True,
    )


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[ps.Federation]:
    with embedded(tmp_path) as opened:
        yield opened


@pytest.fixture
def owner(fed: ps.Federation, tmp_path: Path) -> Iterator[ps.Owner]:
    with ps.Owner(tmp_path / "north.sqlite") as opened:
        yield opened


def north(fed: ps.Federation) -> ps.fl.verbs.Table:
    return fed["north"]["people"]


def test_a_frozen_dataset_refuses_and_the_others_are_not_charged(fed: ps.Federation, owner: ps.Owner) -> None:
    owner.freeze("people", reason="a complaint is looked into")
    with pytest.raises(DatasetFrozen, match="north/people is frozen by its owner: a complaint is looked into"):
        dp.count(north(fed), epsilon=0.1).release()
    plan = he.sum(fed.tables("people"), "age")
    with pytest.raises(DatasetFrozen):
        plan.release()
    preview = plan.preview()
    assert not preview.allowed
    assert preview.queries_left is None
    assert "frozen by its owner" in str(preview)
    assert [b.exact_spent for balances in fed.budgets().values() for b in balances] == [0, 0, 0]
    assert fed.budgets()["north"][0].frozen == "a complaint is looked into"
    owner.unfreeze("people", reason="it was unfounded")
    dp.count(north(fed), epsilon=0.1).release()


def test_a_budget_that_was_set_holds_after_a_restart_until_the_configuration_changes(tmp_path: Path) -> None:
    with embedded(tmp_path) as fed, ps.Owner(tmp_path / "north.sqlite") as owner:
        dp.count(north(fed), epsilon=0.5).release()
        assert owner.set("people", ps.Budget(epsilon=0.6, exact=3), reason="too generous").epsilon_left < 0.11
        with pytest.raises(BudgetExceeded, match=r"left of 0\.6"):
            dp.count(north(fed), epsilon=0.2).release()
    with embedded(tmp_path) as fed:  # opened with the same budget as before
        assert fed.budgets()["north"][0].budget.epsilon == 0.6
    with embedded(tmp_path, ps.Budget(epsilon=2.0)) as fed:
        assert fed.budgets()["north"][0].budget.epsilon == 2.0
        assert fed.budgets()["north"][0].epsilon_spent == pytest.approx(0.5)


def test_a_reset_begins_anew_and_forgets_nothing(fed: ps.Federation, owner: ps.Owner) -> None:
    dp.count(north(fed), epsilon=1.0).release()
    with pytest.raises(BudgetExceeded):
        dp.count(north(fed), epsilon=0.1).release()
    owner.reset("people", reason="new rows of the new year under the same name")
    dp.count(north(fed), epsilon=0.25).release()
    (balance,) = fed.budgets()["north"]
    assert balance.epsilon_spent == pytest.approx(0.25)
    assert balance.epsilon_lifetime == pytest.approx(1.25, rel=1e-3)
    assert "lifetime: epsilon 1.25 and 0 exact disclosures spent" in str(balance)
    assert dp.count(north(fed), epsilon=0.1).preview().datasets["north"][0].after.epsilon_lifetime > 1.3


def test_a_cap_on_one_request(fed: ps.Federation, owner: ps.Owner) -> None:
    owner.set("people", ps.Budget(epsilon=1.0, exact=10, max_epsilon=0.2), reason="small steps")
    with pytest.raises(BudgetExceeded, match=r"allows epsilon 0\.2 in one request, this needs 0\.5") as refused:
        dp.count(north(fed), epsilon=0.5).release()
    assert "the largest request that would pass now: epsilon 0.19" in refused.value.hint
    dp.count(north(fed), epsilon=0.2).release()
    he.sum(fed.tables("people"), "age").release()


def test_the_unit_cannot_change_under_charges(fed: ps.Federation, owner: ps.Owner, tmp_path: Path) -> None:
    of_ids = ps.Budget(epsilon=1.0, exact=10, unit=ps.Unit(id="id", rows=2))
    dp.count(north(fed), epsilon=0.5).release()
    with pytest.raises(InvalidArgument, match="was charged for one row and cannot go on for 2 rows of one id"):
        owner.set("people", of_ids, reason="persons, not rows")
    fed.close()
    with pytest.raises(InvalidArgument, match="reset its budget first"):
        embedded(tmp_path, of_ids)
    owner.reset("people", reason="persons, not rows")
    owner.set("people", of_ids, reason="persons, not rows")


@pytest.mark.parametrize("reason", ["", "  "])
def test_every_action_needs_a_reason_and_a_known_dataset(owner: ps.Owner, reason: str) -> None:
    with pytest.raises(InvalidArgument, match="needs a reason"):
        owner.freeze("people", reason=reason)
    with pytest.raises(UnknownName, match="no dataset named 'person' in north's ledger"):
        owner.freeze("person", reason="why not")


def test_actions_are_rows_of_the_chain(fed: ps.Federation, owner: ps.Owner, tmp_path: Path) -> None:
    owner.freeze("people", reason="one")
    owner.unfreeze("people", reason="two")
    owner.reset("people", reason="three")
    rows = [msgspec.json.decode(row.body) for row in read_ledger(tmp_path / "north.sqlite").rows]
    acted = [(row["action"]["type"], row["action"]["reason"]) for row in rows if row["event"] == "owner"]
    assert acted == [("set", "configured"), ("freeze", "one"), ("unfreeze", "two"), ("reset", "three")]
    assert fed.verify_audit()["north"].first_bad == -1


def test_an_owner_sees_who_spent_what(tmp_path: Path) -> None:
    for caller in ("ann", "bob"):
        with embedded(tmp_path, caller=caller) as fed:
            dp.count(north(fed), epsilon=0.2).release()
            he.sum(fed.tables("people"), "age").release()
    with ps.Owner(tmp_path / "north.sqlite") as owner:
        spending = owner.spending()
        assert spending.select(["analyst", "runs", "exact"]).to_pylist() == [
            {"analyst": "ann", "runs": 2, "exact": 1},
            {"analyst": "bob", "runs": 2, "exact": 1},
        ]
        assert spending["epsilon"].to_pylist() == [pytest.approx(0.2)] * 2
        assert "ann" in str(owner)
        assert "ann" in owner._repr_html_()


def test_a_ledger_without_its_key_has_no_owner(fed: ps.Federation, tmp_path: Path) -> None:
    (tmp_path / "north.ed25519").rename(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="signing key"):
        ps.Owner(tmp_path / "north.sqlite")


@pytest.mark.claim("two notebooks at once on one store share one budget")
def test_two_notebooks_at_once_share_one_budget(tmp_path: Path, cases: Cases) -> None:
    with embedded(tmp_path) as first, embedded(tmp_path, caller="bob") as second:
        dp.count(north(first), epsilon=0.6).release()
        with pytest.raises(BudgetExceeded):
            dp.count(north(second), epsilon=0.6).release()
        dp.count(north(second), epsilon=0.3).release()
        assert first.budgets()["north"] == second.budgets()["north"]
        assert first.verify_audit()["north"].first_bad == -1
        cases(3)


EDITS = {
    "a charge removed": "DELETE FROM charge WHERE id = 1",
    "a charge made smaller": "UPDATE charge SET body = replace(body, '\"scale\":2.0', '\"scale\":20.0') WHERE id = 1",
    "a charge moved to another dataset": "UPDATE charge SET dataset = 'other' WHERE id = 1",
    "a charge added": "INSERT INTO charge SELECT 99, run_id, dataset, at, body FROM charge WHERE id = 1",
    "a run released": "UPDATE run SET state = 'released' WHERE rowid = 1",
    "a run of another caller": "UPDATE run SET caller = 'bob' WHERE rowid = 1",
    "a run for another purpose": "UPDATE run SET purpose = 'billing' WHERE rowid = 1",
    "an answer replaced": "UPDATE run SET answer = x'00' WHERE rowid = 1",
    "an answer removed": "UPDATE run SET answer = NULL WHERE rowid = 1",
    "a run and its charge removed": "DELETE FROM charge WHERE id = 1; DELETE FROM run WHERE rowid = 1",
    "a run added": "INSERT INTO run VALUES ('x', '', 'ann', 'reserved', '', NULL, 'workshop')",
    "a budget raised": "UPDATE standing SET body = replace(body, '\"epsilon\":1.0', '\"epsilon\":9.0')",
    "a budget reset": "UPDATE standing SET body = replace(body, '\"since\":0', '\"since\":1')",
    "a budget removed": "DELETE FROM standing",
    "a freeze lifted": 'UPDATE standing SET body = replace(body, \'"frozen":"a question"\', \'"frozen":""\')',
}


@pytest.mark.claim("edited ledger: a changed row of any table is named by the verifier and refused when it is opened")
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_table_is_found(tmp_path: Path, edit: str, cases: Cases) -> None:
    with embedded(tmp_path) as fed, ps.Owner(tmp_path / "north.sqlite") as owner:
        dp.count(north(fed), epsilon=0.5).release()
        owner.freeze("people", reason="a question")
    path = tmp_path / "north.sqlite"
    sound = path.read_bytes()
    assert verify_ledger(path).first_bad == -1
    with closing(sqlite3.connect(path)) as db:
        db.executescript(EDITS[edit])
        db.commit()
    assert path.read_bytes() != sound
    verdict = verify_ledger(path)
    assert verdict.first_bad == 0
    with pytest.raises(LedgerError, match="was changed by hand"):
        embedded(tmp_path)
    with pytest.raises(LedgerError, match="was changed by hand"):
        ps.Owner(path)
    cases(3)


def test_a_large_request_is_reconciled_too(tmp_path: Path) -> None:
    """Its reservation holds a summary of it."""
    with embedded(tmp_path) as fed:
        keys = list(range(100, 3000))
        dp.count(north(fed), by="age", keys=keys, epsilon=0.1).release()
        assert fed.verify_audit()["north"].first_bad == -1
    with embedded(tmp_path) as fed:
        assert fed.budgets()["north"][0].epsilon_spent == pytest.approx(0.1)
