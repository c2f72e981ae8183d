"""The aggregate's roles by hand: one party over a table of its own, or two over the sides of a join."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from privsdk.protocol.columns.predicates import Name, canonical
from privsdk.protocol.operation import Operand, Outcome, Request, RoleInput, operation_of
from privsdk.protocol.services import UNGUARDED, Services
from privsdk.testing import SeededEntropy, Sent, together

JOINT = b"the session of a join"


def name_of(column: str) -> Name:
    party, dot, rest = column.partition(".")
    return Name(party=party, column=rest) if dot else Name(party="bank", column=column)


def request_for(
    statistic: str,
    column: str | None = None,
    by: str | list[str] | None = None,
    where: Mapping[str, Any] | None = None,
    *,
    joint: bool = True,
    **changes: Any,
) -> Request:
    """The bank's question; columns of the shop are "shop.column"."""
    parameters = {
        "statistic": statistic,
        "party": "bank",
        "column": column,
        "by": msgspec.to_builtins([name_of(each) for each in by] if isinstance(by, list) else by and name_of(by)),
        "where": msgspec.to_builtins(canonical(where, name_of)),
    }
    grouping = by if isinstance(by, list) else [by]
    names = [name_of(name) for name in (column, *grouping, *(where or {})) if name is not None]
    parties = tuple(sorted({"bank"} | {name.party for name in names}))
    operands = {
        party: Operand(
            table="t",
            columns=tuple(dict.fromkeys(name.column for name in names if name.party == party)),
            alignment="joint" if joint else "",
        )
        for party in parties
    }
    fields: dict[str, Any] = {
        "run_id": "r",
        "operation": "aggregate",
        "caller": "analyst",
        "purpose": "test",
        "parties": parties,
        "operands": operands,
        "parameters": parameters,
    }
    return Request(**fields | changes)


def given(
    party: str,
    request: Request,
    table: pa.Table,
    keys: list[int] | None,
    *,
    min_count: int = 2,
    joint: bytes = JOINT,
    services: Services = UNGUARDED,
) -> RoleInput:
    return RoleInput(
        request=request,
        party=party,
        session=b"",
        table=table.select(request.operands[party].columns),
        keys=None if keys is None else np.array(keys, dtype=np.int64),
        min_count=min_count,
        entropy=SeededEntropy(b""),
        joint=b"" if keys is None else joint,
        services=services,
    )


def play(request: Request, *inputs: RoleInput, transcript: list[Sent] | None = None) -> dict[str, Outcome]:
    """Every party's part."""
    operation = operation_of(request)
    return together({mine.party: operation.role(mine) for mine in inputs}, transcript)


def aggregate(
    table: pa.Table,
    keys: list[int] | None,
    statistic: str,
    column: str | None = None,
    by: str | list[str] | None = None,
    where: Mapping[str, Any] | None = None,
    **options: Any,
) -> pa.Table:
    """The bank's answer over one table of its own."""
    request = request_for(statistic, column, by, where, joint=keys is not None)
    return play(request, given("bank", request, table, keys, **options))["bank"].table


def labelled(
    bank: tuple[pa.Table, list[int]],
    shop: tuple[pa.Table, list[int]],
    statistic: str,
    column: str | None = None,
    by: str | list[str] | None = None,
    where: Mapping[str, Any] | None = None,
    *,
    transcript: list[Sent] | None = None,
    **options: Any,
) -> pa.Table:
    """The bank's answer over its side of a join with the shop."""
    request = request_for(statistic, column, by, where)
    sides = given("bank", request, *bank, **options), given("shop", request, *shop, **options)
    return play(request, *sides, transcript=transcript)["bank"].table
