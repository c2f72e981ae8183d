"""A release over one side of a join: which rows enter, how far one unit of any of its tables moves it, who is told.

The owner O of the side releases; its partners P take part in nothing but that they allow it and are charged. The join
is an exact disclosure of its own: by it O knows which of its keys match, and O draws the noise. So the noise protects
O's units from everyone else, and the partners' from everyone but O.

Let T be O's rows and K the keys that all partners have. A row of T that has a key of K matches. Of T enter

    1. of each unit at most r rows, chosen by that unit's rows alone, whether they match or not;
    2. of those, of each key in K (of rows not matched: outside K) the first q, in an order in which that of two rows
       depends on these two alone: by a hash of all that they hold, then by their place.

Write s for a component's largest L1 change by one row, and e for that by one row in place of another: the range of what
a row adds, 0 included, where there is a single entry; else 2 s, since the two may be in two entries.

A unit of P. A row of P has one key. A unit of several rows has one key if that is its id and nothing else, which P's
gate checks; else it refuses. So K changes by one key, or not at all. What 1 chooses does not depend on K, nor what 2
chooses of other keys, and at most q rows enter or leave: q s. It is the same for rows not matched, and for any number
of partners, since K is what their keys have in common.

A unit of O. K does not depend on T. By 1, at most r rows of the unit are there before 2, and the choice of other units'
rows is the same. Of m of them in one key, those among its first q put out as many others at most, who are back where
the unit goes: m changes of at most max(s, e). In all r max(s, e). Where the id of O's unit is a column of the key,
compared as it is, all rows of a key are of one unit: nobody else's row is put out, and r s is enough, which O's gate
checks.

In the other order, first by key and then by unit, a key that comes would put rows of one unit out at other keys. And
were the first q taken by a hash of a row's number, in the table or among the rows of its key, one more row would change
the numbers of all after it, and with them the choice.

Keys in turn. A row that comes and matches by the first key is not compared by the second, and takes that key from
others; and whether there is a second turn depends on a number of keys. What one unit moves is not bounded: every gate
refuses.

Every dataset is charged for what one of its own units moves, under noise that is enough for the widest. Who is in
several tables of the join loses what these lose together, as in a release over several owners' tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from ..governance.learns import Knowledge
from ..protocol.operation import Operand, Request
from .release import ReleaseParameters


class MatchesAndNoise(Knowledge, frozen=True):
    """What the owner of a side knows beside the release, none of it from this run."""

    tells = False
    template = "nothing new: which of its rows matched it knows from the join, and the noise is its own"


def well_formed(request: Request, release: ReleaseParameters) -> bool:
    """Whether all parties bring their sides of one join, and only the owner of the released one rows and columns."""
    operands, side = request.operands, release.side
    if len(request.parties) < 2 or side not in operands or set(operands) != set(request.parties):
        return False
    joins = set()
    for party, operand in operands.items():
        bound, mine = operand.bound, party == side
        if bound is UNSET or (bound.rows > 0) != mine or set(operand.columns) != set(release.columns if mine else ()):
            return False
        if not mine and (operand.unmatched is not UNSET or bound.one_unit):
            return False
        joins.add(bound.join)
    return len(joins) == 1


def moves(release: ReleaseParameters, operands: Mapping[str, Operand]) -> dict[str, tuple[int, ...]]:
    """By party, each component's largest L1 change by one unit of its table."""
    own = operands[release.side or ""]
    q, alone = (own.bound.rows, own.bound.one_unit) if own.bound is not UNSET else (0, False)
    by_unit = release.moved(own.unit.rows) if alone else release.exchanged(own.unit.rows)
    return {party: by_unit if party == release.side else release.moved(q) for party in operands}
