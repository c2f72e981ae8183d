"""Which groups of a pooled statistic the key holder shows: by `protocol.groups`, in units and in parties.

A group's pooled total can be one party's own subtotal, or one unit's. So beside its totals each contributor adds, for
each group and for its rows of no group, how many units have rows there and whether there are any, and sends the key
holder its owner's thresholds: the minimum count and the fewest parties of a joint result. Some groups are large
together where they have

    units, at least the largest minimum count, and rows of contributors, at least the largest number of parties.

How many have rows in several groups is not known, so the largest of their numbers is taken, which is a lower bound; of
units the sum, where no contributor has units with rows in several groups. Units of two parties count as two. Those of a
contributor who is the caller do not count, nor does it: it knows its own.

Learns: the key holder each group's totals, units and contributors, also of those it suppresses and of the rows of none,
each owner's thresholds, and whose units are ids. The caller which groups were suppressed, and the largest thresholds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...protocol.groups import suppressed
from ...protocol.messages import Message
from ...protocol.operation import RoleInput
from ...protocol.roles import Role, gather, tell


class Thresholds(Message, frozen=True, kw_only=True, tag="he.floors.Floors"):
    """One owner's: the fewest units, and the fewest contributors, behind a total that is shown.

    `overlapping`: a unit may have rows in several groups.
    """

    min_count: int
    min_parties: int
    overlapping: bool


def tell_thresholds(given: RoleInput, key_holder: str) -> Role[None]:
    """A contributor's part."""
    mine = Thresholds(min_count=given.min_count, min_parties=given.min_parties, overlapping=given.keys is not None)
    yield from tell(key_holder, mine)


def hear_thresholds(contributors: Sequence[str]) -> Role[Thresholds]:
    """The key holder's part: the largest of all."""
    heard = (yield from gather(contributors, Thresholds)).values()
    return Thresholds(
        min_count=max(each.min_count for each in heard),
        min_parties=max(each.min_parties for each in heard),
        overlapping=any(each.overlapping for each in heard),
    )


def suppressed_groups(units: Sequence[int], parties: Sequence[int], thresholds: Thresholds) -> frozenset[int]:
    """The groups to suppress, from each one's number of units and of contributors, the rows of no group last."""
    rest = len(units) - 1

    def large(some: Collection[int]) -> bool:
        counts = [units[group] for group in some]
        together = max(counts) if thresholds.overlapping else sum(counts)
        enough = max(parties[group] for group in some) >= thresholds.min_parties
        return together >= thresholds.min_count and enough

    return suppressed(range(rest), large, lambda group: (units[group], parties[group]), [rest] if units[rest] else [])
