"""Who learns what from a run, as values: a party, the caller, an eavesdropper or a coalition, and kinds of knowledge.

Every kind has its fields and, in one place, its text, which is for people: nothing decides by it. Kinds of any
operation are here, those of one face beside what tells them. What a member knows that plays several roles is put
together in `members`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, TypeAlias

import msgspec

MOST_NAMES = 6  # that a text lists; of more it says how many


class RoleName(StrEnum):
    """What a member is in a request; it may be several."""

    CALLER = "caller"
    OWNER = "data owner"
    PARTNER = "partner"
    LEADER = "leader"
    CONTRIBUTOR = "contributor"
    AGGREGATOR = "aggregator"
    KEY_HOLDER = "key holder"
    CLIENT = "client"
    COORDINATOR = "coordinator"
    MODEL_OWNER = "model owner"
    HELPER = "helper"


class Value(msgspec.Struct, frozen=True, tag=True):
    """A value whose text is its template, filled with its fields."""

    template: ClassVar[str]

    def __str__(self) -> str:
        return self.template.format_map(msgspec.structs.asdict(self))


class Parties(Value, frozen=True):
    """One party, or each of several by itself."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.names)


class Caller(Value, frozen=True):
    """Who asked."""

    template = "{name}"
    name: str


class Eavesdropper(Value, frozen=True):
    """Who sees all encrypted traffic and holds no key."""

    template = "eavesdropper"


class Coalition(Value, frozen=True):
    """The named members, and any so many of others, who put together all they have."""

    members: tuple[str, ...]
    any: int = 0
    of: tuple[str, ...] = ()

    def __str__(self) -> str:
        others = self.of if len(self.of) <= MOST_NAMES else (f"{len(self.of)} others",)
        members = self.members
        if self.any == len(self.of):
            members += others
        elif self.any:
            members += (f"any {'one' if self.any == 1 else self.any} of {listed(others)}",)
        alone = len(self.members) + self.any == 1
        return f"{members[0]} alone" if alone else f"coalition of {listed(members)}"


Who: TypeAlias = Parties | Caller | Eavesdropper | Coalition


class Knowledge(Value, frozen=True, kw_only=True):
    """A kind of knowledge.

    Attributes
    ----------
    tells : whether it says anything of what others brought
    own : the role in which a member knows it anyway, from its own input and what else it learns
    """

    tells: ClassVar[bool] = True
    own: ClassVar[RoleName | None] = None

    def implies(self, other: Knowledge) -> bool:
        """Whether who knows this, and its own input, knows the other too."""
        return False


class Learns(msgspec.Struct, frozen=True, kw_only=True):
    """What someone learns from a run beyond its own input: nothing, or several kinds of knowledge."""

    who: Who
    what: tuple[Knowledge, ...] = ()

    @classmethod
    def of(cls, who: Who, *what: Knowledge) -> Learns:
        return cls(who=who, what=what)

    @property
    def tells(self) -> bool:
        """Whether it is anything of what others brought."""
        return any(each.tells for each in self.what)

    @property
    def text(self) -> str:
        """What is learned, in words."""
        return "; ".join(map(str, self.what)) or "nothing"

    def __str__(self) -> str:
        return f"{self.who}: {self.text}"


def listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


# Of any operation


class CiphertextsOnly(Knowledge, frozen=True):
    tells = False
    template = "nothing but ciphertexts that they cannot open"


class ThatItRan(Knowledge, frozen=True):
    tells = False
    template = "nothing but that it ran"


class Quantity(StrEnum):
    """What there is a number of."""

    KEYS = "distinct keys of each party"
    RETURNED = "returned rows"
    JOINT_KEYS = "joint keys"
    GROUPS = "groups"
    BINS = "bins"
    COLUMNS = "columns"
    NUMBERS = "released numbers"
    ROWS = "rows"
    FEATURES = "features"
    ROUNDS = "rounds"


class LengthsShow(Knowledge, frozen=True):
    """What the lengths of the encrypted streams tell, and whether exactly."""

    of: tuple[Quantity, ...]
    exact: bool = False

    def __str__(self) -> str:
        roughly = "" if self.exact else "roughly "
        return f"{roughly}the number of {listed(self.of)}, from the length of the encrypted streams"


class MinimumCounts(Knowledge, frozen=True):
    """Those that owners set in their grants."""

    of: tuple[str, ...]

    def __str__(self) -> str:
        return "each one's minimum count" if len(self.of) > 1 else f"the minimum count of {self.of[0]}"


class EveryContribution(Knowledge, frozen=True):
    """`contribution` is what each party brings to a sum, such as totals."""

    template = "every party's {contribution} (collusion threshold 1)"
    contribution: str
