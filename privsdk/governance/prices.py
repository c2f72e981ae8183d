"""What exact answers cost: one rule for all operations.

An operation declares, from its request alone, how many real figures about the units of each table it tells anybody in
the clear, in the worst case. m figures cost ceil(sqrt(m / 16)) answers of the table's allowance: up to 16 are one
answer, and four times as many cost twice as much.

Why the root: who compares m independent figures over n units with what is known of a unit tells whether it is among
them at a distance of about sqrt(m / n) standard deviations (Sankararaman, Obozinski, Jordan, Halperin, Nature Genetics
41, 2009). So E answers let out at most 16 E^2 figures, and its owner chooses E by n: 4 E / sqrt(n) deviations, if all
are asked for at once, and fewer if one by one. No question is cheaper in parts than whole, and none with more figures
cheaper than with fewer.

Figures over the units of several parties count a share for each: of m over t parties' tables, m / t. How many units a
table has is secret, and an answer by itself, so no price depends on it. What has as many members as the run finds
counts as a whole answer: the set of shared keys, and each column of rows that are returned.

The price is no bound on what is learned: n figures of the right kind can tell all of n units. That is what the
differencing guard, minimum counts and noise are for.
"""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from ..errors.refusals import PriceLever
from .charges import Exact

FIGURES = 16  # in one answer
SET = 16  # figures that a set of secret size counts as, its size included


class Lever(StrEnum):
    """What a caller can change of a question to lower its price."""

    ROUNDS = "rounds"
    PARAMETERS = "parameters"
    EVALUATIONS = "evaluations"
    MOST_GROUPS = "most_groups"
    GROUPS = "groups"
    KEYS = "keys"
    INTERVALS = "intervals"
    RETURNED = "returned"
    FEWEST = "fewest"
    MASKED = "masked"


class Factor(msgspec.Struct, frozen=True):
    """How many there are of something, each telling `each` figures; `lever` where the caller chose the number."""

    number: int
    lever: Lever | None = None
    each: int = 1

    def __post_init__(self) -> None:
        if self.number < 0 or self.each < 1:
            raise ValueError(f"{self.number} times {self.each} figures")


class Told(msgspec.Struct, frozen=True):
    """Figures that are told, as many as the product of the factors, about the units of `among` parties together;
    `summed` where parties' own parts are added, or could be."""

    factors: tuple[Factor, ...]
    among: int = 1
    summed: bool = False

    def __post_init__(self) -> None:
        if self.among < 1:
            raise ValueError(f"figures about {self.among} parties' units")

    @property
    def figures(self) -> int:
        return -(-math.prod(factor.number * factor.each for factor in self.factors) // self.among)

    def at(self, lever: Lever, number: int) -> Told:
        """The same with this number for a lever."""
        changed = [msgspec.structs.replace(f, number=number) if f.lever is lever else f for f in self.factors]
        return msgspec.structs.replace(self, factors=tuple(changed))

    def after(self, instalments: int) -> Told:
        """What of it is told by then, where it is told in rounds."""
        changed = [Factor(instalments, f.lever) if f.lever is Lever.ROUNDS else f for f in self.factors]
        return msgspec.structs.replace(self, factors=tuple(changed))


class Choice(msgspec.Struct, frozen=True):
    """A choice by which what is summed would be told of so many parties' units together, at no lower `value`."""

    lever: Lever
    value: int
    among: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that a request tells exactly of one table.

    Parameters
    ----------
    what : str
        In words, for the charge; `rounds` what is told in rounds, where something is.
    told : tuple of Told
    choices : tuple of Choice
    noise : str
        What to ask for instead that takes epsilon and none of the allowance; "" for nothing.
    """

    what: str
    told: tuple[Told, ...]
    rounds: str = ""
    choices: tuple[Choice, ...] = ()
    noise: str = ""

    @property
    def number(self) -> int:
        return sum(each.figures for each in self.told)

    @property
    def price(self) -> int:
        return answers(self.number)

    def at(self, lever: Lever, number: int) -> Figures:
        return msgspec.structs.replace(self, told=tuple(each.at(lever, number) for each in self.told))

    def after(self, instalments: int) -> Figures:
        """What is told by then of it: before the first round, and in so many."""
        return msgspec.structs.replace(self, told=tuple(each.after(instalments) for each in self.told))

    def charges(self) -> tuple[Exact, ...]:
        """What all of it costs; nothing where nothing is told."""
        return _charge(f"{self.rounds}, {self.what}" if self.rounds else self.what, self.price)

    def beforehand(self) -> tuple[Exact, ...]:
        """What of it is not told in rounds."""
        return _charge(self.what, self.after(0).price)

    def instalment(self, number: int) -> tuple[Exact, ...]:
        """What the round of this number, from 1, adds to the price; nothing where that is rounded away."""
        return _charge(self.rounds, self.after(number).price - self.after(number - 1).price)

    def cheaper(self, left: int) -> tuple[PriceLever, ...]:
        """What would cost no more than `left`, each by one change: the largest number of each lever, and choices."""
        found, asked = [], dict[Lever, int]()
        for factor in (factor for each in self.told for factor in each.factors):
            if factor.lever is not None:
                asked[factor.lever] = max(factor.number, asked.get(factor.lever, 0))
        for lever, number in asked.items():
            if fitting := self._largest(lever, number, left):
                found.append(PriceLever(lever=lever.value, value=fitting, price=self.at(lever, fitting).price))
        for choice in self.choices:
            told = [msgspec.structs.replace(t, among=choice.among) if t.summed else t for t in self.told]
            if (price := answers(sum(each.figures for each in told))) <= left:
                found.append(PriceLever(lever=choice.lever.value, value=choice.value, price=price))
        return tuple(found)

    def _largest(self, lever: Lever, asked: int, left: int) -> int:
        """The largest number below that asked for whose price is covered; 0 for none."""
        low, high = 0, asked
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.at(lever, middle).price <= left else (low, middle)
        return low


def answers(figures: int) -> int:
    """The price of so many figures: the root of every 16 of them, rounded up."""
    return 0 if figures <= 0 else math.isqrt((figures - 1) // FIGURES) + 1


def told(number: int, lever: Lever | None = None, *, each: int = 1) -> Told:
    """Figures about one party's units alone."""
    return Told((Factor(number, lever, each),))


def _charge(what: str, uses: int) -> tuple[Exact, ...]:
    return (Exact(what=what, uses=uses),) if uses else ()
