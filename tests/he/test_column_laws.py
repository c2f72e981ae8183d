"""Whatever is computed on encrypted columns is within its stated error of exact arithmetic, or refused beforehand."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts
from exact_columns import PRESETS, Beside, beside, exact, key_of
from hypothesis import given, settings
from hypothesis import strategies as st

from privsdk import he
from privsdk.errors import CircuitTooDeep, InvalidArgument

NUMBERS = (0, 1, -1, 2, 3, 0.5, -0.75, 1e-3, 1e-300, 5e-324, 7, 255, -1000, 2.0**20, True)
BINARY = (operator.add, operator.sub, operator.mul, lambda one, other: other - one)
DTYPES = ("float64", "float32", "int64", "uint8", "int8", "uint64", "bool")


def column_data(rng: np.random.Generator, length: int) -> tuple[Any, float]:
    """Worst cases and random ones, and a bound on them."""
    kind = rng.choice(
        [
            "bound",
            "alternating",
            "random",
            "tiny",
            "denormal",
            "zero",
            "whole",
            "large",
            "uint64",
            "bool",
            "float32",
            "nulls",
        ]
    )
    bound = float(rng.choice([1.0, 8.0, 1000.0, 0.1]))
    spread = rng.uniform(-bound, bound, min(length, 16))
    made: Any
    match kind:
        case "bound":
            made = np.full(length, bound)
        case "alternating":
            made = np.resize([bound, -bound], length)
        case "tiny":
            made, bound = np.resize([1e-300, -1e-300, 0.0], length), float(rng.choice([1e-300, 1.0]))
        case "denormal":
            made, bound = np.resize([5e-324, -5e-324], length), float(rng.choice([5e-324, 1.0]))
        case "zero":
            made = np.zeros(length)
        case "whole":
            made, bound = np.resize(rng.integers(-9, 10, 16), length), 9
        case "large":
            edge = 2**53
            made, bound = np.resize([edge, -edge, edge + 1, -edge - 1, edge - 1, 2**62 + 1], length), 2.0**62
        case "uint64":
            made, bound = np.resize(np.array([2**64 - 1, 2**63, 2**63 + 1, 0], np.uint64), length), 2.0**64
        case "bool":
            made, bound = np.resize(np.array([True, False, True]), length), 1
        case "float32":
            made = np.resize(spread.astype(np.float32), length)
            bound = float(np.abs(made).max())
        case "nulls":
            made = pa.array(np.resize(spread, length), mask=rng.random(length) < rng.random())
        case _:
            made = np.resize(spread, length)
    return made, bound


def operand(rng: np.random.Generator, length: int) -> Any:
    """A number, or a vector of any type, with nulls at times; zero in whole chunks at times."""
    if rng.random() < 0.4:
        return NUMBERS[rng.integers(len(NUMBERS))]
    dtype = DTYPES[rng.integers(len(DTYPES))]
    pool = rng.uniform(-3, 3, 16) if dtype.startswith("float") else rng.integers(0, 200 if dtype == "uint8" else 2, 16)
    values = np.resize(pool.astype(dtype), length)
    if rng.random() < 0.3:
        values[: rng.integers(length + 1)] = 0
    if rng.random() < 0.3:
        return pa.array(values, mask=rng.random(length) < 0.2)
    return values.tolist() if rng.random() < 0.2 else values


def step(rng: np.random.Generator, columns: list[Beside], length: int) -> Beside:
    """One more column from those there are."""
    one, two = (columns[rng.integers(len(columns))] for _ in range(2))
    match rng.integers(8):
        case 0 | 1:
            return one.plain(BINARY[rng.integers(len(BINARY))], operand(rng, length))
        case 2 | 3:
            return one.with_(BINARY[rng.integers(len(BINARY))], two)
        case 4:
            return one.map(-one.column, -one.values)
        case 5:
            power = int(rng.integers(1, 5))
            return one.map(one.column**power, one.values**power)
        case 6:
            return one.sigmoid()
        case _:
            weights = [NUMBERS[i] for i in rng.integers(1, 8, 2)]
            made = he.weighted_sum([one.column, two.column], weights, intercept=0.5)
            return one.map(made, one.values * exact(weights[0])[0] + two.values * exact(weights[1])[0] + exact(0.5)[0],
                           one.valid & two.valid)  # fmt: skip


def fold(rng: np.random.Generator, one: Beside, two: Beside, length: int) -> list[Beside]:  # noqa: PLR0911
    """Sums in every form, and sums after them."""
    match rng.integers(7):
        case 0:
            return [one]
        case 1:
            return [one.sum()]
        case 2:
            return [one.mean().plain(operator.add, 0.5), one.mean()]
        case 3:
            vector = np.resize(rng.integers(-3, 4, 16), length)
            return [one.plain(operator.mul, vector).folding(one.column.dot(vector))]
        case 4:
            product = one.with_(operator.mul, two)
            return [product.folding(he.dot(one.column, two.column))]
        case 5:
            groups = np.resize(rng.integers(0, 3, 16), length)
            found = one.column.sum(by=groups, keys=[0, 1, 2, "none"])
            assert isinstance(found, dict)
            return [one.folding(found[key], 1, groups == key if key != "none" else False) for key in found]
        case _:
            total, other = one.sum(), two.sum()
            made = total.with_(operator.add, other).plain(operator.mul, 3).plain(operator.sub, np.array([2], np.uint8))
            return [
                made,
                total.map(total.column / -4, total.values / -4),
                total.plain(operator.mul, np.array([5])),
            ]


def program(name: str, seed: int, cases: Cases) -> float:
    """A random program; what is refused is left out. Returns the largest part of a stated error that was used."""
    rng = np.random.default_rng(seed)
    key, size = key_of(name), PRESETS[name].values_a_row
    lengths = [1, 2, 5, 33, 100, 300] if PRESETS[name].degree > 8192 else [1, 2, 5, 33, 300, size - 1, size, size + 1]
    length = int(rng.choice(lengths))
    columns: list[Beside] = []
    for _ in range(rng.integers(1, 4)):
        try:
            columns.append(beside(*column_data(rng, length), key if rng.random() < 0.5 else key.public))
        except CircuitTooDeep:
            continue
    if not columns:
        return 0.0
    for _ in range(rng.integers(0, 6)):
        try:
            columns.append(step(rng, columns, length))
        except (CircuitTooDeep, InvalidArgument):  # and nothing else: no error of SEAL's own
            continue
    results = [columns[-1]]
    try:
        results = fold(rng, columns[-1], columns[rng.integers(len(columns))], length)
    except (CircuitTooDeep, InvalidArgument):
        cases(0)
    worst = max(result.check(key) for result in results)
    if key.preset.scheme == "ckks":
        worst = max(result.check_unflooded(key) for result in results)
    cases(len(results))
    return worst


@pytest.mark.claim("he: encrypted results stay within the stated bound of NumPy")
@pytest.mark.parametrize("name", PRESETS)
def test_random_programs_stay_within_their_error(name: str, cases: Cases, counts: Counts) -> None:
    worst = 0.0

    @settings(max_examples=counts(12, 30, 1000) // (4 if PRESETS[name].degree > 8192 else 1))
    @given(seed=st.integers(0, 2**32))
    def law(seed: int) -> None:
        nonlocal worst
        worst = max(worst, program(name, seed, cases))

    law()
    cases.say(f"{name}: at most {worst:.2g} of the stated error")
