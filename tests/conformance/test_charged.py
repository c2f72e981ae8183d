"""Every operation's price: what is declared covers what a run tells, and what is shown is what is charged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases
from role_runs import MINIMUM, OUTSIDER, PLANS, TABLES, Ran, examples, ran, variants

import privsdk as ps
from privsdk import fl, he, psi
from privsdk.governance.charges import Debit, Exact
from privsdk.governance.policy import Disclosure
from privsdk.governance.prices import SET, Figures
from privsdk.party.budget import bits
from privsdk.protocol.operation import Operation, operation_names, operation_of

EVERYTHING = ps.Grant(table="*", columns={"*": tuple(Disclosure)}, min_count=MINIMUM, max_epsilon=100.0)
POLICY = ps.Policy(operations=("*",), grants=(EVERYTHING,), min_parties=1)
BUDGET = ps.Budget(epsilon=1000.0, exact=1000)
SCORE: dict[str, Any] = {"features": {"x": 100.0}, "weight_bound": 1.0}
PIXELS = fl.Vector(784, low=0, high=255)
NETWORK = fl.MLP(features={"p": PIXELS}, hidden=[64], classes=range(10))


def exact_plans() -> Iterator[tuple[str, Operation[Any]]]:
    for call, request in examples().items():
        operation = operation_of(request)
        if operation.figures():
            yield call, operation


def whole(figures: Figures) -> int:
    """Figures about all units that are told of, a party's own among them."""
    return sum(math.prod(f.number * f.each for f in told.factors) for told in figures.told)


def numbers(table: pa.Table | None, *, besides: tuple[str, ...] = ()) -> int:
    """Cells that tell something."""
    if table is None:
        return 0
    return sum(len(table[name]) - table[name].null_count for name in table.column_names if name not in besides)


def told_of(found: Ran, party: str) -> int:
    """The figures of a run, about this party's units or those of several, counted in what left the parties: of whoever
    is told most."""
    name, parameters = found.operation.request.operation, found.operation.parameters
    answer = found.outcomes[party]
    told = 2  # of psi.cardinality: how many keys are shared, and how many there are
    if name in ("psi.join", "psi.difference"):
        terms = [s for s in found.transcript if (s.sender, s.tag) == (party, "psi.Terms")]
        turns = len(terms) // (len(found.operation.request.parties) - 1)
        told = SET * (turns + (0 if answer.table is None else answer.table.num_columns))
    elif name == "aggregate":
        labels = [numbers(s.table) for s in found.transcript if (s.sender, s.tag) == (party, "aggregate.Labels")]
        by = tuple(name.text(parameters.party) for name in parameters.groups)
        told = sum(labels) + (numbers(answer.table, besides=by) + 1 if answer.table is not None else 0)
    elif name == "joint.moments":
        told = told_of_a_join(found, party)
    elif name == "he.score" and party == found.operation.request.parties[0]:
        intervals = answer.table.select([n for n in answer.table.column_names if n not in ("from", "to")])
        told = len(answer.value) + intervals.num_rows * intervals.num_columns  # that one is suppressed is told too
    elif name == "he.score":
        told = TABLES[party]["m"].num_rows
    elif name.startswith("he."):
        table = found.outcomes[found.operation.request.parties[-1]].table
        floors = any(sent.tag == "he.floors.Floors" for sent in found.transcript)
        told = numbers(table) + (table.num_rows + 1 if floors and table is not None else 0)
    elif name == "fl.fit":
        told = told_by_training(found, party)
    return told


def told_of_a_join(found: Ran, party: str) -> int:
    """Each figure in which a column of the party's is, from whomever it comes, and two constants of each number."""
    request, start = found.operation.request, 1
    for before in request.parties[: request.parties.index(party)]:
        start += sum(len(fact.get("labels", [0])) for fact in found.outcomes[before].value["facts"])
    facts = found.outcomes[party].value["facts"]
    own = range(start, start + sum(len(fact.get("labels", [0])) for fact in facts))
    tables = [outcome.table for outcome in found.outcomes.values() if outcome.table is not None]
    pairs = {pair for t in tables for pair in zip(t["left"].to_pylist(), t["right"].to_pylist(), strict=True)}
    return sum(i in own or j in own for i, j in pairs) + 2 * sum("centre" in fact for fact in facts)


def told_by_training(found: Ran, party: str) -> int:
    """Models of rounds but the first, which is public; updates in the clear; statistics, losses and evaluations."""
    size = found.operation.parameters.model.network.size
    leading = next(outcome.value for outcome in found.outcomes.values() if "facts" in outcome.value)
    lines = sum(value is not None for column in ("rows", "loss") for value in leading["rounds"][column])
    evaluation = sum(value is not None for value in found.outcomes[party].value["evaluation"].values())
    replicated = len(leading["rounds"]["round"]) * size if found.operation.parameters.mode.replicated else 0
    models = [
        replicated or sum(numbers(s.table) for s in found.received(member) if s.tag == "fl.rounds.Round") - size
        for member in found.operation.contributors()
    ]
    clear = sum(numbers(s.table) + 2 for s in found.transcript if (s.sender, s.tag) == (party, "fl.averages.Said"))
    return max(clear, *models, 0) + len(leading["facts"]) + (0 if clear else lines) + evaluation


@pytest.mark.claim("price: no run tells more exact figures of a table than its operation declares and is paid for")
def test_what_is_declared_covers_what_a_run_tells(cases: Cases) -> None:
    tried, names = 0, set()
    for call, operation in exact_plans():
        found = ran(call, OUTSIDER)
        assert found is not None
        for party, figures in operation.figures().items():
            told = told_of(found, party)
            assert 0 < told <= whole(figures), f"{call} tells {told} figures of {party}, and declares {whole(figures)}"
            tried += 1
        names.add(operation.request.operation)
    assert names == {name for name in operation_names() if not name.startswith("dp.")}
    cases(tried)


def test_every_table_that_is_read_is_paid_for() -> None:
    for call, request in examples().items():
        price = operation_of(request).price()
        assert {party: {d.table for d in debits} for party, debits in price.items()} == {
            party: {operand.table} for party, operand in request.operands.items()
        }, call


def opened() -> ps.Federation:
    return ps.embedded(TABLES, store=None, quiet=True, policy=POLICY, budget=BUDGET)


def spent(fed: ps.Federation) -> dict[str, int]:
    return {party: balances[0].exact_spent for party, balances in fed.budgets().items() if balances}


def uses(debits: tuple[Debit, ...]) -> int:
    return sum(debit.charge.uses for debit in debits if isinstance(debit.charge, Exact))


@pytest.mark.claim("price: what a preview shows is what is charged, to every table behind a join")
@pytest.mark.parametrize("call", [call for call, _ in exact_plans()])
def test_the_price_shown_is_charged(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "SHARE", math.inf)  # tables of so few rows hold no bits to tell
    with opened() as fed:
        plan = next(plan for name, plan in chain(PLANS(fed), variants(fed)) if name == call)
        before = dict.fromkeys(TABLES, 0) if call == "psi.join" else spent(fed)  # which was released for others
        price = {party: uses(debits) for party, debits in plan.price.items()}
        shown = {
            party: quotes[0].after.exact_spent - quotes[0].now.exact_spent
            for party, quotes in plan.preview().datasets.items()
            if quotes
        }
        result = plan.release()
        charged = {party: now - before[party] for party, now in spent(fed).items() if now > before[party]}
    assert charged == {party: uses(debits) for party, debits in result.spent.items()}
    if call in ("fl.fit, clear, drawn", "fl.fit, FedBuff"):  # who is not in a round does not pay for it
        charged = {party: max(use, price[party]) for party, use in charged.items()}
    assert charged == price == shown


def refusal(plan: ps.Plan[Any]) -> str:
    with pytest.raises(ps.errors.BudgetExceeded) as refused:
        plan.release()
    return refused.value.hint


@pytest.mark.claim("price: what a refusal names as cheaper is covered, and the next larger is not")
def test_a_refusal_says_what_would_pass() -> None:
    budget = ps.Budget(exact=1)
    with ps.embedded(TABLES, store=None, quiet=True, policy=POLICY, budget=budget) as fed:
        table, others = fed["A"]["t"], fed.tables("t")
        assert "most_groups=15 costs 1, or dp.count, which takes epsilon instead" in refusal(table.count(by="group"))
        assert "intervals: 7 costs 1" in refusal(he.score(fed["K"]["m"], table, label="y", **SCORE))
        histogram = he.histogram(others, "x", edges=range(40), key_holder="K")
        assert "intervals: 7 costs 1, or dp.histogram" in refusal(histogram)
        assert "rows" not in refusal(psi.difference(table, fed["B"]["t"], on="key", columns=["x"]))
        for most, why in ((0, ">= 1"), (4097, "<= 4096")):
            with pytest.raises(ps.errors.InvalidArgument, match=f"{why} - at .*most_groups"):
                table.count(by="group", most_groups=most)
        with pytest.raises(ps.errors.BudgetExceeded):
            table.count(by="group", most_groups=16).release()
        assert table.count(by="group", most_groups=15).release().value.num_rows == 2


def test_a_training_says_how_many_rounds_its_budget_covers() -> None:
    model = fl.Logistic(features={"x": (0, 100)})
    with ps.embedded(TABLES, store=None, quiet=True, policy=POLICY, budget=ps.Budget(exact=4)) as fed:
        clear = fl.fit(model, fed.tables("t"), label="y", rounds=100, aggregation="clear", fewest=3)
        quotes = [quote for quotes in clear.preview().datasets.values() for quote in quotes]
        assert all("this needs 6 (short by 2)" in quote.short for quote in quotes)
        assert all("rounds=62 costs 4" in quote.fitting for quote in quotes)
        assert all('or aggregation="masked" costs 4, or privacy=' in quote.fitting for quote in quotes)
        assert "rounds=62 costs 4" in " ".join(str(clear.preview()).split())
        for rounds, price in ((62, 4), (63, 5)):
            again = fl.fit(model, fed.tables("t"), label="y", rounds=rounds, aggregation="clear", fewest=3)
            assert {uses(debits) for debits in again.price.values()} == {price}


@pytest.mark.parametrize(
    ("call", "price"),
    [
        ({"model": fl.Logistic(features=dict.fromkeys("abcdef", (0, 1))), "rounds": 30}, 5),
        ({"model": fl.Logistic(features=dict.fromkeys("abcdef", (0, 1))), "rounds": 30, "fewest": 3}, 3),
        ({"model": fl.Softmax(features={"p": PIXELS}, classes=range(10)), "rounds": 10, "parties": 10}, 32),
        ({"model": NETWORK, "rounds": 10, "parties": 10}, 80),
        ({"model": NETWORK, "rounds": 10, "parties": 10, "aggregation": "clear"}, 179),
    ],
)
def test_prices_of_the_guide(call: dict[str, Any], price: int) -> None:
    """The table in docs/guide/budgets.md: so many of them an allowance of 200 covers."""
    arguments = dict(call)
    columns = {c: [0.5] * 30 for c in "abcdef"} | {"p": pa.array([[0.0] * 784] * 30), "y": [0, 1] * 15}
    held = {f"P{n}": pa.table(columns) for n in range(arguments.pop("parties", 3))}
    with ps.embedded({**held, "SERVER": {}}, store=None, quiet=True, table="t") as fed:
        plan = fl.fit(tables=fed.tables("t"), label="y", coordinator="SERVER", **arguments)
    assert {uses(debits) for debits in plan.price.values()} == {price}


def test_more_groups_than_are_paid_for_are_not_told() -> None:
    with opened() as fed:
        table = fed["A"]["t"]
        with pytest.raises(
            ps.errors.DataError, match="A has more than the 1 groups of group that this question pays for"
        ):
            table.count(by="group", most_groups=1).release()
        assert spent(fed)["A"] == 1
        assert table.count(by="group", most_groups=2).release().value.num_rows == 2
