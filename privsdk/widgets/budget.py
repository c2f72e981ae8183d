"""The budget view: what is spent, reserved and left of every dataset, what you spent it on, and what it still covers.

Shows what the parties' ledgers say; decides nothing. Forecasts are the parties' own quotes: a remainder is never
divided by a price.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from ..client.budgets import price_text
from ..client.federation import Federation
from ..client.plan import Plan
from ..client.preview import Preview
from ..client.results import Result
from ..display.cards import Card, Grid
from ..errors import InvalidArgument, PrivsdkError
from ..governance.chain import Head
from ..governance.charges import MOST_QUERIES
from ..protocol.control import Description
from .facts import Json
from .follower import EVENTS
from .spending import spending
from .view import FederationView, module

EMBEDDED = "these parties share your process, so nothing here proves anything against the laptop's owner"


def budgets(
    fed: Federation, *, plan: Plan[Any] | Sequence[Plan[Any]] | None = None, result: Result[Any] | None = None
) -> BudgetView:
    """See what is spent and left of every dataset's budget, and what you spent.

    Parameters
    ----------
    fed : Federation
    plan : Plan, or several, optional
        What to forecast: how many more such requests every dataset covers. As `price()` of the view.
    result : Result, optional
        Whose receipt to check. As `check()` of the view.

    Examples
    --------
    >>> view = widgets.budgets(fed, plan=dp.count(fed["north"]["people"], epsilon=0.1))
    """
    view = BudgetView(fed)
    try:
        if plan is not None:
            view.price(*([plan] if isinstance(plan, Plan) else plan))
        if result is not None:
            view.check(result)
    except BaseException:  # whatever it was goes on; no view stays open that nobody was given
        view.close()
        raise
    return view


class BudgetView(FederationView):
    """Budgets of all parties, kept fresh when runs end."""

    _esm = module("budget")

    _parties: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _spending: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _most = traitlets.Int(EVENTS).tag(sync=True)
    _forecast = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    _receipt = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    _embedded = traitlets.Bool().tag(sync=True)

    def __init__(self, fed: Federation) -> None:
        self._plans: tuple[Plan[Any], ...] = ()
        self._forecasting = threading.Lock()
        super().__init__(fed)

    def price(self, *plans: Plan[Any]) -> None:
        """Forecast how many more of these, made together, every dataset covers; without any, forecast nothing.

        The parties are asked now, and again whenever balances change. Nothing is spent.
        """
        if not all(isinstance(plan, Plan) for plan in plans):
            raise InvalidArgument(
                "a forecast is of plans", hint='such as view.price(dp.count(fed["a"]["t"], epsilon=0.1))'
            )
        if any(plan._runner is not self._fed for plan in plans):
            raise InvalidArgument("the plan is of another federation", hint="make it from this federation's tables")
        forecast = self._quoted(plans)
        self._plans = plans
        self._put(_forecast=forecast)

    def check(self, result: Result[Any]) -> None:
        """Check a result's receipt: the signatures, and that the keys are those which the parties show now."""
        if not isinstance(result, Result):
            raise InvalidArgument(f"a result was expected, not a {type(result).__name__}", hint="plan.release()")
        heads = check_heads(result.receipt.heads, tuple(result.spent), self._fed.describe())
        self._put(_receipt={"run": result.receipt.run_id, "operation": result.operation, "heads": heads})

    def _traits_for(self, facts: Json) -> dict[str, Any]:
        parties = [
            {name: party[name] for name in ("name", "title", "reachable", "balances")} for party in facts["parties"]
        ]
        if self._plans and parties != self._parties and not facts["closed"]:
            threading.Thread(target=self._forecast_again, name="privsdk-forecast", daemon=True).start()
        return {
            "_parties": parties,
            "_embedded": facts["embedded"],
            "_spending": spending(facts["events"]),
        }

    def _forecast_again(self) -> None:
        with self._forecasting:  # one after the other, so that the last to ask is the last to be shown
            plans = self._plans
            try:
                forecast = self._quoted(plans)
            except PrivsdkError:  # a party is gone: the last forecast stays until it is back
                return
            if plans == self._plans:
                self._put(_forecast=forecast)

    def _quoted(self, plans: Sequence[Plan[Any]]) -> Json | None:
        """What the budgets still cover of some plans.

        `left` is how often, from now, or -1 where a party refuses; `at_least` says that it is more, further than
        parties look. `by` has for "party/dataset" how often, and the epsilon and exact disclosures that one more takes.
        """
        if not plans:
            return None
        preview = Preview(plans, self._fed.quote([plan.request for plan in plans]))
        left = preview.queries_left
        return {
            "what": " and ".join(dict.fromkeys(plan.request.operation for plan in plans)),
            "price": "\n".join(price_text(plan.price) for plan in plans),
            "left": -1 if left is None else left,
            "at_least": left is not None and left >= MOST_QUERIES,
            "by": {
                f"{party}/{quote.now.dataset}": (
                    quote.queries_left,
                    max(0.0, quote.after.epsilon_spent - quote.now.epsilon_spent),
                    quote.after.exact_spent - quote.now.exact_spent,
                )
                for party, quotes in preview.datasets.items()
                for quote in quotes
            },
            "refused": {
                party: quote.message for party, quote in preview.quotes.items() if isinstance(quote, PrivsdkError)
            },
        }

    def _card(self) -> Card:
        rows = []
        for party in self._parties:
            if not party["reachable"]:
                rows.append((party["name"], "cannot be reached", "-", "-", ""))
            for b in party["balances"]:
                frozen = f"frozen: {b['frozen']}" if b["frozen"] else ""
                rows.append((party["name"], b["dataset"], b["epsilon"]["text"], b["exact"]["text"], frozen))
        header = ("party", "dataset", "epsilon left", "exact disclosures left", "")
        facts = []
        if forecast := self._forecast:
            least = "at least " if forecast["at_least"] else ""
            refused = "\n".join(f"refused by {party}: {why}" for party, why in forecast["refused"].items())
            facts.append(("at this price", refused or f"{least}{forecast['left']:,} more {forecast['what']}"))
        if receipt := self._receipt:
            lines = [f"{head['party']}: {head['state']}, {head['why']}" for head in receipt["heads"]]
            lines += [EMBEDDED] if self._embedded else []
            facts.append((f"receipt of {receipt['run']}", "\n".join(lines)))
        grids = [("for the lifetime of each ledger", Grid(header=header, rows=rows))]
        if self._spending:
            spent = [
                (s["at"][:16].replace("T", " "), s["operation"], "\n".join(s["charged"]), s["state"])
                for s in self._spending[:10]
            ]
            grids.append(("what you spent, latest first", Grid(header=("when, UTC", "for", "what", ""), rows=spent)))
        ended = ": its federation is closed" if self._ended else ""
        return Card(title=f"budgets{ended}", facts=facts, grids=grids)


def check_heads(heads: Mapping[str, Head], paying: Sequence[str], described: Mapping[str, Description]) -> list[Json]:
    """Each party's word in a receipt against its signature, and its key against the one that the party shows now.

    Its `state` is "verified", "claimed" or "invalid".
    """
    found = []
    for party, head in heads.items():
        if not head.is_signed():
            state, why = "invalid", "the signature does not fit: this is not what the party signed"
        elif party not in described:
            state, why = "claimed", "signed, but the party cannot be reached to see whether the key is its own"
        elif described[party].head.public_key != head.public_key:
            state, why = "claimed", "signed with another key than the party shows now: ask its owner why"
        else:
            state, why = "verified", "signed with the key that the party shows"
        found.append({"party": party, "state": state, "why": why, "rows": head.rows, "hash": head.hash[:16]})
    nothing = {"state": "claimed", "why": "gave no signed audit head", "rows": 0, "hash": ""}
    return [*found, *({"party": party, **nothing} for party in paying if party not in heads)]
