"""What a question about products of a joint table's columns asks for, and how finely it is answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

OPERATION = "joint.moments"
MOST_COLUMNS = 128
MOST_PARTIES = 5
MOST_KEYS = 1 << 22  # of which sums of products are exact in floats of 53 bits
MOST_GROUPS = 64  # of one category that may be told
CONSTANT_BITS = 16  # of a number's centre and step
FEWEST_BITS, MOST_BITS = 8, 24

Kind = Literal["number", "category"]
Statistic = Literal["covariance", "correlation", "regression", "crosstab", "means"]


class JointColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party's column, and what it is taken as: a number, or a category, of which so many values are paid for
    (`groups`), or which a number is cut into at public `edges`."""

    party: str
    name: str
    kind: Kind
    edges: tuple[float, ...] = ()
    groups: Annotated[int, msgspec.Meta(ge=1, le=MOST_GROUPS)] = 1

    @property
    def text(self) -> str:
        return f"{self.party}.{self.name}"


class MomentsParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bits` of each figure are told, of so many joint `keys` and no smaller a minimum count; `statistic` is what the
    caller makes of them, which is less."""

    statistic: Statistic
    columns: Annotated[tuple[JointColumn, ...], msgspec.Meta(min_length=1, max_length=MOST_COLUMNS)]
    keys: Annotated[int, msgspec.Meta(ge=1, le=MOST_KEYS)]
    min_count: Annotated[int, msgspec.Meta(ge=2)]
    bits: Annotated[int, msgspec.Meta(ge=FEWEST_BITS, le=MOST_BITS)]

    def of(self, party: str) -> tuple[JointColumn, ...]:
        return tuple(column for column in self.columns if column.party == party)


def interval_names(edges: Sequence[float]) -> tuple[str, ...]:
    """The labels of the intervals between edges, in order."""
    ends = [None, *edges, None]
    return tuple(
        f"below {high:g}" if low is None else f"{low:g} and more" if high is None else f"{low:g} to below {high:g}"
        for low, high in pairwise(ends)
    )


def bits_for(keys: int) -> int:
    """So many that rounding moves a sum over this many keys by less than a 400th of its standard error.

    A product of two numbers is bounded by 5 N 4^f and told on a grid of at most 10 N 4^f / 2^bits; its standard error
    is sqrt(N) times two standard deviations, each at least 2^f. Rounding has a standard deviation of at most half the
    grid.
    """
    return min(MOST_BITS, 11 + math.ceil(math.log2(keys) / 2))
