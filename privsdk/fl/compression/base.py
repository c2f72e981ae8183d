"""The seam for compression: between a client's update and the coordinator, in the clear.

    client i                                           coordinator
    p = update + e_i        (e_i = 0 without feedback)
    packed = pack(p) -------------------------------->  unpack(packed), then the strategy's combination
    e_i = p - unpack(packed)  (with feedback)

What is left out of an update is random with mean zero (`quantised`), or kept and added to the client's next update
(`topk`): error feedback, S. U. Stich, J.-B. Cordonnier, M. Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, algorithm
1, and S. P. Karimireddy, Q. Rebjock, S. Stich, M. Jaggi, "Error Feedback Fixes SignSGD and other Gradient Compression
Schemes", ICML 2019, algorithm 2. Which compression goes with what is in `composition`.

Stochastic rounding draws from a generator seeded by the run's public seed, the client and the round: it protects
nothing, and a run can be repeated. The coordinator learns no more than from the update itself.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import ProtocolViolation
from ...protocol.roles import Role
from ..models.network import Vector
from ..strategy import LocalInput, LocalUpdate, State, Strategy


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


class WithFeedback:
    """A strategy whose clients keep what compression leaves out of an update, and add it to their next one.

    The client's half sends what the coordinator will unpack, so that packing it once more loses nothing.
    """

    def __init__(self, strategy: Strategy, compression: Compression) -> None:
        self._strategy = strategy
        self._compression = compression
        self.parts = strategy.parts
        self.by_rows = strategy.by_rows
        self.each = strategy.each

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        """The strategy's half; the residual is kept behind what the strategy keeps."""
        length = self.parts * len(given.start)
        inner, residual = np.zeros(0, np.float32), np.zeros(length, np.float32)
        if len(given.kept):
            inner, residual = given.kept[:-length], given.kept[-length:]
        local = yield from self._strategy.local(given._replace(kept=inner))
        wanted = local.update + residual
        packed = self._compression.pack(wanted, np.random.default_rng(0))
        sent = self._compression.unpack(packed, length)
        return LocalUpdate(sent, np.concatenate([local.kept, wanted - sent]))

    def begin(self, weights: Vector) -> State:
        """As the strategy."""
        return self._strategy.begin(weights)

    def broadcast(self, state: State) -> Vector:
        """As the strategy."""
        return self._strategy.broadcast(state)

    def combine(self, updates: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Vector:
        """As the strategy."""
        return self._strategy.combine(updates, weights)

    def step(self, state: State, average: Vector, share: float) -> State:
        """As the strategy."""
        return self._strategy.step(state, average, share)
