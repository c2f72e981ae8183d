"""Receipts: the parties' signed audit heads after a run, which their owners cannot take back unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .calls import Head
from .displays import Card, Displayed, Grid


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Receipt(Displayed):
    """Each party's signed audit head after the run. It proves what a party claimed, not that the claim is true."""

    run_id: str
    heads: Mapping[str, Head]

    def verify(self) -> bool:
        """Whether every head carries a valid Ed25519 signature of the key it names."""
        return all(head.is_signed() for head in self.heads.values())

    def verdict(self) -> str:
        """The heads in one line, and whether their signatures hold."""
        heads = f"signed audit heads of {', '.join(self.heads)}"
        return f"{heads}: signatures hold" if self.verify() else f"{heads}: A SIGNATURE IS INVALID"

    def _card(self) -> Card:
        rows = [(party, str(head.rows), head.hash[:16]) for party, head in self.heads.items()]
        grid = Grid(header=("party", "audit rows", "head"), rows=rows)
        return Card(title=f"receipt of run {self.run_id}", grids=(("signed audit heads", grid),))
