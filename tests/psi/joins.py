"""The two-party protocols after their terms, with fixed entropy: for the tests of results and of transcripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from privsdk.protocol.roles import Entropy, Role
from privsdk.psi.keys.distinct import DistinctKeys, distinct_keys
from privsdk.psi.protocols.ddh import cardinality, intersection
from privsdk.psi.protocols.terms import SharedTerms, agree
from privsdk.testing import SeededEntropy, Sent, together

SESSION = b"a session's own 32 bytes........"
Positions = npt.NDArray[np.int64]
Side = Callable[..., Role[Any]]


def agreement(keys: DistinctKeys, *, me: str, peer: str, session: bytes, entropy: Entropy) -> Role[SharedTerms]:
    size = len(keys.encoded)
    return agree(me, [peer], kind=keys.kind, size=size, min_count=0, session=session, entropy=entropy)


def joining(keys: DistinctKeys, *, learner: str | None = None, **given: Any) -> Role[Positions]:
    """A party of the join, from its terms on."""
    agreed = yield from agreement(keys, **given)
    del given["session"]
    return (yield from intersection(keys.encoded, learner=learner, agreed=agreed, **given))


def counting(keys: DistinctKeys, **given: Any) -> Role[int]:
    """A party of the count, from its terms on."""
    agreed = yield from agreement(keys, **given)
    del given["session"]
    return (yield from cardinality(keys.encoded, agreed=agreed, **given))


def run(
    left: DistinctKeys, right: DistinctKeys, sides: tuple[Side, Side] = (joining, joining), session: bytes = SESSION
) -> tuple[Any, Any, list[Sent]]:
    """The protocol with fixed entropy."""
    transcript: list[Sent] = []
    roles = {
        "a": sides[0](left, me="a", peer="b", session=session, entropy=SeededEntropy(b"a")),
        "b": sides[1](right, me="b", peer="a", session=session, entropy=SeededEntropy(b"b")),
    }
    outputs = together(roles, transcript)
    return outputs["a"], outputs["b"], transcript


def names(*numbers: int) -> DistinctKeys:
    """Keys long enough not to occur by chance."""
    return distinct_keys(pa.array([f"customer-{n:08}" for n in numbers], pa.string()))


def points_of(transcript: list[Sent], tag: str, sender: str) -> list[bytes]:
    """The points of a party's message of this kind."""
    (sent,) = [s for s in transcript if (s.tag, s.sender) == (tag, sender)]
    assert sent.table is not None
    points: list[bytes] = sent.table["point"].to_pylist()
    return points
