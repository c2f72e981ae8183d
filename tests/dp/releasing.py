"""One dp release through its operation's role, without a federation."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from privsdk.dp.verbs import ReleaseParameters
from privsdk.operations import Operand, Request, RoleInput, operation_named
from privsdk.testing import SeededEntropy, Sent, together

PARAMETERS: dict[str, dict[str, Any]] = {
    "count": {"epsilon": 0.5},
    "sum": {"epsilon": 1.0, "column": "x", "bounds": (-2.0, 3.0), "resolution": 0.25},
}


def request_for(statistic: str, **parameters: Any) -> Request:
    defaults = {"epsilon": 0.5, "column": None, "bounds": None, "resolution": 1.0, "by": None, "keys": None}
    parameters = defaults | parameters
    columns = tuple(dict.fromkeys(c for c in (parameters["column"], parameters["by"]) if c is not None))
    return Request(
        run_id="r",
        operation=f"dp.{statistic}",
        caller="analyst",
        purpose="test",
        parties=("north",),
        operands={"north": Operand(table="t", columns=columns)},
        parameters=parameters,
    )


def release(
    table: pa.Table, statistic: str, transcript: list[Sent] | None = None, **parameters: Any
) -> tuple[pa.Table, ReleaseParameters]:
    operation, request = operation_named(f"dp.{statistic}"), request_for(statistic, **parameters)
    parsed = operation.parse(request)
    mine = RoleInput(
        request=request,
        party="north",
        session=b"",
        table=table.select(request.operands["north"].columns) if request.operands["north"].columns else table,
        keys=None,
        min_count=0,
        entropy=SeededEntropy(b""),
    )
    return together({"north": operation.role(mine, parsed)}, transcript)["north"].table, parsed
