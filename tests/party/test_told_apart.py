"""The differencing rule for parties: results with and without a party, whoever asks, do not tell its own part."""

from __future__ import annotations

import itertools
import random
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts

import privsdk as ps
from privsdk import dp, fl, he
from privsdk.client.federation import Federation
from privsdk.client.plan import Plan
from privsdk.client.tables import Table
from privsdk.errors import DifferencingRefused, LedgerError, PolicyRefused, Refused
from privsdk.errors.refusals import MinPartiesUnstated, PartiesToldApart
from privsdk.party.differencing import parties as rule
from privsdk.party.differencing.parties import PooledRun, told_apart
from privsdk.protocol import control
from privsdk.protocol.operation import Request

APART = pytest.mark.claim("party: results with and without a party, together, tell of no fewer parties than asked for")
NUMBERS = np.random.default_rng(0)
USES = ("HE operand", "training feature", "training label", "comparison", "DP release")
MODEL = fl.Logistic(features={"x": (0, 100)})

VERBS: Mapping[str, Callable[..., Plan[Any]]] = {
    "sum": lambda tables, **o: he.sum(tables, "x", **o),
    "mean": lambda tables, **o: he.mean(tables, "x", **o),
    "count": lambda tables, **o: he.count(tables, **o),
    "covariance": lambda tables, **o: he.covariance(tables, ["x", "y"], bound=100, **o),
    "histogram": lambda tables, **o: he.histogram(tables, "x", edges=[0, 50, 100], **o),
    "fit": lambda tables, **o: fl.fit(MODEL, tables, label="y", rounds=1, coordinator=o["key_holder"]),
}


def rows(number: int = 40) -> pa.Table:
    columns: dict[str, Any] = {name: NUMBERS.integers(0, 100, number) for name in ("x", "z")}
    return pa.table({**columns, "y": NUMBERS.integers(0, 2, number)})


def opened(names: str, least: int | Mapping[str, int], *, store: Path | None = None, exact: int = 1000) -> Federation:
    def policy(name: str) -> ps.Policy:
        return ps.Policy(
            operations=("*",),
            grants=(ps.Grant(table="t", columns={"*": USES, "rows": USES}, max_epsilon=9.0),),
            min_parties=least if isinstance(least, int) else least.get(name, 1),
        )

    return ps.embedded(
        {**{name: rows() for name in names}, "k": {}},
        table="t",
        store=store,
        policy={name: policy(name) for name in (*names, "k")},
        budget=ps.Budget(epsilon=50, exact=exact),
        quiet=True,
    )


def of(fed: Federation, names: Sequence[str]) -> list[Table]:
    return [fed[name]["t"] for name in names]


def fresh(plan: Plan[Any], caller: str = "analyst", **changes: Any) -> Request:
    """The request of a plan, of a caller of its own and under another run id."""
    return msgspec.structs.replace(plan.request, run_id=secrets.token_hex(8), caller=caller, **changes)


def prepare(fed: Federation, request: Request) -> Refused | None:
    """Prepared at every party, or given back where one refuses."""
    try:
        for party in request.parties:
            fed._link._endpoints[party].handle(request.caller, control.Prepare(request=request))
    except Refused as error:
        give_back(fed, request)
        return error
    return None


def give_back(fed: Federation, request: Request) -> None:
    for party in request.parties:
        fed._link._endpoints[party].handle(request.caller, control.Release(run_id=request.run_id))


@APART
@pytest.mark.attack("a sum or model with and one without a party", "that party's own total, exactly", "no total")
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("names", "least"), [("abc", 2), ("abcde", 3)])
def test_with_and_without_a_party_in_every_assignment_of_roles(names: str, least: int, verb: str, cases: Cases) -> None:
    """Whoever asks, holds the key and is left out, in either order. Only where who is left out sees the result without
    it, and nobody else does, is there nothing new in it."""
    with opened(names, least) as fed:
        tables = dict(zip(names, of(fed, names), strict=True))
        for left, caller, holder in itertools.product(names, (*names, "k", "analyst"), ("k", "left")):
            if verb == "fit" and holder == "left":
                continue
            if verb == "histogram" and caller in ("k", left if holder == "left" else "k"):  # refused by itself
                continue
            rest = names.replace(left, "")
            whole = VERBS[verb]([*tables.values()], key_holder="k")
            without = VERBS[verb]([tables[n] for n in rest], key_holder=left if holder == "left" else "k")
            others = len(rest) - (caller in rest or verb == "fit")
            for plans in ((whole, without), (without, whole)):
                requests = [fresh(plan, caller) for plan in plans]
                told = [prepare(fed, request) for request in requests]
                for request, error in zip(requests, told, strict=True):
                    if error is None:
                        give_back(fed, request)
                if others < least:  # refused by itself
                    assert isinstance(told[plans.index(without)], PolicyRefused)
                elif holder == "left" and caller == left and plans[1] is without:
                    assert told == [None, None]
                else:
                    assert told[0] is None
                    assert isinstance(told[1], DifferencingRefused)
                    assert isinstance(told[1].detail, PartiesToldApart)
                    assert left in told[1].detail.named
                cases()
        cases.gains("no total")


@APART
@pytest.mark.parametrize("verb", ["sum", "fit"])
def test_a_sum_or_model_without_a_party_is_refused_before_anything_is_charged(tmp_path: Path, verb: str) -> None:
    """Released for real, and asked again after all parties were closed and opened: the ledgers know."""
    with opened("abcd", {**dict.fromkeys("abc", 2), "d": 3}, store=tmp_path) as fed:
        VERBS[verb](of(fed, "abcd"), key_holder="k").release()
        spent = {name: fed.budgets()[name][0].exact_spent for name in "abcd"}
    with opened("abcd", {**dict.fromkeys("abc", 2), "d": 3}, store=tmp_path) as fed:
        plan = VERBS[verb](of(fed, "abc"), key_holder="k")
        with pytest.raises(DifferencingRefused, match=r"with other contributors, .* would tell d apart") as refused:
            plan.release()
        assert refused.value.detail == PartiesToldApart(party="a", table="t", column="x", named=("d",))
        assert "dp release" in str(refused.value)
        quotes = plan.preview().quotes
        assert all(isinstance(quotes[name], DifferencingRefused) for name in "abc")
        assert {name: fed.budgets()[name][0].exact_spent for name in "abcd"} == spent
        dp.sum(of(fed, "abc"), "x", bounds=(0, 100), epsilon=1.0).release()  # the lever that the refusal names
        assert all(report.reason == "" for report in fed.verify_audit().values())


def test_the_same_contributors_and_other_columns_are_never_refused(cases: Cases, counts: Counts) -> None:
    with opened("abcde", 3) as fed:
        draw = random.Random(1)
        tables = of(fed, "abcde")
        for i in range(counts(40, 100, 1000)):
            verb, caller = draw.choice([*VERBS.values()]), draw.choice(["analyst", "b", "a"])
            request = fresh(verb(tables, key_holder="k"), caller)
            assert prepare(fed, request) is None
            if i >= 20:  # a caller has so many places
                give_back(fed, request)
            cases()
        assert prepare(fed, fresh(he.sum(of(fed, "abcd"), "z", key_holder="k"))) is None
        assert isinstance(prepare(fed, fresh(he.sum(of(fed, "bcde"), "z", key_holder="k"))), DifferencingRefused)


def test_what_was_given_back_was_let_out_to_nobody() -> None:
    with opened("abcd", 3) as fed:
        whole, without = he.sum(of(fed, "abcd"), "x"), he.sum(of(fed, "abc"), "x", key_holder="k")
        first = fresh(whole)
        assert prepare(fed, first) is None
        assert isinstance(prepare(fed, fresh(without)), DifferencingRefused)
        give_back(fed, first)
        assert prepare(fed, fresh(without)) is None
        assert isinstance(prepare(fed, fresh(whole)), DifferencingRefused)


def test_of_two_at_once_one_passes(cases: Cases, counts: Counts) -> None:
    """At the one party that is asked both at the same time; each waits for the other just before it reserves."""
    with opened("abcd", 3) as fed:
        gate = fed._link._endpoints["a"]
        plans = [he.sum(of(fed, names), "x", key_holder="k") for names in ("abcd", "abc")]
        for _ in range(counts(10, 50, 200)):
            together, told = threading.Barrier(2), list[str]()
            requests = [fresh(plan) for plan in plans]
            reserve = gate._books.reserve

            def waiting(*given: Any, at: threading.Barrier = together, go: Any = reserve, **named: Any) -> None:
                at.wait(10)
                go(*given, **named)

            def ask(request: Request, told: list[str] = told) -> None:
                try:
                    gate.handle("analyst", control.Prepare(request=request))
                    told.append("")
                except Refused as error:
                    told.append(error.code)

            gate._books.reserve = waiting
            threads = [threading.Thread(target=ask, args=(request,)) for request in requests]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            gate._books.reserve = reserve
            assert sorted(told) == ["", DifferencingRefused.code]
            for request in requests:
                gate.handle("analyst", control.Release(run_id=request.run_id))
            cases()


def test_requests_say_what_every_owner_asks_for() -> None:
    least = {"a": 1, "b": 2, "c": 3, "d": 3}
    with opened("abcd", least) as fed:
        tables = of(fed, "abcd")
        for plan in (he.mean(tables, "x"), VERBS["fit"](tables, key_holder="k")):
            assert plan.request.min_parties == least
            for said in (msgspec.UNSET, {**least, "c": 2}, {**least, "c": 4}, {n: least[n] for n in "abd"}):
                request = fresh(plan, min_parties=said)
                for call in (control.Prepare(request=request), control.Quote(requests=(request,))):
                    with pytest.raises(PolicyRefused, match="open the federation again") as refused:
                        fed._link._endpoints["c"].handle("analyst", call)
                    stated = (said or {}).get("c")
                    assert refused.value.detail == MinPartiesUnstated(party="c", required=3, stated=stated)
        party_level = fl.PartyLevel(clip=1.0, noise_multiplier=20.0)
        private = fl.fit(MODEL, tables, label="y", rounds=1, privacy=party_level, coordinator="k")
        for plan in (dp.sum(tables, "x", bounds=(0, 100), epsilon=0.1), private):
            assert not plan.request.min_parties
            assert prepare(fed, plan.request) is None


def test_requests_of_before_keep_their_bytes_and_digest() -> None:
    before = (
        b'{"caller":"ann","operands":{"a":{"alignment":"","columns":["x"],"table":"t","unit":{"id":"","rows":1}}},'
        b'"operation":"he.sum","parameters":{},"parties":["a","k"],"purpose":"p","run_id":"r","version":1}'
    )
    request = msgspec.json.decode(before, type=Request)
    assert request.canonical() == before
    stated = msgspec.structs.replace(request, min_parties={"a": 3})
    assert stated.digest() != request.digest()
    assert stated.question() == request.question()
    assert msgspec.json.decode(stated.canonical(), type=Request) == stated


@pytest.mark.parametrize(
    "change", ["DELETE FROM pooled_run", "UPDATE pooled_run SET body = replace(body, '\"d\"', '\"e\"')"]
)
def test_contributors_that_were_changed_by_hand_are_found(tmp_path: Path, change: str) -> None:
    with opened("abcd", 3, store=tmp_path) as fed:
        assert prepare(fed, fresh(he.sum(of(fed, "abcd"), "x"))) is None
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        db.execute(change)
        db.commit()
    with pytest.raises(LedgerError, match=r"contributors of run .* are not those of the chain"):
        opened("abcd", 3, store=tmp_path)


# Against all combinations, in fractions

NEW = ("", "")  # where only the new sum is 1


def light(new: PooledRun, earlier: Sequence[PooledRun], observer: str, least: Mapping[str, int]) -> set[str] | None:
    """Everyone in a combination that needs the new sum, over too few parties, by trying every group of them; None where
    the new sum is a combination of the earlier ones."""
    sums = [new]  # and those that share a place with it, and so on: in a combination with others each part is one
    left = list(earlier)
    while more := [run for run in left if any(run.places & each.places for each in sums)]:
        sums, left = [*sums, *more], [run for run in left if run not in more]
    places = sorted({place for each in sums for place in each.places if place[0] != observer})
    matrix = [[Fraction(place in each.places) for place in places] + [Fraction(each is new)] for each in sums]
    places.append(NEW)
    if reached(matrix, places, [""]):
        return None
    found = set[str]()
    present = sorted({party for party, _ in places if party})
    for size in range(1, max(least.values())):
        for group in itertools.combinations(present, size):
            if size < max(least[party] for party in group) and {"", *group} == reached(matrix, places, ["", *group]):
                found |= set(group)
    return found


def reached(matrix: list[list[Fraction]], places: list[tuple[str, str]], group: Sequence[str]) -> set[str]:
    """The parties that are in some combination of those which vanish at all parties out of a group."""
    order = sorted(range(len(places)), key=lambda c: places[c][0] in group)  # those out of it first
    outside = sum(place[0] not in group for place in places)
    work, at = [[row[c] for c in order] for row in matrix], 0
    for c in range(outside):
        pivot = next((i for i in range(at, len(work)) if work[i][c]), None)
        if pivot is not None:
            work[at], work[pivot] = work[pivot], work[at]
            for i in range(at + 1, len(work)):
                factor = work[i][c] / work[at][c]
                work[i] = [x - factor * y for x, y in zip(work[i], work[at], strict=True)]
            at += 1
    return {places[order[c]][0] for row in work[at:] for c in range(outside, len(order)) if row[c]}


def determined(sums: Sequence[PooledRun], observer: str, least: Mapping[str, int]) -> bool:
    """Whether anything over too few parties follows from these sums."""
    return any(light(new, sums[:i], observer, least) for i, new in enumerate(sums))


def drawn(draw: random.Random, parties: str, least: Mapping[str, int]) -> PooledRun:
    while True:
        among = [party for party in parties if draw.random() < 0.7]
        recipients = tuple(draw.sample([*parties, "k", "analyst"], draw.choice([1, 2, 2])))
        tables = {party: "u" if draw.random() < 0.05 else "t" for party in among}
        min_parties = {party: least[party] for party in among}
        run = PooledRun(table="t", columns=("x",), tables=tables, min_parties=min_parties, recipients=recipients)
        if among and not any(light(run, [], recipient, least) for recipient in recipients):  # fine by itself
            return run


@APART
@pytest.mark.parametrize("alike", [True, False])
def test_against_all_combinations_of_small_histories(alike: bool, cases: Cases, counts: Counts) -> None:
    """Nothing over too few parties is let out; where all owners ask for the same, nothing else is refused."""
    draw, refused, needless = random.Random(5), 0, 0
    for _ in range(counts(20, 300, 5000)):
        parties = "abcdefg"[: draw.randint(3, 6 if counts(1, 0, 0) else 7)]
        least = dict.fromkeys(parties, draw.choice([2, 3, 4] if len(parties) > 4 else [2, 3]))
        if not alike:
            least = {party: draw.choice([1, 2, 2, 3, 3, 4]) for party in parties}
        let_out = list[PooledRun]()
        for _ in range(8):
            new, told = drawn(draw, parties, least), set[str]()
            for recipient in new.recipients:
                found = light(new, let_out, recipient, least)
                if found is None:
                    found = light(new, [run for run in let_out if recipient in run.recipients], recipient, least)
                told |= found or set()
            named = told_apart(new, let_out)
            if told:
                assert named
            if named is None:
                let_out.append(new)
            else:
                refused += 1
                needless += not told
            cases()
        for recipient in {name for run in let_out for name in run.recipients}:
            assert not determined([run for run in let_out if recipient in run.recipients], recipient, least)
    assert refused > 20
    assert needless <= (0 if alike else refused * 0.1)
    cases.say(f"{refused:,} refused, {needless:,} of them needlessly")


@APART
def test_who_asks_again_for_what_another_was_told_is_judged_by_what_it_saw_itself() -> None:
    """The difference of the two is of a, x and y: three for the analyst, and two for a."""

    def asked(names: str, recipient: str) -> PooledRun:
        tables, least = dict.fromkeys(names, "t"), dict.fromkeys(names, 3)
        return PooledRun(table="t", columns=("x",), tables=tables, min_parties=least, recipients=(recipient,))

    earlier = [asked("adefxy", "analyst"), asked("def", "analyst")]
    assert told_apart(earlier[1], earlier[:1]) is None
    assert told_apart(asked("adefxy", "a"), earlier) is None
    earlier.append(asked("adefxy", "a"))
    assert told_apart(asked("adefxy", "a"), earlier) is None
    assert set(told_apart(asked("def", "a"), earlier) or ()) >= {"x", "y"}


def test_a_search_that_does_not_end_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p{i:02}" for i in range(40)]
    sets = [[n for i, n in enumerate(names) if (i * i + s * i) % 7 > 1 or i == s] for s in range(4)]
    runs = [
        PooledRun(
            table="t",
            columns=("x",),
            tables=dict.fromkeys(each, "t"),
            min_parties=dict.fromkeys(each, 3),
            recipients=("analyst",),
        )
        for each in sets
    ]
    monkeypatch.setattr(rule, "lightest", lambda *_: rule.Weight.UNDECIDED)
    assert told_apart(runs[-1], runs[:-1]) == ()
    with pytest.raises(DifferencingRefused, match="within its bounds the search did not end"):
        rule.judge("a", runs[-1], runs[:-1])
