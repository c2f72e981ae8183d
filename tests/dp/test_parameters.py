"""Arguments of dp releases that cannot be used are refused before anything is asked of a party."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from releasing import request_for

from privsdk import dp
from privsdk.client.tables import Table
from privsdk.errors import InvalidArgument, UnknownName
from privsdk.protocol.control import ColumnInfo, TableInfo
from privsdk.protocol.operation import Operand, Request, operation_of

COLUMNS = {"region": "string", "amount": "double", "items": "int64", "late": "bool"}


@pytest.fixture
def table() -> Table:
    info = TableInfo(
        name="sales", dataset="d", columns=tuple(ColumnInfo(name=n, type=t, permits=()) for n, t in COLUMNS.items())
    )
    return Table(SimpleNamespace(caller="analyst", purpose="test", parties=("north",)), "north", info)


SUM = {"epsilon": 1.0, "bounds": (0, 10)}

UNUSABLE: dict[str, tuple[Callable[[Table], Any], str]] = {
    "no keys": (lambda t: dp.count(t, epsilon=1, by="region"), "groups of 'region' must be public"),
    "keys without by": (lambda t: dp.count(t, epsilon=1, keys=["a"]), "keys are given without by"),
    "empty keys": (lambda t: dp.count(t, epsilon=1, by="region", keys=[]), "there are 0 keys"),
    "a key twice": (lambda t: dp.count(t, epsilon=1, by="region", keys=["a", "a"]), "1 of 2 keys stand there before"),
    "true and 1": (lambda t: dp.count(t, epsilon=1, by="items", keys=[True, 1]), "1 of 2 keys stand there before"),
    "mixed keys": (lambda t: dp.count(t, epsilon=1, by="items", keys=["a", 1]), "keys of different types"),
    "a float key": (lambda t: dp.count(t, epsilon=1, by="amount", keys=[0.5]), "a group key is a float"),
    "a huge key": (lambda t: dp.count(t, epsilon=1, by="items", keys=[2**63]), "no 64-bit integer column can hold"),
    "too many keys": (lambda t: dp.count(t, epsilon=1, by="items", keys=range(100_001)), "there are 100,001 keys"),
    "too many numbers": (
        lambda t: dp.median(t, "items", epsilon=1, bounds=(0, 9), by="items", keys=range(9_000)),
        "9000 groups of 256 numbers each",
    ),
    "text keys of integers": (
        lambda t: dp.count(t, epsilon=1, by="items", keys=["a"]),
        "items is int64; its keys are of str",
    ),
    "integer keys of text": (lambda t: dp.count(t, epsilon=1, by="region", keys=[1]), "is string; its keys are of int"),
    "boolean keys of integers": (
        lambda t: dp.count(t, epsilon=1, by="items", keys=[True]),
        "is int64; its keys are of bool",
    ),
    "a sum of text": (lambda t: dp.sum(t, "region", **SUM), "region is string, which is not numeric or boolean"),
    "a mean of text": (lambda t: dp.mean(t, "region", **SUM), "not numeric or boolean"),
    "a variance of text": (lambda t: dp.variance(t, "region", **SUM), "not numeric or boolean"),
    "a median of text": (lambda t: dp.median(t, "region", **SUM), "not numeric or boolean"),
    "a histogram of text": (lambda t: dp.histogram(t, "region", bins=3, **SUM), "not numeric or boolean"),
    "epsilon 0": (lambda t: dp.count(t, epsilon=0), "epsilon is 0"),
    "epsilon below 0": (lambda t: dp.count(t, epsilon=-1), "epsilon is -1"),
    "epsilon nan": (lambda t: dp.count(t, epsilon=float("nan")), "epsilon is nan"),
    "epsilon inf": (lambda t: dp.count(t, epsilon=float("inf")), "epsilon is inf"),
    "epsilon 101": (lambda t: dp.count(t, epsilon=101), "epsilon is 101"),
    "epsilon too small": (lambda t: dp.count(t, epsilon=1e-300), "asks for noise of 1e"),
    "bounds reversed": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=(5, 1)), r"bounds=\(5, 1\)"),
    "one bound": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=5), "bounds is 5"),  # type: ignore[arg-type]
    "bounds as text": (lambda t: dp.histogram(t, "amount", epsilon=1, bounds="ab", bins=3), "bounds is 'ab'"),  # type: ignore[arg-type]
    "three bounds": (lambda t: dp.median(t, "amount", epsilon=1, bounds=(0, 1, 2), bins=3), "bounds is"),  # type: ignore[arg-type]
    "bounds equal": (lambda t: dp.mean(t, "amount", epsilon=1, bounds=(1, 1)), r"bounds=\(1, 1\)"),
    "bounds of 0": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=(0, 0)), r"bounds=\(0, 0\)"),
    "bounds infinite": (lambda t: dp.sum(t, "amount", epsilon=1, bounds=(0, float("inf"))), "is not a range"),
    "bounds too far apart": (lambda t: dp.mean(t, "amount", epsilon=1, bounds=(-1e308, 1e308)), "is not a range"),
    "bounds nan": (lambda t: dp.mean(t, "amount", epsilon=1, bounds=(0, float("nan"))), "is not a range"),
    "resolution too fine": (lambda t: dp.sum(t, "amount", resolution=1e-12, **SUM), "too fine"),
    "resolution of next to nothing": (lambda t: dp.sum(t, "amount", resolution=5e-324, **SUM), "too fine"),
    "resolution too coarse": (lambda t: dp.sum(t, "amount", resolution=11.0, **SUM), "resolution is 11"),
    "resolution of all bounds": (
        lambda t: dp.mean(t, "amount", epsilon=1, bounds=(1.5, 2.5), resolution=1.0),
        "to which both bounds round alike",
    ),
    "resolution 0": (lambda t: dp.sum(t, "amount", resolution=0.0, **SUM), "resolution is 0"),
    "no bins": (lambda t: dp.histogram(t, "amount", **SUM), "bins are not given"),
    "no bins at all": (lambda t: dp.median(t, "amount", epsilon=1), "bins are not given"),
    "bins in two forms": (lambda t: dp.histogram(t, "amount", edges=[0, 1], **SUM), "bins are not given"),
    "0 bins": (lambda t: dp.histogram(t, "amount", bins=0, **SUM), "bins is 0"),
    "too many bins": (lambda t: dp.histogram(t, "amount", bins=4097, **SUM), "bins is 4097"),
    "one edge": (lambda t: dp.histogram(t, "amount", epsilon=1, edges=[1]), "0 bins"),
    "edges that fall": (lambda t: dp.histogram(t, "amount", epsilon=1, edges=[1, 0]), "in rising order"),
    "edges to infinity": (
        lambda t: dp.histogram(t, "amount", epsilon=1, edges=[0, float("inf")]),
        "in rising order",
    ),
    "bins of equal edges": (lambda t: dp.median(t, "amount", epsilon=1, bounds=(1, 1 + 1e-15)), "in rising order"),
    "a quantile at 1": (lambda t: dp.quantile(t, "amount", 1, **SUM), "a quantile at 1"),
    "a quantile at nan": (lambda t: dp.quantile(t, "amount", float("nan"), **SUM), "a quantile at nan"),
    "rows per id": (lambda t: dp.count(t, epsilon=1, rows_per_id=3), "names no id column"),
    "a key holder for one": (lambda t: dp.count(t, epsilon=1, key_holder="north"), "needs no key holder"),
    "a collusion in one": (lambda t: dp.count(t, epsilon=1, collusion=2), "all of its own noise"),
    "no collusion": (lambda t: dp.count(t, epsilon=1, collusion=0), "all of its own noise"),
    "a collusion in words": (lambda t: dp.count(t, epsilon=1, collusion="all"), "Expected `int`"),  # type: ignore[arg-type]
    "no table": (lambda t: dp.count("sales", epsilon=1), "tables were expected, not a str"),
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
    ("verb", "column", "bounds", "resolution", "sensitivity"),
    [
        (dp.sum, "items", (0, 10), 1.0, 10),
        (dp.sum, "items", (-20, 10), 1.0, 20),
        (dp.sum, "items", (-20, -10), 1.0, 20),
        (dp.sum, "items", (0, 2**40), 2.0**20, 2**20),
        (dp.sum, "late", (0, 1), 1.0, 1),
        (dp.sum, "amount", (0, 1000), 2.0**-10, 1000 * 2**10),
        (dp.sum, "amount", (-1024, 3), 2.0**-10, 2**20),
        (dp.mean, "items", (0, 10), 0.5, 10),
        (dp.mean, "items", (-25, -10), 0.5, 15),
        (dp.mean, "late", (0, 1), 0.5, 1),
        (dp.mean, "amount", (10**9, 10**9 + 2), 2.0**-20, 2**20),
        (dp.mean, "amount", (10**15, 10**15 + 2), 2.0**-20, 2**20),
        (dp.variance, "amount", (-512, 512), 2.0**-11, 2**20),
    ],
)
def test_default_resolutions(
    verb: Callable[..., Any],
    column: str,
    bounds: tuple[float, float],
    resolution: float,
    sensitivity: int,
    table: Table,
) -> None:
    request = verb(table, column, epsilon=0.5, bounds=bounds).request
    parsed = operation_of(request).parameters
    parts = {part.name: part.sensitivity for part in parsed.components}
    assert (parsed.resolution, parts["sum"]) == (resolution, sensitivity)
    shares = len(parsed.components)
    assert parsed.scales(parsed.moved(1))[-1] == parsed.components[-1].sensitivity * shares / 0.5
    assert all(part.sensitivity <= 2**30 for part in parsed.components)


@pytest.mark.parametrize("epsilon", [1e-9, 100.0])
def test_the_smallest_and_largest_epsilon(epsilon: float, table: Table) -> None:
    for plan in (
        dp.count(table, epsilon=epsilon),
        dp.mean(table, "late", epsilon=epsilon, bounds=(0, 1)),
        dp.median(table, "items", epsilon=epsilon, bounds=(-5, 5), bins=3),
    ):
        spent = [debit.charge.epsilon for debit in plan.price["north"]]
        assert sum(spent) == pytest.approx(epsilon, rel=1e-12)
        assert plan.outlook.half_width(10) >= 0


def test_numpy_keys_are_plain_values(table: Table) -> None:
    request = dp.count(table, epsilon=1, by="items", keys=np.arange(3)).request
    assert request.parameters["keys"] == (0, 1, 2)


def test_a_party_checks_the_shape_of_a_request_itself() -> None:
    good: dict[str, Any] = {"epsilon": 1.0, "column": "x", "bounds": (0.0, 1.0)}
    assert operation_of(request_for("sum", **good)).parameters.reach == 1
    operand = Operand(table="t", columns=("x",))
    changes: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("count", good, {}),
        ("sum", {"epsilon": 1.0}, {}),
        ("sum", {"epsilon": 1.0, "column": "x"}, {}),
        ("sum", good, {"operation": "dp.mean"}),
        ("sum", good | {"edges": (0.0, 1.0)}, {}),
        ("sum", good | {"quantile": 0.5}, {}),
        ("quantile", {"epsilon": 1.0, "column": "x", "edges": (0.0, 1.0)}, {}),
        ("histogram", good, {}),
        ("sum", good, {"operands": {"north": Operand(table="t", columns=("y",))}}),
        ("sum", good, {"operands": {"north": Operand(table="t", columns=("x",), alignment="joint")}}),
        ("sum", good, {"operands": {}}),
        ("sum", good, {"parties": ("north", "south"), "operands": {"north": operand, "south": operand}}),
        ("sum", good, {"parties": ("south", "north"), "operands": {"north": operand}}),
        ("sum", good, {"parties": ("north", "north")}),
        ("sum", good | {"by": "x"}, {}),
        ("sum", good | {"more": 1}, {}),
        ("sum", good | {"epsilon": "1"}, {}),
        ("sum", good | {"resolution": 1e-300}, {}),
        ("sum", good | {"bounds": (0.0, 1e308), "resolution": 1e-10}, {}),
        ("product", good, {"operation": "dp.sum"}),
    ]
    for statistic, parameters, request in changes:
        first = request_for(statistic, **parameters)
        fields = {name: getattr(first, name) for name in Request.__struct_fields__} | request
        with pytest.raises(InvalidArgument):
            operation_of(Request(**fields))
