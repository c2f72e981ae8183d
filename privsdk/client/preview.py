"""Previews: what a plan, or several together, would cost, how wrong the answer would be, and what would be left.

All of it comes from the parties' replies and from public or mock data; nothing is spent and no row is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from ..display.cards import MOST_ROWS, Card, Displayed, Grid, cell, grouped
from ..display.curves import curves
from ..display.svg import Picture
from ..display.tabular import Tabular
from ..display.titles import Titles
from ..errors import InvalidArgument, Refused
from ..governance.charges import MOST_QUERIES, Balance
from ..protocol.control import DatasetQuote, Quoted
from ..protocol.operation import Request
from .budgets import Budgets, Price, limit_meters, meters, price_text
from .results import Learned, learns_grid

SIMULATIONS = 20
FACTORS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the epsilon asked for: where the error is drawn


class Outlook(Protocol):
    """What can be said of a noisy answer before it is given."""

    def half_width(self, rows: int) -> float:
        """Half of the 95% interval for a group of so many values, in the answer's unit."""

    @property
    def epsilon(self) -> float:
        """What the answer costs."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of values for which errors are stated; a single one where the error is the same for all."""

    def at(self, epsilon: float) -> Outlook:
        """Of the same question for another epsilon."""

    def expected(self, mock: pa.Table | None) -> tuple[tuple[str, str], ...]:
        """Labelled errors at 95%, in the answer's unit: overall, and for the smallest group of a mock table."""

    def simulate(self, mock: pa.Table, times: int) -> pa.Table:
        """So many answers over a public or mock table, each with its true one."""


class TrainingForecast(Protocol):
    """What a private training would cost if it were longer or shorter, with more or less noise."""

    def table(self, delta: float) -> pa.Table:
        """Such trainings, and a bound on the epsilon of each at this delta."""

    def grid(self, delta: float) -> Grid:
        """The same, to look at."""


class Planned(Protocol):
    """What a preview needs of a plan."""

    @property
    def titles(self) -> Titles:
        """What its parties call themselves."""

    request: Request
    price: Price
    learns: Learned
    notes: tuple[tuple[str, str], ...]
    outlook: Outlook | None
    forecast: TrainingForecast | None


class Preview(Displayed, Tabular):
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
        self._outlook = outlook = plans[0].outlook if len(plans) == 1 else None
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

    @property
    def forecast(self) -> pa.Table | None:
        """What a private training would cost with other rounds, noise or sampling, at the smallest delta of the
        datasets."""
        known, delta = self.plans[0].forecast, self._delta
        return None if known is None or delta is None or len(self.plans) > 1 else known.table(delta)

    @property
    def picture(self) -> Picture | None:
        """The error against epsilon, where this question is, and from where on the budgets do not cover it."""
        outlook = self._outlook
        if outlook is None:
            return None
        epsilons = [factor * outlook.epsilon for factor in FACTORS]
        lines: dict[str, list[tuple[float, float | None]]] = {}
        for size in outlook.sizes:
            halves = [outlook.at(epsilon).half_width(size) for epsilon in epsilons]
            name = f"over {size:,} values" if len(outlook.sizes) > 1 else "half-width"
            lines[name] = [(e, half if half > 0 else None) for e, half in zip(epsilons, halves, strict=True)]
        described = [
            f"{name}: {', '.join(f'{half or 0:.3g} at {epsilon:.3g}' for epsilon, half in line)}"
            for name, line in lines.items()
        ]
        described.append(f"this question asks for epsilon {outlook.epsilon:g}")
        left = [
            each
            for party, datasets in self.datasets.items()
            for quote in datasets
            for each in _epsilons_left(party, quote)
        ]
        end = None
        if left:
            least, where = min(left)
            described[-1] += f"; {where} has {least:.3g} left"
            end = (least, f"more than the {least:.3g} left") if least > 0 else None
        return curves(
            "half of the 95% interval against epsilon (logarithmic axes)",
            lines,
            description="\n".join(described),
            x="epsilon",
            y="half-width",
            log=True,
            here=outlook.epsilon,
            end=end,
        )

    def to_arrow(self) -> pa.Table:
        """What each dataset and limit would have left after it, and how many such requests it covers from now."""
        often: list[int | None] = []
        for datasets in self.datasets.values():
            for dataset in datasets:
                often += [dataset.queries_left, *[None] * len(dataset.after.limits)]
        return Budgets(self.remaining).to_arrow().append_column("queries_left", pa.array(often, pa.int64()))

    @property
    def _delta(self) -> float | None:
        deltas = [d.now.budget.delta for datasets in self.datasets.values() for d in datasets]
        return min(deltas, default=None)

    def _asked(self) -> tuple[list[tuple[str, str]], list[tuple[str, Grid]]]:
        """Price and notes: as facts of a single plan, and as a table of several."""
        if len(self.plans) == 1:
            return [("price", price_text(self.plans[0].price)), *self.plans[0].notes], []
        rows = []
        for plan in self.plans:
            notes = "\n".join(f"{label}: {text}" for label, text in plan.notes) or "-"
            rows.append((plan.request.operation, price_text(plan.price), notes))
        return [], [("questions", Grid(header=("operation", "price", "to be known"), rows=rows))]

    def _card(self) -> Card:
        facts, grids = self._asked()
        if self.simulated is not None:  # what is expected on the mock says more than what is expected of any table
            known = {label for label, _ in self.expected}
            facts = [*self.expected, *((label, text) for label, text in facts if label not in known)]
        facts = [*self.plans[0].titles.facts(self.quotes), *facts]
        refused = {party: quote for party, quote in self.quotes.items() if isinstance(quote, Refused)}
        facts += [(f"{party} refuses", f"{quote.message}\n{quote.hint}".rstrip()) for party, quote in refused.items()]
        facts += _policy_facts(self.quotes)
        datasets = [(party, dataset) for party, quotes in self.datasets.items() for dataset in quotes]
        if short := [quote for _, quote in datasets if quote.short]:
            said = [f"{quote.short}: it goes on as far as that\n{quote.fitting}" for quote in short]
            facts.append(("may end early", "\n".join(said)))
        if private := [quote for _, quote in datasets if quote.epsilon > 0]:
            units = " or ".join(dict.fromkeys(quote.now.budget.unit.id or "row" for quote in private))
            belief = f"a belief of 50% that the data holds a certain {units}\n"
            facts.append(
                ("attacker", f"{belief}rises to what is stated below at most, but for a chance of about delta")
            )
        if datasets:
            grids.append(("budgets after it; each bar: what is left, then what this takes", _budget_grid(datasets)))
        if self.simulated is not None:
            grids.append((f"{SIMULATIONS} outcomes on the mock table", _summary(self.simulated)))
        for plan in self.plans:
            if plan.forecast is not None and self._delta is not None:
                grids.append((f"epsilon at delta {self._delta:g}, at most", plan.forecast.grid(self._delta)))
        grids.append(("will learn", learns_grid(*(plan.learns for plan in self.plans))))
        verdict = f"REFUSED by {', '.join(refused)}" if refused else "every party would allow it"
        names = ", ".join(dict.fromkeys(plan.request.operation for plan in self.plans))
        count = f"{len(self.plans)} questions together: " if len(self.plans) > 1 else ""
        picture = self.picture
        return Card(
            title=f"preview of {count}{names}: {verdict}; nothing spent",
            facts=facts,
            pictures=() if picture is None else (picture,),
            grids=tuple(grids),
        )


def _epsilons_left(party: str, quote: DatasetQuote) -> list[tuple[float, str]]:
    """What is left now of a dataset's cap and of each limit below it."""
    name, limits = f"{party}/{quote.now.dataset}", quote.now.limits
    under = [
        (max(0.0, each.limit.epsilon - each.epsilon_spent), f"{name} for {each.limit}")
        for each in limits
        if each.limit.epsilon is not None
    ]
    return [(quote.now.epsilon_left, name), *under]


def _policy_facts(quotes: Mapping[str, Quoted | Refused]) -> list[tuple[str, str]]:
    """What each policy allows it by; parties that allow it alike are listed once."""
    under = {
        party: [str(part) for d in quote.derivations for part in d.under]
        for party, quote in quotes.items()
        if isinstance(quote, Quoted)
    }
    alike = grouped(("\n".join(dict.fromkeys(parts)), party) for party, parts in under.items() if parts)
    return [(f"policy of {', '.join(parties)}", text) for text, parties in alike.items()]


def _budget_grid(quotes: Sequence[tuple[str, DatasetQuote]]) -> Grid:
    """What is left of each dataset's cap and limits, how often it could be asked, what an attacker could believe."""
    private = any(quote.epsilon > 0 for _, quote in quotes)
    header: tuple[str, ...] = ("dataset", "epsilon left", "exact left", "such requests\nfrom now")
    header += ("attacker\nafter this", "after all\never charged") if private else ()
    rows: list[tuple[str, ...]] = []
    for party, quote in quotes:
        least = "at least " if quote.queries_left >= MOST_QUERIES else ""
        row = [f"{party}/{quote.after.dataset}", *meters(quote.after, quote.now)]
        row.append(f"{least}{quote.queries_left:,}" if quote.queries_left else "none")
        if private:
            row += [f"{certainty:.1%}" for certainty in quote.certainty]
        rows.append(tuple(row))
        before = {under.limit: under for under in quote.now.limits}
        for under in quote.after.limits:
            left = limit_meters(under, before.get(under.limit))
            rows.append((f"  {under.limit}", *left, *[""] * (len(header) - 3)))
    return Grid(header=header, rows=rows)


Groups = dict[tuple[Any, ...], tuple[Any, list[float]]]


def outcomes_by_group(simulated: pa.Table) -> tuple[str, list[str], Groups]:
    """The statistic that `Outlook.simulate` gave, the columns that name a group or bin, and of each the true value on
    the mock table with the outcomes."""
    names = simulated.column_names
    own = names[names.index("low") - 1]
    keys = names[1 : names.index(own)]
    groups: Groups = {}
    for row in simulated.to_pylist():
        _, outcomes = groups.setdefault(tuple(row[name] for name in keys), (row["true"], []))
        outcomes += [] if row[own] is None else [row[own]]
    return own, keys, groups


def _summary(simulated: pa.Table) -> Grid:
    """Of each group or bin: the mock's true value, and the least, middle and largest outcome."""
    own, keys, groups = outcomes_by_group(simulated)
    rows = []
    for key, (true, unsorted) in groups.items():
        outcomes = sorted(unsorted)
        shown = (outcomes[0], outcomes[len(outcomes) // 2], outcomes[-1]) if outcomes else (None,) * 3
        rows.append(tuple(map(cell, (*key, true, *shown))))
    most = [(f"... {len(rows) - MOST_ROWS:,} more", *[""] * (len(keys) + 3))] if len(rows) > MOST_ROWS else []
    return Grid(header=(*keys, f"true {own}", "least", "middle", "largest"), rows=[*rows[:MOST_ROWS], *most])
