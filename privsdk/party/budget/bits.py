"""How much of a column rounded figures have told: at most half of its entropy, over the lifetime of a ledger.

Exact sums with known coefficients solve for the values behind them once enough of them are out (Dinur, Nissim, PODS
2003). n values of a column of entropy H hold n H bits, and whoever knows all the rest of m figures of b bits each
learns m b of them at most: as long as m b <= n H / 2, no computation gives back more than half of what there is. It is
a bound on the whole column and on nobody's value: what minimum counts, the guard and noise are for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ...errors import DifferencingRefused
from ...errors.refusals import BitsExceeded
from ...governance.charges import Charge, ColumnBits, Debit

SHARE = 0.5


def check_bits(party: str, debit: Debit, charged: Iterable[Counter[Charge]], entropy: Mapping[str, float]) -> None:
    """Raise DifferencingRefused where with this debit more than `SHARE` of its column's entropy is charged."""
    new = debit.charge
    if not isinstance(new, ColumnBits):
        raise TypeError(f"{new} is no charge of bits")
    told = new.bits + sum(
        charge.bits * times
        for charges in charged
        for charge, times in charges.items()
        if isinstance(charge, ColumnBits) and charge.column == new.column
    )
    if told > SHARE * entropy[new.column]:
        raise DifferencingRefused(BitsExceeded(party=party, table=debit.table, column=new.column))
