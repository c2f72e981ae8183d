"""The sum of integer vectors over parties: one seam, whoever provides it, and the provider that hides nothing.

Clients have a vector each; a coordinator learns the entries' totals. Providers differ in what else is learned, and in
what the loss of a client does:

    provider       module       totals are seen by    a lost client             single vectors are seen by
    EncryptedSum   encrypted    the coordinator       ends the run              coordinator and last client together
    MaskedSum      masked       the coordinator       is out while t are left   coordinator and t clients together
    PeerSum        all_to_all   every client          ends the run              all other clients together
    PlainSum       here         the coordinator       is left out               the coordinator

Each module's header has its protocol, its assumptions and its cost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InvalidArgument, PolicyRefused, PrivsdkError, ProtocolViolation
from ...errors.refusals import TooFewLeft
from ...protocol.messages import Message
from ...protocol.roles import Role, collect, tell

Integers = npt.NDArray[np.int64]
Vector = npt.NDArray[Any]  # of int64; of Python numbers, dtype object, where totals may be larger or are real
UNITS = pa.schema([pa.field("units", pa.int64(), nullable=False)])


class Totals(NamedTuple):
    """Sums over those clients whose vectors are in them, and who was lost in this round and why."""

    sums: Vector
    parties: tuple[str, ...]
    lost: Mapping[str, PrivsdkError]


class Sum(Protocol):
    """Sums of vectors over clients, round after round. One object serves one role through a whole run.

    `name` tells a round's sum from every other of the run. All of its clients give vectors of the same length, and each
    entry's total is within +-`largest`.
    """

    def set_up(self) -> Role[None]:
        """Agree on keys, once before the first sum, where there are any; every role calls it."""
        yield from ()

    def contribute(self, name: str, parties: Sequence[str], vector: Vector, largest: int) -> Role[None]:
        """A client's part."""

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        """The coordinator's part."""


def integers(values: Sequence[int]) -> Vector:
    """A vector of these, as int64 where all fit."""
    fit = all(-(1 << 63) <= value < 1 << 63 for value in values)
    return np.array(values, np.int64 if fit else object)


def check_whole(name: str, parties: Sequence[str], clients: Sequence[str]) -> None:
    """Raise InvalidArgument where a sum that is of all clients or of none is asked for over others."""
    if tuple(parties) != tuple(clients):
        raise InvalidArgument(
            f"{name} is a sum over {', '.join(parties) or 'nobody'}, and this kind is one of all clients"
        )


def check_enough(name: str, me: str, left: Collection[str], fewest: int, *, of: Sequence[str]) -> None:
    """Raise PolicyRefused where a client may not add to a sum `of` clients, because so few are left."""
    if len(left) < fewest:
        missing = tuple(party for party in of if party not in left)
        raise PolicyRefused(TooFewLeft(party=me, where=name, left=len(left), fewest=fewest, missing=missing))


def within(values: npt.NDArray[np.number[Any]], largest: float) -> bool:
    """Whether all are within +-`largest`, which NaN is not."""
    return bool(-largest <= values.min(initial=0) and values.max(initial=0) <= largest)


class Contribution(Message, frozen=True, kw_only=True, tag="fl.sums.Contribution"):
    """One client's vector in the clear."""

    SCHEMA = UNITS
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


class PlainSum(Sum):
    """In the clear: the coordinator sees every client's vector. A client that is lost is left out."""

    def __init__(self, *, coordinator: str, within_s: float) -> None:
        self._coordinator = coordinator
        self._within_s = within_s

    def contribute(self, name: str, parties: Sequence[str], vector: Vector, largest: int) -> Role[None]:
        """Send the vector as it is."""
        table = pa.table([pa.array(vector)], schema=UNITS)
        yield from tell(self._coordinator, Contribution(name=name, table=table))

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        """Add what came."""
        came, lost = yield from collect(parties, Contribution, within_s=self._within_s)
        sums = np.zeros(length, np.int64)
        for party, message in list(came.items()):
            units = message.table.column("units").to_numpy()
            if message.name != name or len(units) != length or not within(units, largest):
                lost[party] = ProtocolViolation(f"{party} sent a vector that does not fit {name}")
                del came[party]
            else:
                sums += units
        return Totals(sums, tuple(came), lost)
