"""The demo query of SCQL's tutorial: two banks, one join, three aggregates by a column of one of them.

    SELECT ta.credit_rank, COUNT(*) AS cnt, AVG(ta.income) AS avg_income, AVG(tb.order_amount) AS avg_amount
    FROM ta INNER JOIN tb ON ta.ID = tb.ID
    WHERE ta.age >= 20 AND ta.age <= 30 AND tb.is_active = 1 GROUP BY ta.credit_rank

The tutorial takes 14 GRANT commands. Its tables are small; these rows are made up.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import psi
from privsdk.psi import Joint

QUERY = __doc__.partition("\n\n")[2].partition("\n\n")[0]
POLICY = """\
ps.Grant(table="ta", columns={"ID": "join key", "rows": "comparison", "credit_rank": ("group key", "payload"), "income": "aggregate", "age": ("comparison", "payload")}, to=("carol",))
ps.Grant(table="tb", columns={"ID": "join key", "rows": ("group key", "comparison"), "order_amount": "aggregate", "is_active": ("comparison", "payload")}, to=("carol",))
"""  # noqa: E501
INCOME_OF = {"age": (20, 30), "bob.is_active": 1}
AMOUNT_OF = {"alice.age": (20, 30), "is_active": 1}


def banks() -> dict[str, dict[str, pa.Table]]:
    rng = np.random.default_rng(2024)
    ids = rng.permutation(900)
    alice = {
        "ID": [f"id{n:04}" for n in ids[:600]],
        "credit_rank": rng.integers(4, 7, 600),
        "income": rng.integers(10_000, 200_000, 600),
        "age": rng.integers(18, 36, 600),
    }
    bob = {
        "ID": [f"id{n:04}" for n in sorted(ids[200:])],
        "order_amount": rng.gamma(2.0, 1500.0, 700).round(2),
        "is_active": rng.integers(0, 2, 700),
    }
    return {"alice": {"ta": pa.table(alice)}, "bob": {"tb": pa.table(bob)}}


def open_banks(lines: str) -> ps.Federation:
    grants = tuple(eval(line, {"ps": ps}) for line in lines.splitlines())  # noqa: S307
    policy = ps.Policy(operations=("psi.join", "aggregate"), grants=grants)
    return ps.embedded(banks(), store=None, policy=policy, caller="carol", quiet=True)


def join(fed: ps.Federation) -> Joint:
    joint: Joint = psi.join(fed["alice"]["ta"], fed["bob"]["tb"], on="ID").release().value
    return joint


@pytest.mark.claim("SCQL's demo query: 2 grants in place of 14, and DuckDB's answer")
def test_the_demo_query(cases: Cases) -> None:
    held = banks()
    with duckdb.connect() as sql:
        sql.register("ta", held["alice"]["ta"])
        sql.register("tb", held["bob"]["tb"])
        expected = sql.sql(f"{QUERY} ORDER BY 1").fetchall()
    assert min(count for _, count, *_ in expected) >= 10
    assert len(POLICY.splitlines()) <= 3
    with open_banks(POLICY) as fed:
        joint = join(fed)
        income = joint["alice"].mean("income", by="credit_rank", where=INCOME_OF).release()
        amount = joint["bob"].mean("order_amount", by="alice.credit_rank", where=AMOUNT_OF).release()
        for answer, by, column in ((income.value, "credit_rank", 2), (amount.value, "alice.credit_rank", 3)):
            assert answer[by].to_pylist() == [row[0] for row in expected]
            assert answer["count"].to_pylist() == [row[1] for row in expected]
            assert answer["mean"].to_pylist() == pytest.approx([row[column] for row in expected])
            cases(3 * len(expected))
        told = {str(item.who): item.text for item in amount.learned}
        assert told["bob"].startswith(
            "of each joint key, whether age between 20 and 30 at alice and alice's credit_rank"
        )
        assert "where alice.age between 20 and 30 and is_active = 1" in told["carol"]
        assert {party: [b.exact_spent for b in balances] for party, balances in fed.budgets().items()} == {
            "alice": [5],
            "bob": [4],
        }


@pytest.mark.claim("SCQL's issues 36 and 446: without the right to filter by age the error names age, rule and grant")
@pytest.mark.parametrize(
    ("left", "missing"),
    [
        ((), ("comparison", "payload")),
        (("comparison",), ("payload",)),
        (("payload",), ("comparison",)),
    ],
    ids=["no grant", "comparison only", "payload only"],
)
def test_the_error_names_the_column_that_is_the_cause(
    left: tuple[str, ...], missing: tuple[str, ...], cases: Cases
) -> None:
    with open_banks(POLICY.replace('("comparison", "payload")', repr(left), 1)) as fed:
        joint = join(fed)
        before = fed.budgets()
        plan = joint["bob"].mean("order_amount", by="alice.credit_rank", where=AMOUNT_OF)
        assert not plan.preview().allowed
        with pytest.raises(ps.errors.PolicyRefused) as refused:
            plan.release()
        rules = "; ".join(f"ta.age is not granted as {way} to carol for workshop" for way in missing)
        assert refused.value.message == rules
        assert "ID" not in str(refused.value)
        (line,) = [line for line in refused.value.hint.splitlines() if line.startswith("    ps.Grant(")]
        ways = repr(missing[0]) if len(missing) == 1 else repr(missing)
        assert line.strip() == (
            f"ps.Grant(table='ta', columns={{'age': {ways}}}, to=('carol',), purpose=('workshop',))"
        )
        assert fed.budgets() == before
    pasted = POLICY.replace('("comparison", "payload")', repr(left), 1) + line.strip()
    with open_banks(pasted) as fed:
        answer = join(fed)["bob"].mean("order_amount", by="alice.credit_rank", where=AMOUNT_OF).release().value
        assert answer.num_rows == 3
    cases()
