"""What requests would leave of budgets, without reserving anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ...errors import BudgetExceeded
from ...governance.charges import Charge
from ...governance.prices import Figures
from ...protocol import control
from .caps import Accounts, Asking

ByDataset = Mapping[str, Counter[Charge]]


def quoted(
    accounts: Accounts,
    asking: Asking,
    prices: Sequence[ByDataset],
    starts: Sequence[ByDataset],
    exact: Sequence[Figures | None],
) -> control.Quoted:
    """Of each dataset what all requests together would leave; raises BudgetExceeded where not even what each needs to
    start is covered. `exact` is what they tell."""
    quotes, single = list[control.DatasetQuote](), exact[0] if len(exact) == 1 else None
    for dataset in dict.fromkeys(dataset for price in prices for dataset in price):
        each = [price.get(dataset, Counter()) for price in prices]
        caps, together = accounts.of(dataset, asking), sum(each, start=Counter[Charge]())
        short = fitting = ""
        try:
            caps.check_all(each, single)
        except BudgetExceeded as error:
            caps.check_all([price.get(dataset, Counter()) for price in starts], single)
            short, fitting = error.message, error.hint
        quotes.append(
            control.DatasetQuote(
                epsilon=caps.price(together),
                now=caps.balance(),
                after=caps.balance(together),
                queries_left=caps.queries_left(together, sized=True),
                short=short,
                fitting=fitting,
            )
        )
    return control.Quoted(datasets=tuple(quotes))
