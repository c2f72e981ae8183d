"""Releases without their noise: what is counted, clamped and left out, and that no row moves them by more than is paid.

The exact statistics are computed a second time in plain Python, from the same clamping and grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releasing import PARAMETERS, release, request_for

from privsdk.dp.operation import NoisyRelease
from privsdk.errors import InvalidArgument
from privsdk.governance.charges import DiscreteLaplace, Unit
from privsdk.governance.policy import Disclosure
from privsdk.testing import Sent

pytestmark = pytest.mark.usefixtures("exact")
BINNED = {"column": "x", "edges": (0.0, 1.0, 2.5, 10.0)}


def test_rows_of_no_public_group_are_counted_nowhere() -> None:
    table = pa.table({"region": ["n", None, "s", "hidden", "n", ""], "x": [1, 2, 4, 8, 16, 32]})
    counts = release(table, "count", by="region", keys=["s", "n", "w"], epsilon=1).table
    assert counts.select(["region", "count"]).to_pydict() == {"region": ["s", "n", "w"], "count": [1, 2, 0]}
    sums = release(table, "sum", column="x", bounds=(0, 100), by="region", keys=["", "n"], epsilon=1).table
    assert sums.select(["region", "sum"]).to_pydict() == {"region": ["", "n"], "sum": [32, 17]}
    assert release(table, "count", epsilon=1).table["count"].to_pylist() == [6]
    assert release(table.slice(0, 0), "count", by="region", keys=["n"], epsilon=1).table["count"].to_pylist() == [0]
    encoded = table.set_column(0, "region", table["region"].dictionary_encode())
    assert release(encoded, "count", by="region", keys=["n"], epsilon=1).table["count"].to_pylist() == [2]


GROUPS: dict[str, tuple[pa.Array, list[Any], list[int]]] = {
    "text": (pa.array(["a", "b", None, "a"]), ["a", "z"], [2, 0]),
    "long text": (pa.array(["a", "b", None, "a"], pa.large_string()), ["a", "z"], [2, 0]),
    "booleans": (pa.array([True, None, False, True]), [False, True], [1, 2]),
    "small integers": (pa.array([1, -1, None, 1], pa.int8()), [1, 300, -1, 2**62], [2, 0, 1, 0]),
    "unsigned": (pa.array([1, 2**64 - 1, 2**63, None], pa.uint64()), [1, -1, -(2**63)], [1, 0, 0]),
    "nothing but nulls": (pa.nulls(4), ["a"], [0]),
    "nothing but nulls, integers": (pa.nulls(4), [1], [0]),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_keys_of_every_type(kind: str) -> None:
    column, keys, counts = GROUPS[kind]
    result = release(pa.table({"g": column}), "count", by="g", keys=keys, epsilon=1).table
    assert result["count"].to_pylist() == counts
    assert result["g"].to_pylist() == keys


@pytest.mark.parametrize(
    ("values", "total"),
    [
        (pa.array([math.inf, -math.inf, math.nan, None, 1.3]), 3.0 - 2.0 + 1.25),
        (pa.array([1e308, -1e308, 5e-324]), 3.0 - 2.0),
        (pa.array([2**63, 2**64 - 1], pa.uint64()), 6.0),
        (pa.array([-(2**63), 1], pa.int64()), -1.0),
        (pa.array([True, None, True]), 2.0),
        (pa.array(np.array([1.5, np.nan], np.float16)), 1.5),
        (pa.array([Decimal("1.25"), None, Decimal("9.99"), Decimal("-0.30")], pa.decimal128(9, 2)), 1.25 + 3 - 0.25),
        (pa.array([], pa.float64()), 0.0),
        (pa.nulls(3), 0.0),
        (pa.nulls(3, pa.float32()), 0.0),
    ],
)
def test_any_value_is_clamped_or_left_out_and_none_is_an_error(values: pa.Array, total: float) -> None:
    table = pa.table({"x": values})
    assert release(table, "sum", **PARAMETERS["sum"]).table["sum"].to_pylist() == [total]
    for statistic, parameters in PARAMETERS.items():
        assert release(table, statistic, **parameters).table.num_rows in (1, 3)


def test_decimals_keep_their_digits_on_a_grid_of_their_places() -> None:
    """A float of each is near enough to be the multiple of a cent that it was."""
    cents = np.random.default_rng(3).integers(-(10**9), 10**9, 20_000)
    values = pa.array([Decimal(int(cent)).scaleb(-2) for cent in cents], pa.decimal128(20, 2))
    found = release(pa.table({"x": values}), "sum", epsilon=1, column="x", bounds=(-5e6, 5e6), resolution=0.01)
    exact = int(cents.clip(-5 * 10**8, 5 * 10**8).sum())
    assert found.noisy[0].tolist() == [exact]
    assert found.table["sum"].to_pylist() == [float(Decimal(exact).scaleb(-2))]


def test_an_empty_group_has_no_mean_variance_or_quantile_and_every_value_is_possible() -> None:
    table = pa.table({"x": [None, math.nan, 1.0], "g": ["a", "a", "b"]})
    for statistic, ends in {"mean": (0.0, 2.0), "variance": (0.0, 4.0), "quantile": (0.0, 3.0)}.items():
        result = release(table, statistic, by="g", keys=["a"], **PARAMETERS[statistic]).table
        assert result[statistic].to_pylist() == [None]
        assert (result["low"][0].as_py(), result["high"][0].as_py()) == ends


def test_a_group_column_named_like_a_column_of_the_answer_is_called_key() -> None:
    table = pa.table({"count": ["a", "b", "a"], "x": [1.0, 2.0, 3.0]})
    assert release(table, "count", by="count", keys=["a"], epsilon=1).table.column_names == [
        "key",
        "count",
        "low",
        "high",
    ]


ANY_ROWS = st.lists(st.tuples(st.none() | st.floats(), st.sampled_from(["a", "b", "c", None])), max_size=12)
BOUNDS = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).filter(lambda b: b[1] - b[0] > 1e-3)
Rows = Sequence[tuple[float | None, str | None]]


def frame(rows: Rows) -> pa.Table:
    columns = [pa.array([x for x, _ in rows], pa.float64()), pa.array([g for _, g in rows], pa.string())]
    return pa.table(columns, names=["x", "g"])


def options_for(bounds: tuple[float, float], steps: int) -> dict[str, dict[str, Any]]:
    """Every statistic over the same public range, by the groups a and b."""
    by = {"by": "g", "keys": ["a", "b"], "epsilon": 1.0}
    fine = max(abs(bound) for bound in bounds) / steps
    grid = {"column": "x", "bounds": bounds, "resolution": (bounds[1] - bounds[0]) / steps, **by}
    edges = {"column": "x", "edges": tuple(np.linspace(*bounds, 6).tolist()), **by}
    return {
        "count": by,
        "sum": grid | {"resolution": fine},
        "mean": grid,
        "variance": grid,
        "histogram": edges,
        "quantile": edges | {"quantile": 0.3},
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ANY_ROWS, bounds=BOUNDS, steps=st.integers(2, 10**6), data=st.data())
def test_one_row_moves_each_component_by_no_more_than_its_sensitivity(
    rows: list[Any], bounds: tuple[float, float], steps: int, data: st.DataObject
) -> None:
    rows = [*rows, data.draw(ANY_ROWS.filter(bool))[0]]
    gone = data.draw(st.integers(0, len(rows) - 1))
    for statistic, chosen in options_for(bounds, steps).items():
        whole = release(frame(rows), statistic, **chosen)
        fewer = release(frame(rows[:gone] + rows[gone + 1 :]), statistic, **chosen)
        for part, one, other in zip(whole.release.components, whole.noisy, fewer.noisy, strict=True):
            assert np.abs(one - other).sum() <= part.sensitivity


def on_grid(rows: Rows, group: str, bounds: tuple[float, float], resolution: float) -> list[Fraction]:
    """A group's values, clamped and in units of the grid."""
    kept = [x for x, g in rows if g == group and x is not None and not math.isnan(x)]
    low, high = (round(bound / resolution) for bound in bounds)
    units = [round(min(max(x, bounds[0]), bounds[1]) / resolution) for x in kept]
    return [Fraction(min(max(unit, low), high)) for unit in units]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ANY_ROWS, bounds=BOUNDS, steps=st.integers(2, 10**4))
def test_without_noise_every_statistic_is_the_exact_one(
    rows: list[Any], bounds: tuple[float, float], steps: int
) -> None:
    options = options_for(bounds, steps)
    found = {name: release(frame(rows), name, **chosen).table for name, chosen in options.items()}
    width = bounds[1] - bounds[0]
    for i, group in enumerate(("a", "b")):
        assert found["count"]["count"][i].as_py() == sum(g == group for _, g in rows)
        total = sum(on_grid(rows, group, bounds, options["sum"]["resolution"]))
        assert found["sum"]["sum"][i].as_py() == pytest.approx(float(total) * options["sum"]["resolution"], rel=1e-9)
        values = on_grid(rows, group, bounds, options["mean"]["resolution"])
        clamped = sorted(
            min(max(x, bounds[0]), bounds[1]) for x, g in rows if g == group and x is not None and not math.isnan(x)
        )
        bins = found["histogram"].slice(i * 5, 5)
        counts = np.histogram(clamped, bins=options["histogram"]["edges"])[0].tolist()
        assert bins["count"].to_pylist() == counts
        if not values:
            assert found["mean"]["mean"][i].as_py() is None
            continue
        mean = sum(values) / len(values)
        spread = sum((value - mean) ** 2 for value in values) / len(values)
        resolution = options["mean"]["resolution"]
        assert found["mean"]["mean"][i].as_py() == pytest.approx(
            float(mean) * resolution, abs=1e-9 * max(map(abs, bounds))
        )
        assert found["variance"]["variance"][i].as_py() == pytest.approx(
            float(spread) * resolution**2, abs=1e-6 * width**2
        )
        row = found["quantile"].slice(i, 1).to_pylist()[0]
        ranked = clamped[math.ceil(0.3 * len(clamped)) - 1]
        assert row["low"] <= ranked <= row["high"]
        assert row["low"] <= row["quantile"] <= row["high"]
        assert abs(row["quantile"] - ranked) <= width / 5 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("statistic", "sensitivities"),
    [
        ("count", [1]),
        ("sum", [12]),
        ("mean", [1, 1]),
        ("variance", [1, 2, 2]),
        ("quantile", [1]),
        ("histogram", [1]),
    ],
)
@pytest.mark.parametrize("rows", [1, 3])
def test_the_price_is_what_the_noise_gives(statistic: str, sensitivities: list[int], rows: int) -> None:
    unit = Unit(id="who", rows=rows) if rows > 1 else Unit()
    operation = NoisyRelease.parse(request_for(statistic, unit=unit, **PARAMETERS[statistic]))
    parsed, debits = operation.parameters, operation.price()["north"]
    assert [debit.charge for debit in debits] == [
        DiscreteLaplace(scale=scale, sensitivity=rows * sensitivity)
        for scale, sensitivity in zip(parsed.scales(parsed.moved(rows)), sensitivities, strict=True)
    ]
    assert sum(debit.charge.epsilon for debit in debits) == pytest.approx(parsed.epsilon, rel=1e-15)
    (need,) = operation.needs()["north"]
    assert (need.disclosure, need.epsilon) == (Disclosure.DP_RELEASE, parsed.epsilon)


@pytest.mark.parametrize("statistic", PARAMETERS)
def test_a_release_sends_no_message_and_answers_the_noisy_numbers_only(statistic: str) -> None:
    transcript: list[Sent] = []
    table = pa.table({"x": [1.0, 2.0], "g": ["a", "b"]})
    released = release(table, statistic, transcript, by="g", keys=["a"], **PARAMETERS[statistic])
    assert transcript == []
    assert [len(part) for part in released.noisy] == [part.width for part in released.release.components]
    assert released.table.schema.metadata is None


def test_values_at_edges_and_beyond_them() -> None:
    table = pa.table({"x": [0.0, 0.5, 1.0, 2.5, 9.9, 10.0, 11.0, -1.0, math.inf, -math.inf, math.nan, None]})
    result = release(table, "histogram", epsilon=1, **BINNED).table
    assert result["count"].to_pylist() == [4, 1, 5]
    assert (result["from"].to_pylist(), result["to"].to_pylist()) == ([0.0, 1.0, 2.5], [1.0, 2.5, 10.0])


def test_many_keys() -> None:
    keys = list(range(100_000))
    table = pa.table({"g": [5, 99_999, 5, 100_000]})
    counts = release(table, "count", by="g", keys=keys, epsilon=1).table["count"].to_numpy()
    assert (counts[5], counts[99_999], counts.sum()) == (2, 1, 3)


def test_types_that_do_not_fit_are_an_error_before_any_value_is_read() -> None:
    with pytest.raises(InvalidArgument, match="is string, which is not numeric or boolean"):
        release(pa.table({"x": ["4711"]}), "sum", **PARAMETERS["sum"])
    for keys, column in ((["a"], pa.array([4711])), ([1], pa.array([[4711]])), ([True], pa.array([4711]))):
        with pytest.raises(InvalidArgument, match="; its keys are of") as raised:
            release(pa.table({"g": column}), "count", by="g", keys=keys, epsilon=1)
        assert "4711" not in str(raised.value)
