"""Previews: what they say comes from the parties and comes true, and saying it spends nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.plan import Plan
from privsdk.errors import BudgetExceeded, InvalidArgument, PolicyRefused, UnknownName
from privsdk.governance.charges import MOST_QUERIES, attacker_certainty

ROWS = 60
CAP = ps.Budget(epsilon=1.0, exact=4)


def people() -> pa.Table:
    columns = {"id": [f"k{n}" for n in range(ROWS)], "age": list(range(ROWS)), "town": ["a", "b", "b"] * (ROWS // 3)}
    return pa.table({**columns, "late": [n % 2 == 0 for n in range(ROWS)]})


def embedded(store: Path | None, **options: object) -> ps.Federation:
    held = {name: {"people": people()} for name in ("north", "south", "east")}
    return ps.embedded({**held, "keeper": {}}, store=store, quiet=True, **{"budget": CAP, **options})


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[ps.Federation]:
    with embedded(tmp_path) as opened:
        yield opened


def north(fed: ps.Federation) -> ps.fl.verbs.Table:
    return fed["north"]["people"]


def test_a_preview_says_what_would_be_left_and_how_often(fed: ps.Federation) -> None:
    plan = he.mean(fed.tables("people"), "age")
    preview = plan.preview()
    assert preview.allowed
    assert preview.queries_left == 4
    assert {party: [b.exact_left for b in left] for party, left in preview.remaining.items()} == {
        "north": [3], "south": [3], "east": [3], "keeper": [],
    }  # fmt: skip
    plan.release()
    assert he.mean(fed.tables("people"), "age").preview().queries_left == 3
    shown = [line.split() for line in str(he.mean(fed.tables("people"), "age").preview()).splitlines()]
    assert ["north/people", "[##########]", "1", "of", "1", "[#####==...]", "2", "of", "4", "3"] in shown
    assert "such requests" in str(preview)


def test_the_party_with_the_least_says_how_often(tmp_path: Path) -> None:
    with embedded(tmp_path, budget={"south": ps.Budget(exact=2), "east": ps.Budget(exact=9)}) as fed:
        assert he.sum(fed.tables("people"), "age").preview().queries_left == 2


def test_a_preview_spends_nothing_and_is_not_audited(fed: ps.Federation) -> None:
    before, rows = fed.budgets(), north(fed)._runner["north"]._description.head.rows  # type: ignore[attr-defined]
    for _ in range(3):
        dp.count(north(fed), epsilon=0.3).preview()
        dp.count(north(fed), epsilon=5).preview()  # which the policy would refuse
    assert fed.budgets() == before
    assert fed["north"]._description.head.rows == rows


def test_a_forecast_has_an_end(tmp_path: Path) -> None:
    with embedded(tmp_path, budget=ps.Budget(epsilon=1000)) as fed:
        preview = dp.count(north(fed), epsilon=0.001).preview()
        assert preview.queries_left == MOST_QUERIES
        assert "at least 1,000" in str(preview)


def test_several_plans_are_priced_together(fed: ps.Federation) -> None:
    plans = [dp.count(north(fed), epsilon=0.6), dp.count(fed["south"]["people"], epsilon=0.6)]
    together = fed.preview([*plans, he.sum(fed.tables("people"), "age")])
    assert together.allowed
    assert [round(together.remaining[party][0].epsilon_left, 2) for party in ("north", "south", "east")] == [
        0.4,
        0.4,
        1,
    ]
    assert [together.remaining[party][0].exact_left for party in ("north", "south", "east")] == [3, 3, 3]
    both = fed.preview([dp.count(north(fed), epsilon=0.6), dp.count(north(fed), epsilon=0.6)])
    assert not both.allowed  # each alone would be
    assert isinstance(both.quotes["north"], BudgetExceeded)
    text = str(together)
    assert "preview of 3 questions together: dp.count, he.sum: every party would allow it; nothing spent" in text
    assert text.count("\n    dp.count ") == 2


@pytest.mark.parametrize("plans", [[], [3], "dp.count"])
def test_only_plans_can_be_priced(fed: ps.Federation, plans: list[object]) -> None:
    with pytest.raises(InvalidArgument, match="plans were expected"):
        fed.preview(plans)  # type: ignore[arg-type]


@pytest.mark.parametrize("epsilon", [0.0, 0.1, math.log(3), 2.0, 50.0])
def test_an_attackers_certainty_is_bayes_rule_with_the_worst_ratio(epsilon: float) -> None:
    present, absent = math.exp(epsilon), 1.0  # likelihoods of what was seen, at the most favourable ratio
    assert attacker_certainty(epsilon) == pytest.approx(0.5 * present / (0.5 * present + 0.5 * absent))


def test_certainty_by_this_release_and_by_all(fed: ps.Federation) -> None:
    dp.count(north(fed), epsilon=math.log(2)).release()
    quote = dp.count(north(fed), epsilon=0.1).preview().datasets["north"][0]
    assert quote.certainty[0] == pytest.approx(attacker_certainty(0.1))
    assert quote.certainty[1] == pytest.approx(attacker_certainty(math.log(2) + 0.1), rel=1e-3)
    shown = str(dp.count(north(fed), epsilon=0.1).preview())
    assert "a belief of 50% that the data holds a certain row" in shown
    assert "  52.5%  " in shown
    assert "attacker" not in str(he.sum(fed.tables("people"), "age").preview())  # exact answers have no such bound


def test_outcomes_are_simulated_on_a_mock_table_only(fed: ps.Federation) -> None:
    plan = dp.mean(north(fed), "age", bounds=(0, 100), by="town", keys=["a", "b"], epsilon=0.5)
    mock = pa.table({"age": [40.0] * 900, "town": ["a"] * 600 + ["b"] * 300})
    preview = plan.preview(mock=mock)
    assert preview.simulated is not None
    assert preview.simulated.num_rows == 20 * 2
    assert set(preview.simulated["true"].to_pylist()) == {40.0}
    assert "smallest group" in dict(preview.expected)
    assert "'b', 300 rows" in str(preview)
    assert "outcomes on the mock table" in preview._repr_html_()
    with pytest.raises(UnknownName, match="in the mock"):
        plan.preview(mock=mock.drop_columns("town"))
    with pytest.raises(InvalidArgument, match="a mock is an Arrow table"):
        plan.preview(mock=[1, 2])  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="cannot be simulated"):
        he.sum(fed.tables("people"), "age").preview(mock=mock)


def test_a_preview_shows_how_the_policy_came_to_its_answer(fed: ps.Federation) -> None:
    (derivation,) = he.sum(fed.tables("people"), "age").preview().quotes["north"].derivations
    assert str(derivation).splitlines() == [
        "allowed  he.sum at north, asked by analyst for workshop",
        "└─ allowed  people.age as HE operand: granted, at least 10 rows or keys",
    ]
    wider = ps.Grant(table="people", columns={"age": "aggregate"})
    policy = ps.Policy(operations=("he.sum",), grants=(wider,), min_parties=2)
    with embedded(None, policy={"north": policy}) as other:
        preview = he.sum(other.tables("people"), "age").preview()
        assert "granted as aggregate, which implies it" in str(preview)


def plans(fed: ps.Federation) -> dict[str, Plan[object]]:
    tables, model = fed.tables("people"), fl.Logistic(features={"age": (0, 60)})
    return {
        "dp.count": dp.count(north(fed), by="town", keys=["a"], epsilon=0.2),
        "dp.quantile": dp.median(tables, "age", bounds=(0, 100), epsilon=0.3),
        "he.mean": he.mean(tables, "age"),
        "he.mean by": he.mean(tables, "age", by="town", keys=["a", "b"]),
        "he.histogram": he.histogram(tables, "age", edges=[0, 50, 100]),
        "fl.fit": fl.fit(model, tables, label="late", rounds=1),
        "fl.cross_validate": fl.cross_validate(model, tables, label="late", folds=2, rounds=1),
        "psi.join": psi.join(north(fed), fed["south"]["people"], on="id"),
        "psi.cardinality": psi.cardinality(north(fed), fed["south"]["people"], on="id"),
        "aggregate": north(fed).mean("age", by="town", where={"late": True}),
        "two ways": north(fed).mean("age", by="town", where={"town": "b"}),
        "extreme": north(fed).max("age"),
    }


@pytest.mark.claim("suggested grants: with them a refused plan runs, and without any one of their columns it does not")
@pytest.mark.parametrize(
    "name",
    [
        "dp.count",
        "dp.quantile",
        "he.mean",
        "he.mean by",
        "he.histogram",
        "fl.fit",
        "fl.cross_validate",
        "psi.join",
        "psi.cardinality",
        "aggregate",
        "two ways",
        "extreme",
    ],
)
def test_suggested_grants_are_enough_and_none_is_too_many(name: str, cases: Cases) -> None:
    operations = ("*",)
    parties = ("north", "south", "east", "keeper")
    nothing = dict.fromkeys(parties, ps.Policy(operations=operations, min_parties=1))
    with embedded(None, policy=nothing) as fed:
        plan = plans(fed)[name]
        with pytest.raises(PolicyRefused):
            plan.release()
        suggested = plan.suggest_grants()
    enough = {p: ps.Policy(operations=operations, grants=suggested.get(p, ()), min_parties=1) for p in parties}
    with embedded(None, policy=enough) as fed:
        plans(fed)[name].release()
        cases()
    for party, grants in suggested.items():
        for grant in grants:
            for column in grant.columns:
                rest = {c: ways for c, ways in grant.columns.items() if c != column}
                lacking = tuple(g for g in grants if g != grant)
                if rest:
                    lacking += (ps.Grant(table=grant.table, columns=rest, max_epsilon=grant.max_epsilon),)
                policy = {**enough, party: ps.Policy(operations=operations, grants=lacking, min_parties=1)}
                with embedded(None, policy=policy) as fed, pytest.raises(PolicyRefused):
                    plans(fed)[name].release()
                cases()
