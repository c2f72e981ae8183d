"""A federation at work, to be killed at a fail point; what it hands to its caller is first written down."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.plan import Plan
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.errors import Refused
from privsdk.governance.charges import Budget, Debit
from privsdk.governance.events import Entry
from privsdk.governance.policy import Disclosure, Grant, Policy
from privsdk.party.budget import books
from privsdk.party.ledger.ledger import Ledger

HOLDERS = ("north", "south", "east")
KEEPER = "keeper"
_EAST = {"x": (Disclosure.HE_OPERAND, Disclosure.TRAINING_FEATURE), "z": (Disclosure.TRAINING_LABEL,)}
EAST = Policy(operations=("*",), grants=(Grant(table="t", columns=_EAST),), min_parties=2)


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """One answer as its caller got it."""

    run_id: str
    operation: str
    spent: dict[str, tuple[Debit, ...]]


class LateLedger(Ledger):
    """Wrong on purpose: means to write its charges when it is closed, which a killed process never does."""

    def _charge(self, run_id: str, charges: Sequence[Entry]) -> None:
        pass


def open_federation(store: Path) -> ps.Federation:
    def table(first: int) -> pa.Table:
        return pa.table(
            {"id": [f"k{first + n}" for n in range(60)], "x": list(range(60)), "y": [1.5] * 60, "z": [0, 1] * 30}
        )

    tables = {name: {"t": table(10 * n)} for n, name in enumerate(HOLDERS)}
    policy = dict.fromkeys((*HOLDERS, KEEPER), WORKSHOP_POLICY) | {"east": EAST}
    budget = Budget(epsilon=50, exact=1000)
    return ps.embedded({**tables, KEEPER: {}}, store=store, policy=policy, budget=budget, quiet=True)


def work(fed: ps.Federation, store: Path, log: Path, holder: str, n: int) -> None:
    """Every kind of call that touches the books: answered, refused, and refused by one party of several."""

    def release(plan: Plan[Any]) -> Any:
        result = plan.release()
        released = Released(run_id=plan.request.run_id, operation=result.operation, spent=dict(result.spent))
        with log.open("ab") as file:
            file.write(msgspec.json.encode(released) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return result.value

    def is_refused(plan: Plan[Any]) -> None:
        try:
            plan.release()
        except Refused:
            return
        raise AssertionError("it should have been refused")

    tables = fed.tables("t")
    release(dp.count(fed[holder]["t"], epsilon=0.25))
    is_refused(dp.count(fed["east"]["t"], epsilon=0.25))
    is_refused(he.sum(tables, "y"))  # east refuses; the others have reserved and give it back
    release(he.sum(tables, "x"))
    joint = release(psi.join(fed["north"]["t"], fed["south"]["t"], on="id"))
    release(joint["south"].count())
    model = fl.Logistic(features={"x": (0, 60)})
    release(fl.fit(model, tables, label="z", rounds=4, coordinator=KEEPER, name=f"{os.getpid()}-{n}"))
    with ps.Owner(store / f"{holder}.sqlite") as owner:
        owner.freeze("t", reason="a question")
        is_refused(dp.count(fed[holder]["t"], epsilon=0.25))
        owner.unfreeze("t", reason="answered")


def work_rounds(folder: Path, rounds: int, late: bool) -> None:
    """Over the store of a folder; `late` puts a ledger in place that charges when it is closed."""
    if late:
        books.Ledger = LateLedger  # type: ignore[misc]
    store = folder / "store"
    with open_federation(store) as federation:
        for n in range(rounds):
            work(federation, store, folder / "log", HOLDERS[n % 2], n)
