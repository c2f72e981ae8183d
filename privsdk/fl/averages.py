"""From updates to their weighted mean: on a grid through a sum, so that only the mean is seen, or each in the clear.

On the grid a client's update u, weight w and loss l go in as the integers nearest to w u, w and w l in units of the
grid, where all weights add up to at most 1. The mean is the sum over that of the weights: rounding moves none of its
entries by more than n / 2 units over the sum of weights, for n clients.

In the clear updates may be packed (`compression`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..crypto.sums.base import Sum, check_enough, within
from ..errors import DataError, PrivsdkError, ProtocolViolation
from ..protocol.messages import Message, table_bytes
from ..protocol.roles import Role, collect, next_of, tell
from .compression.base import Compression, require
from .models.network import Vector

BOUND = 2.0**5  # of an update's entries, and of the loss as far as it is reported
UNIT = 2.0**-25  # with BOUND and weights that add up to 1, all totals fit into 31 bits
LARGEST = round(BOUND / UNIT)
VALUES = pa.schema([pa.field("value", pa.float32(), nullable=False)])


class Update(NamedTuple):
    """What a client has to say in a round. `weight` is its share of all clients'; 0, of no vector, where it has nothing
    to say."""

    vector: Vector
    weight: float
    loss: float


class Mean(NamedTuple):
    """What the coordinator has of a round.

    Attributes
    ----------
    vector : the mean of the updates, or what the strategy combined in its place
    weight : the sum of the weights in it
    loss : the mean loss
    parties : whose updates are in it
    lost : who was lost in this round, and why
    sizes : bytes of each client's update as it was sent, where updates come one by one
    """

    vector: Vector
    weight: float
    loss: float
    parties: tuple[str, ...]
    lost: Mapping[str, PrivsdkError]
    sizes: Mapping[str, int] = MappingProxyType({})


Combine = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float64]], Vector]
"""A strategy's `combine`."""


class Averages(Protocol):
    """Both halves of how a round's updates become one."""

    def contribute(self, name: str, parties: Sequence[str], update: Update) -> Role[None]:
        """A client's part; raises DataError where its training diverged."""

    def collect(self, name: str, parties: Sequence[str], length: int, combine: Combine) -> Role[Mean]:
        """The coordinator's part."""


class OnGrid:
    """Through a sum: the coordinator sees the weighted mean and nothing of single updates, if the sum hides them."""

    def __init__(self, sum_: Sum) -> None:
        self._sum = sum_

    def contribute(self, name: str, parties: Sequence[str], update: Update) -> Role[None]:
        """Send weighted units."""
        check(update)
        units = np.empty(len(update.vector) + 2, np.int64)
        scaled = update.vector * np.float32(update.weight / UNIT)  # in single precision: a tenth of the time
        units[:-2] = np.rint(scaled, out=scaled)
        units[-2:] = np.rint(update.weight * np.array([1.0, min(update.loss, BOUND)]) / UNIT)
        yield from self._sum.contribute(name, parties, units, LARGEST)

    def collect(self, name: str, parties: Sequence[str], length: int, combine: Combine) -> Role[Mean]:
        """Divide the sums by that of the weights."""
        sums, present, lost = yield from self._sum.collect(name, parties, length + 2, LARGEST)
        weight, loss = (float(each) * UNIT for each in sums[-2:])
        if not 0 <= weight <= 1 + len(present) * UNIT or (length and present and not weight):
            raise ProtocolViolation("the clients' weights do not add up to a share of all")
        scale = UNIT / weight if weight else 0.0
        vector = (sums[:-2] * scale).astype(np.float32)
        return Mean(vector, weight, loss / weight if weight else math.nan, present, lost)


class Whole:
    """No compression: every entry as it is."""

    SCHEMA: ClassVar[pa.Schema] = VALUES
    feedback: ClassVar[bool] = False
    sparse: ClassVar[bool] = False
    sum_refused: ClassVar[str] = ""

    def pack(self, vector: Vector, rng: np.random.Generator) -> pa.Table:
        """One column of values."""
        return pa.table([pa.array(vector)], schema=VALUES)

    def unpack(self, table: pa.Table, length: int) -> Vector:
        """That column."""
        values: Vector = table.column("value").to_numpy()
        require(len(values) == length)
        return values


class ClientUpdate(Message, frozen=True, kw_only=True, tag="fl.averages.Said"):
    """One client's update in the clear, packed as the run has it."""

    MAX_BYTES = 1 << 30
    name: str
    weight: float
    loss: float
    table: pa.Table


class Arrivals(NamedTuple):
    """Updates as they were unpacked, their bytes on the way, and who was lost and why."""

    updates: dict[str, Update]
    sizes: dict[str, int]
    lost: dict[str, PrivsdkError]


class Each:
    """In the clear: the coordinator sees every client's update, as some strategies ask for.

    `seed` is public, and a client's own: rounding at random draws from it, anew for each update. A client `me` sends
    nothing in a round of fewer than `floor`: what comes of it all others see, and not only the coordinator.
    """

    def __init__(
        self,
        *,
        coordinator: str,
        within_s: float,
        compression: Compression | None = None,
        seed: Sequence[int] = (0,),
        me: str = "",
        floor: int = 1,
    ) -> None:
        self._coordinator = coordinator
        self._within_s = within_s
        self._compression = compression or Whole()
        self._seed = seed
        self._me = me
        self._floor = floor

    def contribute(self, name: str, parties: Sequence[str], update: Update) -> Role[None]:
        """Send the update, packed."""
        check_enough(name, self._me, parties, self._floor, of=parties)
        check(update)
        table = self._packing(len(update.vector)).pack(
            update.vector, np.random.default_rng([*self._seed, *name.encode()])
        )
        said = ClientUpdate(name=name, weight=update.weight, loss=update.loss, table=table)
        yield from tell(self._coordinator, said)

    def collect(self, name: str, parties: Sequence[str], length: int, combine: Combine) -> Role[Mean]:
        """Check and combine what came."""
        came, lost = yield from collect(parties, ClientUpdate, within_s=self._within_s)
        updates, sizes, lost = self._checked(came, lost, dict.fromkeys(came, name), length)
        weights = np.array([update.weight for update in updates.values()])
        if not weights.any():
            return Mean(np.zeros(length, np.float32), 0.0, math.nan, tuple(updates), lost)
        vector = combine(np.stack([update.vector for update in updates.values()]), weights)
        loss = float(weights @ [update.loss for update in updates.values()]) / float(weights.sum())
        return Mean(vector, float(weights.sum()), loss, tuple(updates), lost, sizes)

    def first(self, names: Mapping[str, str], length: int) -> Role[Arrivals]:
        """Check the first update that comes of these parties, each of which has a name of its own for it."""
        came, lost = yield from next_of(tuple(names), ClientUpdate, within_s=self._within_s)
        return self._checked(came, lost, names, length)

    def drop(self, parties: Sequence[str]) -> Role[dict[str, PrivsdkError]]:
        """Hear these out, and forget it; returns who was lost, and why."""
        return (yield from collect(parties, ClientUpdate, within_s=self._within_s)).lost

    def _packing(self, length: int) -> Compression:
        """How vectors of this length are packed: nothing as nothing."""
        return self._compression if length else Whole()

    def _checked(
        self, came: Mapping[str, ClientUpdate], lost: dict[str, PrivsdkError], names: Mapping[str, str], length: int
    ) -> Arrivals:
        arrived = Arrivals({}, {}, lost)
        for party, said in came.items():
            try:
                packing = self._packing(length)
                require(said.name == names[party] and 0 <= said.weight <= 1 and math.isfinite(said.loss))
                require(said.weight > 0 or not length)
                require(said.table.schema == packing.SCHEMA)
                require(not any(column.null_count for column in said.table.columns))
                vector = packing.unpack(said.table, length)
                require(within(vector, BOUND))
            except ProtocolViolation:
                lost[party] = ProtocolViolation(
                    f"{party} sent an update that does not fit {names[party]}, or is not finite"
                )
            else:
                arrived.updates[party] = Update(vector, said.weight, said.loss)
                arrived.sizes[party] = table_bytes(said.table)
        return arrived


def check(update: Update) -> None:
    """Raise DataError for an update of training that diverged."""
    if not (within(update.vector, BOUND) and math.isfinite(update.loss)):
        raise DataError(
            "training diverged: nothing of this round was sent",
            hint="use a smaller learning_rate, or fewer local steps or epochs",
        )
