"""The rule of the differencing guard, against the same rule by brute force over the rationals."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from claims import Cases, Counts
from spans import rank, tells_of_few

from privsdk.party.differencing import frames, history, search
from privsdk.party.differencing.basis import Basis
from privsdk.party.differencing.elimination import Elimination
from privsdk.party.differencing.history import Admission, History
from privsdk.party.differencing.modular import is_prime, random_prime, rational, solved, whole
from privsdk.party.differencing.search import SearchWork, Weight

SAFE = pytest.mark.claim(
    "differencing: no combination of however many exact answers tells of 1 to k - 1 units, against brute force"
)
WAYS = ["elimination", "frames, then elimination", "frames"]


def prefer(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide about small tables as about large ones."""
    monkeypatch.setattr(history, "SMALL", history.SMALL if way == "elimination" else 0)
    monkeypatch.setattr(history, "MOST_ELIMINATED", -1 if way == "frames" else 10_000)


class Case:
    """A random table, and sets of answers about it."""

    def __init__(self, rng: random.Random, places: int) -> None:
        self.rng = rng
        self.n = rng.randint(3, places)
        self.k = rng.randint(2, 4)
        ids = [rng.randrange(max(1, self.n - 2)) for _ in range(self.n)]
        keys = [rng.randrange(self.n) for _ in range(self.n)]
        self.kinds = rng.choice([[list(range(self.n))], [ids], [ids, keys]])

    def answer(self) -> list[list[int]]:
        of = [self.rng.randrange(self.rng.choice([2, 3])) for _ in range(self.n)]
        sets = [[int(label == group) for label in of] for group in range(self.rng.randint(1, 2))]
        return [each for each in sets if any(each)]

    def question(self) -> tuple[list[list[int]], int]:
        """The kinds of units, mostly of all, and the minimum count, mostly the same."""
        few = self.rng.random() < 0.5
        return (self.kinds[:1] if few else self.kinds), (self.rng.randint(2, 4) if few else self.k)


def ask(kept: History, sets: Sequence[Sequence[int]], kinds: Sequence[Sequence[int]], k: int) -> Admission:
    codes = [None if list(units) == list(range(len(units))) else np.array(units) for units in kinds]
    return kept.admit([np.array(each, np.bool_) for each in sets], codes, k, history.MOST_SETS)


@SAFE
@pytest.mark.parametrize("way", WAYS)
def test_the_rule_equals_brute_force(way: str, counts: Counts, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elimination refuses exactly what the rule says; frames, modulo 2, a little more, never less."""
    prefer(way, monkeypatch)
    seen: Counter[tuple[bool, bool]] = Counter()
    for seed in range(counts(120, 1_500, 20_000)):
        case = Case(random.Random(f"{way} {seed}"), 9)
        kept, old = History(), list[list[int]]()
        kept.grow(case.n)
        for _ in range(case.rng.randint(1, 8)):
            sets, (kinds, k) = case.answer(), case.question()
            if not sets:
                continue
            must, verdict = tells_of_few(old, sets, kinds, k), ask(kept, sets, kinds, k)
            assert not (must and verdict is Admission.ADMITTED), (old, sets, kinds, k)
            assert must or verdict is Admission.ADMITTED or way != "elimination"
            old += sets if verdict is Admission.ADMITTED else []
            assert len(kept) == rank(old)  # a refused answer leaves nothing
            seen[must, verdict is Admission.ADMITTED] += 1
            cases()
    assert seen[True, False]
    assert seen[False, True]
    needless = seen[False, False] / (seen[False, False] + seen[False, True])
    assert needless < 0.1
    cases.say(f"{needless:.1%} of what could be let out refused")


@SAFE
@pytest.mark.parametrize("way", WAYS)
def test_the_keys_of_several_joins(way: str, counts: Counts, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates made for the keys of one join are none for those of another."""
    prefer(way, monkeypatch)
    for seed in [34, 332, 338, 556, *range(1_000, 1_000 + counts(80, 1_500, 20_000))]:
        case, old = Case(random.Random(f"units {seed}"), 9), list[list[int]]()
        joins = [[list(range(case.n)), [case.rng.randrange(case.n) for _ in range(case.n)]] for _ in range(2)]
        kept = grown(case.n)
        for _ in range(8):
            sets, kinds = case.answer(), case.rng.choice(joins)
            if sets:
                must, verdict = tells_of_few(old, sets, kinds, case.k), ask(kept, sets, kinds, case.k)
                assert not (must and verdict is Admission.ADMITTED), (old, sets, kinds, case.k)
                old += sets if verdict is Admission.ADMITTED else []
                cases()


@SAFE
@pytest.mark.parametrize("way", WAYS)
def test_rows_that_come_later_are_in_no_earlier_set(
    way: str, counts: Counts, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(way, monkeypatch)
    for seed in range(counts(60, 400, 4_000)):
        rng, kept, old = random.Random(f"{way} {seed}"), History(), list[list[int]]()
        places = rng.randint(3, 8)
        for _ in range(5):
            places += rng.choice([0, 0, 1, 3]) * (places < 12)
            kept.grow(places)
            old = [each + [0] * (places - len(each)) for each in old]
            asked, k = [rng.randrange(2) for _ in range(places)], rng.randint(2, 4)
            if not any(asked):
                continue
            must, verdict = tells_of_few(old, [asked], [range(places)], k), ask(kept, [asked], [range(places)], k)
            assert not (must and verdict is Admission.ADMITTED), (old, asked, k)
            old += [asked] if verdict is Admission.ADMITTED else []
            assert len(kept) == rank(old)
            cases()


@SAFE
@pytest.mark.parametrize("way", WAYS)
def test_what_the_ledger_had_before_counts(way: str, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history made anew of its sets decides as the one that let them out: on the safe side."""
    prefer(way, monkeypatch)
    for seed in range(60):
        case = Case(random.Random(seed), 9)
        kept, old, codes = History(), list[list[int]](), [np.array(units) for units in case.kinds]
        kept.grow(case.n)
        for _ in range(5):
            if (sets := case.answer()) and ask(kept, sets, case.kinds, case.k) is Admission.ADMITTED:
                old += sets
        again = History()
        again.grow(case.n)
        again.keep([np.array(each, np.bool_) for each in old], codes, case.k)
        assert len(again) == len(kept)
        for _ in range(5):
            if not (sets := case.answer()):
                continue
            verdict = ask(again, sets, case.kinds, case.k)
            assert not (verdict is Admission.ADMITTED and tells_of_few(old, sets, case.kinds, case.k))
            old += sets if verdict is Admission.ADMITTED else []
            cases()


@SAFE
def test_a_small_group_that_many_answers_close_in_on(cases: Cases) -> None:
    """Of 5,000 rows: sums of random halves, and last the one that leaves three rows of all of them."""
    rng = np.random.default_rng(5)
    kept = History()
    kept.grow(5_000)
    halves = [rng.random(5_000) < 0.5 for _ in range(60)]
    for each in halves:
        assert kept.admit([each], [None], 10) is Admission.ADMITTED
    few = np.sum(halves, axis=0) % 2 == 1
    few[np.flatnonzero(few)[:3]] = False
    assert kept.admit([few], [None], 10) is not Admission.ADMITTED  # few modulo 2 only: on the safe side
    joined, parts = np.zeros(5_000, np.bool_), np.array_split(rng.permutation(5_000), 50)
    for part in parts:
        member = np.zeros(5_000, np.bool_)
        member[part] = True
        assert kept.admit([member], [None], 10) is Admission.ADMITTED
        joined[part] = True
        cases()
    joined[parts[7][:9]] = False
    assert kept.admit([joined], [None], 10) is Admission.LIGHT
    joined[parts[7][:10]] = False
    assert kept.admit([joined], [None], 10) is Admission.ADMITTED
    assert kept.admit([np.ones(5_000, np.bool_)], [None], 10) is Admission.ADMITTED  # the sum of the parts
    assert len(kept) == 111


def test_three_sets_that_vanish_modulo_2_are_let_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three parts of 30 rows any two together: each part follows, and is large enough."""
    prefer("frames", monkeypatch)
    parts = [np.arange(100) // 30 == number for number in range(3)]
    kept = History()
    kept.grow(100)
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert kept.admit([parts[i] | parts[j]], [None], 10) is Admission.ADMITTED
    assert len(kept) == 3
    assert kept.admit([parts[0]], [None], 10) is Admission.ADMITTED
    assert len(kept) == 3
    nearly = parts[0].copy()
    nearly[:5] = False
    assert kept.admit([nearly], [None], 10) is Admission.LIGHT


def test_a_smaller_minimum_count_before_is_no_proof_for_a_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows follow from what was let out for a minimum count of two: modulo 2 nothing is certain for ten then."""
    prefer("frames", monkeypatch)
    kept, places = grown(100), np.arange(100)
    assert kept.admit([places < 50], [None], 2) is Admission.ADMITTED
    assert kept.admit([places < 47], [None], 2) is Admission.ADMITTED
    assert kept.admit([places % 2 == 0], [None], 2) is Admission.ADMITTED
    assert kept.admit([places % 3 == 0], [None], 10) is Admission.UNDECIDED
    monkeypatch.setattr(history, "MOST_ELIMINATED", 100)
    assert kept.admit([places % 3 == 0], [None], 10) is Admission.ADMITTED
    assert kept.admit([places >= 50], [None], 10) is Admission.ADMITTED


def test_classes_that_were_small_are_large_for_a_smaller_minimum_count() -> None:
    """What was found of pivots for five does not hold for two: all of a set but one row must not be let out."""
    kept, places = grown(40), np.arange(40)
    assert kept.admit([places < 7], [None], 5) is Admission.ADMITTED
    assert kept.admit([(places >= 4) & (places < 13)], [None], 5) is Admission.ADMITTED
    assert kept.admit([(places >= 1) & (places < 7)], [None], 2) is Admission.LIGHT


def test_a_set_that_depends_on_others_modulo_the_prime_alone_is_not_let_out() -> None:
    """Six sets, each of all places but one: modulo 5 they add up to nothing."""
    basis = Basis()
    basis.grow(6)
    elimination = Elimination(basis, prime=5)
    for left_out in range(6):
        member = np.arange(6) != left_out
        elimination.catch_up(SearchWork())
        view = elimination.view([member], [None], 1, SearchWork())
        found, independent = elimination.admit(member, view, SearchWork())
        assert (found, independent) == (Weight.UNDECIDED if left_out == 5 else Weight.HEAVY, True)
        basis.add(member)


def test_frames_go_on_where_the_work_of_an_answer_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a start all that was let out is weighed anew, which may take more work than one answer has."""
    prefer("frames", monkeypatch)
    monkeypatch.setattr(frames, "MOST_WORK", work := 60_000)
    later = Counter[Admission]()
    for seed in range(80):
        case = Case(random.Random(f"interrupted {seed}"), 9)
        old = list[np.ndarray]()
        before, *again = (grown(case.n) for _ in range(3))
        codes, asked = [np.array(units) for units in case.kinds], [case.answer() for _ in range(6)]
        for sets in filter(None, asked):
            members = [np.array(each, np.bool_) for each in sets]
            old += members if before.admit(members, codes, case.k) is Admission.ADMITTED else []
        for each in again:
            each.keep(old, codes, case.k)
        everything = [np.ones(case.n, np.bool_)]
        wanted = again[0].admit(everything, codes, case.k)
        found = [again[1].admit(everything, codes, case.k, work=SearchWork(n)) for n in (1_000, *[work] * 9)]
        if wanted is Admission.ADMITTED and found[0] is Admission.UNDECIDED:
            later[found[-1]] += 1
    assert later[Admission.ADMITTED] > 2
    assert not later[Admission.UNDECIDED]


def test_bounds_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past each bound an answer is refused, and nothing of it kept."""
    thirds = [np.arange(5_000) % 3 == n for n in range(3)]
    kept = History()
    kept.grow(5_000)
    assert kept.admit(thirds[:2], [None], 10, 1) is Admission.FULL
    assert len(kept) == 0
    assert kept.admit(thirds[:2], [None], 10, 2) is Admission.ADMITTED
    assert kept.admit([thirds[0] | thirds[1]], [None], 10, 2) is Admission.ADMITTED  # nothing new
    assert kept.admit([np.arange(5_000) % 2 == 0], [None], 10, 2) is Admission.FULL
    monkeypatch.setattr(search, "MOST_WORK", 20_000)
    monkeypatch.setattr(history, "SMALL", 10_000)
    rng = np.random.default_rng(1)
    verdicts = {History.admit(small, [each], [None], 3) for small in [grown(30)] for each in rng.random((20, 30)) < 0.5}
    assert Admission.UNDECIDED in verdicts


def grown(places: int) -> History:
    kept = History()
    kept.grow(places)
    return kept


def test_frames_have_no_unit_in_common() -> None:
    units = np.arange(6_000) // 3
    kept = grown(6_000)
    rng = np.random.default_rng(2)
    for _ in range(20):
        assert kept.admit([rng.random(6_000) < 0.3], [units], 5) is Admission.ADMITTED
    made = kept._frames[0]._frames
    assert len(made) == 5
    owners = [set(units[frame.pivots[frame.pivots != frames._FREE]].tolist()) for frame in made]
    assert sum(map(len, owners)) == len(set().union(*owners)) == 100


def test_arithmetic_modulo_a_prime() -> None:
    assert all(is_prime(n) == all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(9, 2_000, 2))
    prime = random_prime()
    assert prime > 1 << 30
    assert is_prime(prime)
    assert prime != random_prime()
    for numerator, denominator in ((0, 1), (1, 1), (-1, 1), (3, 7), (-22, 9), (1, 2)):
        assert rational(numerator * pow(denominator, -1, prime) % prime, prime) == (numerator, denominator)
    rows = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0]])
    found = solved(rows, np.array([1, 0, 0, 0]), prime)
    assert found is not None
    assert whole(found, prime) == (2, [1, -1, 1])
    assert solved(rows, np.array([0, 0, 0, 1]), prime) is None
    assert solved(np.array([[1, 1], [1, 1]]), np.array([1, 1]), prime) is None
