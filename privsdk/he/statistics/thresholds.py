"""Which groups of a pooled statistic are shown: at each contributor by units, then over all of them by parties.

A group's pooled total can be one party's own subtotal, or one unit's, and who put together what they have can take off
their own part. So each contributor leaves out, before anything is added, the groups of fewer units than its owner's
minimum count, and as many more as `protocol.groups` asks for: its part of every total is of at least so many of its
units, or zero. No sum over fewer of them follows from what anyone sees, the key holder or all others together included.

Of the rest a group is shown where at least so many parties have a part in it as every owner asks for of a joint result,
and where too few have rows outside the groups shown, left out or of no group, for a total over all to be told, the
smallest one is not. For this the parties are counted first, under encryption or masks:

    contributor                                              key holder
    --- Thresholds: the fewest parties of a joint result --->
    === for each group whether it has a part there, and
        whether it has rows in none of these =============>  numbers of parties
    <-- ShownGroups -----------------------------------------
    === its part of each group, zero in those not shown ==>  their totals

A contributor who is the caller does not count: it knows its own.

Learns: the key holder how many parties have a part in each group, and rows in none, and each owner's least number of
parties; the totals of shown groups, and of no other. Contributors which groups are shown. The caller the same, and the
largest of those numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from ...errors import ProtocolViolation
from ...protocol.groups import suppressed
from ...protocol.messages import Message
from ...protocol.operation import RoleInput
from ...protocol.roles import Role, gather, hear, tell, tell_all


class Thresholds(Message, frozen=True, kw_only=True, tag="he.floors.Floors"):
    """One owner's: the fewest contributors behind a total that is shown."""

    min_parties: int


class ShownGroups(Message, frozen=True, kw_only=True, tag="he.floors.Shown"):
    """Whether each group is shown."""

    SCHEMA = pa.schema([pa.field("shown", pa.bool_(), nullable=False)])
    MAX_BYTES = 1 << 20
    table: pa.Table


def send_thresholds(given: RoleInput, key_holder: str) -> Role[None]:
    """A contributor's part."""
    yield from tell(key_holder, Thresholds(min_parties=given.min_parties))


def receive_thresholds(contributors: Sequence[str]) -> Role[int]:
    """The key holder's part: the largest of all."""
    heard = yield from gather(contributors, Thresholds)
    return max(each.min_parties for each in heard.values())


def shown_groups(parties: Sequence[int], min_parties: int) -> list[bool]:
    """Whether each group is shown, from each one's number of parties, and last that of the parties with rows in none.

    How many have rows in several together is not known, so the largest of their numbers is taken, a lower bound.
    """
    rest = len(parties) - 1

    def large(some: Collection[int]) -> bool:
        return max(parties[group] for group in some) >= min_parties

    hidden = suppressed(range(rest), large, parties.__getitem__, [rest] if parties[rest] else [])
    return [group not in hidden for group in range(rest)]


def send_shown(shown: Sequence[bool], contributors: Sequence[str]) -> Role[None]:
    """The key holder's part."""
    message = ShownGroups(table=pa.table({"shown": pa.array(shown, pa.bool_())}, schema=ShownGroups.SCHEMA))
    yield from tell_all(dict.fromkeys(contributors, message))


def receive_shown(key_holder: str, groups: int) -> Role[list[bool]]:
    """A contributor's part; raises ProtocolViolation where it is of another number of groups."""
    message = yield from hear(key_holder, ShownGroups)
    shown: list[bool] = message.table.column("shown").to_pylist()
    if len(shown) != groups:
        raise ProtocolViolation(f"{key_holder} shows {len(shown)} groups where there are {groups}")
    return shown
