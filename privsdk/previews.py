"""Previews: what a plan, or several together, would cost, how wrong the answer would be, and what would be left.

All of it comes from the parties' replies and from public or mock data; nothing is spent and no row is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from .calls import DatasetQuote, Quoted
from .charges import MOST_QUERIES, Balance, Debit
from .displays import Card, Displayed, Grid, grid_of
from .errors import InvalidArgument, Refused
from .operations import Request, operation_named
from .privacy import Grant, Learns, smallest_grants

SIMULATIONS = 20


class Outlook(Protocol):
    """What can be said of a noisy answer before it is given."""

    def expected(self, mock: pa.Table | None) -> tuple[tuple[str, str], ...]:
        """Labelled errors at 95%, in the answer's unit: overall, and for the smallest group of a mock table."""

    def simulate(self, mock: pa.Table, times: int) -> pa.Table:
        """So many answers over a public or mock table, beside its true ones."""


class Planned(Protocol):
    """What a preview needs of a plan."""

    request: Request
    price: Mapping[str, tuple[Debit, ...]]
    learns: tuple[Learns, ...]
    notes: tuple[tuple[str, str], ...]
    outlook: Outlook | None


class Preview(Displayed):
    """One plan, or several priced together, with the parties' word on them.

    Attributes
    ----------
    quotes : mapping of party to Quoted or Refused
        Each party's balances before and after, how it came to allow it, and how many such requests it would cover; or
        why it would refuse.
    expected : tuple of (label, text)
        The errors to expect at 95%.
    simulated : Arrow table or None
        Outcomes on the mock table, where one was given.
    """

    def __init__(
        self, plans: Sequence[Planned], quotes: Mapping[str, Quoted | Refused], *, mock: pa.Table | None = None
    ) -> None:
        self.plans = tuple(plans)
        self.quotes = dict(quotes)
        outlook = plans[0].outlook if len(plans) == 1 else None
        if mock is not None and outlook is None:
            raise InvalidArgument(
                f"{', '.join(plan.request.operation for plan in plans)} cannot be simulated on a mock table",
                hint="mock= is for the preview of one dp release; leave it out",
            )
        self.expected = () if outlook is None else outlook.expected(mock)
        self.simulated = None if outlook is None or mock is None else outlook.simulate(mock, SIMULATIONS)

    @property
    def allowed(self) -> bool:
        """Whether every party would allow it now."""
        return not any(isinstance(quote, Refused) for quote in self.quotes.values())

    @property
    def datasets(self) -> dict[str, tuple[DatasetQuote, ...]]:
        """By party, the datasets that would be charged: before, after, and how many such requests are left."""
        return {party: quote.datasets for party, quote in self.quotes.items() if isinstance(quote, Quoted)}

    @property
    def remaining(self) -> dict[str, tuple[Balance, ...]]:
        """What each party's datasets would have left after the release."""
        return {party: tuple(d.after for d in datasets) for party, datasets in self.datasets.items()}

    @property
    def queries_left(self) -> int | None:
        """How many requests of this price in a row every dataset would cover from now; None where one would refuse."""
        left = [d.queries_left for datasets in self.datasets.values() for d in datasets]
        return min(left, default=None) if self.allowed else None

    def _card(self) -> Card:
        facts: list[tuple[str, str]] = []
        for plan in self.plans:
            name = plan.request.operation if len(self.plans) > 1 else ""
            facts += [(f"{name} {label}".strip(), text) for label, text in plan.notes]
            facts.append((f"{name} price".strip(), price_text(plan.price)))
        if self.simulated is not None:  # else it stands among the notes
            facts += self.expected
        for party, quote in self.quotes.items():
            if isinstance(quote, Refused):
                facts.append((f"{party} refuses", f"{quote.message}\n{quote.hint}"))
                continue
            for dataset in quote.datasets:
                facts += _dataset_facts(party, dataset)
            facts += [(f"{party}'s policy", str(derivation)) for derivation in quote.derivations]
        verdict = "every party would allow it" if self.allowed else "it would be refused"
        names = ", ".join(dict.fromkeys(plan.request.operation for plan in self.plans))
        count = f"{len(self.plans)} plans of " if len(self.plans) > 1 else ""
        learns = tuple(dict.fromkeys(item for plan in self.plans for item in plan.learns))
        grids = [("will learn", learns_grid(learns))]
        if self.simulated is not None:
            grids.append((f"{SIMULATIONS} outcomes on the mock table", grid_of(self.simulated)))
        return Card(title=f"preview of {count}{names}: {verdict}; nothing spent", facts=facts, grids=tuple(grids))


def _dataset_facts(party: str, quote: DatasetQuote) -> list[tuple[str, str]]:
    facts = [(f"{party} after", str(quote.after))]
    if quote.queries_left:
        least = "at least " if quote.queries_left >= MOST_QUERIES else ""
        facts.append(("", f"{least}{quote.queries_left:,} such requests in a row would be covered from now"))
    if quote.epsilon > 0:
        by_this, by_all = quote.certainty
        facts.append(
            (
                "attacker",
                f"50% sure of {quote.now.budget.unit} in {quote.now.dataset} before: "
                f"at most {by_this:.1%} after this,\n"
                f"{by_all:.1%} after all ever charged (but for a chance of {quote.now.budget.delta:g})",
            )
        )
    return facts


class Grants(Displayed, dict[str, tuple[Grant, ...]]):
    """By party, the grants that a plan needs of its owner, and nothing else."""

    def _card(self) -> Card:
        facts = [(party, "\n".join(map(str, grants)) or "nothing") for party, grants in self.items()]
        return Card(title="the smallest grants for this plan", facts=facts)


def suggest_grants(request: Request) -> Grants:
    """The smallest grants with which every party would allow a request, whatever they allow now."""
    operation = operation_named(request.operation)
    needs = operation.needs(request, operation.parse(request))
    suggested = {
        party: smallest_grants(needs.get(party, ()), to=request.caller, purpose=request.purpose)
        for party in request.parties
    }
    return Grants(suggested)


def price_text(price: Mapping[str, tuple[Debit, ...]]) -> str:
    """A price in one line for each party; parties that pay nothing are left out."""
    lines = [f"{party}/{d.table}: {d.charge}" for party, debits in price.items() for d in debits]
    return "\n".join(lines) or "nothing"


def learns_grid(learns: tuple[Learns, ...]) -> Grid:
    return Grid(header=("who", "what"), rows=[(item.who, item.what) for item in learns])
