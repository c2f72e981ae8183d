"""What a member knows in all of its roles: the union, once, with what follows from it beside its own input."""

from __future__ import annotations

import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import dp, he, psi
from privsdk.client.results import learns_grid
from privsdk.governance.learns import (
    Caller,
    CiphertextsOnly,
    Coalition,
    Eavesdropper,
    EveryContribution,
    Knowledge,
    Learns,
    MinimumCounts,
    Parties,
    RoleName,
)
from privsdk.governance.members import COMBINATIONS, known_by_member, known_to, roles_with_caller
from privsdk.he.statistics.statistic import PooledTotals, TotalsOfOthers

CONTRIBUTOR, CALLER, HOLDER = RoleName.CONTRIBUTOR, RoleName.CALLER, RoleName.KEY_HOLDER
TOTALS = PooledTotals(statistic="sum")


def learned(caller: str) -> tuple[Learns, ...]:
    return (
        Learns.of(Parties(("notary",)), TOTALS),
        Learns.of(Caller(caller), TOTALS),
        Learns.of(Parties(("north", "south", "east")), CiphertextsOnly()),
        Learns.of(Coalition(("east", "notary")), EveryContribution(contribution="totals")),
        Learns.of(Coalition(("north",), 1, ("south", "east")), MinimumCounts(of=("north",))),
    )


def roles(caller: str) -> dict[str, tuple[RoleName, ...]]:
    parties = {**dict.fromkeys(("north", "south", "east"), (CONTRIBUTOR,)), "notary": (HOLDER,)}
    return roles_with_caller(parties, caller)


def test_a_member_of_two_roles_is_named_once_and_knows_what_follows() -> None:
    found = {known.names: known for known in known_by_member(learned("south"), roles("south"))}
    assert list(found) == [("notary",), ("south",), ("north", "east")]
    south = found["south",]
    assert (south.roles, south.what) == ((CALLER, CONTRIBUTOR), (TOTALS,))
    assert [each.what for each in south.derived] == [TotalsOfOthers(number=2)]
    assert south.text == (
        "the total over all parties; so the 2 other contributors' part of each total (the total less its own part)"
    )
    assert found["north", "east"].what == (CiphertextsOnly(),)
    assert not found["north", "east"].tells
    assert found["notary",].derived == ()


def test_an_outsider_knows_the_total_alone() -> None:
    (analyst,) = [known for known in known_by_member(learned("analyst"), roles("analyst")) if CALLER in known.roles]
    assert (analyst.names, analyst.what, analyst.derived) == (("analyst",), (TOTALS,), ())


@pytest.mark.parametrize(
    ("together", "follows"),
    [
        (("analyst", "north"), (TOTALS, TotalsOfOthers(number=2))),
        (("notary", "south"), (TOTALS, TotalsOfOthers(number=2))),
        (("north", "south"), (MinimumCounts(of=("north",)),)),
        (("south", "east"), (CiphertextsOnly(),)),
        (("notary", "east"), (TOTALS, EveryContribution(contribution="totals"), TotalsOfOthers(number=2))),
        (("analyst", "north", "south"), (TOTALS, MinimumCounts(of=("north",)), TotalsOfOthers(number=1))),
        (("analyst", "north", "south", "east"), (TOTALS, MinimumCounts(of=("north",)))),
    ],
)
def test_members_who_put_together_what_they_have(together: tuple[str, ...], follows: tuple[Knowledge, ...]) -> None:
    assert known_to(together, learned("analyst"), roles("analyst")).everything == follows


def test_every_rule_has_its_reason() -> None:
    assert len({(rule.kinds, rule.role) for rule in COMBINATIONS}) == len(COMBINATIONS) >= 8
    assert all(rule.kinds and rule.because for rule in COMBINATIONS)


TABLE = pa.table({"id": list(range(40)), "x": list(range(40))})


@pytest.fixture(scope="module")
def fed() -> ps.Federation:
    tables = {name: {"t": TABLE} for name in ("north", "south", "east")} | {"notary": {}}
    with ps.embedded(tables, caller="south", store=None, quiet=True) as opened:
        yield opened


def test_a_plan_shows_each_member_once_with_all_its_roles(fed: ps.Federation) -> None:
    plan = he.sum(fed.tables("t"), "x")
    who = plan.learns.to_arrow()["who"].to_pylist()
    assert who[:4] == [
        "notary (key holder)", "south (caller, contributor)", "north (contributor)", "east (contributor, aggregator)"
    ]  # fmt: skip
    for shown in (repr(plan), repr(plan.preview())):
        assert "south (caller, contributor)" in shown
        assert "the 2 other contributors' part of each total" in " ".join(shown.split())
    assert "Something is learned by notary, south (you). Nothing" in plan.learns.picture.description


def test_what_is_known_anyway_or_implied_is_not_said(fed: ps.Federation) -> None:
    (joining, *_) = psi.join(fed["south"]["t"], fed["north"]["t"], on="id").learns.members
    assert joining.roles == (CALLER, RoleName.OWNER)
    assert "if not fewer than" not in joining.text
    (own, *_) = dp.count(fed["south"]["t"], epsilon=0.1).learns.members
    assert (own.names, own.text) == (("south",), "nothing")


def test_of_several_plans_each_member_is_named_once(fed: ps.Federation) -> None:
    plans = [dp.count(fed["south"]["t"], epsilon=0.1), he.sum(fed.tables("t"), "x"), he.sum(fed.tables("t"), "x")]
    rows = learns_grid(*(plan.learns for plan in plans)).rows
    assert [who for who, _ in rows] == [
        "south (caller, data owner, contributor)", "notary (key holder)", "north (contributor)",
        "east (contributor, aggregator)", "eavesdropper", "coalition of east and notary",
    ]  # fmt: skip
    told = dict(rows)
    assert told["south (caller, data owner, contributor)"].startswith("the total over all parties; so the 2 other")
    assert told["eavesdropper"].split("\n") == [
        item.text for plan in plans[:2] for item in plan.learns[-2:] if isinstance(item.who, Eavesdropper)
    ]
