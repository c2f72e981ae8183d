"""Counts and sums before their noise: what is counted and clamped, and that no row moves them by more than is paid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releasing import PARAMETERS, release, request_for

from privsdk.charges import DiscreteLaplace
from privsdk.dp import verbs
from privsdk.errors import DataError
from privsdk.operations import operation_named
from privsdk.privacy import Disclosure
from privsdk.testing import Sent


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases without noise."""
    monkeypatch.setattr(verbs, "add_noise", lambda values, scale: list(values))


@pytest.mark.usefixtures("exact")
def test_rows_of_no_public_group_are_counted_nowhere() -> None:
    table = pa.table({"region": ["n", None, "s", "hidden", "n", ""], "x": [1, 2, 4, 8, 16, 32]})
    counts, _ = release(table, "count", by="region", keys=["s", "n", "w"])
    assert counts.to_pydict() == {"region": ["s", "n", "w"], "count": [1, 2, 0]}
    sums, _ = release(table, "sum", column="x", bounds=(0, 100), by="region", keys=["", "n"])
    assert sums.to_pydict() == {"region": ["", "n"], "sum": [32, 17]}
    assert release(table, "count")[0].to_pydict() == {"count": [6]}
    assert release(table.slice(0, 0), "count", by="region", keys=["n"])[0]["count"].to_pylist() == [0]
    encoded = table.set_column(0, "region", table["region"].dictionary_encode())
    assert release(encoded, "count", by="region", keys=["n"])[0]["count"].to_pylist() == [2]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    ("values", "total"),
    [
        (pa.array([math.inf, -math.inf, math.nan, None, 1.3]), 3.0 - 2.0 + 1.25),
        (pa.array([1e308, -1e308, 5e-324]), 3.0 - 2.0),
        (pa.array([2**63, 2**64 - 1], pa.uint64()), 6.0),
        (pa.array([-(2**63), 1], pa.int64()), -1.0),
        (pa.array([True, None, True]), 2.0),
        (pa.array(np.array([1.5, np.nan], np.float16)), 1.5),
        (pa.array([], pa.float64()), 0.0),
    ],
)
def test_any_value_is_clamped_or_left_out_and_none_is_an_error(values: pa.Array, total: float) -> None:
    result, _ = release(pa.table({"x": values}), "sum", **PARAMETERS["sum"])
    assert result.to_pydict() == {"sum": [total]}


ANY_ROWS = st.lists(st.tuples(st.none() | st.floats(), st.sampled_from(["a", "b", "c", None])), max_size=12)


@pytest.mark.usefixtures("exact")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ANY_ROWS,
    bounds=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).filter(
        lambda b: b[0] < b[1] and max(map(abs, b)) > 1e-3
    ),
    steps=st.integers(1, 10**6),
    data=st.data(),
)
def test_one_row_moves_a_release_by_no_more_than_its_sensitivity(
    rows: list[Any], bounds: tuple[float, float], steps: int, data: st.DataObject
) -> None:
    rows = [*rows, data.draw(ANY_ROWS.filter(bool))[0]]
    columns = [pa.array([x for x, _ in rows], pa.float64()), pa.array([g for _, g in rows], pa.string())]
    table = pa.table(columns, names=["x", "g"])
    resolution = max(map(abs, bounds)) / steps
    options = {"column": "x", "bounds": bounds, "resolution": resolution, "by": "g", "keys": ["a", "b"]}
    for statistic, chosen in (("sum", options), ("count", {"by": "g", "keys": ["a", "b"]})):
        for gone in range(len(rows)):
            kept = pa.concat_tables([table.slice(0, gone), table.slice(gone + 1)])
            (all_rows, parsed), (fewer, _) = (release(t, statistic, **chosen) for t in (table, kept))
            moved = np.abs(all_rows[statistic].to_numpy() - fewer[statistic].to_numpy()).sum() / parsed.resolution
            assert moved <= parsed.sensitivity * (1 + 1e-9)


@pytest.mark.parametrize(("statistic", "sensitivity"), [("count", 1), ("sum", 12)])
def test_the_price_is_what_the_noise_gives(statistic: str, sensitivity: int) -> None:
    operation, request = operation_named(f"dp.{statistic}"), request_for(statistic, **PARAMETERS[statistic])
    parsed = operation.parse(request)
    (debit,) = operation.price(request, parsed)["north"]
    assert debit.charge == DiscreteLaplace(scale=parsed.noise_scale, sensitivity=sensitivity)
    assert debit.charge.epsilon == pytest.approx(parsed.epsilon, rel=1e-15)
    (need,) = operation.needs(request, parsed)["north"]
    assert (need.disclosure, need.epsilon) == (Disclosure.DP_RELEASE, parsed.epsilon)


@pytest.mark.parametrize("statistic", PARAMETERS)
def test_a_release_sends_no_message_and_answers_the_noisy_numbers_only(statistic: str) -> None:
    transcript: list[Sent] = []
    table = pa.table({"x": [1.0, 2.0], "g": ["a", "b"]})
    result, _ = release(table, statistic, transcript, by="g", keys=["a"], **PARAMETERS[statistic])
    assert transcript == []
    assert result.column_names == ["g", statistic]
    assert result.schema.metadata is None


def test_types_that_do_not_fit_are_an_error_before_any_value_is_read() -> None:
    with pytest.raises(DataError, match="cannot be summed"):
        release(pa.table({"x": ["4711"]}), "sum", **PARAMETERS["sum"])
    for keys, column in ((["a"], [4711]), ([2**40], pa.array([4711], pa.int16())), ([1], [[4711]])):
        with pytest.raises(DataError, match="the group keys are") as raised:
            release(pa.table({"g": column}), "count", by="g", keys=keys)
        assert "4711" not in str(raised.value)
