"""What a view shows of a plan before its release, as JSON: from the parties' replies, the request's own records and a
mock table, never from a party's rows.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from ..client.budgets import price_text
from ..client.plan import Plan
from ..client.preview import Preview, outcomes_by_group
from ..client.results import learns_grid
from ..display.cards import cell, grouped
from ..errors import PrivsdkError, Refused
from ..governance.charges import MOST_QUERIES
from ..protocol.control import DatasetQuote
from ..protocol.operation import operation_of
from .facts import Json, of_balance

MOST_GROUPS = 12  # of a mock table that are drawn
STEPS = 60  # of a slider, from its least to its most

Make = Callable[[float], Plan[Any]]


def choices(bounds: tuple[float, float]) -> tuple[float, ...]:
    """A slider's values: even on a logarithmic scale, in two digits, without repeats."""
    low, high = bounds
    ratio = high / low
    between = (low * ratio ** (step / (STEPS - 1)) for step in range(STEPS))
    rounded = (float(f"{value:.1e}") for value in between)
    return tuple(sorted({low, high, *(value for value in rounded if low < value < high)}))


def of_preview(plan: Plan[Any], preview: Preview, *, epsilon: float | None, largest: float | None) -> Json:
    """A plan before its release. `plan` is its request's id, `spends` says in one phrase what a release costs whom."""
    quotes = [(party, quote) for party, datasets in preview.datasets.items() for quote in datasets]
    refused = {party: quote for party, quote in preview.quotes.items() if isinstance(quote, Refused)}
    expected = dict(preview.expected)
    left = preview.queries_left
    return {
        "plan": plan.request.run_id,
        "operation": plan.request.operation,
        "epsilon": epsilon,
        "allowed": preview.allowed,
        "refusals": tuple({"party": p, "message": e.message, "hint": e.hint} for p, e in refused.items()),
        "largest": largest,
        "expected": preview.expected,
        "notes": tuple(note for note in plan.notes if note[0] not in expected),
        "price": price_text(plan.price),
        "spends": spends(plan, quotes),
        "queries": "" if left is None else _often(left),
        "charged": tuple(_charged(party, quote) for party, quote in quotes),
        "learns": tuple({"who": who, "what": what} for who, what in learns_grid(plan.learns).rows),
        "simulated": None if preview.simulated is None else _simulated(preview.simulated),
    }


def of_failure(error: BaseException, *, epsilon: float | None) -> Json:
    """Why no plan could be made or no party asked; `plan` is "".

    Of an error of the notebook's own code only the kind is shown: what it says may quote a value.
    """
    failure, hint = type(error).__name__, "its .error holds it"
    if isinstance(error, PrivsdkError):
        party = f"{error.party}: " if error.party and not error.names_party else ""
        failure, hint = f"{party}{error.message}", error.hint
    return {"plan": "", "operation": "", "epsilon": epsilon, "failure": failure, "hint": hint}


def spends(plan: Plan[Any], quotes: Sequence[tuple[str, DatasetQuote]]) -> str:
    """What a release costs whom, in one phrase, such as "epsilon 0.2 at JFK and LGA"."""
    parties = [party for party, _ in quotes]
    names = (party if parties.count(party) == 1 else f"{party}/{quote.now.dataset}" for party, quote in quotes)
    payers = grouped((_price(quote), name) for name, (_, quote) in zip(names, quotes, strict=True) if _price(quote))
    most = "up to " if operation_of(plan.request).by_rounds else ""
    return "; ".join(f"{most}{price} at {_listed(names)}" for price, names in payers.items()) or "nothing"


def _price(quote: DatasetQuote) -> str:
    exact = quote.after.exact_spent - quote.now.exact_spent
    parts = [f"epsilon {quote.epsilon:.3g}"] if quote.epsilon > 0 else []
    parts += [f"{exact:,} exact disclosure{'s' * (exact > 1)}"] if exact else []
    return " and ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _often(times: int) -> str:
    return f"at least {times:,}" if times >= MOST_QUERIES else f"{times:,}" if times else "none"


def _charged(party: str, quote: DatasetQuote) -> Json:
    """What a release would do to a dataset: its price, what is left now and after, how often it could be asked, how
    sure an attacker can be after it and after all ever charged; "" where a figure means nothing."""
    now, after = (of_balance(party, balance) for balance in (quote.now, quote.after))
    private, exact = quote.epsilon > 0, quote.after.exact_spent > quote.now.exact_spent
    currencies = ["epsilon"] * private + ["exact"] * exact
    by_this, by_all = quote.certainty
    return {
        "party": party,
        "dataset": quote.now.dataset,
        "id": quote.now.budget.unit.id,
        "price": _price(quote) or "nothing",
        "now": "\n".join(f"{name} {now[name]['text']}" for name in currencies),
        "after": "\n".join(f"{name} {after[name]['text']}" for name in currencies),
        "limits": tuple(
            (limit["text"], ", ".join(f"{name} {limit[name]}" for name in ("epsilon", "exact") if limit[name]))
            for limit in after["limits"]
        ),
        "queries": _often(quote.queries_left),
        "certainty": f"{by_this:.1%}" if private else "",
        "lifetime": f"{by_all:.1%}" if private else "",
        "short": quote.short,
    }


def _simulated(table: pa.Table) -> Json:
    """By group or bin of the mock table: the true figure and the outcomes, of those that are drawn."""
    statistic, _, found = outcomes_by_group(table)
    groups = tuple(
        {
            "name": " to ".join(map(cell, key)),
            "true": None if true is None or not math.isfinite(true) else float(true),
            "outcomes": tuple(float(outcome) for outcome in outcomes if math.isfinite(outcome)),
        }
        for key, (true, outcomes) in list(found.items())[:MOST_GROUPS]
    )
    return {"statistic": statistic, "groups": groups, "more": max(0, len(found) - MOST_GROUPS)}


def largest_allowed(make: Make, values: Sequence[float]) -> float | None:
    """The largest of these epsilons, the least first, that all parties would allow; None where they allow none."""
    refused = bisect_left(values, True, key=lambda epsilon: not make(epsilon).preview().allowed)
    return values[refused - 1] if refused else None
