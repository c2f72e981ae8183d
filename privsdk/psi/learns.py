"""What is learned from questions about the keys that parties share."""

from __future__ import annotations

from ..governance.learns import MOST_NAMES, Knowledge, listed


class SharedKeys(Knowledge, frozen=True):
    others: tuple[str, ...]

    def __str__(self) -> str:
        if len(self.others) > MOST_NAMES:
            return f"which of its own keys all {len(self.others)} others have"
        have = {1: "has", 2: "both have"}.get(len(self.others), "all have")
        return f"which of its own keys {listed(self.others)} {have}"


class SharedKeysOf(Knowledge, frozen=True):
    template = "which of {leader}'s keys all parties but themselves have (collusion threshold 1)"
    leader: str


class SharedKeyNumber(Knowledge, frozen=True):
    template = "how many keys it shares with {other}, exactly, not which"
    other: str


class KeyNumbers(Knowledge, frozen=True):
    of: tuple[str, ...]

    def __str__(self) -> str:
        return f"how many distinct keys {'each' if len(self.of) > 1 else self.of[0]} has"


class SharedKeyNumberAbove(Knowledge, frozen=True):
    """The number that `parties` have in common, where it reaches the owners' minimum count."""

    parties: int

    def __str__(self) -> str:
        among = "both" if self.parties == 2 else "all"
        return f"how many keys {among} have, if not fewer than the owners' minimum count"


class MoreKeysThan(Knowledge, frozen=True):
    template = "whether both together bring more than {number:,} keys"
    number: int


class RowsWithoutPartner(Knowledge, frozen=True):
    """`where` is the condition on them, as `predicates.text` writes it."""

    owner: str
    other: str
    columns: tuple[str, ...]
    where: str = ""

    def __str__(self) -> str:
        where = f" where {self.where}" if self.where else ""
        return f"{', '.join(self.columns)} of each row of {self.owner}{where} whose key {self.other} lacks"


class MaskedKeyNumber(Knowledge, frozen=True):
    template = "how many keys of such rows {other} has, if not fewer than the owners' minimum count"
    other: str


class KeysByAbsence(Knowledge, frozen=True):
    template = "of a key that it knows {owner} to have there, by its absence, that {other} has it"
    owner: str
    other: str
