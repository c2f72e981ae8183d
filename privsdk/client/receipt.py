"""Receipts: the parties' signed audit heads after a run, which their owners cannot take back unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from ..display.cards import Card, Displayed, Grid
from ..display.tabular import Tabular
from ..errors import UnknownName
from ..governance.chain import verify
from ..governance.export import rows_of
from ..governance.heads import Head


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Receipt(Displayed, Tabular):
    """Each party's signed audit head after the run. It proves what a party claimed, not that the claim is true."""

    run_id: str
    heads: Mapping[str, Head]

    def verify(self) -> bool:
        """Whether every head carries a valid Ed25519 signature of the key it names."""
        return all(head.is_signed() for head in self.heads.values())

    def lies_in(self, party: str, audit: pa.Table) -> bool:
        """Whether a party's exported audit is sound up to the head that this receipt holds of it, and holds that head.

        Parameters
        ----------
        party : str
            Whose audit it is. It is checked by the key in the receipt, not by one in the export.
        audit : table
            What `python -m privsdk audit export` wrote, as `governance.export.read_audit_file` reads it.
        """
        if party not in self.heads:
            raise UnknownName.among("party", party, self.heads, where="in this receipt")
        head = self.heads[party]
        rows = rows_of(audit)[: head.rows]
        sound = verify(rows, bytes.fromhex(head.public_key)).first_bad < 0
        return head.is_signed() and sound and len(rows) == head.rows and rows[-1].hash.hex() == head.hash

    def verdict(self) -> str:
        """The heads in one line, and whether their signatures hold."""
        heads = f"signed audit heads of {', '.join(self.heads)}"
        return f"{heads}: signatures hold" if self.verify() else f"{heads}: A SIGNATURE IS INVALID"

    def _card(self) -> Card:
        rows = [(party, f"{head.rows:,}", head.hash[:16]) for party, head in self.heads.items()]
        grid = Grid(header=("party", "audit rows", "head"), rows=rows)
        verdict = "hold" if self.verify() else "DO NOT ALL HOLD"
        return Card(
            title=f"receipt of run {self.run_id}",
            facts=[("signatures", verdict)],
            grids=(("signed audit heads", grid),),
        )

    def to_arrow(self) -> pa.Table:
        """A row for each party: its chain's rows, losses acknowledged, head, key, and whether the signature holds."""
        rows = [
            {
                "party": party,
                "rows": head.rows,
                "losses_acknowledged": head.branch,
                "head": head.hash,
                "public_key": head.public_key,
                "signature_holds": head.is_signed(),
            }
            for party, head in self.heads.items()
        ]
        return pa.Table.from_pylist(rows, schema=_HEADS)


_HEADS = pa.schema(
    [
        ("party", pa.string()),
        ("rows", pa.int64()),
        ("losses_acknowledged", pa.int64()),
        ("head", pa.string()),
        ("public_key", pa.string()),
        ("signature_holds", pa.bool_()),
    ]
)
