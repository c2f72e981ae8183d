"""What must be refused whoever plays which role: too few others in a pooled result, and roles that nobody may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from claims import Cases
from role_runs import MINIMUM, OUTSIDER, OWNERS, Ran, asked_by, examples, ran, runs

from privsdk import fl
from privsdk.dp.operation import NoisyFigures, OthersWithChargedNoise, TotalsWithLessNoise
from privsdk.errors import InvalidArgument, PolicyRefused
from privsdk.errors.refusals import TooFewContributors
from privsdk.fl.loops.course import RoundModels
from privsdk.fl.operation import FiguresOfOthers, RowStatistics, UpdatesOfOthers
from privsdk.governance.learns import RoleName
from privsdk.governance.policy import Disclosure, Grant, Policy
from privsdk.he.statistics.statistic import PartiesByGroup, PooledTotals, Statistic, TotalsOfOthers
from privsdk.party.policy import decide
from privsdk.protocol.operation import Request, operation_of

CLAIM = pytest.mark.claim("operations: what no member may be, in all of its roles together, is refused")
POOLED = (PooledTotals, RoundModels, RowStatistics)  # of several contributors, whom owners count
OF_OTHERS = (TotalsOfOthers, UpdatesOfOthers, FiguresOfOthers)


HOLDER = "contributors with a table each and a key holder without"
EVERYTHING = [Grant(table="*", columns={"*": tuple(Disclosure)}, max_epsilon=100.0, min_count=MINIMUM)]


def fewest_behind(found: Ran) -> int | None:
    """The fewest contributors whose part of a pooled result some member then knows by itself; None without any."""
    behind = []
    for name in found.members:
        everything = found.known_to(name).everything
        if any(isinstance(each, POOLED) for each in everything):
            own = name in found.operation.contributors()
            behind.append(len(found.operation.contributors()) - own)
        alone = (
            RoundModels(asynchronous=True) in everything
        )  # without rounds: owners let single updates go, see SECURITY
        behind += [
            each.number for each in everything if isinstance(each, OF_OTHERS) and not (alone and each.number == 1)
        ]
    return min(behind, default=None)


@CLAIM
def test_a_pooled_result_of_too_few_others_is_refused(cases: Cases) -> None:
    """Each owner's least number of parties holds for what any member knows in all of its roles, not for a role."""
    for call, caller, found in runs():
        operation, fewest = found.operation, fewest_behind(found)
        assert (fewest is not None) == bool(operation.contributors()), (call, caller)
        for least in range(1, len(OWNERS) + 2):
            for party in operation.request.operands:
                policy = Policy(operations=("*",), grants=tuple(EVERYTHING), min_parties=least)
                refused = too_few(policy, operation, party)
                assert refused == (fewest is not None and fewest < least), (call, caller, least, party)
                cases()


def too_few(policy: Policy, operation: Any, party: str) -> bool:
    needs, contributors, recipients = operation.needs()[party], operation.contributors(), operation.recipients()
    try:
        decide(policy, operation.request, needs, party=party, contributors=contributors, recipients=recipients)
    except PolicyRefused as refused:
        return isinstance(refused.detail, TooFewContributors)
    return False


@CLAIM
def test_no_caller_knows_more_than_callers_may(cases: Cases) -> None:
    """Who asks may not be one whose role sees what answers suppress, nor take off so much noise that less is left."""
    refused = []
    for call, request in examples().items():
        for caller in (OUTSIDER, *request.parties):
            if asked_by(request, caller) is None:
                refused.append((call, caller))
                continue
            found = ran(call, caller)
            assert found is not None
            everything = found.known_to(caller).everything
            assert not any(isinstance(each, PartiesByGroup | TotalsWithLessNoise) for each in everything), (
                call,
                caller,
            )
            contributes = RoleName.CONTRIBUTOR in found.members[caller]
            if contributes and any(isinstance(each, NoisyFigures) for each in everything):
                assert OthersWithChargedNoise() in everything
            cases()
    parameters = {call: operation_of(request).parameters for call, request in examples().items()}
    groups = [call for call, each in parameters.items() if isinstance(each, Statistic) and each.grouped]
    assert len(groups) > 3
    assert sorted(refused) == sorted((call, "K") for call in groups)


def refusals() -> Iterator[tuple[str, str, Request]]:
    """Of every example, the requests that differ from it by a role that nobody may play, or have too few to hide in,
    and what the refusal says."""
    for call, request in examples().items():
        found, parameters = ran(call, OUTSIDER), request.parameters
        assert found is not None
        last, contributors = request.parties[-1], [*request.operands]

        def asked(request: Request = request, **changes: Any) -> Request:
            return msgspec.structs.replace(request, **changes)

        roles = found.operation.roles()[last]
        masked = parameters.get("aggregation") in ("masked", "all-to-all")
        if roles == (RoleName.KEY_HOLDER,) or (
            roles == (RoleName.COORDINATOR,) and not request.operation.startswith("fl.")
        ):
            brings = {**request.operands, last: request.operands[contributors[0]]}
            yield call, HOLDER, asked(operands=brings)
            yield call, HOLDER, asked(parties=tuple(contributors))
        if RoleName.KEY_HOLDER in roles and request.operation.startswith("dp."):
            for collusion in (0, len(contributors), len(contributors) + 1):
                yield call, "a collusion of", asked(parameters={**parameters, "collusion": collusion})
        if masked:
            alone = {contributors[0]: request.operands[contributors[0]]}
            parties = (contributors[0], *([] if last in contributors else [last]))
            training = {"fewest": 1, "coordinator": parties[-1], "clients": [contributors[0]]}
            few = {**parameters, **training} if "fewest" in parameters else parameters
            yield call, "alone|sums from all to all", asked(operands=alone, parties=parties, parameters=few)
        if parameters.get("aggregation") == "encrypted" and request.operation == "fl.fit":
            inside = {**parameters, "coordinator": contributors[-1]}
            yield call, "cannot hold the key", asked(parties=tuple(contributors), parameters=inside)
        if parameters.get("aggregation") == "all-to-all":
            outside = {**parameters, "coordinator": "K"}
            yield call, "sums from all to all", asked(parties=(*contributors, "K"), parameters=outside)
        if isinstance(getattr(found.operation.parameters, "privacy", None), fl.PartyLevel):
            privacy = {**parameters["privacy"], "collusion": 0}
            yield call, "knows its own share", asked(parameters={**parameters, "privacy": privacy})
        yield call, "names a party twice", asked(parties=(*request.parties, request.parties[0]))
        yield (
            call,
            "of parties not in it",
            asked(operands={**request.operands, "stranger": request.operands[contributors[0]]}),
        )


@CLAIM
def test_roles_that_nobody_may_play_are_refused(cases: Cases) -> None:
    asked = list(refusals())
    for _, why, request in asked:
        with pytest.raises(InvalidArgument, match=why):
            operation_of(request)
        cases()
    assert len({why for _, why, _ in asked}) == 8
