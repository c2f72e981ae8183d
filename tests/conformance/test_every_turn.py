"""Every operation, gone wrong at every message of every party: it ends at all, names who failed, and leaves nothing.

In one process, over a link that goes wrong; `e2e/test_faults.py` does so to real processes over real connections.
"""

from __future__ import annotations

import math
import random
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest
from claims import Cases, Counts
from faulty_link import FAULTS, Parties, Point
from role_runs import TABLES, examples
from test_role_refusals import EVERYTHING
from waiting import until

import privsdk as ps
from privsdk import psi
from privsdk.client.progress import Live
from privsdk.client.results import Answers
from privsdk.governance.charges import Debit, Exact
from privsdk.party.budget import bits
from privsdk.party.budget.accounting import Account
from privsdk.protocol.operation import Request, operation_of

POLICY = ps.Policy(operations=("*",), grants=tuple(EVERYTHING), min_parties=2)
ROUNDS = 2  # of trainings: what goes wrong in later ones goes wrong in these
ENDED = {"finished", "failed", "released"}
SLOW = "fl.fit, record level"  # its price takes a minute to work out; its messages are those of other trainings
AS_THEY_COME = {"fl.fit, FedBuff"}  # answers depend on whose update is there first
REFUSED = {"he.sum of one", "fl.fit, clear, drawn"}  # the second where it draws one client


class Spent(NamedTuple):
    """What a dataset's balance says is spent."""

    exact: int
    epsilon: float


@pytest.fixture(autouse=True)
def any_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "SHARE", math.inf)  # tables of so few rows hold none to tell


def calls() -> list[str]:
    """Those in which parties send each other messages."""
    return [call for call, request in examples().items() if len(request.parties) > 1 and call not in REFUSED]


def asked(call: str, parties: Parties) -> Request:
    """The example as a new run, over a join of these parties where it is of one."""
    request = examples()[call]
    operands, parameters = dict(request.operands), dict(request.parameters)
    if "rounds" in parameters:
        parameters["rounds"] = ROUNDS
    if any(operand.alignment for operand in operands.values()):
        owners = [parties.fed[name]["t"] for name in ("A", "B", *(["C"] if "C" in operands else []))]
        joint = psi.join(*owners, on="key").release().value
        for name, operand in operands.items():
            bound = operand.bound and msgspec.structs.replace(operand.bound, join=joint._record.join)
            alignment = joint[name]._alignments[name]
            operands[name] = msgspec.structs.replace(operand, alignment=alignment, bound=bound)
    run_id = secrets.token_hex(8)
    return msgspec.structs.replace(request, operands=operands, parameters=parameters, run_id=run_id)


def balances(parties: Parties) -> dict[tuple[str, str], Spent]:
    every = parties.fed.budgets().items()
    assert not any(balance.reserved for _, each in every for balance in each)
    return {(party, b.dataset): Spent(b.exact_spent, b.epsilon_spent) for party, each in every for b in each}


def release(parties: Parties, request: Request) -> Answers | ps.PrivsdkError:
    """How it ended, in time: `until` fails where it hangs."""
    ended: list[Answers | BaseException] = []

    def work() -> None:
        try:
            ended.append(parties.fed.execute(Live(request)))
        except BaseException as error:
            ended.append(error)

    threading.Thread(target=work, daemon=True).start()
    until(lambda: ended, "the run does not end at its caller")
    if isinstance(ended[0], BaseException) and not isinstance(ended[0], ps.PrivsdkError):
        raise ended[0]
    return ended[0]


def comparable(answers: Answers) -> dict[str, Any]:
    """Every party's answer, but for when and by which run it was given."""
    return {party: (each.value, each.table) for party, each in answers.items()}


@cache
def undisturbed(call: str) -> tuple[dict[str, int], dict[str, Any]]:
    """How many messages each party sends, and those answers that do not depend on random draws."""
    found = []
    for seed in range(2):
        parties = Parties(TABLES, POLICY, seed)
        request = asked(call, parties)
        parties.network.watch(request.parties, None)
        answers = release(parties, request)
        assert isinstance(answers, Answers), answers
        found.append(comparable(answers))
        sent = parties.network.sent
        parties.close()
    if call in AS_THEY_COME:
        return sent, {}
    return sent, {party: answer for party, answer in found[0].items() if found[1][party] == answer}


def points(call: str) -> list[Point]:
    sent, _ = undisturbed(call)
    return [Point(party, turn, fault) for party, n in sent.items() for turn in range(n) for fault in FAULTS]


def threads() -> Counter[str]:
    """Of runs and streams, by name; what all share is left out."""
    return Counter(each.name for each in threading.enumerate() if each.name.startswith(("privsdk-call", "Thread-")))


def strike(call: str, point: Point, seed: int) -> bool:
    """Run the operation with this fault and check the promise; whether the fault came about."""
    parties, before_threads = Parties(TABLES, POLICY, seed), threads()
    request = asked(call, parties)
    before = balances(parties)
    parties.network.watch(request.parties, point)
    ended = release(parties, request)
    at = f"{call}, {point.party} {point.fault} at its message {point.turn}"
    struck, frozen = parties.network.struck, parties.network.frozen
    if frozen:
        until(lambda: not any(g._runs.running for n, g in parties.gates.items() if n != frozen), f"{at}: runs are left")
    parties.network.thawed.set()
    until(lambda: parties.running() == 0, f"{at}: a run is under way")
    parties.network.frozen = parties.network.killed = ""
    until(lambda: not threads() - before_threads, f"{at}: threads are left")
    if isinstance(ended, ps.PrivsdkError):
        assert struck, (at, str(ended))
        assert point.party in str(ended), (at, str(ended))
    else:
        check_answers(call, point, ended, at)
    check_charges(parties, request, before, ended, at)
    parties.close()
    return struck


def check_answers(call: str, point: Point, answers: Answers, at: str) -> None:
    """Right, or of a run that went on without the one who failed and says so."""
    _, expected = undisturbed(call)
    told = [*answers.lost, *map(str, answers.lost.values()), *(repr(each.value) for each in answers.values())]
    found = comparable(answers)
    right = all(party in found and found[party] == answer for party, answer in expected.items())
    assert right or (bool(answers.lost) and any(point.party in each for each in told)), (at, told)


def check_charges(
    parties: Parties, request: Request, before: dict[tuple[str, str], Spent], ended: object, at: str
) -> None:
    """Each party was charged its price once where its run began, and nothing else was charged."""
    after, operation = balances(parties), operation_of(request)
    for party in request.parties:
        books = parties.books[party]
        known = books.known(request.run_id)
        assert known is None or known.state in ENDED, (at, party, known)
        assert books.verify().first_bad == -1, at
        began = known is not None and known.state != "released"
        most = operation.price().get(party, ()) if began else ()
        least = operation.reserved().get(party, ()) if began else ()
        if isinstance(ended, Answers) and party in ended:
            most = least = operation.paid({party: ended[party].instalments}).get(party, ())
        for table in TABLES[party]:
            was, now = before[party, table], after[party, table]
            low, high = charged(least, table), charged(most, table)
            assert low.exact <= now.exact - was.exact <= high.exact, (at, party)
            assert low.epsilon - 1e-9 <= now.epsilon - was.epsilon <= high.epsilon + 1e-9, (at, party)


def charged(debits: tuple[Debit, ...], table: str) -> Spent:
    own = Counter(debit.charge for debit in debits if debit.table == table)
    uses = sum(charge.uses * times for charge, times in own.items() if isinstance(charge, Exact))
    return Spent(uses, Account(own).epsilon(1e-6))


def chosen(call: str, number: int) -> Iterator[Point]:
    """So many points, of a fixed seed; all of them where there are no more."""
    every = points(call)
    yield from random.Random(call).sample(every, min(number, len(every)))


@pytest.mark.claim("faults: at every turn of every operation: ends at everyone, names who failed, charges exactly")
def test_every_operation_at_every_turn(cases: Cases, counts: Counts) -> None:
    few = [call for call in calls() if call != SLOW]
    every = counts(random.Random(5).sample(few, 8), few, calls())
    struck = 0
    for call in every:
        for seed, point in enumerate(chosen(call, counts(1, 7, 1_000_000))):
            struck += strike(call, point, seed)
            cases()
    assert struck > len(every) // 2
    cases.say(f"{len(every)} kinds of run, {struck:,} faults came about")
