"""Print the tables of who learns what, from the records that the operations themselves declare.

Not a description of its own: every cell is what a plan shows before a run and what the audit records after it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.results import Learned
from privsdk.display.cards import grouped
from privsdk.errors import InvalidArgument
from privsdk.governance.learns import Caller, Coalition, Eavesdropper, Parties
from privsdk.protocol.operation import operation_names, operation_of

ROLES_HEADER = ("calls", "who plays", "knows beside what these learn")
HEADER = ("call", "the parties", "the caller", "an eavesdropper", "who must not collude")
CONTRIBUTORS = ("A", "B", "C")
PARTY = fl.PartyLevel(clip=1.0, noise_multiplier=1.0)
RECORD = fl.RecordLevel(clip=1.0, noise_multiplier=1.0, sampling_rate=0.25)


def plans(fed: ps.Federation) -> list[tuple[str, ps.Plan[Any]]]:
    """One small plan for each operation, with the call as it is written in a notebook."""
    a, b = fed["A"]["t"], fed["B"]["t"]
    join = psi.join(a, b, on="key")
    joint = join.release().value
    where = {"B.y": 1, "x": (0, 50)}
    trained = {"model": fl.Logistic(features={"x": (0, 100)}), "tables": fed.tables("t"), "label": "y"}
    fit = partial(fl.fit, **trained, rounds=2)
    crossed = fl.cross_validate(**trained, folds=2, grid={"rounds": [1, 2]}, coordinator="K")
    return [
        ("psi.join", join),
        ("psi.join of three or more", psi.join(a, b, fed["C"]["t"], on="key")),
        ("psi.difference", psi.difference(a, b, on="key", columns=["key", "x"], where={"y": 1})),
        ("psi.cardinality", psi.cardinality(a, b, on="key")),
        ("table.count, .sum, .mean", a.mean("x", by="group")),
        ("table.min, .max", a.min("x", where={"group": ["g", "h"]})),
        ("table.median, .quantile", a.median("x", by="group")),
        ("joint[A].count, .sum, .mean", joint["A"].mean("x", by="group")),
        ("joint.covariance, .correlation, .regression", joint.correlation(["A.x", "B.x"])),
        ("joint.crosstab", joint.crosstab("A.group", "B.y")),
        ("joint.means", joint.means("A.x", by="B.group")),
        ("joint[A].mean(by, where of B)", joint["A"].mean("x", by="B.group", where=where)),
        ("he.sum", he.sum(fed.tables("t"), "x")),
        ("he.mean", he.mean(fed.tables("t"), "x")),
        ("he.count", he.count(fed.tables("t"))),
        ("he.variance", he.variance(fed.tables("t"), "x")),
        ("he.covariance", he.covariance(fed.tables("t"), ["x", "y"])),
        ("he.correlation", he.correlation(fed.tables("t"), ["x", "y"])),
        ("he.histogram", he.histogram(fed.tables("t"), "x", edges=[0, 10, 20])),
        ("he.sum, masked, and all others", he.sum(fed.tables("t"), "x", aggregation="masked")),
        ("he.mean(by), and count, sum, variance", he.mean(fed.tables("t"), "x", by="group", keys=["g", "h"])),
        ("he.score", he.score(fed["K"]["m"], a, features={"x": 100}, weight_bound=1, label="y")),
        ("fl.fit", fit(coordinator="K")),
        ("fl.fit, encrypted", fit(aggregation="encrypted", coordinator="K")),
        ("fl.fit, all to all", fit(aggregation="all-to-all")),
        ("fl.fit, in the clear", fit(aggregation="clear", coordinator="K")),
        ("fl.fit, party level", fit(coordinator="K", privacy=PARTY)),
        ("fl.fit, record level", fit(coordinator="K", batch_size=5, privacy=RECORD)),
        ("fl.cross_validate", crossed),
        ("dp.count", dp.count(a, epsilon=0.5)),
        ("dp.sum", dp.sum(a, "x", bounds=(0, 100), epsilon=0.5)),
        ("dp.mean", dp.mean(a, "x", bounds=(0, 100), epsilon=0.5)),
        ("dp.variance", dp.variance(a, "x", bounds=(0, 100), epsilon=0.5)),
        ("dp.quantile, .median", dp.median(a, "x", bounds=(0, 100), epsilon=0.5)),
        ("dp.histogram", dp.histogram(a, "x", bounds=(0, 100), bins=10, epsilon=0.5)),
        ("dp.mean, and each other, of joint[A]", dp.mean(joint["A"], "x", bounds=(0, 100), epsilon=0.5)),
        ("dp.mean, and each other, of several", dp.mean(fed.tables("t"), "x", bounds=(0, 100), epsilon=0.5)),
    ]


def row(call: str, plan: ps.Plan[Any]) -> tuple[str, ...]:
    """The plan's records, sorted into the table's columns."""
    cells: dict[type, list[str]] = {Parties: [], Caller: [], Eavesdropper: [], Coalition: []}
    for item in plan.learns:
        named = isinstance(item.who, Parties | Coalition)
        cells[type(item.who)].append(str(item) if named else item.text)
    return (f"`{call}`", *("<br>".join(cell) or "-" for cell in cells.values()))


def derived(plan: ps.Plan[Any]) -> list[tuple[str, str]]:
    """What follows for whoever plays several roles, or brings something: the caller is an outsider, then each party."""
    rows = []
    for caller in ("analyst", *plan.request.parties):
        request = msgspec.structs.replace(plan.request, caller=caller)
        try:
            learned = Learned(operation_of(request).learns(), request)
        except InvalidArgument:  # what such a caller may not ask
            continue
        rows += [
            (", ".join(known.roles), "; ".join(map(str, known.derived))) for known in learned.members if known.derived
        ]
    return list(dict.fromkeys(rows))


def tables() -> tuple[str, str]:
    """Who learns what, and what follows from it in several roles, in Markdown."""
    rows = 20
    data = pa.table(
        {
            "key": list(range(rows)),
            "x": [float(i) for i in range(rows)],
            "y": [i % 2 == 0 for i in range(rows)],
            "group": ["g"] * rows,
        }
    )
    weights = pa.table({"feature": ["x"], "weight": [0.5]})
    held = {name: {"t": data} for name in CONTRIBUTORS} | {"K": {"m": weights}}
    with ps.embedded(held, store=None, quiet=True) as fed:
        found = plans(fed)
        told = {plan.request.operation for _, plan in found}
        if missing := sorted(set(operation_names()) - told):
            raise SystemExit(f"no plan for {', '.join(missing)}: add one to scripts/learns_table.py")
        learned = _markdown(HEADER, [row(call, plan) for call, plan in found])
        alike = grouped((each, f"`{call}`") for call, plan in found for each in derived(plan))
        return learned, _markdown(ROLES_HEADER, [(", ".join(calls), *each) for each, calls in alike.items()])


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ("---",) * len(header), *rows))


if __name__ == "__main__":
    print(*tables(), sep="\n\n")
