"""Every operation, for every assignment of its caller to an outsider or a party, and for every two who collude: what
reaches a member is accounted for by what it is said to learn, and what must not follow from that is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from claims import Cases
from harness import wire_bytes
from role_runs import MINIMUM, OUTSIDER, OWNERS, SHARED, TABLES, Ran, asked_by, examples, planted, ran

from privsdk.dp.operation import NoisyFigures, OthersWithChargedNoise, TotalsWithLessNoise
from privsdk.errors import PolicyRefused
from privsdk.errors.details import TooFewContributors
from privsdk.exact.operation import ExactFigures, JointKeyLabels
from privsdk.fl.loops.course import FinalModel, RoundModels
from privsdk.fl.operation import (
    ClientEvaluations,
    EachStatistics,
    EachUpdate,
    FiguresOfOthers,
    RowStatistics,
    TrainingFact,
    UpdatesOfOthers,
)
from privsdk.governance.learns import Knowledge, MinimumCounts, RoleName
from privsdk.governance.policy import Disclosure, Grant, Policy
from privsdk.he.scoring.verbs import RowScoresAndModel, RowsInThousands, ScoreFigures
from privsdk.he.statistics.statistic import (
    LargestMinimum,
    PartiesByGroup,
    PooledTotals,
    ShownGroupNumbers,
    TotalsOfOthers,
)
from privsdk.party.policy import decide
from privsdk.protocol.operation import operation_names
from privsdk.psi.cardinality import SharedKeyNumber
from privsdk.psi.difference import MaskedNumber, ReturnedRows
from privsdk.psi.join import MoreKeysThan
from privsdk.psi.question import KeyNumbers, SharedKeyNumberAbove, SharedKeys

CLAIM = pytest.mark.claim(
    "operations: for every assignment of roles to members, and any two of them, what arrives is what is said"
)
Kinds = tuple[type[Knowledge], ...]

# Public keys, coins, masked, blinded or encrypted values, and shares that only all others open: whoever gets them.
SILENT = {
    "fl.alltoall.Key", "fl.masked.Masked32", "fl.masked.Masked64", "fl.secagg.Advertised", "fl.secagg.Boxes",
    "fl.secagg.Directory", "fl.secagg.Revealed", "fl.secagg.Unmask", "he.scoring.Features", "he.sums.Encrypted",
    "he.sums.PublicKeys", "psi.Opening", "psi.baseot.Choices", "psi.baseot.Offer", "psi.cardinality.Blinded",
    "psi.ddh.Blinded", "psi.kkrt.Corrections", "psi.multiparty.Share",
}  # fmt: skip
# What other messages tell whoever gets them: any of these kinds accounts for one.
TELLS: dict[str, Kinds] = {
    "aggregate.Labels": (JointKeyLabels,),
    "fl.averages.Said": (EachUpdate,),
    "fl.rounds.Facts": (RowStatistics, RoundModels),  # constants where the models are noisy
    "fl.rounds.Go": (RoundModels,),
    "fl.rounds.Kept": (RoundModels, TrainingFact),
    "fl.rounds.Ready": (TrainingFact,),
    "fl.rounds.Round": (RoundModels,),
    "fl.sums.Contribution": (EachStatistics,),
    "he.floors.Floors": (PartiesByGroup,),
    "he.floors.Shown": (ShownGroupNumbers,),
    "he.scoring.Opening": (RowsInThousands,),
    "he.scoring.Scored": (RowScoresAndModel,),
    "psi.Terms": (KeyNumbers, MinimumCounts),
    "psi.cardinality.Doubled": (SharedKeyNumber,),
    "psi.ddh.Doubled": (SharedKeys,),
    "psi.kkrt.Matches": (SharedKeys,),
    "psi.kkrt.Tags": (SharedKeys,),
    "psi.multiparty.Programmed": (SharedKeys,),
    "psi.multiparty.Shared": (SharedKeys,),
}
# And what is silent to others, to who can open it.
MASKED: Kinds = (RoundModels, TrainingFact, PooledTotals)
OPENED: dict[tuple[str, RoleName], Kinds] = {
    ("he.sums.Encrypted", RoleName.KEY_HOLDER): (PooledTotals, NoisyFigures),
    ("he.sums.Encrypted", RoleName.COORDINATOR): (RoundModels, TrainingFact),
    ("fl.masked.Masked32", RoleName.COORDINATOR): MASKED,
    ("fl.masked.Masked64", RoleName.COORDINATOR): MASKED,
    ("fl.secagg.Revealed", RoleName.COORDINATOR): MASKED,
}
# Fields of parties' answers to the caller, by the operation or all of a face.
ANSWERS: dict[str, dict[str, Kinds]] = {
    "psi.join": {
        "keys": (SharedKeyNumberAbove, SharedKeys),
        "min_count": (SharedKeyNumberAbove, MinimumCounts),
        "protocol": (MoreKeysThan, KeyNumbers, SharedKeyNumberAbove),
    },
    "psi.cardinality": {
        "keys": (SharedKeyNumberAbove, SharedKeyNumber),
        "min_count": (SharedKeyNumberAbove, MinimumCounts),
    },
    "psi.difference": {"masked": (ReturnedRows,), "table": (ReturnedRows,), "min_count": (ReturnedRows, MinimumCounts)},
    "aggregate": {"table": (ExactFigures,)},
    "he.score": {"count": (ScoreFigures,), "table": (ScoreFigures,)},
    "he": {"table": (PooledTotals,), "left_out": (LargestMinimum,)},
    "dp": {"table": (NoisyFigures,)},
    "fl.fit": {
        "table": (FinalModel, RoundModels),
        "ended": (TrainingFact,),
        "resumed": (TrainingFact,),
        "lost": (TrainingFact,),
        "rounds": (TrainingFact,),
        "facts": (RowStatistics, FinalModel, RoundModels),
        "curve": (ClientEvaluations,),
        "groups": (ClientEvaluations,),
        "evaluation": (ClientEvaluations,),
    },
}
POOLED: Kinds = (PooledTotals, RoundModels, RowStatistics)  # exact or not: of several contributors, whom owners count
OF_OTHERS: Kinds = (TotalsOfOthers, UpdatesOfOthers, FiguresOfOthers)


def runs() -> Iterator[tuple[str, str, Ran]]:
    """Every example by every caller who may ask it."""
    for call, request in examples().items():
        for caller in (OUTSIDER, *request.parties):
            if (found := ran(call, caller)) is not None:
                yield call, caller, found


def unaccounted(found: Ran, names: Sequence[str], everything: tuple[Knowledge, ...]) -> list[str]:
    """What reached these members from others, and is nothing that such knowledge accounts for."""
    played = {role for name in names for role in found.members.get(name, ())}
    kinds = {type(each) for each in everything}
    name = found.operation.request.operation
    fields = ANSWERS.get(name) or ANSWERS[name.partition(".")[0]]
    missing = []
    for tag in dict.fromkeys(sent.tag for sent in found.received(*names)):
        opened = [of for (one, role), of in OPENED.items() if one == tag and role in played]
        wanted = [TELLS[tag]] if tag in TELLS else opened
        if (tag not in SILENT and not wanted) or any(not kinds & set(of) for of in wanted):
            missing.append(tag)
    for _, field, value in found.answered(*names):
        if (field == "table" or value not in (None, {}, [], "")) and not kinds & set(fields.get(field, ())):
            missing.append(f"answer {field}")
    return missing


def test_every_operation_has_an_example() -> None:
    assert {request.operation for request in examples().values()} == set(operation_names())
    assert not SILENT & TELLS.keys()
    used = {sent.tag for *_, found in runs() for sent in found.transcript}
    assert used == SILENT | TELLS.keys()  # nothing is in the tables that no example sends


@CLAIM
def test_what_arrives_is_accounted_for(cases: Cases) -> None:
    for call, caller, found in runs():
        for size in (1, 2):
            for names in itertools.combinations(found.members, size):
                known = found.known_to(*names)
                assert unaccounted(found, names, known.everything) == [], (call, caller, names, known)
                cases()


def test_what_is_not_said_is_found() -> None:
    """Without its records whoever learns something has it unaccounted for."""
    checked = 0
    for call, caller, found in runs():
        for name in found.members:
            known = found.known_to(name)
            got = {sent.tag for sent in found.received(name)} - SILENT or list(found.answered(name))
            if known.tells and got:
                assert unaccounted(found, [name], ()), (call, caller, name)
                checked += 1
    assert checked > 100


@CLAIM
def test_who_learns_nothing_gets_ciphertexts_shares_and_keys(cases: Cases) -> None:
    silent = 0
    for call, caller, found in runs():
        for name in found.members:
            if not found.known_to(name).tells:
                assert {sent.tag for sent in found.received(name)} <= SILENT, (call, caller, name)
                assert not list(found.answered(name))
                silent += 1
    assert silent > 50
    cases(silent)


@CLAIM
def test_no_planted_value_arrives(cases: Cases) -> None:
    """Nobody else's own rows are in what a member receives, but where it is said to get rows or extremes."""
    for call, caller, found in runs():
        for name in found.members:
            known, data = found.known_to(name), [wire_bytes(sent) for sent in found.received(name)]
            whole = any(
                isinstance(each, ReturnedRows) or getattr(each, "statistic", "") == "min" for each in known.what
            )
            if not whole:
                data += [
                    repr(getattr(value, "to_pydict", lambda v=value: v)()).encode()
                    for *_, value in found.answered(name)
                ]
            everything = b"\n".join(data)
            for other in {*TABLES} - {name}:
                for secret in planted(other):
                    assert secret not in everything, (call, caller, name, other)
                    assert secret.hex().encode() not in everything, (call, caller, name, other)
            cases()


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
            if caller in request.operands and any(isinstance(each, NoisyFigures) for each in everything):
                assert OthersWithChargedNoise() in everything
            cases()
    groups = ("he.histogram", "he.mean(by), and count, sum, variance", "he.histogram, masked")
    assert sorted(refused) == sorted((call, "K") for call in groups)


# That the rules are true: what follows is computed from what the member has.


def test_a_total_less_its_own_part_is_the_others() -> None:
    found = ran("he.sum", "B")
    assert found is not None
    (total,) = [table["sum 0"][0].as_py() for _, field, table in found.answered("B") if field == "table"]
    sums = {name: sum(TABLES[name]["t"]["x"].to_pylist()) for name in OWNERS}
    unit = found.operation.parameters.grids[0].resolution
    assert int(total) * unit - sums["B"] == pytest.approx(sums["A"] + sums["C"], abs=1e-6)
    assert TotalsOfOthers(number=2) in found.known_to("B").everything
    assert TotalsOfOthers(number=1) in found.known_to("B", "A").everything


def test_keys_less_those_that_came_are_the_masked_ones() -> None:
    found = ran("psi.difference of all rows", "B")
    assert found is not None
    (rows,) = [table for _, field, table in found.answered("B") if field == "table"]
    assert len(TABLES["A"]["t"]) - rows.num_rows == SHARED
    assert MaskedNumber(owner="A") in found.known_to("B").everything
    filtered = ran("psi.difference", "B")
    assert filtered is not None
    assert MaskedNumber(owner="A") not in filtered.known_to("B").everything
