"""A run as plain JSON values: how far it is, where each party is, what is left of the budgets it draws on, its end.

The keys are those that the pages read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from ..client.plan import Run
from ..client.progress import Live, Whereabouts, ended_with
from ..display.cards import Card
from ..errors import PrivsdkError
from ..governance.charges import Exact
from ..protocol.control import Description, ProgressReport
from ..protocol.operation import operation_named
from .facts import Json, of_balance

MOST_POINTS = 200  # of a run's curve
ASKED = Whereabouts(state="asked")  # of a party that has not begun


def of_run(live: Live) -> Json:
    """A run of this notebook's.

    `began` is in seconds since the epoch; `phases` and `latest` are by party. `stops` says that it can end early with
    its result so far, `stopping` that it was asked to.
    """
    request, whereabouts = live.request, live.whereabouts
    return {
        "id": request.run_id,
        "operation": request.operation,
        "purpose": request.purpose,
        "parties": request.parties,
        "state": live.state,
        "why": live.why,
        "began": live.began,
        "seconds": live.seconds,
        "phases": live.phases,
        "latest": {party: _point(report) for party, report in live.latest.items()},
        "curve": tuple(map(_point, thinned(live.curve))),
        "stops": operation_named(request.operation).stops,
        "stopping": live.stopping.is_set(),
        "where": tuple(
            {"party": party, **msgspec.to_builtins(whereabouts.get(party, ASKED))} for party in request.parties
        ),
    }


def thinned(reports: tuple[ProgressReport, ...]) -> tuple[ProgressReport, ...]:
    """At most `MOST_POINTS` of them, always with the last and the first two: the second has the first figures.

    Of those between every second, fourth, eighth ... is kept: most stay the same when another is added.
    """
    step = 1
    while len(reports) > step * (MOST_POINTS - 2):
        step *= 2
    return reports if step == 1 else (reports[0], *reports[1:-1:step], reports[-1])


def _point(report: ProgressReport) -> Json:
    plain: Json = msgspec.to_builtins(report)
    return {"sent": plain.pop("bytes_sent"), "received": plain.pop("bytes_received"), **plain}


def followed(run: Run[Any], left: tuple[Json, ...]) -> Json:
    """A run as its own view shows it, with its failure or its result's card when it has ended.

    It has ended when its result is made of the parties' answers; for the federation it did before, with the answers.
    """
    over, error = run.done(), run.error
    result = run.result() if over and error is None else None
    seconds = run.progress.seconds if over else max(0.0, time.time() - run.began)
    ended = {
        "state": run.state,
        "why": "" if error is None else ended_with(error)[1],
        "seconds": seconds if result is None else result.seconds,
    }
    return {
        "run": of_run(run.progress) | ended,
        "awaited": run.progress.awaited and not over,
        "stopped": "" if result is None else str(getattr(result.value, "ended", "")),
        "left": left,
        "failure": None if error is None else _failure(error),
        "result": None if result is None else of_card(result._card()),
    }


def left_of_budgets(run: Run[Any], described: Mapping[str, Description]) -> tuple[Json, ...]:
    """What each dataset that the run is charged to has left, of the currency that it is charged in."""
    left: dict[tuple[str, str, str], Json] = {}
    for party in run.plan.price.keys() & described.keys():
        datasets = {table.name: table.dataset for table in described[party].tables}
        balances = {balance.dataset: balance for balance in described[party].balances}
        for debit in run.plan.price[party]:
            balance = balances.get(datasets.get(debit.table, ""))
            if balance is None:
                continue
            currency = "exact" if isinstance(debit.charge, Exact) else "epsilon"
            meter = of_balance(party, balance)[currency]
            left[party, balance.dataset, currency] = {
                "party": party,
                "dataset": balance.dataset,
                "currency": currency,
                **{name: meter[name] for name in ("left", "cap", "text")},
            }
    return tuple(left[key] for key in sorted(left))


def _failure(error: BaseException) -> Json:
    """Whose error it is and in which phase, where they are known, and what to do."""
    if not isinstance(error, PrivsdkError):  # of the notebook's own code: what it says may quote a value
        return {"message": type(error).__name__, "hint": "run.error holds it", "party": "", "phase": ""}
    return {"message": error.message, "hint": error.hint, "party": error.party, "phase": error.phase}


def of_card(card: Card) -> Json:
    """A card without its pictures."""
    plain: Json = {"title": card.title, "facts": tuple(map(tuple, card.facts))}
    for name, grids in (("answers", card.answers), ("grids", card.grids)):
        plain[name] = tuple({"caption": caption, **msgspec.to_builtins(grid)} for caption, grid in grids)
    return plain
