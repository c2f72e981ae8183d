"""What is learned from exact aggregates."""

from __future__ import annotations

from ..governance.learns import Knowledge


class ExactFigures(Knowledge, frozen=True):
    """A statistic of one owner's rows; with `joint`, of its side of a join."""

    statistic: str
    column: str = ""
    by: str = ""
    where: str = ""
    joint: bool = False

    def __str__(self) -> str:
        of = f" of {self.column}" if self.column else ""
        own = ", some row's own value," if self.statistic in ("min", "max") else ""
        rows = "" if self.statistic == "count" else " and the number of rows"
        by = f" by {self.by}, and the labels of those groups" if self.by else ""
        where = f", where {self.where}" if self.where else ""
        least = "the owners' minimum count of joint keys" if self.joint else "the owner's minimum count of rows"
        return f"the exact {self.statistic}{of}{own}{rows}{by}{where}, over groups of at least {least}"


class SuppressedNumber(Knowledge, frozen=True):
    template = "how many groups were suppressed"


class JointKeyLabels(Knowledge, frozen=True):
    """What a partner says of each joint key: whether it passes a condition, its label, or both."""

    partner: str
    where: str = ""
    label: str = ""

    def __str__(self) -> str:
        which = f"whether {self.where} at {self.partner}" if self.where else ""
        label = f"{self.partner}'s {self.label}{' where it is so' if self.where else ''}" if self.label else ""
        return f"of each joint key, {' and '.join(filter(None, (which, label)))}"
