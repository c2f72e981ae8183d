"""The seam for compression: between a client's update and the coordinator, in the clear.

    client i                                           coordinator
    p = update + e_i        (e_i = 0 without feedback)
    packed = pack(p) -------------------------------->  unpack(packed), then the strategy's combination
    e_i = p - unpack(packed)  (with feedback)

What is left out of an update is random with mean zero (`quantised`), or kept and added to the client's next update
(`topk`): error feedback. Which compression goes with what is in `parameters`.

Stochastic rounding draws from a generator seeded by the run's public seed, the client and the round: it protects
nothing, and a run can be repeated. The coordinator learns no more than from the update itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa

from ...errors import ProtocolViolation
from ...protocol.roles import Role
from ..fedavg import LocalInput, LocalUpdate
from ..models.network import Vector


class Compression(Protocol):
    """How an update becomes a table, and comes out of it.

    Attributes
    ----------
    SCHEMA : of the table
    feedback : whether what was left out is added to the client's next update
    sparse : whether entries are left out
    sum_refused : why packed updates cannot go through a sum
    """

    SCHEMA: ClassVar[pa.Schema]
    feedback: ClassVar[bool]
    sparse: ClassVar[bool]
    sum_refused: ClassVar[str]

    def pack(self, vector: Vector, rng: np.random.Generator) -> pa.Table:
        """The table of an update."""

    def unpack(self, table: pa.Table, length: int) -> Vector:
        """The update in a table, which fits SCHEMA; raises ProtocolViolation where it is none of this length."""


def require(fits: bool) -> None:
    """Raise unless a packed update is what it should be."""
    if not fits:
        raise ProtocolViolation("a packed update is not of the agreed form")


def with_feedback(
    local: Callable[[LocalInput], Role[LocalUpdate]], compression: Compression, given: LocalInput, length: int
) -> Role[LocalUpdate]:
    """A client's half that keeps what compression leaves out of its update of this length, for the next one.

    It sends what the coordinator will unpack, so that packing it once more loses nothing. The residual is kept behind
    what the strategy keeps.
    """
    inner, residual = np.zeros(0, np.float32), np.zeros(length, np.float32)
    if len(given.kept):
        inner, residual = given.kept[:-length], given.kept[-length:]
    made = yield from local(given._replace(kept=inner))
    wanted = made.update + residual
    sent = compression.unpack(compression.pack(wanted, np.random.default_rng(0)), length)
    return LocalUpdate(sent, np.concatenate([made.kept, wanted - sent]))
