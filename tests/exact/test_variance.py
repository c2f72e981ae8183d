"""Exact variances of tables and sides of joins: against exact fractions, whatever the mean."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

import privsdk as ps
from privsdk import psi

DRAW = np.random.default_rng(4)
COLUMNS = {
    "a large mean": pa.array(DRAW.normal(1e9, 1e-3, 500)),
    "large": pa.array(DRAW.normal(0, 1e150, 500)),
    "int64": pa.array(DRAW.integers(-(2**53), 2**53, 500)),
    "bool": pa.array(DRAW.random(500) < 0.3),
    "decimal": pa.array([Decimal(int(n)).scaleb(-2) for n in DRAW.integers(0, 10**6, 500)], pa.decimal128(9, 2)),
}


def truth(values: list[float]) -> Fraction:
    numbers = [Fraction(value) for value in values]
    middle = sum(numbers) / len(numbers)
    return sum((number - middle) ** 2 for number in numbers) / (len(numbers) - 1)


@pytest.mark.parametrize("kind", COLUMNS)
def test_variances_are_those_of_exact_arithmetic(kind: str) -> None:
    column = COLUMNS[kind]
    with ps.embedded(a={"t": pa.table({"x": column})}, store=None, quiet=True) as fed:
        found = fed["a"]["t"].variance("x").release().value
    assert found.column_names == ["count", "variance"]
    assert float(Fraction(found["variance"][0].as_py()) / truth(column.to_pylist())) == pytest.approx(1, abs=1e-15)


def test_a_side_of_a_join_has_variances_by_the_others_column() -> None:
    keys = list(range(400))
    left = pa.table({"key": keys, "x": DRAW.normal(5, 2, 400)})
    right = pa.table({"key": keys[100:], "g": ["p", "q"] * 150})
    grant = ps.Grant(table="*", columns={"*": ("join key", "aggregate", "group key", "payload", "comparison")})
    policy = ps.Policy(operations=("*",), grants=(grant,), min_parties=1)
    with ps.embedded(a={"t": left}, b={"t": right}, store=None, quiet=True, policy=policy) as fed:
        joint = psi.join(fed["a"]["t"], fed["b"]["t"], on="key").release().value
        found = joint["a"].variance("x", by="b.g").release().value
    values = np.array(left["x"].to_pylist())[100:]
    assert found["variance"].to_pylist() == pytest.approx([np.var(values[0::2], ddof=1), np.var(values[1::2], ddof=1)])


def test_what_no_float_holds_is_refused() -> None:
    column = pa.array([1e200, -1e200] * 20)
    with (
        ps.embedded(a={"t": pa.table({"x": column})}, store=None, quiet=True) as fed,
        pytest.raises(ps.errors.DataError, match="has a variance beyond"),
    ):
        fed["a"]["t"].variance("x").release()
