"""Every operation, for every assignment of its caller to an outsider or a party, and for every two who collude: what
reaches a member is accounted for by what it is said to learn, and what must not follow from that is refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from claims import Cases
from harness import wire_bytes
from role_runs import OWNERS, SHARED, TABLES, Ran, examples, planted, ran, runs

from privsdk.client.aggregates import EXTREMES
from privsdk.dp.operation import ContributionsWithNoise, NoisyFigures
from privsdk.exact.joint.operation import EncodedColumns, JointSums
from privsdk.exact.operation import ExactFigures, JointKeyLabels
from privsdk.fl.loops.course import FinalModel, RoundModels
from privsdk.fl.operation import (
    ClientEvaluations,
    EachStatistics,
    EachUpdate,
    RowStatistics,
    TrainingFact,
)
from privsdk.fl.validation.operation import FoldEvaluations
from privsdk.governance.learns import EveryContribution, Knowledge, MinimumCounts, RoleName
from privsdk.he.scoring.verbs import RowScoresAndModel, RowsInThousands, ScoreFigures
from privsdk.he.statistics.statistic import (
    LargestMinimum,
    PartiesByGroup,
    PooledTotals,
    ShownGroupNumbers,
    TotalsOfOthers,
)
from privsdk.protocol.operation import operation_names
from privsdk.psi.cardinality import SharedKeyNumber
from privsdk.psi.difference import MaskedNumber, ReturnedRows
from privsdk.psi.join import MoreKeysThan, SharedKeysOf
from privsdk.psi.question import KeyNumbers, SharedKeyNumberAbove, SharedKeys

CLAIM = pytest.mark.claim(
    "operations: for every assignment of roles to members, and any two of them, what arrives is what is said"
)
Kinds = tuple[type[Knowledge], ...]

# Public keys, coins, masked, blinded or encrypted values, and shares that only all others open: whoever gets them.
SILENT = {
    "bilinear.Opening", "bilinear.Product", "bilinear.Vectors",
    "fl.alltoall.Key", "fl.masked.Masked32", "fl.masked.Masked64", "fl.secagg.Advertised", "fl.secagg.Boxes",
    "fl.secagg.Directory", "fl.secagg.Revealed", "fl.secagg.Unmask", "he.scoring.Features", "he.sums.Encrypted",
    "he.sums.PublicKeys", "psi.Opening", "psi.baseot.Choices", "psi.baseot.Offer", "psi.cardinality.Blinded",
    "psi.ddh.Blinded", "psi.kkrt.Corrections", "psi.multiparty.Share",
}  # fmt: skip
# What other messages tell whoever gets them: all of it, of which each may be said by any kind of a tuple.
TELLS: dict[str, tuple[type[Knowledge] | Kinds, ...]] = {
    "aggregate.Labels": (JointKeyLabels, MinimumCounts),
    "fl.averages.Said": (EachUpdate,),
    "fl.rounds.Facts": ((RowStatistics, RoundModels),),  # constants where the models are noisy
    "fl.rounds.Go": (RoundModels,),
    "fl.rounds.Kept": ((RoundModels, TrainingFact),),
    "fl.rounds.Ready": (TrainingFact,),
    "fl.rounds.Round": (RoundModels,),
    "fl.sums.Contribution": (EachStatistics,),
    "he.floors.Floors": (PartiesByGroup,),
    "he.floors.Shown": (ShownGroupNumbers,),
    "he.scoring.Opening": (RowsInThousands,),
    "he.scoring.Scored": (RowScoresAndModel,),
    "joint.Opened": (EncodedColumns,),
    "joint.Ready": (MinimumCounts,),
    "joint.Width": (EncodedColumns,),
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
    "joint.moments": dict.fromkeys(
        ("keys", "complete", "min_count", "lacking", "numbers", "facts", "table"), (JointSums,)
    ),
    "he.score": {"count": (ScoreFigures,), "table": (ScoreFigures,)},
    "he": {"table": (PooledTotals,), "left_out": (LargestMinimum,)},
    "dp": {"table": (NoisyFigures,)},
    "fl.fit": {
        "table": (FinalModel, RoundModels),
        "best": (TrainingFact,),
        "ended": (TrainingFact,),
        "resumed": (TrainingFact,),
        "lost": (TrainingFact,),
        "rounds": (TrainingFact,),
        "facts": (RowStatistics, FinalModel, RoundModels),
        "curve": (ClientEvaluations,),
        "groups": (ClientEvaluations,),
        "evaluation": (ClientEvaluations,),
    },
    "fl.cross_validate": {"trainings": (FoldEvaluations,)},
}


def unaccounted(found: Ran, names: Sequence[str], everything: tuple[Knowledge, ...]) -> list[str]:
    """What reached these members from others, and is nothing that such knowledge accounts for."""
    played = {role for name in names for role in found.members.get(name, ())}
    kinds = {type(each) for each in everything}
    name = found.operation.request.operation
    fields = ANSWERS.get(name) or ANSWERS[name.partition(".")[0]]
    missing = []
    for tag in dict.fromkeys(sent.tag for sent in found.received(*names)):
        opened = [of for (one, role), of in OPENED.items() if one == tag and role in played]
        wanted = [each if isinstance(each, tuple) else (each,) for each in TELLS.get(tag, ())] or opened
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


def leaked(found: Ran, name: str) -> set[str]:
    """Whose own values are in what a member received, but where it is said to get rows or extremes."""
    known, data = found.known_to(name), [wire_bytes(sent) for sent in found.received(name)]
    if not any(isinstance(each, ReturnedRows) or getattr(each, "statistic", "") in EXTREMES for each in known.what):
        answers = [getattr(value, "to_pydict", lambda value=value: value)() for *_, value in found.answered(name)]
        data += [repr(answer).encode() for answer in answers]
    everything = b"\n".join(data)
    return {
        other
        for other in {*TABLES} - {name}
        for secret in planted(other)
        if secret in everything or secret.hex().encode() in everything
    }


@CLAIM
def test_no_planted_value_arrives(cases: Cases) -> None:
    for call, caller, found in runs():
        for name in found.members:
            assert leaked(found, name) == set(), (call, caller, name)
            cases()


def test_what_is_sent_besides_is_found() -> None:
    found = ran("he.sum", "B")
    assert found is not None
    sent = next(sent for sent in found.transcript if sent.receiver == "B")
    for secret in planted("C"):
        more = (*found.transcript, sent._replace(header=secret))
        assert leaked(found._replace(transcript=more), "B") == {"C"}
    more = (*found.transcript, sent._replace(tag="test.Extra"))
    assert unaccounted(found._replace(transcript=more), ["B"], found.known_to("B").everything) == ["test.Extra"]


@CLAIM
def test_two_who_together_hold_key_and_ciphertexts_are_named(cases: Cases) -> None:
    """An aggregator has every contributor's ciphertexts, and a leader what only all others' shares hide."""
    for call, caller, found in runs():
        for pair in itertools.combinations(found.members, 2):
            played = {role for name in pair for role in found.members[name]}
            told = {type(each) for each in found.known_to(*pair).everything}
            if {RoleName.AGGREGATOR} < played and played & {RoleName.KEY_HOLDER, RoleName.COORDINATOR}:
                assert told & {EveryContribution, ContributionsWithNoise}, (call, caller, pair)
                cases()
            if RoleName.LEADER in played and set(pair) <= {*found.operation.request.parties}:
                assert SharedKeysOf in told, (call, caller, pair)
                cases()


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
