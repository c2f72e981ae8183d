"""Every operation's example, run by its roles in one thread: who received what, and what each member brought."""

from __future__ import annotations

import runpy
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from harness import traces_of_key

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.errors import InvalidArgument
from privsdk.governance.members import Known, known_to, roles_with_caller
from privsdk.protocol.columns.arrow import taken
from privsdk.protocol.operation import Alignment, Operation, Outcome, Request, RoleInput, operation_of
from privsdk.protocol.services import Unguarded
from privsdk.testing import Members, SeededEntropy, Sent, together

PLANS = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "learns_table.py"))["plans"]
OUTSIDER = "analyst"
OWNERS = ("A", "B", "C")
ROWS, SHARED, PLANTED = 24, 12, 2
SESSION = b"a session's own 32 bytes........"
MINIMUM = 2  # count of units
MEMBERS = Members((*OWNERS, "K"))


def owned(place: int) -> pa.Table:
    """Rows of one owner: keys that all have, and its own; values that nobody else has."""
    rng = np.random.default_rng(place)
    shared = [f"shared-by-all-{n:06}" for n in range(SHARED)]
    own = [f"of-{OWNERS[place]}-alone-{n:06}" for n in range(ROWS - SHARED)]
    return pa.table(
        {
            "key": shared + own,
            "x": rng.uniform(10, 90, ROWS),
            "gaps": [None if n == 3 + place else float(value) for n, value in enumerate(rng.uniform(0, 1, ROWS))],
            "y": [n % 2 == 0 for n in range(ROWS)],
            "group": ["g", "h"] * (ROWS // 2),
        }
    )


TABLES = {name: {"t": owned(place)} for place, name in enumerate(OWNERS)}
TABLES["K"] = {"m": pa.table({"feature": ["x"], "weight": [0.3141592653589793]})}


@cache
def examples() -> dict[str, Request]:
    """A request of every registered operation, each kind of its runs, as the script of the documentation has them."""
    with ps.embedded(TABLES, store=None, quiet=True) as fed:
        return {call: plan.request for call, plan in [*PLANS(fed), *variants(fed)]}


def variants(fed: ps.Federation) -> Iterator[tuple[str, ps.Plan[Any]]]:
    """Runs by other protocols, or in which a party has one more role, than those of the documentation."""
    a, b, tables = fed["A"]["t"], fed["B"]["t"], fed.tables("t")
    model = fl.Logistic(features={"x": fl.Standardised(-1000, 1000)})
    yield "psi.join by kkrt", psi.join(a, b, on="key", protocol="kkrt")
    turns = {"A": [psi.key("key", "group"), psi.key("key")], "B": [psi.key("group", "key"), psi.key("key")]}
    unmatched = psi.join(a, b, on="key").release().value["A"].unmatched
    yield "aggregate of unmatched rows", unmatched.mean("x", by="group")
    joint = psi.join(a, b, on="key").release().value
    yield "joint.covariance, numbers missing", joint.covariance(["A.gaps", "B.gaps"])
    yield "joint.regression of three", psi.join(*tables, on="key").release().value.regression("A.x", ["B.x", "C.x"])
    yield "dp.count of unmatched rows", dp.count(joint["B"].unmatched, epsilon=0.5)
    yield "psi.join by two keys in turn", psi.join(a, b, on=turns)
    yield "psi.difference by kkrt", psi.difference(a, b, on="key", columns=["x"], protocol="kkrt")
    yield "psi.difference of all rows", psi.difference(a, b, on="key", columns=["key"])
    yield "he.sum of two", he.sum([a, b], "x", key_holder="K")
    yield "he.sum of one", he.sum([a], "x", key_holder="K")
    yield "he.sum by ckks", he.sum(tables, "x", preset="ckks", bound=1e4)
    yield "table.variance", a.variance("x", by="group")
    two = {"by": ["group", "y"], "keys": [("g", True), ("h", False)], "others": True}
    yield "he.mean by two columns, and others", he.mean(tables, "x", **two)
    yield "dp.count by two columns, and others", dp.count(tables, epsilon=0.5, **two)
    yield "he.mean of two columns", he.mean(tables, ["x", "y"])
    yield (
        "he.variance of two columns, by, masked",
        he.variance(tables, ["x", "y"], bound=100, by="group", keys=["g", "h"], aggregation="masked"),
    )
    yield "he.mean where", he.mean(tables, "x", where={"group": "g", "x": (0, 80)})
    yield "he.count by, where", he.count(tables, by="group", keys=["g", "h"], where={"x": (None, 80)})
    yield "he.score where", he.score(fed["K"]["m"], a, features={"x": 100}, weight_bound=1, where={"group": ["g"]})
    yield "he.histogram, masked", he.histogram(tables, "x", edges=[0, 10, 50], aggregation="masked")
    yield "dp.count of several, collusion 2", dp.count(tables, epsilon=0.5, collusion=2)
    yield "dp.sum of two", dp.sum([a, b], "x", bounds=(0, 100), epsilon=0.5)
    for mode in ("masked", "clear"):
        yield (
            f"fl.fit, {mode}, a client coordinates",
            fl.fit(model, tables, label="y", aggregation=mode, coordinator="B", class_weights="balanced", rounds=2),
        )
    yield (
        "fl.fit, clear, drawn",
        fl.fit(model, tables, label="y", aggregation="clear", coordinator="K", participation=0.6, fewest=1, rounds=3),
    )
    yield "fl.fit, FedBuff", fl.fit(model, tables, label="y", strategy=fl.FedBuff(), aggregation="clear", rounds=2)
    yield "fl.fit, Scaffold", fl.fit(model, tables, label="y", strategy=fl.Scaffold(), coordinator="K", rounds=2)
    yield (
        "fl.fit, party level, a client coordinates",
        fl.fit(
            fl.Logistic(features={"x": (0, 100)}),
            tables,
            label="y",
            coordinator="A",
            privacy=fl.PartyLevel(clip=1.0, noise_multiplier=1.0),
            rounds=2,
        ),
    )


def asked_by(request: Request, caller: str) -> Operation[Any] | None:
    """The operation where this caller asks; None where it may not."""
    try:
        return operation_of(msgspec.structs.replace(request, caller=caller))
    except InvalidArgument:
        return None


def planted(party: str) -> list[bytes]:
    """Forms in which values that this party alone has might be sent."""
    ((_, table),) = TABLES[party].items()
    column = table["weight" if party == "K" else "x"].to_pylist()[:PLANTED]
    found = [form for value in column for form in (struct.pack("<d", value), struct.pack(">d", value))]
    found += [repr(value).encode() for value in column]
    keys = table["key"].to_pylist()[-PLANTED:] if "key" in table.column_names else []
    return found + [trace for key in keys for trace in traces_of_key(key.encode())]


class Ran(NamedTuple):
    """One run of an operation: what went from party to party, and each party's answer to the caller."""

    operation: Operation[Any]
    transcript: tuple[Sent, ...]
    outcomes: Mapping[str, Outcome]

    @property
    def members(self) -> dict[str, Any]:
        """Every member with its roles."""
        return roles_with_caller(self.operation.roles(), self.operation.request.caller)

    def known_to(self, *names: str) -> Known:
        return known_to(names, self.operation.learns(), self.members)

    def received(self, *names: str) -> list[Sent]:
        """Messages that reached these members from others."""
        return [sent for sent in self.transcript if sent.receiver in names and sent.sender not in names]

    def answered(self, *names: str) -> Iterator[tuple[str, str, Any]]:
        """Fields of the answers that reached these members from others: of whom, name, value."""
        if self.operation.request.caller not in names:
            return
        for party, outcome in self.outcomes.items():
            if party not in names:
                yield from ((party, name, value) for name, value in outcome.value.items())
                if outcome.table is not None:
                    yield party, "table", outcome.table


@cache
def ran(call: str, caller: str) -> Ran | None:
    """None where this caller may not ask."""
    operation = asked_by(examples()[call], caller)
    if operation is None:
        return None
    operands = operation.request.operands
    aligned = joined(all_three="C" in operands) if any(o.alignment for o in operands.values()) else {}
    transcript: list[Sent] = []
    outcomes = together(
        {p: operation.role(given(operation, p, aligned)) for p in operation.request.parties}, transcript
    )
    return Ran(operation, tuple(transcript), outcomes)


def given(operation: Operation[Any], party: str, aligned: Mapping[str, Alignment]) -> RoleInput:
    """What the party's gate would hand its role."""
    request = operation.request
    operand, table, keys = request.operands.get(party), None, None
    if operand is not None:
        table = TABLES[party][operand.table].select(list(operand.columns))
        if operand.alignment:
            side = aligned[party].unmatched() if operand.unmatched else aligned[party]
            table, keys = taken(table, side.rows), side.keys
    return RoleInput(
        request=request,
        party=party,
        session=SESSION,
        table=table,
        keys=keys,
        min_count=MINIMUM,
        entropy=SeededEntropy(party.encode()),
        services=Unguarded(identity=MEMBERS.of(party)),
        joint=SESSION if aligned else b"",
    )


@cache
def joined(*, all_three: bool) -> Mapping[str, Alignment]:
    """The sides of a join of A's and B's tables, or with C's."""
    found = ran("psi.join of three or more" if all_three else "psi.join", OUTSIDER)
    assert found is not None
    return {party: outcome.keep for party, outcome in found.outcomes.items() if outcome.keep is not None}


def runs() -> Iterator[tuple[str, str, Ran]]:
    """Every example by every caller who may ask it."""
    for call, request in examples().items():
        for caller in (OUTSIDER, *request.parties):
            if (found := ran(call, caller)) is not None:
                yield call, caller, found
