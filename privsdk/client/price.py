"""Prices to look at: what each party's datasets are charged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from ..display.cards import Card, Displayed, Grid
from ..display.tabular import Tabular
from ..governance.charges import Debit


class Price(Displayed, Tabular, dict[str, tuple[Debit, ...]]):
    """By party, the debits of a plan, or what was paid for a result."""

    def to_arrow(self) -> pa.Table:
        """Columns party, table, charge in words, and how many times."""
        counted = [(party, *each) for party, debits in self.items() for each in _counted(debits)]
        names = ("party", "table", "charge", "times")
        rows = [dict(zip(names, row, strict=True)) for row in counted]
        types = (pa.string(), pa.string(), pa.string(), pa.int64())
        return pa.Table.from_pylist(rows, schema=pa.schema(list(zip(names, types, strict=True))))

    def _card(self) -> Card:
        rows = [
            (f"{party}/{table}", f"{f'{times} x ' if times > 1 else ''}{charge}")
            for party, debits in self.items()
            for table, charge, times in _counted(debits)
        ]
        if not rows:
            return Card(title="charges: none")
        return Card(title="charges", grids=(("by dataset", Grid(header=("dataset", "charge"), rows=rows)),))


def price_text(price: Mapping[str, tuple[Debit, ...]]) -> str:
    """A price in a line for each charge, with all that pay it; parties that pay nothing are left out."""
    payers: dict[str, list[str]] = {}
    for party, debits in price.items():
        for table, charge, times in _counted(debits):
            payers.setdefault(f"{f'{times} x ' if times > 1 else ''}{charge}", []).append(f"{party}/{table}")
    return "\n".join(f"{', '.join(each)}: {charge}" for charge, each in payers.items()) or "nothing"


def _counted(debits: tuple[Debit, ...]) -> list[tuple[str, str, int]]:
    """Table, charge and number of times, for each that differs."""
    return [(*each, times) for each, times in Counter((debit.table, str(debit.charge)) for debit in debits).items()]
