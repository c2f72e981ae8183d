"""What is learned from statistics over several parties, and from scores."""

from __future__ import annotations

from ..governance.learns import Knowledge, Quantity

_MATRIX = (
    "the number of complete rows over all parties, each column's total and that of its squares, and that of each two "
    "columns' products"
)
_TOTALS = {
    "count": "the number of rows over all parties",
    "sum": "the total over all parties",
    "mean": "the total over all parties and the number of rows",
    "variance": "the total over all parties, that of the squares, and the number of rows",
    "covariance": _MATRIX,
    "correlation": _MATRIX,
    "histogram": "the number of values over all parties",
}


class PooledTotals(Knowledge, frozen=True):
    """Those that a pooled statistic is made of; `groups` is 0 where there are none, `suppressed` says whether those of
    small groups are among them."""

    statistic: str
    groups: int = 0
    kind: Quantity = Quantity.GROUPS
    suppressed: bool = False

    def __str__(self) -> str:
        which = f"in each of {self.groups} {self.kind}, also in suppressed ones"
        if not self.suppressed:
            which = f"in those of {self.groups} {self.kind} that reach the owners' minima"
        return f"{_TOTALS[self.statistic]}{f', {which}' if self.groups else ''}"


class GroupSizes(Knowledge, frozen=True):
    template = "how many units and parties are in each and in none"


class OwnersMinima(Knowledge, frozen=True):
    template = "each owner's minimum count and least number of parties, and whether its units are ids"


class SuppressedGroups(Knowledge, frozen=True):
    template = "which were suppressed, and the largest minimum count and least number of parties"


class SharesOnly(Knowledge, frozen=True):
    tells = False
    template = "nothing but public keys, and shares of secrets that take all contributors to open"


class TotalOfOthers(Knowledge, frozen=True):
    template = "no more than the total over the other contributors"


class RowScores(Knowledge, frozen=True):
    template = "each row's score"


class ModelOf(Knowledge, frozen=True):
    template = "{owner}'s model"
    owner: str


class RowsInThousands(Knowledge, frozen=True):
    template = "how many rows {owner} has, to the next multiple of thousands"
    owner: str


class ScoreFigures(Knowledge, frozen=True):
    """Of so many intervals of scores; `label` is counted in each where there is one."""

    intervals: int
    label: str = ""

    def __str__(self) -> str:
        labelled = f", and how many of them have {self.label}" if self.label else ""
        return (
            "the number of complete rows, their mean score, and how many rows are in each of "
            f"{self.intervals} intervals{labelled}, over at least the owner's minimum count; which intervals are "
            "suppressed"
        )
