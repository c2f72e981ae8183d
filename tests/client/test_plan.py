"""Plans and runs: what a refusal or failure costs and tells, and releasing twice, cancelling, waiting."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from people import everyone, north, people, south
from waiting import until

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.progress import Live
from privsdk.crypto.sums.encrypted import EncryptedSum
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import AnswerLost, Cancelled, DataError, PolicyRefused, PrivsdkError, Refused
from privsdk.party.ledger.verification import read_ledger

Verb = Callable[[ps.Federation], Any]
MODEL = fl.Logistic(features={"age": (0, 100)})
REAL, INTEGER = 271828.1828, 31415926535


def test_a_refused_request_costs_nothing_and_is_in_the_audit(tmp_path: Path) -> None:
    policy = {"south": ps.Policy(operations=("he.sum",), min_parties=2), "north": WORKSHOP_POLICY}
    held = {name: {"people": people()} for name in ("north", "south")}
    with ps.embedded({**held, "keeper": {}}, store=tmp_path, policy=policy, quiet=True) as fed:
        before = fed.budgets()
        with pytest.raises(PolicyRefused, match=r"people\.age is not granted as HE operand to analyst"):
            he.sum(fed.tables("people"), "age").release()
        with pytest.raises(PolicyRefused, match=r"south does not allow the operation dp\.count"):
            dp.count(south(fed), epsilon=0.1).release()
        with pytest.raises(Refused, match="up to epsilon 1 a release"):
            dp.count(north(fed), epsilon=2).release()
        assert fed.budgets() == before
    rows = read_ledger(tmp_path / "south.sqlite").rows
    events = [e for row in rows if (e := msgspec.json.decode(row.body))["event"] == "refused"]
    assert [(e["event"], e["request"]["operation"]) for e in events] == [
        ("refused", "he.sum"),
        ("refused", "dp.count"),
    ]
    assert all(e["caller"] == "analyst" and e["why"] for e in events)
    told = [msgspec.json.decode(row.body)["event"] for row in read_ledger(tmp_path / "north.sqlite").rows]
    assert told == ["opened", "owner", "reserved", "released", "refused"]


BAD: dict[str, dict[str, Any]] = {
    "NaN": {"amount": [float("nan"), *[REAL] * 59]},
    "infinite": {"amount": [float("-inf"), *[REAL] * 59]},
    "too large": {"amount": [REAL * 1e12, *[0.0] * 59]},
}


@pytest.mark.parametrize("preset", ["exact", "ckks"])
@pytest.mark.parametrize("case", BAD)
def test_values_that_cannot_be_summed_are_refused_before_encryption_and_not_told(
    case: str, preset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted: list[str] = []
    contribute = EncryptedSum.contribute

    def recorded(self: Any, *args: Any) -> Any:
        encrypted.append(self._me)
        return contribute(self, *args)

    monkeypatch.setattr(EncryptedSum, "contribute", recorded)
    held = {"north": people(), "south": people(**BAD[case]), "keeper": {}}
    with ps.embedded(held, store=None, quiet=True) as fed, pytest.raises(DataError) as error:
        he.mean(fed.tables("table"), "amount", bound=1e9, preset=preset).release()
    assert "south's amount" in error.value.message
    assert "nothing was encrypted or sent" in error.value.message
    assert "south" not in encrypted
    assert "27182" not in "".join(traceback.format_exception(error.value))


def test_no_failure_quotes_a_value() -> None:
    bad = people(age=[INTEGER] * 60, amount=[float("inf"), *[REAL] * 59], late=[INTEGER, *[0] * 59])
    plans: list[Verb] = [
        lambda f: he.sum(f.tables("table"), "age", bound=10_000),
        lambda f: fl.fit(fl.Logistic(features={"amount": (0, 1)}), f.tables("table"), label="late", rounds=1),
    ]
    held = {"north": people(), "south": bad, "east": people(), "keeper": {}}
    with ps.embedded(held, store=None, quiet=True) as fed:
        joint = psi.join(fed["north"]["table"], fed["south"]["table"], on="id").release().value
        for plan in [*(make(fed) for make in plans), joint["south"].mean("amount")]:
            with pytest.raises(DataError, match=r"south('s| cannot)") as error:
                plan.release()
            shown = "".join(traceback.format_exception(error.value))
            for value in ("27182", "31415", "k17"):
                assert value not in shown


def test_a_plan_released_twice_returns_the_same_value_and_is_charged_once(fed: ps.Federation) -> None:
    for plan in (dp.count(north(fed), epsilon=0.5), he.sum(everyone(fed), "age")):
        first, after = plan.release(), fed.budgets()
        second = plan.release()
        assert second.value == first.value
        assert second.receipt.run_id == first.receipt.run_id
        assert fed.budgets() == after
    again = dp.count(north(fed), epsilon=0.5)
    again.release()
    assert fed.budgets()["north"][0].epsilon_spent == pytest.approx(1.0, rel=1e-3)


def test_a_failed_run_released_again_has_lost_its_answer(fed: ps.Federation) -> None:
    plan = he.sum(everyone(fed), "age", bound=5)
    with pytest.raises(DataError):
        plan.release()
    after = fed.budgets()
    assert after["north"][0].exact_spent == 1
    with pytest.raises(AnswerLost, match="was charged and failed before"):
        plan.release()
    assert fed.budgets() == after


def running(fed: ps.Federation) -> int:
    """At how many parties something runs."""
    return sum(fed[party]._description.running for party in fed.parties)


def test_a_cancelled_run_ends_everywhere(fed: ps.Federation) -> None:
    run = fl.fit(MODEL, everyone(fed), label="late", rounds=5000).start()
    until(lambda: running(fed) == 4)
    assert not run.done()
    run.cancel()
    with pytest.raises(Cancelled, match="the run was cancelled"):
        run.result(timeout_s=120)
    assert running(fed) == 0
    assert "cancelled" in str(run)
    with pytest.raises(AnswerLost):
        run.plan.release()


def test_waiting_may_end_before_the_run_does(fed: ps.Federation) -> None:
    run = he.sum(everyone(fed), "age").start()
    with pytest.raises(TimeoutError, match="it goes on"):
        run.result(timeout_s=0)
    assert run.result(timeout_s=60).value.value == 3 * sum(range(60))
    plan = he.sum(everyone(fed), "age")
    with pytest.raises(TimeoutError):
        plan.release(timeout_s=0)
    # opening, where there is a table the budget and the set of its rows, and two runs of three rows each
    rows = {party: 7 + 2 * bool(fed[party].tables) for party in fed.parties}
    until(lambda: all(fed[party]._description.head.rows == rows[party] for party in fed.parties))
    assert plan.release().value.value == 3 * sum(range(60))
    assert fed.budgets()["north"][0].exact_spent == 2


def test_a_run_can_be_awaited(fed: ps.Federation) -> None:
    async def both() -> list[int]:
        plans = [dp.count(table, epsilon=0.5) for table in (north(fed), south(fed))]
        return [(await run).value.num_rows for run in [plan.start() for plan in plans]]

    assert asyncio.run(both()) == [1, 1]


def test_a_closed_federation_says_so(fed: ps.Federation) -> None:
    plan = dp.count(north(fed), epsilon=0.1)
    fed.close()
    for use in (lambda: fed["north"], plan.preview, plan.release):
        with pytest.raises(PrivsdkError):
            use()


def test_a_plan_that_runs_is_waited_for_and_not_run_twice(fed: ps.Federation) -> None:
    plan = he.sum(everyone(fed), "age")
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda _: plan.release().value.value, range(8)))
    assert values == [3 * sum(range(60))] * 8
    assert fed.budgets()["north"][0].exact_spent == 1
    long = fl.fit(MODEL, everyone(fed), label="late", rounds=5000)
    with pytest.raises(TimeoutError, match=r"wait again with result\(\) or release\(\)"):
        long.release(timeout_s=0.5)
    assert long.start() is long.start()
    long.start().cancel()
    with pytest.raises(Cancelled):
        long.release()


def test_a_run_that_is_cancelled_before_it_begins_is_free(fed: ps.Federation) -> None:
    live = Live(he.sum(everyone(fed), "age").request)
    live.cancelled.set()
    with pytest.raises(Cancelled, match="nothing was charged"):
        fed.execute(live)
    assert fed.budgets()["north"][0].exact_spent == 0
    assert fed.budgets()["north"][0].reserved == 0
