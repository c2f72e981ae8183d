"""An intersection of two columns in one process: every party's role, no federation, gate or charge."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..protocol.in_memory import together
from ..protocol.roles import Role, SystemEntropy
from .keys.declaration import Normalise
from .keys.distinct import DistinctKeys, distinct_keys
from .protocols.choose import Protocol, check, intersection
from .protocols.terms import agree

Column: TypeAlias = pa.Array | pa.ChunkedArray


def intersect(left: Column, right: Column, *, protocol: Protocol = "auto", normalise: Normalise = ()) -> pa.Array:
    """Run an intersection on two local columns, both roles in this process; for learning and for tests.

    Parameters
    ----------
    left, right : Arrow arrays of string, integer, binary, date or decimal type
        Duplicates count once, nulls never match.
    protocol : "auto", "ddh" or "kkrt"
        By the number of keys unless forced; see `join`.
    normalise : names of normalisations
        As in `key`.

    Returns
    -------
    Arrow array
        The distinct values of `left` that occur in `right`, in the protocol's order.
    """
    sides = {"left": distinct_keys(left, normalise=normalise), "right": distinct_keys(right, normalise=normalise)}
    check(protocol, list(sides))
    entropy = SystemEntropy()
    session = entropy.draw(32)

    def party(me: str, keys: DistinctKeys) -> Role[npt.NDArray[np.int64]]:
        (peer,) = (side for side in sides if side != me)
        agreed = yield from agree(
            me, [peer], kind=keys.kind, size=keys.size, min_count=0, session=session, entropy=entropy
        )
        return (
            yield from intersection(
                protocol, keys.encoded, me=me, parties=list(sides), learner=None, agreed=agreed, entropy=entropy
            )
        )

    found = together({me: party(me, keys) for me, keys in sides.items()})
    return sides["left"].values.column(0).take(pa.array(found["left"])).combine_chunks()
