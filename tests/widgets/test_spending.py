"""A caller's own charges from the parties' audit rows, a budget view's forecast, and its word on receipts."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from people import everyone, federation, north, south
from waiting import until

import privsdk as ps
from privsdk import dp, fl, psi
from privsdk.errors import InvalidArgument, PolicyRefused
from privsdk.protocol import control
from privsdk.widgets import budgets, facts
from privsdk.widgets.budget import check_heads
from privsdk.widgets.spending import MOST_RUNS, spending


def spent(fed: ps.Federation, most: int = 50) -> tuple[dict[str, Any], ...]:
    return spending(facts.events(fed.audit_log(most=most)))


def row(number: int, name: str, *, run: str = "r", party: str = "a", charged: Any = ()) -> dict[str, Any]:
    at = f"2026-01-01T00:00:{number:02}+00:00"
    noted = control.AuditEntry(
        sequence=number, at=at, event=name, run=run, operation="op", tables=("t",), charged=charged
    )
    return {"party": party, **msgspec.to_builtins(noted)}


def test_own_runs_with_what_each_party_was_charged(fed: ps.Federation) -> None:
    dp.count(north(fed), epsilon=0.1).release()
    joined = psi.join(north(fed), south(fed), on="id")
    joined.release()
    with pytest.raises(PolicyRefused):
        dp.count(north(fed), epsilon=2.0).release()
    last, first = spent(fed)
    assert (first["operation"], first["charged"], first["state"]) == (
        "dp.count", ("north/people: epsilon 0.1 (discrete Laplace)",), "paid",
    )  # fmt: skip
    assert (last["run"], last["operation"], set(last["parties"])) == (
        joined.request.run_id,
        "psi.join",
        {"north", "south"},
    )
    assert last["charged"] == ("north/people, south/people: 1 exact disclosure (psi.join)",)


def test_charges_on_the_way_count_and_those_not_read_are_said_to_be_missing(fed: ps.Federation) -> None:
    model = fl.Logistic(features={"age": (0, 60)})
    fl.fit(model, everyone(fed), label="late", rounds=40, aggregation="masked").release()
    (whole,) = spent(fed)
    assert whole["charged"] == tuple(
        f"east/people, north/people, south/people: {charge}"
        for charge in ("1 exact disclosure (one evaluation)", "3 x 1 exact disclosure (model rounds)")
    )
    assert fed.describe()["north"].balances[0].exact_spent == 4
    (cut,) = spent(fed, most=30)  # most rounds add nothing to the price
    assert cut["charged"] == (
        "east/people, north/people, south/people: at least 2 x 1 exact disclosure (model rounds)",
    )


def test_states_of_runs() -> None:
    price = (("t", "1 exact disclosure (op)"),)
    begun = row(1, "reserved", charged=price)
    for rows, state in (
        ([begun], "reserved"),
        ([begun, row(2, "started")], "under way, or cut off"),
        ([begun, row(2, "started"), row(3, "finished")], "paid"),
        ([begun, row(2, "started"), row(3, "failed")], "paid, and failed"),
        ([begun, row(2, "released")], "given back"),
    ):
        for order in (rows, rows[::-1]):
            (found,) = spending(order)
            assert found["state"] == state
    both = [begun, row(2, "finished"), row(1, "reserved", party="b", charged=price), row(2, "failed", party="b")]
    (found,) = spending(both)
    assert (found["state"], found["charged"]) == ("paid, and failed", ("a/t, b/t: 1 exact disclosure (op)",))


def test_what_cost_nothing_is_left_out_and_few_are_kept() -> None:
    assert spending([row(1, "refused"), row(2, "reserved", run="free")]) == ()
    many = [
        row(n % 60, "reserved", run=f"r{n}", charged=(("t", "1 exact disclosure (op)"),)) for n in range(MOST_RUNS + 5)
    ]
    kept = spending(many)
    assert len(kept) == MOST_RUNS
    assert [s["at"] for s in kept] == sorted((s["at"] for s in kept), reverse=True)


def test_a_forecast_is_the_parties_own(fed: ps.Federation) -> None:
    plan = dp.count(north(fed), epsilon=0.1)
    left = plan.preview().queries_left
    view = budgets(fed, plan=plan)
    forecast = view._forecast
    assert forecast is not None
    assert (forecast["left"], forecast["at_least"], forecast["refused"]) == (left, False, {})
    assert left is not None
    assert left > 3 / 0.1  # composed: a remainder divided by a price would be too few
    assert forecast["by"]["north/people"][1] == pytest.approx(0.1, rel=1e-3)
    assert f"{left} more dp.count" in repr(view)
    plan.release()
    view.price(dp.count(north(fed), epsilon=0.1))
    assert view._forecast is not None
    assert view._forecast["left"] == left - 1
    view.price()
    assert view._forecast is None
    view.close()


def test_a_forecast_follows_what_is_spent(fed: ps.Federation) -> None:
    plan = dp.count(north(fed), epsilon=0.1)
    view = budgets(fed, plan=plan)
    assert view._forecast is not None
    before = view._forecast["left"]
    plan.release()
    until(lambda: view._forecast["left"] != before, "the forecast is an old one")
    assert view._forecast["left"] == before - 1
    view.close()


def test_a_refused_plan_says_who_refuses_and_why(fed: ps.Federation) -> None:
    view = budgets(fed, plan=[dp.count(north(fed), epsilon=2.0)])
    assert view._forecast is not None
    assert view._forecast["left"] == -1
    assert "epsilon 2" in view._forecast["refused"]["north"]
    assert "refused by north" in repr(view)
    view.close()


def test_plans_are_of_this_federation(fed: ps.Federation) -> None:
    with federation() as other, pytest.raises(InvalidArgument, match="another federation"):
        budgets(fed, plan=dp.count(north(other), epsilon=0.1))
    with pytest.raises(InvalidArgument, match="of plans"):
        budgets(fed, plan=["dp.count"])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match="not a Plan"):
        budgets(fed, result=dp.count(north(fed), epsilon=0.1))  # type: ignore[arg-type]
    until(lambda: len(fed.activity._observers) == 0, "what was refused is not closed")


def test_receipts_are_verified_claimed_or_invalid(fed: ps.Federation) -> None:
    result = psi.join(north(fed), south(fed), on="id").release()
    view = budgets(fed, result=result)
    receipt = view._receipt
    assert receipt is not None
    assert [(head["party"], head["state"]) for head in receipt["heads"]] == [
        (party, "verified") for party in result.receipt.heads
    ]
    assert "prove" in repr(view).split("receipt of")[1]  # embedded: nothing against the laptop's owner
    view.close()
    heads, described = dict(result.receipt.heads), fed.describe()
    with federation() as other:
        foreign = other.describe()["north"].head
    altered = msgspec.structs.replace(heads["south"], rows=heads["south"].rows + 1)
    found = check_heads({"north": foreign, "south": altered}, ("north", "south", "east"), described)
    assert [(head["party"], head["state"]) for head in found] == [
        ("north", "claimed"), ("south", "invalid"), ("east", "claimed"),
    ]  # fmt: skip
    assert "another key" in found[0]["why"]
    (gone,) = check_heads({"north": heads["north"]}, (), {})
    assert (gone["state"], "cannot be reached" in gone["why"]) == ("claimed", True)
    forged = dataclasses.replace(result.receipt, heads={"south": altered})
    view = budgets(fed, result=dataclasses.replace(result, receipt=forged))
    assert "south: invalid" in repr(view)
    view.close()


def test_what_runs_under_way_hold_is_said(fed: ps.Federation) -> None:
    dp.count(north(fed), epsilon=0.1).release()  # has ended: holds nothing
    held = psi.join(north(fed), south(fed), on="id").request
    gate = fed._link._endpoints["north"]  # type: ignore[attr-defined]
    gate.handle("analyst", control.Prepare(request=held))
    noisy = dp.count(north(fed), epsilon=0.2).request
    gate.handle("analyst", control.Prepare(request=noisy))
    (balance,) = fed.describe()["north"].balances
    assert (balance.reserved, balance.exact_reserved, balance.exact_spent) == (2, 1, 1)
    assert balance.epsilon_reserved == pytest.approx(0.2, rel=1e-3)
    told = facts.of_balance("north", balance)
    assert (told["exact"]["reserved"], told["epsilon"]["reserved"]) == (1, pytest.approx(0.2, rel=1e-3))
    gate.handle("analyst", control.Release(run_id=held.run_id))
    gate.handle("analyst", control.Release(run_id=noisy.run_id))
    (balance,) = fed.describe()["north"].balances
    assert (balance.reserved, balance.exact_reserved, balance.epsilon_reserved, balance.exact_spent) == (0, 0, 0, 0)
