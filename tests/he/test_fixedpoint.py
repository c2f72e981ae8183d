"""Sums in fixed point are exact and rounded once to the grid; what cannot be summed is an error without the value."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsdk.errors import DataError, InvalidArgument
from privsdk.he.statistics.fixedpoint import FixedPoint, exact_sums, numbers

GRIDS = {
    "power of two": FixedPoint(bound=2.0**40, resolution=2.0**-20),
    "hundredths": FixedPoint(bound=1e17, resolution=0.01),
    "thirds": FixedPoint(bound=1e9, resolution=1 / 3),
    "coarse": FixedPoint(bound=1e12, resolution=2.5),
    "whole": FixedPoint(bound=2.0**70, resolution=1.0),
}


def exact(values: Any, type_: pa.DataType | None = None) -> Fraction:
    """The exact sum of a column, as a party computes it."""
    column = numbers(pa.chunked_array([pa.array(values, type_)]).drop_null(), party="north", name="turnover")
    return sum((piece for _, piece in exact_sums(column, np.zeros(len(column), np.int64))), start=Fraction())


def total(grid: FixedPoint, values: Any, type_: pa.DataType | None = None) -> int:
    return grid.total(exact(values, type_), party="north", name="turnover")


@pytest.mark.parametrize("name", GRIDS)
@given(data=st.data())
def test_the_sum_is_rounded_once(name: str, data: st.DataObject) -> None:
    grid = GRIDS[name]
    limit = grid.bound / 32
    values = data.draw(st.lists(st.none() | st.floats(-limit, limit), max_size=20))
    due = sum((Fraction(v) for v in values if v is not None), start=Fraction())
    assert total(grid, values, pa.float64()) == round(due / grid.unit)


@given(st.lists(st.integers(-(2**50), 2**50), max_size=20))
def test_values_on_the_grid_are_summed_exactly(units: list[int]) -> None:
    grid = FixedPoint(bound=2.0**40, resolution=2.0**-20)
    values = [n * 2.0**-20 for n in units]
    assert total(grid, values, pa.float64()) == sum(units)
    assert grid.from_units(sum(units)) == math.fsum(values)


@pytest.mark.parametrize("name", GRIDS)
@given(units=st.integers(-(2**90), 2**90))
def test_units_turn_into_the_nearest_float(name: str, units: int) -> None:
    grid = GRIDS[name]
    value, due = grid.from_units(units), units * grid.unit
    below, above = (Fraction(math.nextafter(value, direction)) for direction in (-math.inf, math.inf))
    assert abs(Fraction(value) - due) <= min(abs(below - due), abs(above - due))


@pytest.mark.parametrize("values", [[0.005], [0.015, 0.01], [1e15 + 0.125], [1e15 + 0.125, -1e15]])
def test_the_rounding_is_within_half_a_unit(values: list[float]) -> None:
    grid = GRIDS["hundredths"]
    due = sum(map(Fraction, values))
    assert abs(total(grid, values) * Fraction(1, 100) - due) <= Fraction(1, 200)


def test_a_hundredth_means_a_hundredth() -> None:
    assert GRIDS["hundredths"].unit == Fraction(1, 100)
    assert GRIDS["hundredths"].from_units(7) == 0.07
    assert GRIDS["hundredths"].max_units == 10**19
    assert GRIDS["coarse"].unit == Fraction(5, 2)


@pytest.mark.parametrize(
    ("values", "type_", "units"),
    [
        ([2**64 - 1, 2**64 - 1], pa.uint64(), 2**65 - 2),
        ([2**63 - 1, 2**63 - 1, -(2**63)], pa.int64(), 2**63 - 2),
        ([127, 127], pa.int8(), 254),
        ([True, None, True, False], pa.bool_(), 2),
        ([1.0, 2.0], pa.float32(), 3),
        (np.array([60_000, 60_000], np.float16), None, 120_000),
        ([], pa.int64(), 0),
        ([], pa.float64(), 0),
        ([None, None], pa.float64(), 0),
        ([None], pa.bool_(), 0),
        ([1e-300, 5e-324, -1e-300], pa.float64(), 0),
        ([2.0**60, 1.0, -(2.0**60)], pa.float64(), 1),
    ],
)
def test_extremes(values: Any, type_: pa.DataType | None, units: int) -> None:
    assert total(GRIDS["whole"], pa.array(values, type_)) == units


def test_integers_on_a_finer_grid_keep_every_bit() -> None:
    assert total(FixedPoint(bound=2.0**62, resolution=0.5), [2**60 + 1]) == 2 * (2**60 + 1)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9), st.integers(0, 9))
def test_parts_add_up_to_the_whole(values: list[int], cut: int) -> None:
    whole = pa.array(values, pa.int64())
    assert exact(whole.slice(0, cut)) + exact(whole.slice(cut)) == exact(whole) == sum(values)


@pytest.mark.parametrize(
    ("values", "type_", "reason"),
    [
        ([1.0, math.nan], None, "a NaN or infinite value"),
        ([math.inf], None, "a NaN or infinite value"),
        ([-math.inf, None], None, "a NaN or infinite value"),
        ([60.5, 60.25], None, "exceeds the declared bound of 100"),
        ([-60, -61], None, "exceeds the declared bound of 100"),
        ([1.5e308, 1.5e308], None, "exceeds the declared bound of 100"),
        ([2**64 - 1], pa.uint64(), "exceeds the declared bound of 100"),
        (["6025"], None, "is string, which cannot be summed"),
        ([b"6025"], None, "is binary, which cannot be summed"),
    ],
)
def test_what_cannot_be_summed_is_an_error_without_the_value(values: Any, type_: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        total(FixedPoint(bound=100.0, resolution=0.25), values, type_)
    assert str(raised.value).startswith("north's turnover ")
    assert not any(text in str(raised.value) for text in ("60", "61", "25", "1.5", "e+308", "18446744073709551615"))


def test_the_bound_itself_is_allowed() -> None:
    grid = FixedPoint(bound=100.0, resolution=0.25)
    assert total(grid, [60.0, 40.0]) == grid.max_units == 400
    with pytest.raises(DataError):
        total(grid, [60.0, 40.25])


@pytest.mark.parametrize(
    ("bound", "resolution"),
    [
        (0.0, 1.0),
        (-1.0, 1.0),
        (math.inf, 1.0),
        (math.nan, 1.0),
        (1.0, 0.0),
        (1.0, math.nan),
        (1.0, 2.0),
        (1e10, 1e-300),
    ],
)
def test_unusable_grids_are_refused(bound: float, resolution: float) -> None:
    with pytest.raises(InvalidArgument):
        FixedPoint(bound=bound, resolution=resolution)


def test_default_grids() -> None:
    assert FixedPoint.choose(bound=1e6, resolution=None, places=0).resolution == 1.0
    assert FixedPoint.choose(bound=1024.0, resolution=None, places=None).resolution == 2.0**-50
    assert FixedPoint.choose(bound=1000.0, resolution=None, places=None).resolution == 2.0**-50
    assert FixedPoint.choose(bound=1000.0, resolution=0.5, places=0).resolution == 0.5
    for bound in (math.inf, math.nan, -1.0, 0.0, 1e-320):
        with pytest.raises(InvalidArgument):
            FixedPoint.choose(bound=bound, resolution=None, places=None)
