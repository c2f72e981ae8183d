"""What a picker says that a use needs is what the operations themselves declare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from claims import Cases
from people import everyone, federation, north, south

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.governance.policy import Disclosure
from privsdk.protocol.operation import operation_names, operation_of
from privsdk.widgets.uses import BY_NAME, USES


@pytest.fixture(scope="module")
def fed() -> Iterator[ps.Federation]:
    with federation() as opened:
        yield opened


def plans(fed: ps.Federation) -> dict[tuple[str, str], tuple[Any, str]]:
    """For each part of each use a plan in which a column plays it, and which."""
    table, tables, model = north(fed), everyone(fed), fl.Logistic(features={"age": (0, 60)})
    return {
        ("join", "key"): (psi.join(table, south(fed), on="id"), "id"),
        ("overlap", "key"): (psi.cardinality(table, south(fed), on="id"), "id"),
        ("exact", "sum or mean"): (table.mean("amount"), "amount"),
        ("exact", "groups"): (table.mean("amount", by="late"), "late"),
        ("exact", "filter"): (table.count(where={"age": (20, 30)}), "age"),
        ("extreme", "min or max"): (table.max("age"), "age"),
        ("encrypted", "statistic"): (he.mean(tables, "age", key_holder="keeper"), "age"),
        ("encrypted", "groups"): (he.mean(tables, "age", by="late", keys=[True, False], key_holder="keeper"), "late"),
        ("encrypted", "histogram"): (he.histogram(tables, "age", edges=[0, 30, 60], key_holder="keeper"), "age"),
        ("train", "feature"): (fl.fit(model, tables, label="late", rounds=1), "age"),
        ("train", "label"): (fl.fit(model, tables, label="late", rounds=1), "late"),
        ("release", "value"): (dp.mean(table, "age", epsilon=0.1, bounds=(0, 60)), "age"),
        ("release", "groups"): (dp.count(table, by="late", keys=[True], epsilon=0.1), "late"),
    }


@pytest.mark.claim("what the party picker says a use needs is what the operations declare")
def test_uses_need_what_operations_declare(fed: ps.Federation, cases: Cases) -> None:
    found = plans(fed)
    assert found.keys() == {(use.name, part.name) for use in USES for part in use.parts}
    for (use, part), (plan, column) in found.items():
        needs = operation_of(plan.request).needs()["north"]
        (needed,) = [each.needs for each in BY_NAME[use].parts if each.name == part]
        assert {need.disclosure for need in needs if need.column == column} == set(needed), (use, part)
        assert plan.request.operation in BY_NAME[use].operations
        cases()


def test_uses_name_known_operations_and_columns_of_known_kinds() -> None:
    for use in USES:
        assert set(use.operations) <= set(operation_names())
        for part in use.parts:
            assert all(isinstance(need, Disclosure) for need in part.needs)
            assert bool(part.kind) == bool(part.pattern)
    (statistic, groups, _) = BY_NAME["encrypted"].parts
    assert [bool(re.fullmatch(statistic.pattern, type_)) for type_ in ("int64", "bool", "string")] == [
        True,
        True,
        False,
    ]
    for type_ in ("int64", "string", "decimal128(9, 2)", "timestamp[us, tz=UTC]", "date32[day]"):
        assert re.fullmatch(groups.pattern, type_)
    assert not re.fullmatch(groups.pattern, "list<item: int64>")
