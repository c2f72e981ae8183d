"""Policy: nothing without a grant, and a refusal whose printed grant, pasted, is enough."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import privsdk as ps
from privsdk.display.readable import readable
from privsdk.errors import InvalidArgument, PolicyRefused
from privsdk.governance.charges import Debit, Exact
from privsdk.governance.policy import ROWS, Disclosure, Grant, Need, Policy
from privsdk.party.policy import Decision, check_price, permits
from privsdk.party.policy import decide as decided
from privsdk.protocol.operation import Operand, Request

EPSILON = 0.5


def decide(
    policy: Policy,
    asked: Request,
    needs: Sequence[Need],
    *,
    party: str,
    contributors: Sequence[str] = ("north", "south", "east"),
    recipients: Sequence[str] = ("ann",),
) -> Decision:
    """As the gate decides on a request of an operation that says who contributes and who sees the result."""
    return decided(policy, asked, needs, party=party, contributors=contributors, recipients=recipients)


def request(operation: str = "dp.count", caller: str = "ann", purpose: str = "research") -> Request:
    return Request(
        run_id="r", operation=operation, caller=caller, purpose=purpose, parties=("north",), operands={}, parameters={}
    )


def need(disclosure: Disclosure, column: str = "age", table: str = "people") -> Need:
    epsilon = EPSILON if disclosure is Disclosure.DP_RELEASE else 0.0
    return Need(table=table, column=column, disclosure=disclosure, epsilon=epsilon)


def grant(disclosure: Disclosure, **more: object) -> Grant:
    limits = {"max_epsilon": EPSILON} if disclosure is Disclosure.DP_RELEASE else {}
    columns = {more.pop("column", "age"): disclosure}
    return Grant(**{"table": "people", "columns": columns, **limits, **more})


def allowed(grants: tuple[Grant, ...], *needs: Need, **who: str) -> bool:
    policy = Policy(operations=("dp.count",), grants=grants)
    try:
        decide(policy, request(**who), needs, party="north")
    except PolicyRefused:
        return False
    return True


@pytest.mark.parametrize("disclosure", Disclosure)
def test_each_disclosure_is_denied_until_it_is_granted(disclosure: Disclosure) -> None:
    others = tuple(grant(other) for other in Disclosure if disclosure not in other.implied)
    assert not allowed((), need(disclosure))
    assert not allowed(others, need(disclosure))
    assert allowed((grant(disclosure),), need(disclosure))
    shown = permits(Policy(grants=others), "people", "age", "ann")
    assert shown == tuple(
        d for d in Disclosure if any(d in other.implied for g in others for other in g.columns["age"])
    )


def test_an_empty_policy_allows_no_operation() -> None:
    with pytest.raises(PolicyRefused, match=r"north does not allow the operation dp\.count"):
        decide(Policy(), request(), (), party="north")


def test_an_operation_that_is_not_named_is_refused_whatever_is_granted() -> None:
    policy = Policy(operations=("he.sum",), grants=tuple(grant(d, column="*") for d in Disclosure))
    with pytest.raises(PolicyRefused) as refused:
        decide(policy, request("psi.join"), [need(Disclosure.JOIN_KEY)], party="north")
    assert "operations = ['he.sum', 'psi.join']" in refused.value.hint
    assert (
        decide(Policy(operations=("*",), grants=policy.grants), request("psi.join"), (), party="north").min_count == 0
    )


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ({"table": "*"}, True),
        ({"table": "persons"}, False),
        ({"column": "*"}, True),
        ({"column": "Age"}, False),
        ({"to": ("*",)}, True),
        ({"to": ("bob", "ann")}, True),
        ({"to": ("bob",)}, False),
        ({"to": ()}, False),
        ({"purpose": ("*",)}, True),
        ({"purpose": ("billing", "research")}, True),
        ({"purpose": ("billing",)}, False),
        ({"to": ("bob",), "column": "*"}, False),
    ],
)
def test_wildcards_and_lists_of_a_grant(limits: dict[str, object], passes: bool) -> None:
    assert allowed((grant(Disclosure.AGGREGATE, **limits),), need(Disclosure.AGGREGATE)) is passes


def test_every_need_must_be_granted() -> None:
    granted = (grant(Disclosure.AGGREGATE), grant(Disclosure.GROUP_KEY, column="city"))
    assert allowed(granted, need(Disclosure.AGGREGATE), need(Disclosure.GROUP_KEY, "city"))
    assert not allowed(granted, need(Disclosure.AGGREGATE), need(Disclosure.GROUP_KEY, "age"))


def test_min_count_is_the_least_of_a_column_and_the_largest_of_all() -> None:
    grants = (
        grant(Disclosure.AGGREGATE, min_count=20),
        grant(Disclosure.AGGREGATE, min_count=15),
        grant(Disclosure.GROUP_KEY, column="city", min_count=7),
        grant(Disclosure.TRAINING_FEATURE, column="pay", min_count=99),
    )
    policy = Policy(operations=("*",), grants=grants)
    aggregate, group, feature = (
        need(Disclosure.AGGREGATE),
        need(Disclosure.GROUP_KEY, "city"),
        need(Disclosure.TRAINING_FEATURE, "pay"),
    )
    assert decide(policy, request(), [aggregate, group], party="north").min_count == 15
    assert decide(policy, request(), [group], party="north").min_count == 7
    assert decide(policy, request(), [feature, group], party="north").min_count == 99


def test_max_epsilon_caps_one_release_and_the_message_says_so() -> None:
    policy = Policy(operations=("*",), grants=(grant(Disclosure.DP_RELEASE, column=ROWS, max_epsilon=0.25),))
    release = Need(table="people", column=ROWS, disclosure=Disclosure.DP_RELEASE, epsilon=0.25)
    decide(policy, request(), [release], party="north")
    with pytest.raises(PolicyRefused, match=r"people\.rows .* with epsilon 0\.5, only up to epsilon 0\.25 a release"):
        decide(policy, request(), [need(Disclosure.DP_RELEASE, ROWS)], party="north")


def test_a_release_without_an_epsilon_cannot_be_asked_for() -> None:
    """No grant's max_epsilon would hold it."""
    for disclosure, epsilon in ((Disclosure.DP_RELEASE, 0.0), (Disclosure.AGGREGATE, 0.1)):
        with pytest.raises(InvalidArgument, match=rf"people\.age as {disclosure} of epsilon {epsilon}"):
            Need(table="people", column="age", disclosure=disclosure, epsilon=epsilon)


@pytest.mark.claim("what an operation does not declare of a table it reads is refused")
def test_a_declaration_that_leaves_something_out_is_refused() -> None:
    """Nobody would be asked for a column without a need, for the parties of a sum without contributors, nor for a
    charge without a price."""
    policy = Policy(operations=("*",), grants=tuple(grant(d, table="*", column="*") for d in Disclosure), min_parties=1)
    operand = Operand(table="people", columns=("age", "pay"))
    asked = msgspec.structs.replace(request(), operands={"north": operand})
    age, pay = need(Disclosure.AGGREGATE), need(Disclosure.AGGREGATE, "pay")
    decide(policy, asked, [age, pay], party="north")
    for needs in ([], [age], [age, need(Disclosure.AGGREGATE, "pay", table="persons")]):
        with pytest.raises(PolicyRefused, match=r"dp\.count reads people \(.*pay\) and declares no disclosure of it"):
            decide(policy, asked, needs, party="north")
    rows = msgspec.structs.replace(asked, operands={"north": Operand(table="people", columns=())})
    decide(policy, rows, [need(Disclosure.AGGREGATE, ROWS)], party="north")
    with pytest.raises(PolicyRefused, match=r"dp\.count reads people \(rows\)"):
        decide(policy, rows, [], party="north")
    pooled = [need(d) for d in Disclosure if d.pooled]
    assert {each.disclosure for each in pooled} >= {Disclosure.HE_OPERAND, Disclosure.TRAINING_FEATURE}
    for each in pooled:
        for undeclared in ({"contributors": ()}, {"contributors": ("south",)}, {"recipients": ()}):
            with pytest.raises(PolicyRefused, match="does not declare north a contributor and who sees the result"):
                decide(policy, request(), [each], party="north", **undeclared)
    charge = Exact(what="a count")
    check_price("north", operand, [Debit(table="people", charge=charge)])
    for price in ([], [Debit(table="persons", charge=charge)]):
        with pytest.raises(PolicyRefused, match="reads people, and its operation declares no price"):
            check_price("north", operand, price)


names = st.text(min_size=1, max_size=12).filter(lambda name: name != "*")
epsilons = st.floats(min_value=1e-9, max_value=100)
needs = st.builds(
    lambda table, column, disclosure, epsilon: Need(
        table=table,
        column=column,
        disclosure=disclosure,
        epsilon=epsilon if disclosure is Disclosure.DP_RELEASE else 0.0,
    ),
    names,
    names,
    st.sampled_from(Disclosure),
    epsilons,
)


@given(st.lists(needs, min_size=1, max_size=4, unique_by=lambda n: (n.table, n.column, n.disclosure)), names, names)
def test_pasting_the_printed_grants_makes_the_same_request_pass(wanted: list[Need], caller: str, purpose: str) -> None:
    asked = request(caller=caller, purpose=purpose)
    with pytest.raises(PolicyRefused) as refused:
        decide(Policy(operations=("dp.count",)), asked, wanted, party="north")
    for each in wanted:
        rule = f"{each.table}.{each.column} is not granted as {each.disclosure.value} to {caller} for {purpose}"
        assert readable(rule) in refused.value.message
    lines = [line for line in refused.value.hint.split("\n") if line.startswith("    ps.Grant(")]
    grants = tuple(eval(line, {"ps": ps}) for line in lines)  # noqa: S307
    decide(Policy(operations=("dp.count",), grants=grants), asked, wanted, party="north")
    granted = [(g, column, way) for g in grants for column, ways in g.columns.items() for way in ways]
    assert len(granted) == len(wanted)  # the smallest: none of them is there for nothing
    for other in ({"caller": caller + "x", "purpose": purpose}, {"caller": caller, "purpose": purpose + "x"}):
        assert not allowed(grants, wanted[0], **other)


@given(st.builds(grant, st.sampled_from(Disclosure), column=names, min_count=st.integers(2, 99), to=st.tuples(names)))
def test_a_grant_prints_as_the_python_and_the_toml_that_make_it(made: Grant) -> None:
    assert eval(str(made), {"ps": ps}) == made  # noqa: S307
    assert msgspec.toml.decode(f"grants = [{made.toml}]", type=dict[str, list[Grant]]) == {"grants": [made]}


@pytest.mark.parametrize(
    ("contributors", "recipients", "min_parties", "passes"),
    [
        (("north", "south", "east"), ("keeper", "ann"), 3, True),
        (("north", "south"), ("keeper", "ann"), 3, False),
        (("north", "south", "east"), ("keeper", "east"), 3, False),  # east sees the sum: two others are left
        (("north", "south", "east", "west"), ("keeper", "east"), 3, True),
        (("north", "south"), ("north", "south"), 1, True),
        (("north", "south"), ("north", "south"), 2, False),
        (("north",), ("north",), 1, False),
    ],
)
def test_min_parties_counts_contributors_other_than_any_recipient(
    contributors: tuple[str, ...], recipients: tuple[str, ...], min_parties: int, passes: bool
) -> None:
    policy = Policy(operations=("*",), min_parties=min_parties)
    if passes:
        decide(policy, request(), (), party="north", contributors=contributors, recipients=recipients)
    else:
        with pytest.raises(PolicyRefused, match=f"north requires at least {min_parties} contributors"):
            decide(policy, request(), (), party="north", contributors=contributors, recipients=recipients)


def test_a_caller_that_contributes_is_a_recipient_too() -> None:
    held = {name: pa.table({"x": [1, 2, 3]}) for name in ("north", "south", "east")}
    policy = Policy(operations=("*",), grants=(grant(Disclosure.HE_OPERAND, table="*", column="*"),), min_parties=3)
    for caller, passes in (("ann", True), ("east", False)):
        with ps.embedded(held, keeper={}, store=None, policy=policy, caller=caller, quiet=True) as fed:
            assert ps.he.sum(fed.tables("table"), "x").preview().allowed is passes
