"""Two parties with their gates at hand, for tests of what a gate says to calls that a federation would not make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from privsdk import psi
from privsdk.client.federation import Federation
from privsdk.client.tables import new_request
from privsdk.deploy.open import WORKSHOP_POLICY
from privsdk.governance.charges import Budget
from privsdk.party.budget.books import Books
from privsdk.party.gate import Gate
from privsdk.party.tables import Store
from privsdk.protocol import control
from privsdk.protocol.operation import Operand, Request
from privsdk.protocol.timeouts import Limits, Timeouts
from privsdk.psi.joint import Joint
from privsdk.transport.local import LocalNetwork


class House:
    """The parties north and south, each with a table t in a file and u in memory, and a federation over them."""

    def __init__(self, folder: Path, limits: Limits, timeouts: Timeouts) -> None:
        ids = pa.table({"id": [f"k{n}" for n in range(30)], "x": list(range(30))})
        self.files = {name: folder / f"{name}.parquet" for name in ("north", "south")}
        self.network = LocalNetwork("ann")
        self.gates: dict[str, Gate] = {}
        for name, file in self.files.items():
            pq.write_table(ids, file)
            books = Books(name, None, budgets={"*": Budget(exact=100)}, datasets={"t": "t", "u": "u"})
            store = Store(name, {"t": file, "u": ids})
            self.gates[name] = Gate(
                name,
                store=store,
                policy=WORKSHOP_POLICY,
                books=books,
                dial=self.dialler(name),
                limits=limits,
                timeouts=timeouts,
                members=lambda: self.files,
            )
            self.network.add(name, self.gates[name])
        self.fed = Federation(self.network, caller="ann", purpose="study", close=lambda: None)

    def dialler(self, name: str) -> Any:
        return lambda peer, hello: self.network.dial(name, peer, hello)

    def ask(self, call: control.Call, *, caller: str = "ann", party: str = "south") -> Any:
        return self.gates[party].handle(caller, call)

    def spent(self, table: str = "t") -> int:
        return next(b.exact_spent for b in self.fed.budgets()["south"] if b.dataset == table)

    def join(self) -> Joint:
        joint: Joint = psi.join(self.fed["north"]["t"], self.fed["south"]["t"], on="id").release().value
        return joint

    def request(self) -> Request:
        """A join of both parties."""
        operand = Operand(table="t", columns=("id",))
        parties = ("north", "south")
        return new_request(
            self.fed,
            "psi.join",
            parties=parties,
            operands=dict.fromkeys(parties, operand),
            parameters={"protocol": "ddh", "keys": {party: {"columns": ["id"]} for party in parties}},
        )

    def start(self, request: Request, nonces: dict[str, str]) -> control.Start:
        """A start with every party's true head."""
        heads = {party: self.gates[party]._books.head() for party in request.parties}
        return control.Start(run_id=request.run_id, nonces=nonces, heads=heads)

    def close(self) -> None:
        self.fed.close()
        for gate in self.gates.values():
            gate.close()


def prepare(request: Request) -> control.Prepare:
    return control.Prepare(request=request)
