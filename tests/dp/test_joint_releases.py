"""Releases over a side of a join: their figures, who is charged what, and what is refused, for nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from claims import Cases
from msgspec import UNSET

import privsdk as ps
from privsdk import dp, psi
from privsdk.client.progress import Live
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import InvalidArgument, PolicyRefused, StaleJoin, UnknownName, UnsupportedUse
from privsdk.protocol.operation import MatchBound, Operand, Request

CLAIM = pytest.mark.claim("dp: a release over a join is charged to every table of the join, or refused for nothing")
KEYS = 40
# of bank's keys 0 to 39 every one has two rows, and is of a household with one other; shop has 20 to 59, visa 30 to 69
BANK = pa.table(
    {
        "customer": [f"c{n // 2}" for n in range(2 * KEYS)],
        "household": [f"h{n // 4}" for n in range(2 * KEYS)],
        "income": [float(n) for n in range(2 * KEYS)],
        "kind": ["old", "new"] * KEYS,
    }
)
SHOP = pa.table(
    {"customer": [f"c{n}" for n in range(20, 60)], "household": [f"s{n // 3}" for n in range(40)], "spent": [1.0] * 40}
)
VISA = pa.table({"customer": [f"c{n}" for n in range(30, 70)]})
INCOME = {"bounds": (-40, 120), "resolution": 1.0}


def opened(**units: ps.Unit) -> ps.Federation:
    held = {"bank": {"t": BANK}, "shop": {"t": SHOP}, "visa": {"t": VISA}}
    budgets = {name: ps.Budget(epsilon=20, unit=units.get(name, ps.Unit())) for name in held}
    return ps.embedded(held, store=None, budget=budgets, quiet=True)


@pytest.fixture(scope="module")
def fed() -> Iterator[ps.Federation]:
    with opened() as federation:
        yield federation


@pytest.fixture(scope="module")
def joint(fed: ps.Federation) -> psi.Joint:
    return join(fed)


@pytest.fixture(scope="module")
def threes(fed: ps.Federation) -> list[psi.Joint]:
    """Two joins of the same three tables."""
    return [join(fed, "shop", "visa") for _ in range(2)]


def join(fed: ps.Federation, *others: str, on: Any = "customer") -> psi.Joint:
    return psi.join(*(fed[name]["t"] for name in ("bank", *(others or ("shop",)))), on=on).release().value


def spent(fed: ps.Federation) -> dict[str, float]:
    return {party: balances[0].epsilon_spent for party, balances in fed.budgets().items()}


def charged(fed: ps.Federation, before: dict[str, float]) -> dict[str, float]:
    return {party: now - before[party] for party, now in spent(fed).items()}


def value(plan: ps.Plan[pa.Table], name: str) -> list[Any]:
    return plan.release().value[name].to_pylist()


@pytest.mark.usefixtures("exact")
def test_figures_are_those_of_the_rows_that_enter(joint: psi.Joint) -> None:
    side = joint["bank"]
    assert value(dp.count(side, epsilon=1), "count") == [20]  # one row of each key, by default
    assert value(dp.count(side, epsilon=1, rows_per_key=2), "count") == [40]
    matched = [float(n) for n in range(40, 80)]
    assert value(dp.sum(side, "income", epsilon=1, rows_per_key=2, **INCOME), "sum") == [sum(matched)]
    assert value(dp.mean(side, "income", epsilon=1, rows_per_key=2, **INCOME), "mean") == [sum(matched) / 40]
    two = {"by": "kind", "keys": ["old", "new"], "rows_per_key": 2}
    assert value(dp.count(side, epsilon=1, where={"income": (50, None)}, **two), "count") == [15, 15]
    bins = dp.histogram(side, "income", epsilon=1, edges=[0, 50, 60, 200], rows_per_key=2)
    assert value(bins, "count") == [10, 10, 20]
    (one,) = value(dp.median(side, "income", epsilon=1, edges=range(0, 100), rows_per_key=9), "quantile")
    assert one == pytest.approx(60, abs=1)
    kinds = value(dp.count(side, epsilon=1, by="kind", keys=["old", "new"]), "count")
    assert sum(kinds) == 20
    assert min(kinds) > 0  # not always the first row of a key


@pytest.mark.usefixtures("exact")
def test_the_rest_of_a_side_and_joins_of_three(fed: ps.Federation, joint: psi.Joint, threes: list[psi.Joint]) -> None:
    assert value(dp.count(joint["bank"].unmatched, epsilon=1, rows_per_key=2), "count") == [40]
    assert value(dp.count(joint["shop"], epsilon=1), "count") == [20]
    three = threes[0]
    before = spent(fed)
    assert value(dp.count(three["visa"], epsilon=0.5), "count") == [10]
    assert charged(fed, before) == dict.fromkeys(before, pytest.approx(0.5, abs=1e-4))


@CLAIM
def test_every_table_is_charged_for_what_its_units_move(cases: Cases) -> None:
    """One row of bank may take the place of another: two ends of a range of 160 apart, where shop moves 120."""
    with opened() as fed:
        side = join(fed)["bank"]
        groups = {"by": "kind", "keys": ["old", "new"]}
        due: dict[str, tuple[ps.Plan[pa.Table], float, float]] = {
            "count": (dp.count(side, epsilon=0.5), 0.5, 0.5),
            "three of a key": (dp.count(side, epsilon=0.6, rows_per_key=3), 0.2, 0.6),
            "sum": (dp.sum(side, "income", epsilon=0.8, **INCOME), 0.8, 0.6),
            "groups": (dp.count(side, epsilon=0.5, **groups), 0.5, 0.25),
            "three of a key, in groups": (dp.count(side, epsilon=0.6, rows_per_key=3, **groups), 0.4, 0.6),
        }
        for name, (plan, bank, shop) in due.items():
            epsilons = {party: sum(d.charge.epsilon for d in debits) for party, debits in plan.price.items()}
            assert epsilons == {"bank": pytest.approx(bank), "shop": pytest.approx(shop)}, name
            before = spent(fed)
            plan.release()
            charges = {"bank": pytest.approx(bank, abs=1e-4), "shop": pytest.approx(shop, abs=1e-4), "visa": 0}
            assert charged(fed, before) == charges, name  # composed with what was charged before
            cases()
        text = " ".join(str(plan.preview()).split())
        assert "charged bank and shop: units of each decide which rows of bank enter" in text
        assert "policy of shop allowed t.rows as DP release" in text
        assert set(plan.preview().remaining) == {"bank", "shop"}


@pytest.mark.usefixtures("exact")
def test_units_of_several_rows() -> None:
    with opened(bank=ps.Unit(id="customer", rows=2), shop=ps.Unit(id="customer", rows=7)) as fed:
        plan = dp.sum(join(fed)["bank"], "income", epsilon=1, rows_per_key=9, **INCOME)
        assert "bank: all rows of one customer, of which at most 2 enter; shop: all rows of one customer" in " ".join(
            str(plan).split()
        )
        assert value(plan, "sum") == [sum(range(40, 80))]
        # all rows of a key are of one unit: none takes another's place, and more than two of them never enter
        assert [sum(d.charge.epsilon for d in debits) for debits in plan.price.values()] == pytest.approx([1, 1])
        loose = psi.key("customer", normalise="lower")
        other = dp.sum(join(fed, on=loose)["bank"], "income", epsilon=1, **INCOME)
        assert [sum(d.charge.epsilon for d in debits) for debits in other.price.values()] == pytest.approx([1, 0.75])
    with opened(bank=ps.Unit(id="household", rows=3)) as fed:
        plan = dp.count(join(fed)["bank"], epsilon=1, rows_per_key=2)
        assert [sum(d.charge.epsilon for d in debits) for debits in plan.price.values()] == pytest.approx([1, 2 / 3])
        assert value(plan, "count") == [30]  # three rows of each of ten households
        assert value(dp.count(join(fed)["bank"], epsilon=1, rows_per_id=4, rows_per_key=2), "count") == [40]


def refused(fed: ps.Federation, plan: ps.Plan[Any], cases: Cases) -> str:
    """The refusal of a preview and of a release, which costs nobody anything."""
    before = fed.budgets()
    assert not plan.preview().allowed
    with pytest.raises(PolicyRefused) as refusal:
        plan.release()
    assert fed.budgets() == before
    cases()
    return f"{refusal.value.party}: {refusal.value}"


@CLAIM
def test_a_partner_whose_units_are_not_bounded_refuses(cases: Cases) -> None:
    with opened(shop=ps.Unit(id="household", rows=3)) as fed:
        text = refused(fed, dp.count(join(fed)["bank"], epsilon=1), cases)
        assert text.startswith(
            "shop: shop/t protects all rows of one household, who may have any number of keys (customer) in this join: "
            "how far one moves the answer is not bounded"
        )
        assert "join on household; or ask for exact figures" in text
        of_two = join(fed, on={"bank": ["household", "customer"], "shop": ["household", "customer"]})
        assert "(household, customer)" in refused(fed, dp.count(of_two["bank"], epsilon=1), cases)
        on_it = join(fed, on="household")
        assert dp.count(on_it["bank"], epsilon=1).release().value.num_rows == 1
        assert (
            dp.count(join(fed)["shop"], epsilon=1).release().value.num_rows == 1
        )  # as the owner, its rows are bounded


@CLAIM
def test_keys_in_turn_are_refused(fed: ps.Federation, cases: Cases) -> None:
    turns = [psi.key("household", "customer"), psi.key("customer")]
    text = refused(fed, dp.count(join(fed, on=turns)["bank"], epsilon=1), cases)
    assert "was joined by several keys in turn, where one row changes how many others match" in text
    assert "join by one key" in text


@CLAIM
def test_a_partner_that_does_not_grant_it_refuses(cases: Cases) -> None:
    grants = {"bank": WORKSHOP_POLICY, "shop": WORKSHOP_POLICY, "visa": WORKSHOP_POLICY}
    shop = ps.Grant(table="t", columns={"customer": "join key", "rows": "DP release"}, max_epsilon=0.2)
    grants["shop"] = msgspec.structs.replace(WORKSHOP_POLICY, grants=(shop,))
    held = {"bank": {"t": BANK}, "shop": {"t": SHOP}, "visa": {"t": VISA}}
    with ps.embedded(held, store=None, policy=grants, quiet=True) as fed:
        side = join(fed)["bank"]
        text = refused(fed, dp.mean(side, "income", epsilon=0.5, **INCOME), cases)
        assert "shop: t.rows is not granted as DP release to analyst for workshop with epsilon 0.5, only up to" in text
        dp.mean(side, "income", epsilon=0.2, **INCOME).release()


# What no verb asks


def forged(plan: ps.Plan[Any], party: str, **changes: Any) -> Request:
    operands = dict(plan.request.operands)
    operands[party] = msgspec.structs.replace(operands[party], **changes)
    return msgspec.structs.replace(plan.request, operands=operands, run_id=secrets.token_hex(8))


def without(request: Request, party: str) -> Request:
    operands = {name: operand for name, operand in request.operands.items() if name != party}
    return msgspec.structs.replace(request, operands=operands, parties=tuple(operands))


def bound_of(operand: Operand, **changes: Any) -> MatchBound:
    assert operand.bound is not UNSET
    return msgspec.structs.replace(operand.bound, **changes)


Forge = Callable[[ps.Plan[Any], psi.Joint, psi.Joint], Request]


def of_shop(plan: ps.Plan[Any]) -> Operand:
    return plan.request.operands["shop"]


FORGED: dict[str, tuple[type[Exception], Forge]] = {
    "a partner is left out": (PolicyRefused, lambda plan, *_: without(plan.request, "visa")),
    "its side of another join": (
        PolicyRefused,
        lambda plan, _, other: forged(plan, "shop", alignment=of_shop(dp.count(other["bank"], epsilon=1)).alignment),
    ),
    "said to be of another join": (
        InvalidArgument,
        lambda plan, *_: forged(plan, "shop", bound=bound_of(of_shop(plan), join="another")),
    ),
    "rows of a key are not bounded": (InvalidArgument, lambda plan, *_: forged(plan, "bank", bound=UNSET)),
    "nor those of a partner": (InvalidArgument, lambda plan, *_: forged(plan, "shop", bound=UNSET)),
    "a partner's rows enter": (
        InvalidArgument,
        lambda plan, *_: forged(plan, "shop", bound=bound_of(of_shop(plan), rows=1)),
    ),
    "a partner's columns are read": (InvalidArgument, lambda plan, *_: forged(plan, "shop", columns=("spent",))),
    "rows of a key are said to be of one unit": (
        PolicyRefused,
        lambda plan, *_: forged(plan, "bank", bound=bound_of(plan.request.operands["bank"], one_unit=True)),
    ),
    "another unit": (PolicyRefused, lambda plan, *_: forged(plan, "shop", unit=ps.Unit(id="customer", rows=2))),
    "a table for a side": (InvalidArgument, lambda plan, *_: forged(plan, "shop", alignment="", bound=UNSET)),
    "a side as a table": (
        InvalidArgument,
        lambda plan, *_: msgspec.structs.replace(
            plan.request, parameters={k: v for k, v in plan.request.parameters.items() if k != "side"}
        ),
    ),
    "the side of nobody": (
        InvalidArgument,
        lambda plan, *_: msgspec.structs.replace(plan.request, parameters={**plan.request.parameters, "side": "x"}),
    ),
    "exact figures of bounded rows": (
        PolicyRefused,
        lambda plan, joint, _: forged(joint["bank"].count(), "bank", bound=plan.request.operands["bank"].bound),
    ),
}


@CLAIM
@pytest.mark.parametrize(("error", "forge"), FORGED.values(), ids=FORGED)
def test_what_no_verb_asks_is_refused(
    fed: ps.Federation, threes: list[psi.Joint], error: type[Exception], forge: Forge, cases: Cases
) -> None:
    plan = dp.count(threes[0]["bank"], epsilon=1)
    before = fed.budgets()
    with pytest.raises(error):
        fed.execute(Live(forge(plan, *threes)))
    assert fed.budgets() == before
    cases()


def test_a_partner_that_no_longer_has_the_join_says_so(fed: ps.Federation, joint: psi.Joint) -> None:
    plan = dp.count(joint["bank"], epsilon=1)
    with pytest.raises(StaleJoin, match="shop no longer has this joint table"):
        fed.execute(Live(forged(plan, "shop", alignment="0" * 32)))


def test_what_a_side_does_not_take(fed: ps.Federation, joint: psi.Joint) -> None:
    side = joint["bank"]
    with pytest.raises(InvalidArgument, match="rows_per_key is 0"):
        dp.count(side, epsilon=1, rows_per_key=0)
    with pytest.raises(InvalidArgument, match="rows_per_key is about a side of a join"):
        dp.count(fed["bank"]["t"], epsilon=1, rows_per_key=2)
    with pytest.raises(InvalidArgument, match="needs no key holder"):
        dp.count(side, epsilon=1, key_holder="visa")
    with pytest.raises(InvalidArgument, match="one party draws all of its own noise"):
        dp.count(side, epsilon=1, collusion=2)
    with pytest.raises(UnknownName, match=r"no column named 'shop\.spent' in bank/t"):
        dp.count(side, epsilon=1, where={"shop.spent": 1})
    for tables in (joint, [side, joint["shop"]]):
        with pytest.raises(UnsupportedUse, match=r'dp\.mean\(joint\["party"\]'):
            dp.count(tables, epsilon=1)  # type: ignore[arg-type]


def test_who_learns_what(joint: psi.Joint) -> None:
    text = " ".join(str(dp.count(joint["bank"], epsilon=1, where={"kind": "old"})).split())
    assert "the noisy count of bank's rows that the join matched where kind = 'old', epsilon 1" in text
    assert (
        "bank (data owner) nothing new: which of its rows matched it knows from the join, and the noise is its own"
        in text
    )
    assert "shop (partner) nothing" in text
    assert "shop brings which keys t has" in text
