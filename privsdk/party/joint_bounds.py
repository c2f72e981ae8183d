"""What bounds a noisy release over a join: what its request must be of, and which rows of a joint table enter.

Why these rows are few enough, whatever unit of whichever table comes or goes: `privsdk.dp.sides`.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from ..errors import PolicyRefused
from ..errors.refusals import MatchesUnbounded, Unbounded
from ..protocol.columns.ordering import begins, most_equal
from ..protocol.operation import Alignment, Operand, Request
from .row_hashes import Words


class JoinFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The parties of a join, the digest of its request, and the key of one party; see `Alignment`."""

    parties: tuple[str, ...]
    request: str
    key: dict[str, bool]

    @classmethod
    def of(cls, request: Request, alignment: Alignment) -> JoinFacts:
        return cls(parties=request.parties, request=request.digest(), key=dict(alignment.key))


def check_bound(party: str, request: Request, operand: Operand, join: JoinFacts | None) -> None:
    """Raise PolicyRefused where one unit of a party's table may move more rows than a noisy release accounts for.

    The gate holds `operand.unit` to the owner's own id column before, and `operand.bound` to noisy releases.
    """
    if (why := _unbounded(request, operand, join)) is not None:
        key = () if join is None else tuple(join.key)
        raise PolicyRefused(MatchesUnbounded(party=party, table=operand.table, id=operand.unit.id, key=key, why=why))


def _unbounded(request: Request, operand: Operand, join: JoinFacts | None) -> Unbounded | None:
    bound, id_ = operand.bound, operand.unit.id
    if bound is UNSET:
        return None
    if join is None or bound.join != join.request or set(request.parties) != set(join.parties):
        return "join"
    if not join.key:
        return "turns"
    if not bound.rows and id_ and set(join.key) != {id_}:
        return "unit"
    return "claim" if bound.one_unit and not join.key.get(id_) else None


def bounded(joint: Alignment, rows: int, *, within: npt.NDArray[np.bool_] | None, order: Words) -> Alignment:
    """Of the rows that are `within` their units' bound, at most so many of each joint key: the first in `order`.

    The order of two rows must not depend on any other row: then a row that comes displaces one at most. A row's place
    in the table does depend on others, so `order` is by what it holds; rows that hold the same go by their place.
    """
    kept = np.arange(len(joint.rows)) if within is None else np.flatnonzero(within[joint.rows])
    keys = joint.keys[kept]
    if most_equal(keys) > rows:
        by_key = np.lexsort((order[joint.rows[kept]], keys))
        first = begins(keys[by_key])
        place = np.arange(len(keys)) - np.flatnonzero(first)[np.cumsum(first) - 1]
        kept = kept[np.sort(by_key[place < rows])]
    return replace(joint, rows=joint.rows[kept], keys=joint.keys[kept])
