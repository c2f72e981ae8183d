"""A federation as plain JSON values, for widgets and the panel: from the parties' replies, never from their rows.

The keys are those that the pages read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..client.budgets import meters
from ..client.federation import Federation
from ..governance.charges import Balance, LimitBalance
from ..governance.policy import ANY, ROWS, Disclosure, Policy
from ..protocol.control import AuditLog, Description
from ..transport.local import LocalNetwork

Json = dict[str, Any]


def of_federation(fed: Federation, described: Mapping[str, Description], logs: Mapping[str, AuditLog]) -> Json:
    """All but its runs. A party that is missing in `described` cannot be reached: it has a name and nothing else.

    `number` tells the federation from others of the process; it is `embedded` where its parties live in this process.
    """
    return {
        "number": fed.number,
        "caller": fed.caller,
        "purpose": fed.purpose,
        "embedded": isinstance(fed._link, LocalNetwork),
        "closed": False,
        "parties": tuple(
            of_party(name, described.get(name), fed.purpose, fed.titles.of(name)) for name in fed._link.parties()
        ),
        "events": events(logs),
    }


def of_party(name: str, described: Description | None, purpose: str, title: str = "") -> Json:
    if described is None:
        nothing = {"tables": (), "operations": (), "min_parties": 0, "running": 0, "ledger": "", "balances": ()}
        return {"name": name, "title": title, "reachable": False, **nothing}
    units = {balance.dataset: balance.budget.unit for balance in described.balances}
    return {
        "name": name,
        "title": title,
        "reachable": True,
        "tables": tuple(
            {
                "name": table.name,
                "dataset": table.dataset,
                "unit": str(units.get(table.dataset, table.unit)),
                "rows": _column(described.policy, purpose, table.name, ROWS, ""),
                "columns": tuple(_column(described.policy, purpose, table.name, c.name, c.type) for c in table.columns),
            }
            for table in described.tables
        ),
        "operations": described.operations,
        "min_parties": described.policy.min_parties,
        "running": described.running,
        "ledger": described.ledger,
        "balances": tuple(of_balance(name, balance) for balance in described.balances),
    }


def _column(policy: Policy, purpose: str, table: str, column: str, type_: str) -> Json:
    """A column and the disclosures of it that grants permit this caller.

    `permits` are those for the federation's purpose, `elsewhere` those for other purposes only; `max_epsilon` is the
    largest of a single DP release. A table's rows themselves are a column named "rows" of no type.
    """
    permitted = [(grant, grant.permits(table, column)) for grant in policy.grants]
    here = [(grant, ways) for grant, ways in permitted if ANY in grant.purpose or purpose in grant.purpose]
    now = frozenset[Disclosure]().union(*(ways for _, ways in here))
    ever = frozenset[Disclosure]().union(*(ways for _, ways in permitted))
    return {
        "name": column,
        "type": type_,
        "permits": tuple(way.value for way in Disclosure if way in now),
        "elsewhere": tuple(way.value for way in Disclosure if way in ever - now),
        "max_epsilon": max((grant.max_epsilon for grant, ways in here if Disclosure.DP_RELEASE in ways), default=0.0),
    }


def of_balance(party: str, balance: Balance) -> Json:
    """A dataset's budget by currency; `text` is what is left, as a person reads it.

    `spent` holds what is reserved by runs that have not ended; by itself that amounts to at most `reserved`.
    """
    budget = balance.budget
    epsilon, exact = map(str, meters(balance))
    return {
        "party": party,
        "dataset": balance.dataset,
        "unit": str(budget.unit),
        "delta": budget.delta,
        "epsilon": {
            "cap": budget.epsilon,
            "spent": balance.epsilon_spent,
            "reserved": min(balance.epsilon_reserved, balance.epsilon_spent),
            "left": balance.epsilon_left,
            "lifetime": balance.epsilon_lifetime,
            "text": epsilon,
        },
        "exact": {
            "cap": budget.exact,
            "spent": balance.exact_spent,
            "reserved": balance.exact_reserved,
            "left": balance.exact_left,
            "lifetime": balance.exact_lifetime,
            "text": exact,
        },
        "reserved": balance.reserved,
        "frozen": balance.frozen,
        "limits": tuple(map(_limit, balance.limits)),
    }


def _limit(under: LimitBalance) -> Json:
    """What a limit below the cap leaves of each currency: "", and a share spent of -1, for one that it leaves free."""
    return {
        "text": str(under.limit),
        "epsilon": under.epsilon_left,
        "exact": under.exact_left,
        "epsilon_share": _share(under.epsilon_spent, under.limit.epsilon),
        "exact_share": _share(under.exact_spent, under.limit.exact),
    }


def _share(spent: float, bound: float | None) -> float:
    if bound is None:
        return -1.0
    return min(1.0, spent / bound) if bound else 1.0


def events(logs: Mapping[str, AuditLog]) -> tuple[Json, ...]:
    """The audit rows about the caller's requests at all parties, the latest first."""
    found = ({"party": party, **msgspec.to_builtins(row)} for party, log in logs.items() for row in log.rows)
    return tuple(sorted(found, key=lambda event: str(event["at"]), reverse=True))
