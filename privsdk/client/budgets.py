"""What plans take of owners and what is left: prices, grants and balances as tables to look at, and as Arrow tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..display.cards import Card, Displayed, Grid, grouped, without_empty
from ..display.svg import Gauge
from ..display.tabular import Tabular, table_of
from ..governance.charges import Balance, Debit, LimitBalance
from ..governance.policy import Grant


class Price(Displayed, Tabular, dict[str, tuple[Debit, ...]]):
    """By party, the debits of a plan, or what was paid for a result."""

    def to_arrow(self) -> pa.Table:
        """Columns party, table, charge in words, and how many times."""
        rows = [(party, *each) for party, debits in self.items() for each in _counted(debits)]
        return table_of({"party": pa.string(), "table": pa.string(), "charge": pa.string(), "times": pa.int64()}, rows)

    def _card(self) -> Card:
        rows = [(payer, charge) for payer, charge in _charges(self)]
        if not rows:
            return Card(title="charges: none")
        return Card(title="charges", grids=(("by dataset", Grid(header=("dataset", "charge"), rows=rows)),))


def price_text(price: Mapping[str, tuple[Debit, ...]]) -> str:
    """A price in a line for each charge, with all that pay it; parties that pay nothing are left out."""
    payers = grouped((charge, payer) for payer, charge in _charges(price))
    return "\n".join(f"{', '.join(each)}: {charge}" for charge, each in payers.items()) or "nothing"


def _charges(price: Mapping[str, tuple[Debit, ...]]) -> list[tuple[str, str]]:
    """Who pays, and what, with how many times."""
    return [
        (f"{party}/{table}", f"{f'{times} x ' if times > 1 else ''}{charge}")
        for party, debits in price.items()
        for table, charge, times in _counted(debits)
    ]


def _counted(debits: tuple[Debit, ...]) -> list[tuple[str, str, int]]:
    """Table, charge and number of times, for each that differs."""
    return [(*each, times) for each, times in Counter((debit.table, str(debit.charge)) for debit in debits).items()]


class Grants(Displayed, Tabular, dict[str, tuple[Grant, ...]]):
    """By party, the grants that a plan needs of its owner, and nothing else."""

    def to_arrow(self) -> pa.Table:
        """A row for each way in which a column would be used."""
        columns = {
            **dict.fromkeys(("party", "table", "column", "disclosure"), pa.string()),
            "to": pa.list_(pa.string()),
            "purpose": pa.list_(pa.string()),
            "min_count": pa.int64(),
            "max_epsilon": pa.float64(),
        }
        rows = [
            (party, grant.table, column, way.value, grant.to, grant.purpose, grant.min_count, grant.max_epsilon)
            for party, grants in self.items()
            for grant in grants
            for column in grant.columns
            for way in grant.named(column)
        ]
        return table_of(columns, rows)

    def _card(self) -> Card:
        alike = grouped(("\n".join(map(str, grants)) or "nothing", party) for party, grants in self.items())
        facts = [(", ".join(parties), text) for text, parties in alike.items()]
        return Card(title="the smallest grants for this plan", facts=facts)


class Budgets(Displayed, Tabular, dict[str, tuple[Balance, ...]]):
    """Balances by party."""

    def to_arrow(self) -> pa.Table:
        """A row for each dataset, where `limit` is null, and one for each limit below its cap."""
        rows = []
        for party, each in self.items():
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

    def _card(self) -> Card:
        grid = balances_grid(self)
        if not grid.rows:
            return Card(title="budgets: no party holds a dataset")
        caption = "for the lifetime of each ledger, unless a limit says days"
        return Card(title="budgets", facts=balance_facts(self), grids=((caption, grid),))


def balances_grid(balances: Mapping[str, Sequence[Balance]]) -> Grid:
    """By party and dataset what is left; limits below each; further columns where they say something."""
    rows: list[tuple[str, ...]] = []
    for name, balance in _named(balances):
        rows.append((name, *meters(balance), status(balance)))
        rows += [(f"  {under.limit}", *limit_meters(under), "") for under in balance.limits]
    return without_empty(Grid(header=("dataset", "epsilon left", "exact disclosures left", "state"), rows=rows))


def balance_facts(balances: Mapping[str, Sequence[Balance]]) -> list[tuple[str, str]]:
    """At which delta epsilon is counted and what it protects: in one line where that is the same everywhere."""
    held = _named(balances)
    facts = []
    for label, whose in (
        ("epsilon is counted at", grouped((f"delta {b.budget.delta:g}", name) for name, b in held)),
        ("protects", grouped((b.budget.unit.protected, name) for name, b in held)),
    ):
        lines = [text if len(whose) == 1 else f"{text}: {', '.join(names)}" for text, names in whose.items()]
        facts += [(label, "\n".join(lines))] if lines else []
    return facts


def _named(balances: Mapping[str, Sequence[Balance]]) -> list[tuple[str, Balance]]:
    """All balances, each with its dataset's name and its party's, where one is given."""
    return [(f"{party}/{b.dataset}" if party else b.dataset, b) for party, each in balances.items() for b in each]


def meters(balance: Balance, before: Balance | None = None) -> tuple[Gauge, Gauge]:
    """What is left of both currencies; with what was left before, where a question would take some of it."""
    now, cap = before or balance, balance.budget
    epsilon = f"{balance.epsilon_left:.3g} of {cap.epsilon:g}"
    exact = f"{balance.exact_left:,} of {cap.exact:,}"
    return (
        _gauge(epsilon, left=balance.epsilon_left, before=now.epsilon_left, whole=cap.epsilon),
        _gauge(exact, left=balance.exact_left, before=now.exact_left, whole=cap.exact),
    )


def limit_meters(under: LimitBalance, before: LimitBalance | None = None) -> tuple[str, str]:
    """The same of a limit; "" for a currency that it does not limit."""
    limit, now = under.limit, before or under
    epsilon, exact = under.epsilon_left, under.exact_left
    if (cap := limit.epsilon) is not None:
        epsilon = _gauge(epsilon, left=cap - under.epsilon_spent, before=cap - now.epsilon_spent, whole=cap)
    if (most := limit.exact) is not None:
        exact = _gauge(exact, left=most - under.exact_spent, before=most - now.exact_spent, whole=most)
    return epsilon, exact


def _gauge(text: str, *, left: float, before: float, whole: float) -> Gauge:
    return Gauge(text, left=left / whole, taken=(before - left) / whole) if whole > 0 else Gauge(text, left=0)


def status(balance: Balance) -> str:
    """What else must be known: frozen, runs under way, more spent in its lifetime than counts now."""
    notes = [f"FROZEN by its owner: {balance.frozen}"] if balance.frozen else []
    if balance.reserved:
        notes.append(f"{balance.reserved} run{'s' * (balance.reserved > 1)} under way")
    ever = balance.epsilon_lifetime, balance.exact_lifetime
    if ever != (balance.epsilon_spent, balance.exact_spent) or any(each.limit.days for each in balance.limits):
        notes.append(f"ever spent: epsilon {ever[0]:.3g}, {ever[1]:,} exact")
    return "\n".join(notes)


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
