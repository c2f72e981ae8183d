"""The budget view in a real browser: gauges and their words, what was spent, forecasts, receipts."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from axe_playwright_python.sync_playwright import Axe
from claims import Cases, Counts
from measuring import UPDATE
from mounting import Mount
from offering import clinics, state_of, without
from playwright.sync_api import Locator, Page, expect

import privsdk as ps
from privsdk import dp, psi
from privsdk.widgets import budgets
from privsdk.widgets.spending import MOST_RUNS, spending
from privsdk.widgets.view import module


def mean(fed: ps.Federation, party: str, epsilon: float) -> ps.Plan[pa.Table]:
    return dp.mean(fed[party]["people"], "age", bounds=(0, 60), epsilon=epsilon)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ps.Federation]:
    """Clinics of which north is nearly spent, and east frozen."""
    folder: Path = tmp_path_factory.mktemp("ledgers")
    budget = ps.Budget(epsilon=0.5, exact=40, limits=(ps.Limit(purpose="*", days=30, exact=4),))
    with clinics(store=folder, budget=budget) as fed:
        mean(fed, "north", 0.45).release()
        psi.join(fed["north"]["people"], fed["south"]["people"], on="id").release()
        with ps.Owner(folder / "east.sqlite") as owner:
            owner.freeze("people", reason="a complaint is looked into")
        yield fed


@pytest.fixture
def show(mount: Mount) -> Callable[..., Page]:
    return lambda state, **options: mount(module("budget"), state, **options)


def meter(page: Page, name: str) -> Locator:
    return page.get_by_role("meter", name=name, exact=True)


def row(page: Page, name: str) -> Locator:
    return page.locator(f'tr[data-key="{name}"]')


def test_gauges_say_what_is_spent_and_left(used: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(state_of(budgets(used)))
    (balance,) = used.describe()["north"].balances
    epsilon = meter(page, "epsilon of north/people")
    assert float(epsilon.get_attribute("aria-valuenow") or 0) == pytest.approx(balance.epsilon_left)
    assert epsilon.get_attribute("aria-valuemax") == "0.5"
    part = epsilon.locator(".privsdk-left").evaluate("(part) => part.offsetWidth / part.parentElement.offsetWidth")
    assert part == pytest.approx(balance.epsilon_left / 0.5, abs=0.01)
    shown = row(page, "north/people")
    expect(shown).to_contain_text("0.05 of 0.5 left: nearly spent")
    expect(shown).to_contain_text("39 of 40 left")
    expect(shown).to_contain_text("protects one row")
    limit = meter(page, "exact disclosures of north/people, each purpose, 30 days")
    assert limit.get_attribute("aria-valuetext") == "3 of 4 left"
    assert float(limit.get_attribute("aria-valuenow") or 0) == 0.75
    expect(page.get_by_text("keeper: no data, so no budget.")).to_be_visible()


def test_frozen_datasets_say_why(used: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(state_of(budgets(used)))
    frozen = page.get_by_text("frozen by its owner: a complaint is looked into. Nothing can be charged.")
    assert frozen.count() == 1
    expect(row(page, "east/people")).to_contain_text("a complaint")


def test_reserved_used_up_and_reset_budgets(used: ps.Federation, show: Callable[..., Page]) -> None:
    state = state_of(budgets(used))
    for balance in state["_parties"][1]["balances"]:
        balance["reserved"] = 2
        balance["epsilon"] |= {"spent": 0.3, "reserved": 0.12, "left": 0.2, "text": "0.2 of 0.5", "lifetime": 1.25}
        balance["exact"] |= {"spent": 40, "reserved": 0, "left": 0, "text": "0 of 40", "lifetime": 1240}
    page = show(state)
    shown = row(page, "south/people")
    expect(shown).to_contain_text("2 runs under way")
    expect(shown).to_contain_text("at most 0.12 reserved")
    expect(shown).to_contain_text("used up: 0 of 40 left")
    told = meter(page, "epsilon of south/people").get_attribute("aria-valuetext")
    assert told == "0.3 of 0.5 spent, at most 0.12 reserved, 0.2 of 0.5 left"
    widths = "(parts) => parts.map((part) => part.style.width)"
    assert meter(page, "epsilon of south/people").locator(".privsdk-part").evaluate_all(widths) == ["40%", "24%"]
    ever = row(page, "south/people ever")
    expect(ever).to_contain_text("epsilon 1.25 spent")
    expect(ever).to_contain_text("1,240 spent")


def test_no_budget_at_all_is_no_gauge_of_none(used: ps.Federation, show: Callable[..., Page]) -> None:
    state = state_of(budgets(used))
    state["_parties"][0]["balances"][0]["epsilon"] |= {"cap": 0, "spent": 0, "left": 0, "text": "0 of 0"}
    page = show(state)
    expect(row(page, "north/people")).to_contain_text("none is given")


def test_forecasts(used: ps.Federation, show: Callable[..., Page]) -> None:
    plan = mean(used, "south", 0.05)
    left = plan.preview().queries_left
    page = show(state_of(budgets(used, plan=plan)))
    expect(page.get_by_role("status")).to_contain_text(f"At this price {left} more dp.mean in a row")
    expect(row(page, "south/people")).to_contain_text("one more takes 0.05")
    expect(row(page, "north/people")).not_to_contain_text("one more takes")
    page = show(state_of(budgets(used, plan=mean(used, "north", 0.4))))
    expect(page.get_by_role("status")).to_contain_text("Not one more dp.mean: refused.")
    expect(page.get_by_role("status")).to_contain_text("short by")


def test_what_was_spent(used: ps.Federation, show: Callable[..., Page]) -> None:
    page = show(state_of(budgets(used)))
    rows = page.get_by_role("region", name="What you spent").locator("tbody tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    assert [cell[1] for cell in cells] == ["psi.join", "dp.mean"]
    assert cells[0][2:] == ["north/people, south/people: 1 exact disclosure (psi.join)", "paid"]
    assert cells[1][2].startswith("north/people: 2 x epsilon 0.225")
    (event, *_) = [row for row in used.audit_log()["north"].rows if row.event == "reserved"]
    local = page.evaluate("(at) => new Date(at).getFullYear() + '-'", event.at)
    assert cells[0][0].startswith(local)


def test_receipts(used: ps.Federation, show: Callable[..., Page]) -> None:
    result = psi.join(used["north"]["people"], used["south"]["people"], on="id").release()
    state = state_of(budgets(used, result=result))
    page = show(state)
    region = page.get_by_role("region", name=f"Receipt of psi.join, run {result.receipt.run_id}")
    assert region.get_by_text("✓ verified").count() == 2
    expect(region).to_contain_text("prove nothing against the laptop's owner")
    state["_receipt"]["heads"][0] |= {"state": "invalid", "why": "the signature does not fit"}
    state["_receipt"]["heads"][1] |= {"state": "claimed", "why": "gave no signed audit head"}
    page = show({**state, "_embedded": False})
    expect(region).to_contain_text("✗ INVALID")
    expect(region).to_contain_text("claimed only")
    expect(region).not_to_contain_text("laptop")
    expect(region).to_contain_text("not that it was so")


def test_who_cannot_be_reached_and_a_closed_federation(used: ps.Federation, show: Callable[..., Page]) -> None:
    state = without(state_of(budgets(used)), "south")
    page = show(state)
    expect(page.get_by_text("south cannot be reached; asked again now and then.")).to_be_visible()
    assert row(page, "south/people").count() == 0
    page = show({**state, "_ended": True})
    expect(page.get_by_role("status")).to_contain_text("This federation is closed")
    page = show({**state, "_parties": [], "_spending": []})
    expect(page.get_by_text("Asking the parties ...")).to_be_visible()
    expect(page.get_by_text("Nothing yet, as far as these ledgers remember you.")).to_be_visible()


def test_news_keeps_the_readers_place(used: ps.Federation, show: Callable[..., Page]) -> None:
    state = state_of(budgets(used))
    page = show(state)
    page.get_by_role("group", name="what you spent").focus()
    page.evaluate("() => { window.before = document.activeElement; }")
    state["_parties"][0]["balances"][0]["exact"] |= {"spent": 30, "left": 10, "text": "10 of 40"}
    page.evaluate("(parties) => model.set('_parties', parties)", state["_parties"])
    expect(row(page, "north/people")).to_contain_text("10 of 40 left")
    assert page.evaluate("() => document.activeElement === window.before")
    assert page.evaluate("() => model.listeners()") > 0
    page.evaluate("() => window.unmount()")
    assert page.evaluate("() => model.listeners()") == 0


def test_what_owners_write_is_text(used: ps.Federation, show: Callable[..., Page]) -> None:
    raw = json.dumps(state_of(budgets(used))).replace("a complaint", "<img src=x onerror=document.title=1>")
    page = show(json.loads(raw))
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_budget_view_is_accessible(used: ps.Federation, show: Callable[..., Page], dark: bool) -> None:
    result = psi.join(used["north"]["people"], used["south"]["people"], on="id").release()
    for plan in (mean(used, "south", 0.05), mean(used, "north", 0.4)):
        page = show(state_of(budgets(used, plan=plan, result=result)), dark=dark)
        found = Axe().run(page, context="main").response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not serious, [(each["id"], each["nodes"][0]["html"]) for each in serious]


@pytest.mark.claim(
    "the budget view of 10 parties and 10,000 charges: from the parties' replies to pixels within 200 ms (median of 50)"
)
def test_news_is_soon_seen(show: Callable[..., Page], cases: Cases, counts: Counts) -> None:
    """More than the view is ever told: the audit rows of all charges, not of the latest."""
    table = pa.table({"x": [1.0]})
    with ps.embedded({f"party_{n}": {"people": table} for n in range(10)}, store=None, quiet=True) as fed:
        state = state_of(budgets(fed))
    price = (("people", "epsilon 0.001 (discrete Laplace)"),)
    events = [
        {
            "party": f"party_{n % 10}",
            "sequence": 3 * n + step,
            "at": (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n)).isoformat(),
            "event": event,
            "run": f"run{n}",
            "operation": "dp.count",
            "tables": ("people",),
            "why": "",
            "charged": price[step:],
        }
        for n in range(10_000)
        for step, event in enumerate(("reserved", "finished"))
    ]
    page = show(state)
    took = []
    for n in range(counts(3, 50, 50)):
        for party in state["_parties"]:
            for balance in party["balances"]:
                balance["epsilon"] |= {
                    "spent": 0.01 * n,
                    "text": f"{3 - 0.01 * n:.3g} of 3",
                    "left": 3 - 0.01 * n,
                    "lifetime": 0.01 * n,
                }
        began = time.perf_counter()
        told = json.loads(json.dumps(msgspec.to_builtins(spending(events[n:]))))
        prepared = 1000 * (time.perf_counter() - began)
        took.append(prepared + page.evaluate(UPDATE, {"_parties": state["_parties"], "_spending": told}))
        cases()
    assert page.locator("tbody tr").count() == 10 + MOST_RUNS
    cases.say(f"median {statistics.median(took):.0f} ms, largest {max(took):.0f} ms")
