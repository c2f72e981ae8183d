"""How long a charge takes from a party's ledger to the page, with ten parties and a ledger of many charges."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median

import pytest
from claims import Cases
from lab_page import Lab
from playwright.sync_api import expect

from privsdk.charges import Budget, Debit, DiscreteLaplace, Exact
from privsdk.operations import Request
from privsdk.party.books import Books

CHARGES, RUNS, CHANGES = 10_000, 250, 50
PARTIES = 10

OPEN = """import json, time
import pyarrow as pa
import privsdk as ps
from privsdk import dp, widgets
parties = {{f"p{{n}}": {{"people": pa.table({{"age": list(range(60))}})}} for n in range({parties})}}
fed = ps.embedded(parties, store={store!r}, budget=ps.Budget(epsilon=1000, exact=100_000), quiet=True)
view = widgets.budgets(fed)
view"""
# A change begins with the call of release, so that what the parties take for it counts, too.
CHANGE = """began = []
for n in range({changes}):
    plan = dp.count(fed["p0"]["people"], epsilon=1.0)
    began.append(1000 * time.time())
    plan.release()
    time.sleep(1)
print(json.dumps(began))"""
GAUGES = {
    "budget view": ".jp-Notebook [role=meter][aria-label*=p0][aria-label*=epsilon]",
    "panel": "#privsdk-panel [role=meter][aria-label*=p0][aria-label*=epsilon]",
}
# When each new figure of a gauge was in a frame that the browser had drawn.
WATCH = """(gauges) => {
  window.drawn = Object.fromEntries(Object.keys(gauges).map((name) => [name, []]));
  const read = (selector) => document.querySelector(selector)?.getAttribute("aria-valuetext");
  const before = Object.fromEntries(Object.entries(gauges).map(([name, selector]) => [name, read(selector)]));
  new MutationObserver(() => {
    for (const [name, selector] of Object.entries(gauges)) {
      if (read(selector) === before[name]) continue;
      before[name] = read(selector);
      requestAnimationFrame(() => setTimeout(() => drawn[name].push(performance.timeOrigin + performance.now())));
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  return before;
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


@pytest.mark.claim(f"from a charge to pixels with {PARTIES} parties and a ledger of {CHARGES:,} charges: each is drawn")
def test_a_charge_is_drawn(lab: Lab, store: Path, cases: Cases) -> None:
    lab.of("latency", OPEN.format(parties=PARTIES, store=store.as_posix()), CHANGE.format(changes=CHANGES))
    lab.run(0)
    expect(lab.shown(0)).to_contain_text("p9")
    lab.command("privsdk:show-panel")
    expect(lab.page.locator(GAUGES["panel"])).to_be_visible()
    assert all(lab.page.evaluate(WATCH, GAUGES).values())
    lab.run(1)
    began = json.loads(lab.shown(1).inner_text())
    assert len(began) == CHANGES
    figures = []
    for name, drawn in lab.page.evaluate("() => drawn").items():
        took = [min((at for at in drawn if at > begin), default=math.inf) - begin for begin in began]
        pauses = [after - begin for begin, after in zip(began, [*began[1:], math.inf], strict=True)]
        assert all(ms < pause for ms, pause in zip(took, pauses, strict=True)), f"not all drawn in the {name}: {took}"
        figures.append(f"{name} {median(took):.0f} ms, at most {max(took):.0f}")
        cases(CHANGES)
    cases.say("; ".join(figures))
