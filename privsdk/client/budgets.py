"""Balances of datasets as a table to look at, with a bar for each currency, and as an Arrow table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..display.cards import Card, Displayed, Grid, without_empty
from ..display.svg import Gauge
from ..display.tabular import Tabular
from ..governance.charges import Balance, LimitBalance


class Budgets(Displayed, Tabular, dict[str, tuple[Balance, ...]]):
    """Balances by party."""

    def to_arrow(self) -> pa.Table:
        """A row for each dataset, where `limit` is null, and one for each limit below its cap."""
        return balances_table(self)

    def _card(self) -> Card:
        grid = balances_grid(self)
        if not grid.rows:
            return Card(title="budgets: no party holds a dataset")
        caption = "for the lifetime of each ledger, unless a limit says days"
        return Card(title="budgets", facts=balance_facts(self), grids=((caption, grid),))


HEADER = ("dataset", "epsilon left", "exact disclosures left")


def balances_grid(balances: Mapping[str, Sequence[Balance]]) -> Grid:
    """By party and dataset what is left; limits below each; further columns where they say something."""
    held = [(party, balance) for party, each in balances.items() for balance in each]
    rows: list[tuple[str, ...]] = []
    for party, balance in held:
        rows.append((f"{party}/{balance.dataset}" if party else balance.dataset, *meters(balance), status(balance)))
        rows += [(f"  {under.limit}", *limit_meters(under), "") for under in balance.limits]
    return without_empty(Grid(header=(*HEADER, "state"), rows=rows))


def balance_facts(balances: Mapping[str, Sequence[Balance]]) -> list[tuple[str, str]]:
    """At which delta epsilon is counted and what it protects: in one line where that is the same everywhere."""
    held = [(f"{party}/{b.dataset}" if party else b.dataset, b) for party, each in balances.items() for b in each]
    if not held:
        return []
    facts = []
    for label, lines in (
        ("epsilon is counted at", [(name, f"delta {b.budget.delta:g}") for name, b in held]),
        ("protects", [(name, b.budget.unit.protected) for name, b in held]),
    ):
        whose: dict[str, list[str]] = {}
        for name, text in lines:
            whose.setdefault(text, []).append(name)
        if len(whose) == 1:
            facts.append((label, next(iter(whose))))
        else:
            facts.append((label, "\n".join(f"{text}: {', '.join(names)}" for text, names in whose.items())))
    return facts


def meters(balance: Balance, before: Balance | None = None) -> tuple[Gauge, Gauge]:
    """What is left of both currencies; with what was left before, where a question would take some of it."""
    now, cap = before or balance, balance.budget
    taken = now.epsilon_left - balance.epsilon_left, now.exact_left - balance.exact_left
    epsilon = f"{balance.epsilon_left:.3g} of {cap.epsilon:g}"
    exact = f"{balance.exact_left:,} of {cap.exact:,}"
    return (
        Gauge(epsilon, left=_share(balance.epsilon_left, cap.epsilon), taken=_share(taken[0], cap.epsilon)),
        Gauge(exact, left=_share(balance.exact_left, cap.exact), taken=_share(taken[1], cap.exact)),
    )


def limit_meters(under: LimitBalance, before: LimitBalance | None = None) -> tuple[str, str]:
    """The same of a limit; "" for a currency that it does not limit."""
    limit, now = under.limit, before or under
    epsilon: str = under.epsilon_left
    if limit.epsilon is not None:
        left, taken = limit.epsilon - under.epsilon_spent, under.epsilon_spent - now.epsilon_spent
        epsilon = Gauge(epsilon, left=_share(left, limit.epsilon), taken=_share(taken, limit.epsilon))
    exact: str = under.exact_left
    if limit.exact is not None:
        left, taken = limit.exact - under.exact_spent, under.exact_spent - now.exact_spent
        exact = Gauge(exact, left=_share(left, limit.exact), taken=_share(taken, limit.exact))
    return epsilon, exact


def status(balance: Balance) -> str:
    """What else must be known: frozen, runs under way, more spent in its lifetime than counts now."""
    notes = [f"FROZEN by its owner: {balance.frozen}"] if balance.frozen else []
    if balance.reserved:
        notes.append(f"{balance.reserved} run{'s' * (balance.reserved > 1)} under way")
    ever = balance.epsilon_lifetime, balance.exact_lifetime
    if ever != (balance.epsilon_spent, balance.exact_spent) or any(each.limit.days for each in balance.limits):
        notes.append(f"ever spent: epsilon {ever[0]:.3g}, {ever[1]:,} exact")
    return "\n".join(notes)


def balances_table(balances: Mapping[str, Sequence[Balance]]) -> pa.Table:
    """A row for each dataset, where `limit` is null, and one for each limit below it."""
    rows = []
    for party, each in balances.items():
        for b in each:
            named = {"party": party, "dataset": b.dataset, "delta": b.budget.delta}
            rows.append(
                {
                    **named,
                    "epsilon": b.budget.epsilon,
                    "epsilon_spent": b.epsilon_spent,
                    "epsilon_left": b.epsilon_left,
                    "exact": b.budget.exact,
                    "exact_spent": b.exact_spent,
                    "exact_left": b.exact_left,
                    "epsilon_lifetime": b.epsilon_lifetime,
                    "exact_lifetime": b.exact_lifetime,
                    "reserved": b.reserved,
                    "frozen": b.frozen or None,
                }
            )
            rows += [{**named, **_limit_row(under)} for under in b.limits]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _limit_row(under: LimitBalance) -> dict[str, object]:
    limit = under.limit
    row: dict[str, object] = {"limit": str(limit)}
    if limit.epsilon is not None:
        left = max(0.0, limit.epsilon - under.epsilon_spent)
        row |= {"epsilon": limit.epsilon, "epsilon_spent": under.epsilon_spent, "epsilon_left": left}
    if limit.exact is not None:
        row |= {"exact": limit.exact, "exact_spent": under.exact_spent}
        row["exact_left"] = max(0, limit.exact - under.exact_spent)
    return row


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


SCHEMA = pa.schema(
    [
        ("party", pa.string()),
        ("dataset", pa.string()),
        ("limit", pa.string()),
        ("delta", pa.float64()),
        *((name, pa.float64()) for name in ("epsilon", "epsilon_spent", "epsilon_left")),
        *((name, pa.int64()) for name in ("exact", "exact_spent", "exact_left")),
        ("epsilon_lifetime", pa.float64()),
        ("exact_lifetime", pa.int64()),
        ("reserved", pa.int64()),
        ("frozen", pa.string()),
    ]
)
