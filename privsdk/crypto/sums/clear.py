"""Sums in the clear: the coordinator sees every client's vector, and leaves out a client that is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ...errors import ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Role, collect, tell
from .base import UNITS, Totals, Vector, within


class Contribution(Message, frozen=True, kw_only=True, tag="fl.sums.Contribution"):
    """One client's vector in the clear."""

    SCHEMA = UNITS
    MAX_BYTES = 1 << 30
    name: str
    table: pa.Table


class PlainSum:
    """In the clear: the coordinator sees every client's vector. A client that is lost is left out."""

    def __init__(self, *, coordinator: str, within_s: float) -> None:
        self._coordinator = coordinator
        self._within_s = within_s

    def set_up(self) -> Role[None]:
        """No keys to agree on."""
        yield from ()

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
