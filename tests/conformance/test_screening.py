"""An operation that tells exact figures and does not ask the guard is refused by the party, whatever it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk.client.plan import Plan
from privsdk.client.tables import new_request, runner_of
from privsdk.errors import InternalError
from privsdk.governance.charges import Charge, DiscreteLaplace
from privsdk.governance.learns import Learns
from privsdk.governance.policy import Disclosure, Need
from privsdk.governance.prices import Figures, told
from privsdk.protocol import operation
from privsdk.protocol.operation import Operation, Outcome, RoleInput
from privsdk.protocol.roles import Role, checkpoint
from privsdk.protocol.services import RowSet

NAME = "rows.count"


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


class CountRows(Operation[Nothing]):
    """The number of a table's rows. Whether it asks the guard, and what it says of itself, is up to the test."""

    parameters_type = Nothing
    asks: ClassVar[bool] = False
    disclosure: ClassVar[Disclosure] = Disclosure.AGGREGATE
    noise: ClassVar[bool] = False

    def check(self) -> None:
        """Any request."""

    def fits(self, party: str, schema: pa.Schema) -> None:
        """Any columns."""

    def needs(self) -> Mapping[str, tuple[Need, ...]]:
        return {
            party: (Need(table=operand.table, column="x", disclosure=self.disclosure),)
            for party, operand in self.request.operands.items()
        }

    def figures(self) -> Mapping[str, Figures]:
        return {} if self.noise else {party: Figures(what=NAME, told=(told(1),)) for party in self.request.operands}

    def noisy(self) -> Mapping[str, tuple[Charge, ...]]:
        charge = DiscreteLaplace(scale=100.0, sensitivity=1.0)
        return dict.fromkeys(self.request.operands, (charge,)) if self.noise else {}

    def learns(self) -> tuple[Learns, ...]:
        return ()

    def contributors(self) -> tuple[str, ...]:
        return ()

    def role(self, given: RoleInput) -> Role[Outcome]:
        yield from checkpoint("counting", 0, 1)
        rows = np.arange(given.table.num_rows)
        if self.asks:
            given.services.screen([RowSet(rows=rows, measure="count", figures=(len(rows),))], given.min_count)
        return Outcome(value={"rows": len(rows)})


def ask(monkeypatch: pytest.MonkeyPatch, **declared: Any) -> int:
    kind = type("Kind", (CountRows,), declared)
    monkeypatch.setitem(operation._OPERATIONS, NAME, kind)
    use = tuple(Disclosure)
    policy = ps.Policy(operations=(NAME,), grants=(ps.Grant(table="t", columns={"x": use}, max_epsilon=1.0),))
    with ps.embedded({"bank": {"t": pa.table({"x": list(range(40))})}}, store=None, policy=policy, quiet=True) as fed:
        table = fed["bank"]["t"]
        request = new_request(
            runner_of(table), NAME, parties=("bank",), operands={"bank": table.operand("x")}, parameters={}
        )
        found = Plan(runner_of(table), request, lambda answers: answers["bank"].value["rows"]).release()
        return int(found.value)


@pytest.mark.claim("operations: one that tells exact figures and does not ask the guard is refused")
def test_an_operation_that_forgets_the_guard_is_refused(monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    for disclosure in (each for each in Disclosure if each.counted and not each.pooled):
        with pytest.raises(InternalError, match=r"did not ask services\.screen"):
            ask(monkeypatch, disclosure=disclosure)
        assert ask(monkeypatch, disclosure=disclosure, asks=True) == 40
        cases(2)
    assert ask(monkeypatch, disclosure=Disclosure.MODEL_WEIGHT) == 40  # its figures are not of its rows
    assert ask(monkeypatch, disclosure=Disclosure.AGGREGATE, noise=True) == 40  # priced as noise
    cases(2)
