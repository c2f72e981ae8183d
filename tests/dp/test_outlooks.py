"""What a plan says beforehand: expected errors in the statistic's own unit, and simulations on mock data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import privsdk as ps
from privsdk import dp
from privsdk.client.preview import Outlook
from privsdk.dp.intervals import half_widths
from privsdk.errors import InvalidArgument, UnknownName

Verb = Callable[[Any], ps.Plan[pa.Table]]
KEYS = ["a", "b"]


def frame(rows: int, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    region = rng.choice(KEYS, rows, p=[0.9, 0.1]) if rows else np.array([], dtype=str)
    return pa.table({"region": pa.array(region, pa.string()), "x": rng.uniform(0, 10, rows)})


@pytest.fixture(scope="module")
def fed() -> Iterator[ps.Federation]:
    budget = ps.Budget(epsilon=1e4)
    held = {"north": {"t": frame(100)}, "south": {"t": frame(100, 2)}, "keeper": {}}
    with ps.embedded(held, store=None, budget=budget, quiet=True) as opened:
        yield opened


PLANS: dict[str, Verb] = {
    "count": lambda t: dp.count(t, epsilon=0.5, by="region", keys=KEYS),
    "sum": lambda t: dp.sum(t, "x", epsilon=0.5, bounds=(0, 10), by="region", keys=KEYS),
    "mean": lambda t: dp.mean(t, "x", epsilon=0.5, bounds=(0, 10), by="region", keys=KEYS),
    "variance": lambda t: dp.variance(t, "x", epsilon=0.5, bounds=(0, 10), by="region", keys=KEYS),
    "quantile": lambda t: dp.median(t, "x", epsilon=0.5, bounds=(0, 10), bins=50, by="region", keys=KEYS),
    "histogram": lambda t: dp.histogram(t, "x", epsilon=0.5, bounds=(0, 10), bins=5, by="region", keys=KEYS),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_says_its_error_and_that_it_is_noise_only(fed: ps.Federation, name: str) -> None:
    for source in (fed["north"]["t"], [fed["north"]["t"], fed["south"]["t"]]):
        plan = PLANS[name](source)
        shares = [fact for label, fact in plan.notes if label == "noise"]
        assert len(shares) == isinstance(source, list)
        assert all("in shares by all 2 contributors" in fact for fact in shares)
        (fact,) = plan.outlook.expected()
        assert fact in plan.notes
        assert "95%" in fact[1]
        assert "noise only" in fact[1]
        assert ("clamping bias not included" in fact[1]) == (name != "count")


def test_constant_errors_are_those_of_the_noise(fed: ps.Federation) -> None:
    for name in ("count", "sum", "histogram"):
        plan = PLANS[name](fed["north"]["t"])
        outlook: Any = plan.outlook
        (width,) = half_widths([debit.charge.scale for debit in plan.price["north"]])
        assert outlook.half_width(1) == outlook.half_width(10**6) == pytest.approx(width * outlook._release.resolution)


@pytest.mark.parametrize("name", PLANS)
def test_errors_of_several_tables_are_of_all_shares(fed: ps.Federation, name: str) -> None:
    """Each of two draws all of the noise: where errors follow the noise, they grow as its distribution does."""
    one, two = (PLANS[name](source).outlook for source in (fed["north"]["t"], [fed["north"]["t"], fed["south"]["t"]]))
    assert one is not None
    assert two is not None
    rows = 1_000 if name == "quantile" else 100_000
    widths = [outlook.half_width(rows) for outlook in (one, two)]
    assert 1.2 <= widths[1] / widths[0] <= (2.1 if name == "quantile" else 1.6)  # quantiles: one bin, or two
    assert two.at(0.5).half_width(rows) == widths[1]


@pytest.mark.parametrize("name", ["count", "sum"])
def test_simulations_of_several_tables_draw_all_shares(fed: ps.Federation, name: str) -> None:
    """E|X| of a Laplace of scale b is b, of the sum of two 3b/2; E[X^2] 2b^2 and 4b^2 give the bound's deviation."""
    times = 1_000
    one, two = (
        outlook.simulate(frame(3_000), times)
        for outlook in (
            PLANS[name](source).outlook for source in (fed["north"]["t"], [fed["north"]["t"], fed["south"]["t"]])
        )
    )
    bound = 6 * math.sqrt((2 / 1**2 - 1 + 4 / 1.5**2 - 1) / times)  # six deviations of the ratio's logarithm: 0.25
    for key in KEYS:
        alone, shared = (
            np.abs(np.subtract(*(group[column].to_numpy().astype(float) for column in (name, "true")))).mean()
            for group in (drawn.filter(pc.field("region") == key) for drawn in (one, two))
        )
        assert abs(math.log(shared / alone / 1.5)) <= bound < math.log(1.5)  # a share more or less is seen


@pytest.mark.parametrize("name", ["mean", "variance", "quantile"])
def test_errors_that_depend_on_size_fall_with_it(fed: ps.Federation, name: str) -> None:
    outlook: Any = PLANS[name](fed["north"]["t"]).outlook
    widths = [outlook.half_width(rows) for rows in (0, 100, 1_000, 10_000, 100_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == {"mean": 5, "variance": 12.5, "quantile": 5}[name]  # everything the bounds allow
    assert widths[-1] <= 0.2


@pytest.mark.parametrize("name", PLANS)
def test_a_mock_gives_sizes_and_the_smallest_groups_error(fed: ps.Federation, name: str) -> None:
    mock = frame(5_000)
    outlook = PLANS[name](fed["north"]["t"]).outlook
    assert outlook is not None
    facts = dict(outlook.expected(mock))
    sizes = [mock["region"].to_pylist().count(key) for key in KEYS]
    assert f"2 groups of {min(sizes):,} to {max(sizes):,} rows" in facts["mock"]
    assert f"group 'b', {sizes[1]:,} rows" in facts["smallest group"]
    assert ("%" in facts["smallest group"]) == (name != "histogram")


@pytest.mark.parametrize("name", PLANS)
def test_a_simulation_runs_the_release_on_the_mock(fed: ps.Federation, name: str) -> None:
    mock = frame(3_000)
    plan = PLANS[name](fed["north"]["t"])
    assert plan.outlook is not None
    simulated = plan.outlook.simulate(mock, 200)
    own = "count" if name == "histogram" else name
    assert simulated.num_rows == 200 * 2 * (5 if name == "histogram" else 1)
    assert simulated.column_names == ["run", *PLANS[name](fed["north"]["t"]).release().value.column_names, "true"]
    found, true = (simulated[column].to_numpy().astype(float) for column in (own, "true"))
    within = (simulated["low"].to_numpy() <= true) & (true <= simulated["high"].to_numpy())
    assert within.mean() > 0.9
    assert len(set(found)) > 20  # the sampler's noise
    values = mock["x"].to_numpy()[mock["region"].to_numpy(zero_copy_only=False) == "a"]
    expected = {"mean": values.mean(), "variance": values.var(), "quantile": np.median(values), "sum": values.sum()}
    if name in expected:
        assert true[0] == pytest.approx(expected[name], rel=0.05)


def test_nothing_of_a_party_is_needed_or_spent(fed: ps.Federation) -> None:
    before = fed.budgets()
    outlook: Outlook | None = PLANS["mean"]([fed["north"]["t"], fed["south"]["t"]]).outlook
    assert outlook is not None
    outlook.expected(frame(100))
    outlook.simulate(frame(100), 10)
    assert fed.budgets() == before


def test_mocks_that_cannot_be_used(fed: ps.Federation) -> None:
    outlook = PLANS["mean"](fed["north"]["t"]).outlook
    assert outlook is not None
    with pytest.raises(UnknownName, match="in the mock"):
        outlook.expected(frame(10).select(["x"]))
    with pytest.raises(InvalidArgument, match=r"mock\.x is string"):
        outlook.simulate(pa.table({"x": ["1"], "region": ["a"]}), 1)
    with pytest.raises(InvalidArgument, match="a mock is an Arrow table"):
        outlook.expected([1])  # type: ignore[arg-type]
    for times in (0, 10**9):
        with pytest.raises(InvalidArgument, match="simulated releases"):
            outlook.simulate(frame(10), times)
    empty = dict(outlook.expected(frame(0)))
    assert "0 rows" in empty["smallest group"]
