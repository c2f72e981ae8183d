"""Which groups of a pooled statistic the caller is told: those that are no few rows' and no few parties'.

A group's pooled total can be one party's own subtotal, or one row's. So beside its totals each contributor adds, for
each group, its number of rows in it and whether it has any, and tells the key holder its owner's floors: the minimum
count and the fewest parties of a joint result. The key holder keeps to itself each group

    with fewer rows than the largest minimum count, or rows of fewer contributors than the largest number of parties;

and, where these together are so few that the other groups and a total over all would give them away, the smallest of
the others with them. Rows of a contributor who is the caller count for neither: it knows its own.

Learns: the key holder each group's totals, rows and contributors, also of those it keeps, and each owner's floors. The
caller which groups were kept, and the largest floors.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.messages import Message
from ...protocol.role_input import RoleInput
from ...protocol.roles import Role, gather, tell


class Floors(Message, frozen=True, kw_only=True, tag="he.floors.Floors"):
    """One owner's: the fewest rows, and the fewest contributors, behind a total that is told."""

    min_count: int
    min_parties: int


def tell_floors(given: RoleInput, key_holder: str) -> Role[None]:
    """A contributor's part."""
    yield from tell(key_holder, Floors(min_count=given.min_count, min_parties=given.min_parties))


def hear_floors(contributors: Sequence[str]) -> Role[Floors]:
    """The key holder's part: the largest of all."""
    told = (yield from gather(contributors, Floors)).values()
    return Floors(min_count=max(f.min_count for f in told), min_parties=max(f.min_parties for f in told))


def withheld(rows: Sequence[int], parties: Sequence[int], floors: Floors) -> frozenset[int]:
    """The groups to withhold, from each one's number of rows and of contributors."""
    smallest_first = sorted(range(len(rows)), key=lambda group: (rows[group], parties[group], group))
    hidden = {g for g in smallest_first if rows[g] < floors.min_count or parties[g] < floors.min_parties}
    enough = sum(rows[g] for g in hidden) >= floors.min_count
    if hidden and not (enough and max(parties[g] for g in hidden) >= floors.min_parties):
        hidden.update([g for g in smallest_first if g not in hidden][:1])  # which has enough of both by itself
    return frozenset(hidden)
