"""The grants that a plan needs of its owners, to look at and to hand to them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ..display.cards import Card, Displayed
from ..display.tabular import Tabular
from ..governance.policy import Grant, smallest_grants
from ..protocol.operation import Operation


class Grants(Displayed, Tabular, dict[str, tuple[Grant, ...]]):
    """By party, the grants that a plan needs of its owner, and nothing else."""

    def to_arrow(self) -> pa.Table:
        """A row for each way in which a column would be used."""
        rows = [
            {
                "party": party,
                "table": grant.table,
                "column": column,
                "disclosure": way.value,
                "to": list(grant.to),
                "purpose": list(grant.purpose),
                "min_count": grant.min_count,
                "max_epsilon": grant.max_epsilon,
            }
            for party, grants in self.items()
            for grant in grants
            for column in grant.columns
            for way in grant.named(column)
        ]
        return pa.Table.from_pylist(rows, schema=_GRANTS)

    def _card(self) -> Card:
        parties: dict[str, list[str]] = {}  # by the grants, which owners would have to make them
        for party, grants in self.items():
            parties.setdefault("\n".join(map(str, grants)) or "nothing", []).append(party)
        facts = [(", ".join(named), text) for text, named in parties.items()]
        return Card(title="the smallest grants for this plan", facts=facts)


_GRANTS = pa.schema(
    [
        *((name, pa.string()) for name in ("party", "table", "column", "disclosure")),
        ("to", pa.list_(pa.string())),
        ("purpose", pa.list_(pa.string())),
        ("min_count", pa.int64()),
        ("max_epsilon", pa.float64()),
    ]
)


def suggest_grants(operation: Operation[Any]) -> Grants:
    """The smallest grants with which every party would allow a request, whatever they allow now."""
    request, needs = operation.request, operation.needs()
    suggested = {
        party: smallest_grants(needs.get(party, ()), to=request.caller, purpose=request.purpose)
        for party in request.parties
    }
    return Grants(suggested)
