"""The sum operation of training: integer vectors of the clients that are in a round, added up for the coordinator.

A provider says who sees what, and whether a round survives the loss of a client. Here is the one in the clear, and the
encrypted one of `encrypted`; masks are in `masked` and `all_to_all`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import PrivsdkError, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Role, collect, tell
from ..seal.schemes import Exact
from .encrypted import EncryptedSum

Integers = npt.NDArray[np.int64]
UNITS = pa.schema([pa.field("units", pa.int64(), nullable=False)])


class Totals(NamedTuple):
    """Sums over those clients whose vectors are in them, and who was lost in this round and why."""

    sums: Integers
    parties: tuple[str, ...]
    lost: Mapping[str, PrivsdkError]


class Sum(Protocol):
    """Sums of vectors over clients, round after round. One object serves one role through a whole run.

    `name` tells a round's sum from every other of the run. All of its clients give vectors of the same length, and each
    entry's total is within +-`largest`.
    """

    def set_up(self) -> Role[None]:
        """Agree on keys, once before the first sum; every role calls it."""

    def contribute(self, name: str, parties: Sequence[str], vector: Integers, largest: int) -> Role[None]:
        """A client's part."""

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        """The coordinator's part."""


class Contribution(Message, frozen=True, kw_only=True, tag="fl.sums.Contribution"):
    """One client's vector in the clear."""

    SCHEMA = UNITS
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


class ClearSum:
    """In the clear: the coordinator sees every client's vector. A client that is lost is left out."""

    def __init__(self, *, coordinator: str, within_s: float) -> None:
        self._coordinator = coordinator
        self._within_s = within_s

    def set_up(self) -> Role[None]:
        """No keys to agree on."""
        yield from ()

    def contribute(self, name: str, parties: Sequence[str], vector: Integers, largest: int) -> Role[None]:
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


class EncryptedSums:
    """Under encryption: the coordinator holds the key and sees sums alone, as long as the aggregator keeps apart.

    A client that is lost ends the run. Each kind of sum, by length and largest total, has keys of its own.
    """

    def __init__(self, *, me: str, clients: tuple[str, ...], coordinator: str) -> None:
        self._me = me
        self._clients = clients
        self._coordinator = coordinator
        self._sums: dict[tuple[int, int], EncryptedSum[int]] = {}

    def set_up(self) -> Role[None]:
        """Keys are made with the first sum of a kind."""
        yield from ()

    def contribute(self, name: str, parties: Sequence[str], vector: Integers, largest: int) -> Role[None]:
        """Encrypt the vector, and at the aggregator add up."""
        summation = yield from self._of(len(vector), largest)
        yield from summation.contribute(vector)

    def collect(self, name: str, parties: Sequence[str], length: int, largest: int) -> Role[Totals]:
        """Decrypt the sum."""
        summation = yield from self._of(length, largest)
        totals = yield from summation.collect()
        return Totals(np.array(totals, np.int64), self._clients, {})

    def _of(self, length: int, largest: int) -> Role[EncryptedSum[int]]:
        if (length, largest) not in self._sums:
            scheme = encrypted_scheme(len(self._clients), length, largest)
            made = EncryptedSum(scheme, me=self._me, contributors=self._clients, key_holder=self._coordinator)
            yield from made.set_up()
            self._sums[length, largest] = made
        return self._sums[length, largest]


def encrypted_scheme(clients: int, length: int, largest: int) -> Exact:
    """The encoding under encryption of sums of this length and size; raises InvalidArgument where there is none."""
    return Exact(parties=clients, length=length, max_units=largest)


def within(values: npt.NDArray[np.number[Any]], largest: float) -> bool:
    """Whether all are within +-`largest`, which NaN is not."""
    return bool(-largest <= values.min(initial=0) and values.max(initial=0) <= largest)
