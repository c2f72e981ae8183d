"""Attacks on exact answers: each is refused, suppressed, answered from the store or charged; it works without its rule.

Without: the same attack, with the differencing rule or the minimum count switched off, finds one person's value. So a
test passes because of the protection that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi
from privsdk.client.plan import Plan
from privsdk.errors import BudgetExceeded, DifferencingRefused, PolicyRefused
from privsdk.exact import operation, owner
from privsdk.party.differencing.disclosed import Disclosed
from privsdk.party.differencing.history import Admission

PEOPLE = 60
VICTIM = 37  # the only one of that age
SALARY = 123_456
TABLE = pa.table(
    {
        "id": [f"p{n}" for n in range(PEOPLE)],
        "age": list(range(PEOPLE)),
        "city": ["village" if n == VICTIM else f"city {n % 2}" for n in range(PEOPLE)],
        "pay": [SALARY if n == VICTIM else 1000 + n for n in range(PEOPLE)],
    }
)
GRANT = ps.Grant(
    table="*",
    columns={
        "id": ("join key", "comparison"),
        "age": ("comparison", "payload"),
        "city": "group key",
        "pay": "extreme",
        "rows": ("extreme", "comparison"),
    },
)
POLICY = ps.Policy(operations=("psi.join", "aggregate"), grants=(GRANT,))
Attack = Callable[..., float | None]


@contextmanager
def bank(
    table: pa.Table = TABLE, store: Path | None = None, caller: str = "eve", **options: Any
) -> Iterator[ps.Federation]:
    parties = {"bank": {"t": table}, "shop": {"t": options.pop("shop", TABLE.slice(0, 40))}}
    with ps.embedded(parties, store=store, policy=POLICY, caller=caller, quiet=True, **options) as fed:
        yield fed


def figure(plan: Plan[pa.Table], name: str) -> int:
    """The one figure of an answer without groups."""
    (value,) = plan.release().value[name].to_pylist()
    return int(value)


def charged(fed: ps.Federation) -> int:
    return fed.budgets()["bank"][0].exact_spent


def by_ranges(folder: Path) -> int:
    """Two sums whose ranges differ by one person."""
    with bank() as fed:
        t = fed["bank"]["t"]
        return figure(t.sum("pay", where={"age": (None, VICTIM)}), "sum") - figure(
            t.sum("pay", where={"age": (None, VICTIM - 1)}), "sum"
        )


def by_complement(folder: Path) -> int:
    """The total, less everybody but one."""
    with bank() as fed:
        t = fed["bank"]["t"]
        others = [name for name in TABLE["id"].to_pylist() if name != f"p{VICTIM}"]
        return figure(t.sum("pay"), "sum") - figure(t.sum("pay", where={"id": others}), "sum")


def by_two_measures(folder: Path) -> int:
    """A count and a mean of everybody, a sum without one."""
    with bank() as fed:
        t = fed["bank"]["t"]
        answer = t.mean("pay").release().value
        total = round(answer["count"][0].as_py() * answer["mean"][0].as_py())
        return total - figure(t.sum("pay", where={"city": ["city 0", "city 1"]}), "sum")


def by_one_key_more(folder: Path) -> int:
    """Two joins, whose partner holds one key more in the second."""
    totals = []
    for last in (VICTIM, VICTIM + 1):
        with bank(store=folder, shop=TABLE.slice(0, last)) as fed:
            joint = psi.join(fed["bank"]["t"], fed["shop"]["t"], on="id").release().value
            totals.append(figure(joint["bank"].sum("pay"), "sum"))
    return totals[1] - totals[0]


def by_the_partners_filter(folder: Path) -> int:
    """Two sums over a join, whose conditions on the partner's column differ by one person."""
    with bank() as fed:
        side = psi.join(fed["bank"]["t"], fed["shop"]["t"], on="id").release().value["bank"]
        totals = [figure(side.sum("pay", where={"shop.age": (None, last)}), "sum") for last in (VICTIM, VICTIM - 1)]
        return totals[0] - totals[1]


def by_an_edit(folder: Path) -> int:
    """The same question before and after one row was removed."""
    totals = []
    for table in (TABLE, pa.concat_tables([TABLE.slice(0, VICTIM), TABLE.slice(VICTIM + 1)])):
        with bank(table, store=folder) as fed:
            totals.append(figure(fed["bank"]["t"].sum("pay"), "sum"))
    return totals[0] - totals[1]


def by_two_analysts(folder: Path) -> int:
    """Each asks one of the two questions."""
    totals = []
    for caller, last in (("eve", VICTIM), ("mallory", VICTIM - 1)):
        with bank(store=folder, caller=caller) as fed:
            totals.append(figure(fed["bank"]["t"].sum("pay", where={"age": (None, last)}), "sum"))
    return totals[0] - totals[1]


def by_spellings_of_one_key(folder: Path) -> int:
    """Two sums over a join of normalised names, with and without the rows of one name, which is spelt in many ways."""
    spellings = [f"{'ann'[:n].upper()}{'ann'[n:]}{' ' * m}" for n in range(4) for m in range(3)]
    names = [*spellings, *(f"name {n}" for n in range(40))]
    pay = [SALARY, *[0] * (len(spellings) - 1), *range(1000, 1040)]
    table = pa.table({"id": names, "age": [0] * len(spellings) + [1] * 40, "pay": pay})
    with bank(table, shop=pa.table({"id": ["Ann", *names[12:]]})) as fed:
        key = psi.key("id", normalise=("lower", "spaces"))
        side = psi.join(fed["bank"]["t"], fed["shop"]["t"], on=key).release().value["bank"]
        return figure(side.sum("pay"), "sum") - figure(side.sum("pay", where={"age": 1}), "sum")


PAIRS = [
    by_ranges,
    by_complement,
    by_two_measures,
    by_one_key_more,
    by_the_partners_filter,
    by_spellings_of_one_key,
    by_an_edit,
    by_two_analysts,
]


@pytest.mark.claim("attacks: two exact answers that differ by one person: the second is refused, and charged")
@pytest.mark.parametrize("attack", PAIRS, ids=lambda attack: attack.__name__)
def test_differencing(
    attack: Callable[[Path], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    with pytest.raises(DifferencingRefused) as refused:
        attack(tmp_path / "guarded")
    assert refused.value.party == "bank"
    assert str(SALARY) not in str(refused.value)
    cases()
    monkeypatch.setattr(Disclosed, "screen", lambda *_: Admission.ADMITTED)
    assert attack(tmp_path / "unguarded") == SALARY
    cases()


@pytest.mark.claim("attacks: two exact answers that differ by one person: the second is refused, and charged")
def test_a_refusal_by_differencing_is_charged_and_audited(cases: Cases) -> None:
    with bank() as fed:
        t = fed["bank"]["t"]
        t.count().release()
        for n in (2, 3):
            with pytest.raises(DifferencingRefused):
                t.count(where={"age": (1, None)}).release()
            assert charged(fed) == n
            cases()
        assert fed.verify_audit()["bank"].first_bad == -1
        assert figure(t.count(where={"age": (10, None)}), "count") == PEOPLE - 10  # ten fewer are enough


def single_row_max(fed: ps.Federation) -> pa.Table:
    return fed["bank"]["t"].max("pay", where={"age": VICTIM}).release().value


def group_of_one(fed: ps.Federation) -> pa.Table:
    answer = fed["bank"]["t"].sum("pay", by="city").release().value
    assert set(answer["city"].to_pylist()) <= {"city 0", "city 1", "village"}
    return answer.filter([city == "village" for city in answer["city"].to_pylist()])


def where_a_key(fed: ps.Federation) -> pa.Table:
    return fed["bank"]["t"].sum("pay", where={"id": f"p{VICTIM}"}).release().value


def where_a_key_of_the_partner(fed: ps.Federation) -> pa.Table:
    joint = psi.join(fed["bank"]["t"], fed["shop"]["t"], on="id").release().value
    return joint["bank"].sum("pay", where={"id": [f"p{VICTIM}", "p1", "p2"], "age": (30, None)}).release().value


@pytest.mark.claim("attacks: an exact answer about one person, by group, key or extreme, is withheld")
@pytest.mark.parametrize(
    "attack",
    [single_row_max, group_of_one, where_a_key, where_a_key_of_the_partner],
    ids=lambda attack: attack.__name__,
)
def test_one_person(attack: Callable[[ps.Federation], pa.Table], monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    with bank() as fed:
        answer = attack(fed)
        assert answer.num_rows == 0
        assert answer.schema.metadata[b"withheld_groups"] == {"group_of_one": b"2"}.get(attack.__name__, b"1")
        assert charged(fed) >= 1
    cases()
    honest = owner.aggregate
    monkeypatch.setattr(operation, "aggregate", lambda *given, **options: honest(*given, **{**options, "min_count": 1}))
    with bank() as fed:
        (value,) = attack(fed).column(-1).to_pylist()
    assert value == SALARY
    cases()


@pytest.mark.claim("attacks: whether one person is there cannot be told from an answer that withholds")
def test_an_empty_answer_and_one_about_a_person_are_the_same(cases: Cases) -> None:
    with bank() as fed:
        t = fed["bank"]["t"]
        nobody = t.sum("pay", by="city", where={"id": "nobody"}).release().value
        for names in (["p1"], [f"p{VICTIM}"], ["p1", "p2", f"p{VICTIM}"], [f"p{n}" for n in range(9)]):
            answer = t.sum("pay", by="city", where={"id": names}).release().value
            assert answer.equals(nobody, check_metadata=True)
            cases()


@pytest.mark.claim("attacks: a question that was answered before is answered from the store: same value, no charge")
def test_repeating_a_question(tmp_path: Path, cases: Cases) -> None:
    answers = []
    for caller in ("eve", "eve", "mallory"):
        with bank(store=tmp_path, caller=caller) as fed:
            for _ in range(3):
                result = fed["bank"]["t"].mean("pay", by="city", where={"age": (5, 50)}).release()
                answers.append((result.value, result.value.schema.metadata))
                assert result.spent == ({} if len(answers) > 1 else {"bank": result.spent["bank"]})
                assert result.receipt.verify()
                cases()
            assert charged(fed) == 2  # once: a mean by up to 30 groups
            assert fed.verify_audit()["bank"].first_bad == -1
    assert all(answer == answers[0] for answer in answers)


def test_a_stored_answer_is_for_those_whom_the_policy_allows(tmp_path: Path) -> None:
    grants = (
        ps.Grant(table="t", columns={"pay": "aggregate", "city": "group key"}, to=("eve",)),
        ps.Grant(table="t", columns={"pay": "aggregate", "city": "group key"}, to=("careful",), min_count=25),
    )
    policy = ps.Policy(operations=("aggregate",), grants=grants)

    def ask(caller: str) -> ps.Result[pa.Table]:
        with ps.embedded(bank={"t": TABLE}, store=tmp_path, policy=policy, caller=caller, quiet=True) as fed:
            return fed["bank"]["t"].mean("pay", by="city").release()

    assert ask("eve").value.num_rows == 1
    with pytest.raises(PolicyRefused):
        ask("mallory")
    other = ask("careful")
    assert other.value.schema.metadata[b"min_count"] == b"25"
    assert other.spent  # of another minimum count: another question


@pytest.mark.claim("attacks: the same rows are told the same figures, also by another question and after an edit")
def test_the_same_rows_keep_their_figures(tmp_path: Path, cases: Cases) -> None:
    budget = ps.Budget(exact=100, unit=ps.Unit(id="id"))
    richer = TABLE.set_column(3, "pay", pa.array([value + 1 for value in TABLE["pay"].to_pylist()]))
    totals = []
    for table in (TABLE, richer):
        with bank(table, store=tmp_path, budget=budget) as fed:
            t = fed["bank"]["t"]
            totals += [figure(t.sum("pay"), "sum"), figure(t.sum("pay", where={"age": (-5, None)}), "sum")]
            cases(2)
    assert set(totals) == {sum(TABLE["pay"].to_pylist())}


@pytest.mark.claim("attacks: two analysts spend one budget")
def test_two_analysts_share_the_allowance(tmp_path: Path, cases: Cases) -> None:
    budget = ps.Budget(exact=2)
    for caller, low in (("eve", 0), ("mallory", 20)):
        with bank(store=tmp_path, caller=caller, budget=budget) as fed:
            fed["bank"]["t"].count(where={"age": (low, None)}).release()
            cases()
    with bank(store=tmp_path, budget=budget) as fed, pytest.raises(BudgetExceeded, match="has 0 of 2 exact"):
        fed["bank"]["t"].count(where={"age": (40, None)}).release()
    cases()
