"""How long a charge takes from a party's ledger to the page, with ten parties and a ledger of many charges."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest
from claims import Cases
from lab_page import Lab
from playwright.sync_api import expect

from privsdk.governance.charges import Budget, Debit, DiscreteLaplace, Exact
from privsdk.party.budget.books import Books
from privsdk.protocol.operation import Request

CHARGES, RUNS, CHANGES = 10_000, 250, 50
PARTIES = 10

OPEN = """import time
import pyarrow as pa
import privsdk as ps
from privsdk import dp, widgets
parties = {{f"p{{n}}": {{"people": pa.table({{"age": list(range(60))}})}} for n in range({parties})}}
fed = ps.embedded(parties, store={store!r}, budget=ps.Budget(epsilon=1000, exact=100_000), quiet=True)
people = fed["p0"]["people"]
dp.count(people, epsilon=1.0).release()  # loads what the first release loads"""
VIEW = "view = widgets.budgets(fed)\nview"
# A change begins with the call of release, so that what the party takes for it counts, too.
CHANGE = """plan = dp.count(people, epsilon=1.0)
print(1000 * time.time())
plan.release()"""
GAUGES = {"budget view": ".jp-Notebook", "panel": "#privsdk-panel"}
# When a frame that the browser had drawn showed the release. Many compose to less than their epsilons together.
WATCH = """(place) => {
  const selector = `${place} [role=meter][aria-label*=p0][aria-label*=epsilon]`;
  const read = () => Number(document.querySelector(selector).getAttribute("aria-valuenow"));
  const before = read();
  window.drawn = 0;
  const observer = new MutationObserver(() => {
    if (Math.abs(read() - before) < 0.02) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.drawn = performance.timeOrigin + performance.now(); }));
  });
  observer.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ledgers, one of which holds many charges of an earlier day."""
    folder = tmp_path_factory.mktemp("ledgers")
    budget = Budget(epsilon=1000, exact=100_000)
    books = Books("p0", folder / "p0.sqlite", budgets={"*": budget}, datasets={"people": "people"})
    noisy = [Debit(table="people", charge=DiscreteLaplace(scale=1000.0 + n, sensitivity=1)) for n in range(10)]
    exact = [Debit(table="people", charge=Exact(what="count"))] * (CHARGES // RUNS - len(noisy))
    for n in range(RUNS):
        asked = Request(
            run_id=f"run{n}",
            operation="dp.count",
            caller="analyst",
            purpose="workshop",
            parties=("p0",),
            operands={},
            parameters={},
        )
        books.reserve("analyst", asked, [*noisy, *exact])
        books.start(asked.run_id, "session")
        books.fail(asked.run_id, "peer.gone")
    books.close()
    return folder


@pytest.mark.claim(f"a charge is drawn at once, with {PARTIES} parties and a ledger of {CHARGES:,} charges")
@pytest.mark.lengthy
@pytest.mark.parametrize("gauge", GAUGES)
def test_a_charge_is_drawn(lab: Lab, store: Path, cases: Cases, gauge: str) -> None:
    lab.of("latency", OPEN.format(parties=PARTIES, store=store.as_posix()), VIEW, CHANGE)
    lab.run(0)
    if gauge == "panel":
        lab.command("privsdk:show-panel")
    else:
        lab.run(1)
    expect(lab.page.locator(f"{GAUGES[gauge]} [role=meter][aria-label*=p0]").first).to_be_visible()
    took = []
    for _ in range(CHANGES):
        lab.page.evaluate(WATCH, GAUGES[gauge])
        lab.run(2)
        drawn = lab.until_more("() => window.drawn", 0)
        took.append(drawn - float(lab.outputs()[2][0]["text"]))
        assert took[-1] > 0
        cases()
    cases.say(f"{gauge}: median {median(took):.0f} ms of {CHANGES}, at most {max(took):.0f}")
