"""The join protocol with fixed entropy, for the tests of its results and of its transcript."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from privsdk.protocol import Role
from privsdk.psi.ddh import Intersection, opener, responder
from privsdk.psi.keys import DistinctKeys, distinct_keys
from privsdk.testing import SeededEntropy, Sent, together

SESSION = b"a session's own 32 bytes........"
Side = Callable[..., Role[Intersection]]


def run(
    left: DistinctKeys, right: DistinctKeys, sides: tuple[Side, Side] = (opener, responder), session: bytes = SESSION
) -> tuple[Intersection, Intersection, list[Sent]]:
    """The protocol with fixed entropy."""
    transcript: list[Sent] = []
    roles = {
        "a": sides[0](left.encoded.to_pylist(), kind=left.kind, peer="b", session=session, entropy=SeededEntropy(b"a")),
        "b": sides[1](
            right.encoded.to_pylist(), kind=right.kind, peer="a", session=session, entropy=SeededEntropy(b"b")
        ),
    }
    outputs = together(roles, transcript)
    return outputs["a"], outputs["b"], transcript


def names(*numbers: int) -> DistinctKeys:
    """Keys long enough not to occur by chance."""
    return distinct_keys(pa.array([f"customer-{n:08}" for n in numbers]))
