"""Scores against exact arithmetic, what is suppressed of them, and input that cannot be scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases, Counts
from hypothesis import example, given, settings
from hypothesis import strategies as st

import privsdk as ps
from privsdk import he
from privsdk.client.progress import Live
from privsdk.crypto.seal.keys import SecretContext
from privsdk.errors import CircuitTooDeep, DataError, DifferencingRefused, InvalidArgument, PolicyRefused, UsageError
from privsdk.he.columns.arrow import Meta
from privsdk.he.columns.column import Column
from privsdk.he.columns.encrypt import encrypt
from privsdk.he.scoring import ends, protocol
from privsdk.he.scoring.ends import ScoreParameters, linked
from privsdk.protocol.operation import Operand, Outcome, Request, RoleInput, operation_of
from privsdk.protocol.roles import Role
from privsdk.protocol.services import UNGUARDED
from privsdk.testing import SeededEntropy, Sent, pair, together

EQUAL = pytest.mark.claim("he.score: scores equal NumPy's within the stated error")
SUPPRESSED = pytest.mark.claim("he.score: no count of fewer rows or units than the minimum is told, or follows")


def model_of(weights: Mapping[str | None, float | None]) -> pa.Table:
    return pa.table(
        {"feature": pa.array(list(weights), pa.string()), "weight": pa.array(list(weights.values()), pa.float64())}
    )


def parameters_of(features: Mapping[str, float], **options: Any) -> ScoreParameters:
    defaults: dict[str, Any] = {
        "weight_bound": 4.0,
        "link": "logistic",
        "edges": (0.0, 0.25, 0.5, 0.75, 1.0),
        "label": None,
        "error": 1e-4,
    }
    return ScoreParameters(features=tuple(features.items()), **defaults | options)


def given_to(
    party: str, parameters: ScoreParameters, table: pa.Table, *, min_count: int = 2, **options: Any
) -> RoleInput:
    request = Request(
        run_id="r",
        operation="he.score",
        caller="analyst",
        purpose="test",
        parties=("bank", "bureau"),
        operands={
            "bank": Operand(table="loans", columns=parameters.used),
            "bureau": Operand(table="model", columns=("feature", "weight")),
        },
        parameters=msgspec.to_builtins(parameters),
    )
    columns = request.operands[party].columns
    facts = {"session": b"s", "keys": None, "entropy": SeededEntropy(b""), "services": UNGUARDED}
    return RoleInput(request=request, party=party, table=table.select(columns), min_count=min_count, **facts | options)


def run(
    parameters: ScoreParameters, rows: pa.Table, model: pa.Table, transcript: list[Sent] | None = None, **options: Any
) -> Outcome:
    """The data owner's outcome; the model owner's is nothing."""
    inputs = (given_to("bureau", parameters, model, min_count=0), given_to("bank", parameters, rows, **options))
    outcomes = together({mine.party: operation_of(mine.request).role(mine) for mine in inputs}, transcript)
    assert (outcomes["bureau"].value, outcomes["bureau"].table) == ({}, None)
    return outcomes["bank"]


def linear(
    features: Sequence[Sequence[float]],
    weights: Sequence[float],
    intercept: float,
    *,
    bounds: Sequence[float],
    weight_bound: float,
    error: float,
) -> np.ndarray:
    """The protocol alone: w x for each row."""
    preset = protocol.preset_for(tuple(bounds), weight_bound, error)
    columns = [np.asarray(column, np.float64) for column in features]
    found, nothing = pair(
        protocol.data_owner(columns, tuple(bounds), preset=preset, weight_bound=weight_bound, peer="b"),
        protocol.model_owner(weights, intercept, tuple(bounds), preset=preset, peer="a"),
    )
    assert nothing is None
    return np.asarray(found)


def exactly(features: Sequence[Sequence[float]], weights: Sequence[float], intercept: float, row: int) -> Fraction:
    terms = (Fraction(w) * Fraction(float(column[row])) for w, column in zip(weights, features, strict=True))
    return sum(terms, start=Fraction(intercept))


# the protocol against exact arithmetic

BOUNDS = [2.0**-20, 0.5, 1.0, 1000.0, 2.0**30]
WEIGHT_BOUNDS = [1e-3, 1.0, 300.0]


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[list[float]], list[float], float, list[float], float]:
    bounds = draw(st.lists(st.sampled_from(BOUNDS), min_size=1, max_size=4))
    most, rows = draw(st.sampled_from(WEIGHT_BOUNDS)), draw(st.integers(1, 6))

    def within(bound: float) -> st.SearchStrategy[float]:
        return st.floats(-bound, bound) | st.sampled_from([bound, -bound, 0.0, 1e-300, bound / 3])

    weights = draw(st.lists(within(most), min_size=len(bounds), max_size=len(bounds)))
    features = [draw(st.lists(within(bound), min_size=rows, max_size=rows)) for bound in bounds]
    return features, weights, draw(within(most)), bounds, most


@EQUAL
@settings(max_examples=25)
@example(([[1.0, -1.0]], [0.0], 0.25, [1.0], 1.0))  # an intercept only
@example(([[1.0, -1.0]], [0.0], 0.0, [1.0], 1.0))  # nothing at all
@example(([[1.0], [0.5], [-1.0]], [0.0, 1.0, 0.0], 0.0, [1.0] * 3, 1.0))  # all zero but one
@example(([[1.0]], [1e-300], 0.0, [1.0], 1.0))  # no weight that its scale can hold
@given(problem=problems())
def test_scores_are_within_their_error(
    problem: tuple[list[list[float]], list[float], float, list[float], float],
) -> None:
    features, weights, intercept, bounds, most = problem
    largest = (sum(bounds) + 1) * most
    for error in (largest * 1e-3, largest * 1e-9 + 1e-9):
        found = linear(features, weights, intercept, bounds=bounds, weight_bound=most, error=error)
        for row, score in enumerate(found.tolist()):
            assert abs(Fraction(score) - exactly(features, weights, intercept, row)) <= Fraction(error)


@EQUAL
@pytest.mark.parametrize("size", ["small", "large"])
def test_scores_at_the_bounds_over_several_chunks(size: str, cases: Cases) -> None:
    """Every value and weight as large as declared, and signs such that nothing cancels; some features a message."""
    count, most, error = (40, 7.0, 1e-3) if size == "small" else (60, 7.0, 1e-4)
    bounds = [100.0] * count if size == "small" else [float(10 * (i + 1)) for i in range(count)]
    preset = protocol.preset_for(tuple(bounds), most, error)
    assert len(list(protocol._blocks(preset, count))) > 1
    rows = preset.values_a_row + 3
    signs = np.random.default_rng(3).choice([-1.0, 1.0], rows)
    features = [signs * bound * (-1) ** i for i, bound in enumerate(bounds)]
    weights = [most * (-1) ** i for i in range(count)]
    found = linear(features, weights, most, bounds=bounds, weight_bound=most, error=error)
    truth = signs * (sum(bounds) * most) + most
    assert len(found) == rows
    worst = float(np.abs(found - truth).max())
    assert worst <= error
    cases.say(f"largest difference {worst / error:.2g} of the stated error")
    cases(rows)


@EQUAL
@pytest.mark.parametrize("link", ["identity", "logistic"])
def test_the_answer_is_numpys(link: str, cases: Cases) -> None:
    rng = np.random.default_rng(5)
    rows = 5000
    table = pa.table(
        {
            "age": pa.array(rng.integers(18, 90, rows), pa.int8()),
            "debt": pa.array(rng.normal(0, 30, rows).clip(-200, 200), mask=rng.random(rows) < 0.05),
            "owner": rng.random(rows) < 0.4,
            "late": pa.array(rng.random(rows) < 0.3, mask=rng.random(rows) < 0.01),
        }
    )
    weights = {"owner": -0.9, "(intercept)": -1.5, "debt": 0.04, "age": 0.02}
    edges = (0.0, 0.1, 0.2, 0.5, 1.0) if link == "logistic" else (-9.0, -1.0, 0.0, 1.5, 9.0)
    asked = parameters_of({"age": 120, "debt": 200, "owner": 1}, link=link, edges=edges, label="late")
    answer = run(asked, table, model_of(weights))
    frame = table.to_pandas().dropna().astype(float)
    z = frame["age"] * 0.02 + frame["debt"] * 0.04 - 0.9 * frame["owner"] - 1.5
    truth = np.asarray(z if link == "identity" else 1 / (1 + np.exp(-z)))
    assert answer.value["count"] == len(frame)
    assert answer.value == {"count": len(frame)}
    counts, positives = answer.table["rows"].to_pylist(), answer.table["labelled"].to_pylist()
    for i, (low, high) in enumerate(pairwise(edges)):
        for found, of in ((counts, frame["late"] >= 0), (positives, frame["late"] == 1)):
            sure = of & (truth >= low + asked.score_error) & (truth < high - asked.score_error)
            possible = of & (truth >= low - asked.score_error) & (truth < high + asked.score_error)
            assert sure.sum() <= found[i] <= possible.sum()
            cases()
    assert answer.table.column_names == ["from", "to", "rows", "labelled"]


def test_the_logistic_link_overflows_nowhere() -> None:
    z = np.array([-1e300, -745.2, -36.0, -1e-17, 0.0, 0.3, 36.0, 1e300])
    truth = [Fraction(0), Fraction(0), *(1 / (1 + Fraction(math.exp(-v))) for v in z[2:-1]), Fraction(1)]
    for found, exact in zip(linked(z, "logistic").tolist(), truth, strict=True):
        assert 0 <= found <= 1
        assert abs(Fraction(found) - exact) <= Fraction(2.0**-52)


@given(
    bounds=st.lists(st.sampled_from(BOUNDS), min_size=1, max_size=70),
    weights=st.lists(st.floats(-1, 1), min_size=70, max_size=70),
)
def test_figures_of_the_largest_weights_hold_for_all(bounds: list[float], weights: list[float]) -> None:
    """Level and scale are the same, bound, error and noise not smaller; those by doubling are those term by term."""
    public, meta = figures(tuple(bounds), 1.0, 1e-3 * sum(bounds))
    fresh = [Column.of_rows(Meta.fresh(public, b, length=1, secret=True), (), None) for b in bounds]
    term_by_term = he.matmul(fresh, np.ones((len(bounds), 1)), intercepts=[1.0])[0].meta.estimate
    used = [w for w in weights[: len(bounds)] if w] or [0.5]
    true = he.matmul(fresh[: len(used)], np.array(used).reshape(-1, 1))[0].meta.estimate
    for estimate in (term_by_term, true):
        assert (estimate.level, estimate.pending) == (meta.estimate.level, meta.estimate.pending)
        for name in ("bound", "error", "noise"):
            assert getattr(estimate, name) <= getattr(meta.estimate, name) * (1 + 1e-12)
    assert term_by_term.error == pytest.approx(meta.estimate.error, rel=1e-12)
    assert term_by_term.noise == pytest.approx(meta.estimate.noise, rel=1e-12)


def figures(bounds: tuple[float, ...], weight_bound: float, error: float) -> tuple[Any, Any]:
    preset = protocol.preset_for(bounds, weight_bound, error)
    public = SecretContext.new(preset).public
    return public, protocol._figures(public, bounds, weight_bound)


def test_weights_too_small_for_the_scale_are_refused() -> None:
    with pytest.raises(CircuitTooDeep, match="too small"):
        protocol.preset_for((2.0**40,), 2.0**-60, 1.0)


def test_small_numbers_need_no_scale_beyond_the_modulus() -> None:
    """SEAL refuses such a scale, however small the product is."""
    for bound in (1e-12, 1e-6, 1e-3):
        found = linear([[bound, -bound]], [bound], bound, bounds=[bound], weight_bound=bound, error=bound / 1e6)
        assert np.abs(found - [bound + bound**2, bound - bound**2]).max() <= bound / 1e6


def test_a_default_error_that_the_bounds_allow(fed: ps.Federation) -> None:
    def error_of(**features: float) -> float:
        plan = he.score(fed["bureau"]["model"], fed["bank"]["loans"], features=features, weight_bound=10)
        return plan.request.parameters["error"]

    assert error_of(age=120, debt=100) == 1e-6
    assert error_of(age=120, debt=1e6) == pytest.approx(1e-4)
    with pytest.raises(InvalidArgument, match="no preset computes this within 1e-06") as refused:
        ask(fed, features={"age": 120, "debt": 1e9}, error=1e-6)
    assert "larger error" in refused.value.hint


def test_a_party_can_be_stopped_before_each_ciphertext() -> None:
    bounds = (1.0,) * 5
    preset = protocol.preset_for(bounds, 1.0, 1e-3)
    rows = 2 * preset.values_a_row
    phases: dict[str, list[str]] = {"a": [], "b": []}

    def watched(name: str, role: Role[Any]) -> Role[Any]:
        heard = None
        while True:
            try:
                step = next(role) if heard is None else role.send(heard)
            except StopIteration as stop:
                return stop.value
            phases[name] += [step.progress.phase] if step.progress else []
            heard = yield step

    zeros = [np.zeros(rows)] * 5
    owner = protocol.data_owner(zeros, bounds, preset=preset, weight_bound=1.0, peer="b")
    pair(watched("a", owner), watched("b", protocol.model_owner([0.0] * 5, 0.5, bounds, preset=preset, peer="a")))
    assert phases == {"a": (["encrypting"] * 5 + ["scoring"]) * 2, "b": ["scoring"] * 2}


# what is suppressed

PLACES = st.lists(
    st.tuples(st.sampled_from([-0.1, 0.0, 0.1, 0.25, 0.5, 0.74, 0.75, 0.99, 1.0, 1.1]), st.integers(0, 6))
)


def told(placed: Sequence[tuple[float, int]], *, units: bool, min_count: int) -> list[int | None]:
    asked = parameters_of({"x": 1.0}, link="identity")
    found = np.array([score for score, _ in placed], np.float64)
    whose = np.array([unit for _, unit in placed], np.int64)
    table = pa.table({"x": pa.array(found)})
    mine = given_to("bank", asked, table, min_count=min_count, keys=whose if units else None)
    answer = ends.disclosed(mine, asked, np.arange(len(found)), found, None)
    return answer.table["rows"].to_pylist()


def check_suppressed(placed: Sequence[tuple[float, int]], *, units: bool, min_count: int) -> None:
    """Of the intervals, and of what the total less those shown leaves: none, or enough."""
    counts = told(placed, units=units, min_count=min_count)
    edges = (0.0, 0.25, 0.5, 0.75, 1.0)
    inside = [
        {i for i, (s, _) in enumerate(placed) if low <= s < high or (high == edges[-1] == s)}
        for low, high in pairwise(edges)
    ]

    def size(rows: set[int]) -> int:
        return len({placed[i][1] for i in rows}) if units else len(rows)

    hidden = set(range(len(placed)))
    for rows, count in zip(inside, counts, strict=True):
        if count is not None:
            assert count == len(rows)
            assert size(rows) >= min_count
            hidden -= rows
    assert not hidden or size(hidden) >= min_count or all(count is None for count in counts)
    if all(size(rows) >= min_count for rows in inside) and not hidden:
        assert None not in counts


@SUPPRESSED
@given(placed=PLACES, units=st.booleans(), min_count=st.integers(2, 6))
@settings(max_examples=300)
def test_small_intervals_are_suppressed(placed: list[tuple[float, int]], units: bool, min_count: int) -> None:
    if placed:
        check_suppressed(placed, units=units, min_count=min_count)


RULE = ends.suppressed_of_rows
WRONG: dict[str, Callable[..., frozenset[int]]] = {
    "only the small ones": lambda groups, at, units, k: frozenset(i for i in groups if (at == i).sum() < k),
    "all but empty ones": lambda groups, at, units, k: frozenset(i for i in groups if not (at == i).any()),
    "rows in place of units": lambda groups, at, units, k: RULE(groups, at, np.arange(len(at)), k),
}


@SUPPRESSED
@pytest.mark.parametrize("wrong", WRONG)
def test_too_much_told_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch, cases: Cases) -> None:
    """Three rows are in the second interval, or outside of all; two units own the third's rows."""
    placed = [(0.1, i) for i in range(9)] + [(0.3, i) for i in range(3)] + [(0.6, i % 2) for i in range(9)]
    outside = [(0.1, i) for i in range(9)] + [(1.1, i) for i in range(3)]
    monkeypatch.setattr(ends, "suppressed_of_rows", WRONG[wrong])
    units = wrong == "rows in place of units"
    each = placed if units else outside
    with pytest.raises(AssertionError):
        check_suppressed(each, units=units, min_count=5)
    monkeypatch.setattr(ends, "suppressed_of_rows", RULE)
    for each in (placed, outside):
        check_suppressed(each, units=units, min_count=5)
        cases(len(each))


def test_intervals_are_closed_as_numpys() -> None:
    """An edge belongs to the interval above it, the last one to that below; what is outside is nowhere."""
    values = [-0.1, 0.0, 0.25, 0.5, 0.5, 0.75, 1.0, 1.1]
    counts = told([(v, i) for i, v in enumerate(values)], units=False, min_count=1)
    assert counts == np.histogram(values, [0, 0.25, 0.5, 0.75, 1.0])[0].tolist() == [1, 1, 2, 2]


# input that cannot be scored

ROWS = 12
GOOD = {"x": [0.5] * ROWS, "y": [1.0] * ROWS, "late": [True] * ROWS}
SECRET = 7391.5
MODEL = {"x": 1.0, "y": -1.0, "(intercept)": 0.5}


def spoiled(column: str, value: Any, type_: pa.DataType | None = None) -> pa.Table:
    values = [*GOOD[column][:-1], value]
    return pa.table({**GOOD, column: pa.array(values, type_)})


# (the rows, the model, what the message says)
REFUSED: dict[str, tuple[pa.Table, Mapping[Any, Any], str]] = {
    "a feature beyond its bound": (spoiled("x", SECRET), MODEL, "bank's x exceeds the declared bound of 1:"),
    "a feature far below": (spoiled("y", -SECRET), MODEL, "bank's y exceeds the declared bound of 2:"),
    "an infinite feature": (spoiled("y", math.inf), MODEL, "bank's y exceeds the declared bound of 2:"),
    "a label of two": (spoiled("late", SECRET, pa.float64()), MODEL, "bank's late holds something that is not 0 or 1"),
    "too few rows": (pa.table(GOOD).slice(0, 4), MODEL, "bank has fewer complete rows than its minimum count of 5"),
    "no rows": (pa.table(GOOD).slice(0, 0), MODEL, "bank has fewer complete rows"),
    "nulls but four": (
        pa.table({**GOOD, "x": pa.array([0.5] * 4 + [None] * 4 + [math.nan] * 4)}),
        MODEL,
        "bank has fewer complete rows",
    ),
    "labels unknown but four": (
        pa.table({**GOOD, "late": pa.array([True] * 4 + [None] * 8)}),
        MODEL,
        "bank has fewer complete rows",
    ),
    "a column of no type": (pa.table({**GOOD, "x": pa.nulls(ROWS)}), MODEL, "bank has fewer complete rows"),
    "a weight beyond the bound": (pa.table(GOOD), {**MODEL, "x": SECRET}, "bureau's model has a weight beyond 4,"),
    "an intercept beyond it": (pa.table(GOOD), {**MODEL, "(intercept)": -SECRET}, "bureau's model has a weight beyond"),
    "a weight of nan": (pa.table(GOOD), {**MODEL, "y": math.nan}, "bureau's model has a weight beyond"),
    "an infinite weight": (pa.table(GOOD), {**MODEL, "y": -math.inf}, "bureau's model has a weight beyond"),
    "a null weight": (pa.table(GOOD), {**MODEL, "y": None}, "bureau's model has a weight beyond"),
    "a feature missing": (pa.table(GOOD), {"x": SECRET}, "bureau's model is not one of x, y"),
    "a feature too many": (pa.table(GOOD), {**MODEL, "hidden": SECRET}, "bureau's model is not one of x, y"),
    "no name": (pa.table(GOOD), {**MODEL, None: SECRET}, "bureau's model is not one of x, y"),
    "an empty model": (pa.table(GOOD), {}, "bureau's model is not one of x, y"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_named_and_no_value_told(case: str) -> None:
    rows, weights, words = REFUSED[case]
    asked = parameters_of({"x": 1.0, "y": 2.0}, label="late")
    transcript: list[Sent] = []
    with pytest.raises(DataError) as refused:
        run(asked, rows, model_of(weights), transcript, min_count=5)
    text = str(refused.value)
    assert words in text
    assert ": nothing was " in text
    for secret in ("7391", "hidden", "inf", "nan", "None"):
        assert secret not in text
    assert not [sent for sent in transcript if sent.tag != "he.scoring.Opening"]


def test_a_name_twice_is_no_model() -> None:
    twice = pa.table({"feature": ["x", "y", "x"], "weight": [1.0, 2.0, SECRET]})
    with pytest.raises(DataError, match="bureau's model is not one of x, y"):
        run(parameters_of({"x": 1.0, "y": 2.0}), pa.table(GOOD), twice)


def test_more_rows_than_a_key_may_reveal_are_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = parameters_of({"x": 1.0}, weight_bound=1.0, error=0.01)
    assert protocol.most_rows(asked.preset) == asked.preset.values_a_row << 10 == 1 << 23
    monkeypatch.setattr(protocol, "most_rows", lambda preset: preset.values_a_row)
    rows = asked.preset.values_a_row + 1
    transcript: list[Sent] = []
    with pytest.raises(DataError, match="bank has more than 8,192 complete rows"):
        run(asked, pa.table({"x": np.zeros(rows)}), model_of({"x": 1.0}), transcript)
    assert transcript == []
    with pytest.raises(DataError, match=r"8,388,609 rows to score"):
        next(
            protocol.data_owner(
                [np.broadcast_to(0.0, (1 << 23) + 1)], (1.0,), preset=asked.preset, weight_bound=1.0, peer="m"
            )
        )


@pytest.mark.parametrize("type_", [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.bool_(), pa.int64()])
def test_features_and_labels_of_every_kind(type_: pa.DataType) -> None:
    values = [0, 1] * 6
    column = pa.array(np.array(values, np.float16)) if type_ == pa.float16() else pa.array(values).cast(type_)
    weights = pa.table({"feature": ["x"], "weight": pa.array([2], pa.int8())})
    asked = parameters_of({"x": 1.0}, link="identity", edges=(-1.0, 1.0, 3.0), label="late")
    answer = run(asked, pa.table({"x": column, "late": column}), weights)
    assert answer.table["rows"].to_pylist() == [6, 6]
    assert answer.table["labelled"].to_pylist() == [0, 6]


# through a federation: plans, policy and the guard

WEIGHTS = {"age": 0.05, "debt": 0.02, "(intercept)": -2.0}


def people(rows: int = 400) -> pa.Table:
    rng = np.random.default_rng(8)
    return pa.table(
        {
            "age": rng.integers(18, 90, rows),
            "debt": rng.normal(0, 20, rows).clip(-90, 90),
            "late": rng.random(rows) < 0.5,
            "paid": rng.random(rows) < 0.5,
            "name": ["n"] * rows,
        }
    )


def tables() -> dict[str, dict[str, pa.Table]]:
    return {
        "bank": {"loans": people()},
        "bureau": {
            "model": model_of(WEIGHTS),
            "other": model_of({**WEIGHTS, "age": -0.05, "(intercept)": 1.0}),
            "secret": model_of({"age": SECRET, "debt": 1.0}),
        },
    }


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    with ps.embedded(tables(), store=None, quiet=True) as opened:
        yield opened


def ask(fed: ps.Federation, model: str = "model", **options: Any) -> Any:
    defaults: dict[str, Any] = {"features": {"age": 120, "debt": 100}, "weight_bound": 10}
    return he.score(fed["bureau"][model], fed["bank"]["loans"], **defaults | options)


def scored(weights: Mapping[str, float]) -> np.ndarray:
    table = people()
    z = weights["age"] * table["age"].to_numpy() + weights["debt"] * table["debt"].to_numpy() + weights["(intercept)"]
    return np.asarray(1 / (1 + np.exp(-z)))


def test_another_model_link_or_label_has_an_answer_of_its_own(fed: ps.Federation) -> None:
    """All are over the same rows; what was told before of those is not told again for them."""
    truth = scored(WEIGHTS)
    edges = [0, 0.4, 0.6, 0.8, 1]
    first = ask(fed, edges=edges).release().value
    assert first.shown == first.count == len(truth)
    assert first.mean == pytest.approx(truth.mean(), abs=first.mean_error)
    assert first.mean_error <= 0.2 + first.error
    assert first.table["rows"].to_pylist() == np.histogram(truth, edges)[0].tolist()
    for label in ("late", "paid"):
        answer = ask(fed, label=label, edges=edges).release().value
        held = people()[label].to_numpy(zero_copy_only=False)
        assert answer.table["labelled"].to_pylist() == np.histogram(truth[held], edges)[0].tolist()
        assert answer.table["rows"] == first.table["rows"]
    plain = ask(fed, link="identity", edges=[-1, 0, 1]).release().value
    inside = np.log(truth / (1 - truth))
    inside = inside[(inside >= -1) & (inside <= 1)]
    assert plain.shown == len(inside)
    assert plain.mean == pytest.approx(inside.mean(), abs=plain.mean_error)
    turned = {**WEIGHTS, "age": -0.05, "(intercept)": 1.0}
    other = ask(fed, "other", edges=[0, 1]).release().value
    assert other.mean == 0.5
    assert other.mean_error == 0.5 + other.error
    assert other.mean == pytest.approx(scored(turned).mean(), abs=other.mean_error)


@pytest.mark.claim("he.score: a steep model counts no rows beyond a threshold that the minimum count hides")
@pytest.mark.attack(
    "he.score with a steep model counts the rows beyond a threshold", "exactly, also one row", "minimum count"
)
@pytest.mark.parametrize("edges", [[0.0, 1.0], [0.0, 0.5, 1.0]])
def test_a_model_is_no_filter_of_few_rows(edges: list[float], cases: Cases, counts: Counts) -> None:
    """Of 80 rows so many lie beyond the threshold: whether none, one or nine, the caller is told the same, and beyond 9
    no more than the counts by interval."""
    minimum = 10
    for beyond in counts([0, 1, 9, 10, 12], [*range(13)], [*range(13)]):
        pay = np.r_[np.arange(80 - beyond), np.full(beyond, 900)]
        held = {
            "north": {"people": pa.table({"pay": pa.array(pay)})},
            "south": {"steep": model_of({"pay": 64.0, "(intercept)": -64.0 * 500.5})},
        }
        grants = ps.Grant(
            table="*", columns={"pay": ("aggregate", "comparison"), "*": "model weight"}, min_count=minimum
        )
        policy = ps.Policy(operations=("he.score",), grants=(grants,))
        with ps.embedded(held, policy=policy, store=None, quiet=True, caller="south") as fed:
            plan = he.score(
                fed["south"]["steep"],
                fed["north"]["people"],
                features={"pay": 1000},
                weight_bound=64_000,
                edges=edges,
            )
            released = plan.release().value
        shown = [80] if len(edges) == 2 else [80 - beyond, beyond] if beyond >= minimum else [None, None]
        assert released.table["rows"].to_pylist() == shown
        numbers = [value for value in vars(released).values() if isinstance(value, int | float)]
        expected = {2: {80, 0.5}, 3: {80, 0, math.inf}}[len(edges)]
        if beyond < minimum:
            assert {round(number, 3) for number in numbers if number != released.error} <= expected | {0.5}
        cases()


def test_a_usual_second_question_is_answered_and_one_about_few_rows_refused(fed: ps.Federation) -> None:
    truth = np.sort(scored(WEIGHTS))
    fed["bank"]["loans"].count().release()
    ask(fed).release()
    ask(fed).release()
    ask(fed, edges=[0, 0.5, 1], label="late").release()
    ask(fed, edges=[0.25, 0.75]).release()
    above = int(np.searchsorted(truth, 0.5))
    edge = float(truth[above + 2] + truth[above + 3]) / 2  # three rows lie between one half and this
    with pytest.raises(DifferencingRefused):
        ask(fed, edges=[0, edge, 1]).release()


def test_units_are_counted_where_the_owner_names_an_id() -> None:
    """Forty rows of two customers are as few as two; the guard and the minimum count go by customers."""
    table = pa.table(
        {"age": [0.1] * 40 + [0.6] * 40, "who": [f"c{i % 2}" for i in range(40)] + [f"d{i}" for i in range(40)]}
    )
    held = {"bank": {"loans": table}, "bureau": {"model": model_of({"age": 1.0})}}
    budget = {"bank": ps.Budget(exact=9, unit=ps.Unit(id="who", rows=40))}
    with ps.embedded(held, store=None, quiet=True, budget=budget) as fed:
        model, loans = fed["bureau"]["model"], fed["bank"]["loans"]
        plan = he.score(model, loans, features={"age": 1}, weight_bound=1, link="identity", edges=[0, 0.5, 1])
        assert plan.release().value.table["rows"].to_pylist() == [None, None]
        plan = he.score(model, loans, features={"age": 1}, weight_bound=1, link="identity", edges=[0.5, 0.7])
        assert plan.release().value.table["rows"].to_pylist() == [None]


def test_rows_of_no_interval_are_compared_too() -> None:
    """Every interval shown differs by many rows from the earlier ones, what is outside of all by three."""
    x = np.linspace(0.005, 0.995, 100)
    held = {"bank": {"loans": pa.table({"age": x})}, "bureau": {"model": model_of({"age": 1.0})}}

    def asked(fed: ps.Federation, edges: list[float]) -> list[int]:
        model, loans = fed["bureau"]["model"], fed["bank"]["loans"]
        plan = he.score(model, loans, features={"age": 1}, weight_bound=1, link="identity", edges=edges)
        return plan.release().value.table["rows"].to_pylist()

    with ps.embedded(held, store=None, quiet=True) as fed:
        assert asked(fed, [0.0, 0.3, 0.7]) == [30, 40]
        assert asked(fed, [0.0, 0.5, 0.9]) == [50, 40]
        with pytest.raises(DifferencingRefused):
            asked(fed, [0.0, 0.15, 0.73])


def test_a_preview_shows_needs_records_and_parameters(fed: ps.Federation) -> None:
    plan = ask(fed, label="late")
    preview = plan.preview()
    text = " ".join(repr(preview).split())
    assert preview.allowed
    for words in (
        "loans.age as aggregate",
        "loans.age as comparison",
        "loans.late as aggregate",
        "model.weight as model weight",
        "bank holds the key; bureau computes on ciphertexts",
        "each row's score; bureau's model",
        "how many of them have late",
    ):
        assert words in text
    result = plan.release()
    assert "400 rows scored, mean 0." in repr(result)
    assert "labelled" in result._repr_html_()


def test_without_a_grant_the_refusal_says_which() -> None:
    granted = ps.Grant(table="loans", columns={"*": "aggregate"})
    policy = {"bank": ps.Policy(operations=("he.score",), grants=(granted,)), "bureau": ps.Policy(operations=("*",))}
    with ps.embedded(tables(), store=None, quiet=True, policy=policy) as fed:
        with pytest.raises(PolicyRefused) as refused:
            ask(fed).release()
        assert refused.value.party == "bank"
        assert "loans.age is not granted as comparison to analyst for workshop" in str(refused.value)
    policy["bank"] = ps.Policy(operations=("*",), grants=(ps.Grant(table="loans", columns={"*": "group key"}), granted))
    with ps.embedded(tables(), store=None, quiet=True, policy=policy) as fed:
        before = fed.budgets()
        with pytest.raises(PolicyRefused) as refused:
            ask(fed).release()
        text = str(refused.value)
        assert refused.value.party == "bureau"
        assert "model.weight is not granted as model weight to analyst for workshop" in text
        assert "columns={'feature': 'model weight', 'weight': 'model weight'}" in text
        assert "REFUSED  bank's scores" in text
        assert fed.budgets() == before


def test_errors_tell_no_weight(fed: ps.Federation) -> None:
    with pytest.raises(DataError) as refused:
        ask(fed, "secret").release()
    assert refused.value.party == "bureau"
    assert "7391" not in str(refused.value) + repr(refused.value)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no features": ({"features": {}}, "features are missing"),
    "features without bounds": ({"features": ["age", "debt"]}, 'give {"age": 120, "income": 1e6}'),
    "the intercept as feature": ({"features": {"(intercept)": 1}}, "so a model names its intercept"),
    "a bound of 0": ({"features": {"age": 0}}, "bounds of features"),
    "a bound of nan": ({"features": {"age": math.nan}}, "bounds of features"),
    "an endless bound": ({"features": {"age": math.inf}}, "bounds of features"),
    "no weight bound": ({"weight_bound": -1}, "of weights"),
    "an error of 0": ({"error": 0}, "and of the error"),
    "an error too small": ({"error": 1e-30}, "declare closer bounds or a larger error"),
    "a misspelt feature": ({"features": {"aeg": 1}}, "did you mean 'age'"),
    "a feature of text": ({"features": {"name": 1}}, "loans.name is string"),
    "a label among the features": ({"label": "age"}, "'age' is among the features"),
    "a label of text": ({"label": "name"}, "loans.name is string"),
    "another link": ({"link": "probit"}, "known: identity, logistic"),
    "one edge": ({"edges": [1]}, "each above the one before"),
    "edges that fall": ({"edges": [0, 2, 1]}, "each above the one before"),
    "an endless edge": ({"edges": [0, math.inf]}, "each above the one before"),
    "too many edges": ({"edges": range(2000)}, "2 to 1,001 finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_arguments_that_cannot_be_used(fed: ps.Federation, case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(UsageError) as error:
        ask(fed, **options)
    assert words in str(error.value)


def test_tables_that_cannot_be_used(fed: ps.Federation) -> None:
    loans, model = fed["bank"]["loans"], fed["bureau"]["model"]
    options: dict[str, Any] = {"features": {"age": 120}, "weight_bound": 1}
    for one, other, words in (
        (loans, loans, "both bank's"),
        (loans, model, "no column named 'feature' in bank/loans"),
        ("model", loans, 'use fed["party"]["table"]'),
        (model, fed["bank"], 'use fed["party"]["table"]'),
    ):
        with pytest.raises(UsageError) as error:
            he.score(one, other, **options)
        assert words in str(error.value)


def test_a_party_checks_what_a_caller_sends(fed: ps.Federation) -> None:
    """The same rules hold for a request that no verb has made; nothing is charged."""
    good = ask(fed, label="late").request
    bank, bureau = good.operands["bank"], good.operands["bureau"]
    parameters = good.parameters
    forged = [
        msgspec.structs.replace(good, parties=("bureau", "bank")),
        msgspec.structs.replace(good, parties=("bank",), operands={"bank": bank}),
        msgspec.structs.replace(good, operands={"bank": bank}),
        msgspec.structs.replace(
            good, operands={**good.operands, "bank": msgspec.structs.replace(bank, columns=("age", "debt"))}
        ),
        msgspec.structs.replace(
            good, operands={**good.operands, "bank": msgspec.structs.replace(bank, columns=("age", "debt", "name"))}
        ),
        msgspec.structs.replace(
            good, operands={**good.operands, "bureau": msgspec.structs.replace(bureau, columns=("weight", "feature"))}
        ),
        msgspec.structs.replace(
            good, operands={**good.operands, "bureau": msgspec.structs.replace(bureau, alignment="joint")}
        ),
        msgspec.structs.replace(good, parameters={**parameters, "link": "probit"}),
        msgspec.structs.replace(good, parameters={**parameters, "label": "age"}),
        msgspec.structs.replace(good, parameters={**parameters, "error": 1e-30}),
        msgspec.structs.replace(good, parameters={**parameters, "features": [["age", 120], ["age", 120]]}),
        msgspec.structs.replace(good, parameters={**parameters, "features": []}),
        msgspec.structs.replace(good, parameters={**parameters, "extra": 1}),
    ]
    before = fed.budgets()
    for request in forged:
        with pytest.raises(UsageError):
            fed.execute(Live(request))
    assert fed.budgets() == before


def test_encryption_of_a_chunk_is_what_columns_make() -> None:
    """Rows of a feature are those of `he.encrypt`: the model owner's figures hold for them."""
    preset = protocol.preset_for((1.0,), 1.0, 1e-3)
    key = SecretContext.new(preset)
    column = encrypt(np.zeros(5), 1.0, key)
    assert column.meta.estimate == Meta.fresh(key.public, 1.0, length=5, secret=True).estimate
