"""States of the party picker and the budget view, as their Python sides make them from parties' replies."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

import privsdk as ps
from privsdk.widgets import picker
from privsdk.widgets.facts import of_party
from privsdk.widgets.view import FederationView

ROWS = 60
COLUMNS: dict[str, Any] = {
    "id": [f"k{n}" for n in range(ROWS)],
    "age": list(range(ROWS)),
    "income": [n * 100.0 for n in range(ROWS)],
    "region": [("coast", "hills", "plain")[n % 3] for n in range(ROWS)],
    "diagnosis": [n % 7 for n in range(ROWS)],
}
OPEN = (
    "join key", "group key", "aggregate", "training feature", "training label", "DP release",
)  # fmt: skip
GRANTS = (
    ps.Grant(table="people", columns={"id": "join key", "age": OPEN, "rows": "aggregate"}, max_epsilon=0.5),
    ps.Grant(table="people", columns={"income": OPEN, "region": ("group key",)}, max_epsilon=0.25),
    ps.Grant(table="people", columns={"diagnosis": ("HE operand", "DP release")}, purpose=("study",), max_epsilon=0.1),
    ps.Grant(table="visits", columns={"id": "join key", "cost": ("aggregate", "HE operand")}),
)
POLICY = ps.Policy(operations=("*",), grants=GRANTS, min_parties=2)
STRICT = ps.Policy(operations=("psi.join", "aggregate"), grants=GRANTS[:1], min_parties=3)
LIMITS = (ps.Limit(analyst="*", days=30, epsilon=0.5), ps.Limit(purpose="workshop", exact=20))


def clinics(**replaced: Any) -> ps.Federation:
    """Three clinics, one of them stricter and with a second table, and a keeper."""
    table = pa.table(COLUMNS)
    visits = pa.table({"id": COLUMNS["id"], "cost": COLUMNS["income"], "note": COLUMNS["region"]})
    tables: dict[str, Any] = {
        "north": {"people": table},
        "south": {"people": table.drop_columns(["diagnosis"]), "visits": visits},
        "east": {"people": table},
        "keeper": {},
    }
    budget = ps.Budget(epsilon=1.0, exact=40, limits=LIMITS)
    options: dict[str, Any] = {
        "store": None,
        "quiet": True,
        "policy": {"north": POLICY, "south": POLICY, "east": STRICT, "keeper": POLICY},
        "budget": budget,
    }
    return ps.embedded(tables, **{**options, **replaced})


def state_of(view: FederationView) -> dict[str, Any]:
    """The view's state as a browser gets it; closes the view."""
    state = {name: value for name, value in view.get_state().items() if name not in _COMMON}
    view.close()
    sent: dict[str, Any] = json.loads(json.dumps(state))
    return sent


_COMMON = (
    "layout",
    "tabbable",
    "tooltip",
    "_esm",
    "_css",
    "_anywidget_id",
    *(f"_{k}_{n}" for k in ("model", "view") for n in ("name", "module", "module_version")),
    "_dom_classes",
    "_view_count",
)


def picking(fed: ps.Federation, **choice: Any) -> dict[str, Any]:
    """The state of a picker with this choice."""
    view = picker(fed)
    for name, value in choice.items():
        setattr(view, name, value)
    return state_of(view)


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    """A state in which this party cannot be reached."""
    parties = [party if party["name"] != name else _gone(party) for party in state["_parties"]]
    return {**state, "_parties": parties}


def _gone(party: dict[str, Any]) -> dict[str, Any]:
    empty = of_party(party["name"], None, "")
    return {
        **{name: value for name, value in empty.items() if name in party},
        **{n: {} for n in ("frozen", "used_up") if n in party},
    }
