"""What a question about products of a joint table's columns asks for, and how finely it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

OPERATION = "joint.moments"
MOST_COLUMNS = 128
MOST_PARTIES = 5
MOST_KEYS = 1 << 22  # of which sums of products are exact in floats of 53 bits
MOST_GROUPS = 64  # of one category that may be told
CONSTANT_BITS = 32  # of a number's centre and step, and of how many keys are complete
LEAST_MIN_COUNT = 2  # that a grant can have

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
    """Figures over so many joint `keys`; `statistic` is what the caller makes of them, which is less."""

    statistic: Statistic
    columns: Annotated[tuple[JointColumn, ...], msgspec.Meta(min_length=1, max_length=MOST_COLUMNS)]
    keys: Annotated[int, msgspec.Meta(ge=1, le=MOST_KEYS)]

    def of(self, party: str) -> tuple[JointColumn, ...]:
        return tuple(column for column in self.columns if column.party == party)


def interval_names(edges: Sequence[float]) -> tuple[str, ...]:
    """The labels of the intervals between edges, in order."""
    ends = [None, *edges, None]
    return tuple(
        f"below {high:g}" if low is None else f"{low:g} and more" if high is None else f"{low:g} to below {high:g}"
        for low, high in pairwise(ends)
    )
