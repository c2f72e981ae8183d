"""The one rule for exact answers: never cheaper for more, never dearer whole than in parts, in rounds as at once."""

from __future__ import annotations

import itertools
import math
import random

import msgspec
import pytest
from claims import Cases

from privsdk.errors.refusals import PriceLever
from privsdk.governance.prices import Choice, Factor, Figures, Lever, Told, answers, told

RULE = pytest.mark.claim("price: no question is cheaper for more figures, nor dearer than what it is put together from")
LEVERS = (Lever.ROUNDS, Lever.PARAMETERS, Lever.MOST_GROUPS, Lever.EVALUATIONS, None)


def questions(seed: int, number: int) -> list[Figures]:
    """Questions of a few terms each, from one figure to millions."""
    rng = random.Random(seed)

    def one() -> Told:
        levers = rng.sample(LEVERS, rng.randint(1, 3))
        factors = [
            Factor(int(10 ** rng.uniform(0, 3)), lever, 1 if lever is Lever.ROUNDS else rng.choice((1, 1, 2, 16)))
            for lever in levers
        ]
        return Told(tuple(factors), rng.choice((1, 1, 2, 3, 9)), summed=True)

    return [
        Figures(what="q", rounds="round", told=tuple(one() for _ in range(rng.randint(1, 4)))) for _ in range(number)
    ]


def test_sixteen_figures_are_one_answer_and_four_times_as_many_cost_twice_as_much() -> None:
    assert [answers(n) for n in (0, 1, 16, 17, 64, 65, 144, 145, 1 << 20)] == [0, 1, 1, 2, 2, 3, 3, 4, 256]
    assert all(16 * (answers(n) - 1) ** 2 < n <= 16 * answers(n) ** 2 for n in range(1, 3000))


@RULE
def test_more_is_never_cheaper(cases: Cases) -> None:
    tried = 0
    for question in questions(1, 300):
        for lever in filter(None, LEVERS):
            asked = [f.number for each in question.told for f in each.factors if f.lever is lever]
            for number in asked[:1]:
                here, more = (
                    question.at(lever, number),
                    question.at(lever, number + random.Random(tried).randint(1, 99)),
                )
                assert (here.number, here.price) <= (more.number, more.price)
                tried += 1
        alone = msgspec.structs.replace(
            question, told=tuple(msgspec.structs.replace(each, among=1) for each in question.told)
        )
        assert question.price <= alone.price
    assert tried > 300
    cases(tried)


@RULE
def test_a_question_is_never_dearer_than_its_parts(cases: Cases) -> None:
    asked = questions(2, 60)
    for one, other in itertools.combinations(asked, 2):
        both = msgspec.structs.replace(one, told=(*one.told, *other.told))
        assert max(one.price, other.price) <= both.price <= one.price + other.price
    cases(math.comb(len(asked), 2))


@RULE
def test_what_is_paid_by_rounds_is_the_price(cases: Cases) -> None:
    asked = [q.at(Lever.ROUNDS, 30) for q in questions(3, 100) if q.after(0) != q]
    assert len(asked) > 50
    for question in asked:
        rounds = max(
            (f.number * f.each for t in question.told for f in t.factors if f.lever is Lever.ROUNDS), default=0
        )
        paid = [*question.beforehand(), *itertools.chain.from_iterable(map(question.instalment, range(1, rounds + 1)))]
        assert sum(charge.uses for charge in paid) == question.price
    cases(len(asked))


@pytest.mark.claim("price: what a refusal names as cheaper is covered, and the next larger is not")
def test_each_lever_is_the_largest_that_is_covered(cases: Cases) -> None:
    tried = 0
    for question in questions(4, 300):
        for left in {1, question.price // 2, question.price - 1} - {0, question.price}:
            for lever in question.cheaper(left):
                kind = Lever(lever.lever)
                assert question.at(kind, lever.value).price == lever.price <= left
                assert question.at(kind, lever.value + 1).price > left
                tried += 1
    assert tried > 500
    cases(tried)


def test_a_choice_is_named_where_it_is_enough() -> None:
    clear = Figures(
        what="evaluation",
        told=(Told((Factor(10, Lever.ROUNDS), Factor(100)), summed=True), told(7)),
        choices=(Choice(Lever.MASKED, 1, among=4),),
    )
    assert clear.price == 8
    assert clear.cheaper(4) == (PriceLever(lever="rounds", value=2, price=4),)
    assert PriceLever(lever="masked", value=1, price=5) in clear.cheaper(5)


def test_figures_are_counted_in_whole_numbers() -> None:
    assert told(7, each=2).figures == 14
    assert Told((Factor(7),), among=3).figures == 3
    for wrong in (lambda: Factor(-1), lambda: Factor(1, None, 0), lambda: Told((), among=0)):
        with pytest.raises(ValueError, match="figures"):
            wrong()
