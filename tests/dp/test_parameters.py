"""Arguments of dp releases that cannot be used are refused before anything is asked of a party."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from releasing import request_for

from privsdk import dp
from privsdk.calls import Column, TableInfo
from privsdk.errors import InvalidArgument, UnknownName
from privsdk.handles import Table
from privsdk.operations import Operand, Request, operation_named

COLUMNS = {"region": "string", "amount": "double", "items": "int64", "late": "bool"}


@pytest.fixture
def table() -> Table:
    info = TableInfo(
        name="sales", dataset="d", columns=tuple(Column(name=n, type=t, permits=()) for n, t in COLUMNS.items())
    )
    return Table(SimpleNamespace(caller="analyst", purpose="test", parties=("north",)), "north", info)


SUM = {"epsilon": 1.0, "bounds": (0, 10)}

UNUSABLE: dict[str, tuple[Callable[[Table], Any], str]] = {
    "no keys": (lambda t: dp.count(t, epsilon=1, by="region"), "groups of 'region' must be public"),
    "keys without by": (lambda t: dp.count(t, epsilon=1, keys=["a"]), "keys are given without by"),
    "empty keys": (lambda t: dp.count(t, epsilon=1, by="region", keys=[]), "0 keys"),
    "a key twice": (lambda t: dp.count(t, epsilon=1, by="region", keys=["a", "a"]), "2 keys"),
    "true and 1": (lambda t: dp.count(t, epsilon=1, by="items", keys=[True, 1]), "2 keys"),
    "mixed keys": (lambda t: dp.count(t, epsilon=1, by="items", keys=["a", 1]), "keys of different types"),
    "a float key": (lambda t: dp.count(t, epsilon=1, by="amount", keys=[0.5]), "neither text nor an integer"),
    "a huge key": (lambda t: dp.count(t, epsilon=1, by="items", keys=[2**63]), "no 64-bit integer column can hold"),
    "too many keys": (lambda t: dp.count(t, epsilon=1, by="items", keys=range(100_001)), "100001 keys"),
    "epsilon 0": (lambda t: dp.count(t, epsilon=0), "epsilon is 0"),
    "epsilon below 0": (lambda t: dp.count(t, epsilon=-1), "epsilon is -1"),
    "epsilon nan": (lambda t: dp.count(t, epsilon=float("nan")), "epsilon is nan"),
    "epsilon inf": (lambda t: dp.count(t, epsilon=float("inf")), "epsilon is inf"),
    "epsilon 101": (lambda t: dp.count(t, epsilon=101), "epsilon is 101"),
    "epsilon too small": (lambda t: dp.count(t, epsilon=1e-300), "asks for noise of 1e"),
    "bounds reversed": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=(5, 1)), r"bounds of \(5, 1\)"),
    "bounds equal": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=(1, 1)), r"bounds of \(1, 1\)"),
    "bounds of 0": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=(0, 0)), r"bounds of \(0, 0\)"),
    "bounds infinite": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=(0, float("inf"))), "bounds of"),
    "resolution too fine": (lambda t: dp.sum(t, "amount", resolution=1e-12, **SUM), "too fine"),
    "resolution too coarse": (lambda t: dp.sum(t, "amount", resolution=11.0, **SUM), "a resolution of 11"),
    "resolution 0": (lambda t: dp.sum(t, "amount", resolution=0.0, **SUM), "a resolution of 0"),
    "no table": (lambda t: dp.count("sales", epsilon=1), "takes one party's table, not a str"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_arguments_are_refused(what: str, table: Table) -> None:
    call, reason = UNUSABLE[what]
    with pytest.raises(InvalidArgument, match=reason):
        call(table)


def test_unknown_columns_are_named_with_the_nearest(table: Table) -> None:
    with pytest.raises(UnknownName, match="did you mean 'amount'"):
        dp.sum(table, "amout", **SUM)
    with pytest.raises(UnknownName, match="did you mean 'region'"):
        dp.count(table, epsilon=1, by="Region", keys=["a"])


@pytest.mark.parametrize(
    ("column", "bounds", "resolution", "sensitivity"),
    [
        ("items", (0, 10), 1.0, 10),
        ("items", (-20, 10), 1.0, 20),
        ("late", (0, 1), 1.0, 1),
        ("amount", (0, 1000), 2.0**-10, 1000 * 2**10),
        ("amount", (-1024, 3), 2.0**-10, 2**20),
    ],
)
def test_default_resolutions(
    column: str, bounds: tuple[float, float], resolution: float, sensitivity: int, table: Table
) -> None:
    request = dp.sum(table, column, epsilon=0.5, bounds=bounds).request
    parsed = operation_named("dp.sum").parse(request)
    assert (parsed.resolution, parsed.sensitivity, parsed.noise_scale) == (resolution, sensitivity, 2 * sensitivity)


def test_a_party_checks_the_shape_of_a_request_itself() -> None:
    good: dict[str, Any] = {"column": "x", "bounds": (0.0, 1.0)}
    assert operation_named("dp.sum").parse(request_for("sum", **good)).sensitivity == 1
    operand = Operand(table="t", columns=("x",))
    changes: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("count", good, {}),
        ("sum", {}, {}),
        ("sum", {"column": "x"}, {}),
        ("sum", good, {"operands": {"north": Operand(table="t", columns=("y",))}}),
        ("sum", good, {"operands": {"north": Operand(table="t", columns=("x",), alignment="joint")}}),
        ("sum", good, {"parties": ("north", "south")}),
        ("sum", good, {"parties": ("north", "south"), "operands": {"north": operand, "south": operand}}),
        ("sum", good, {"parties": ("north", "north")}),
        ("sum", good | {"by": "x"}, {}),
        ("sum", good | {"more": 1}, {}),
        ("sum", good | {"epsilon": "1"}, {}),
    ]
    for statistic, parameters, request in changes:
        first = request_for(statistic, **parameters)
        fields = {name: getattr(first, name) for name in Request.__struct_fields__} | request
        with pytest.raises(InvalidArgument):
            operation_named(f"dp.{statistic}").parse(Request(**fields))
