"""Preparation: which rows take part, what they add up to, and that all standardise as one pooled table would."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st

from privsdk.crypto.sums.base import PlainSum
from privsdk.crypto.sums.encrypted import EncryptedSum
from privsdk.errors import DataError, ProtocolViolation
from privsdk.fl import FedAvg, Logistic, Softmax, Standardised
from privsdk.fl.averages import Each, OnGrid
from privsdk.fl.loops.course import ClientInput, CoordinatorInput, Course
from privsdk.fl.loops.rounds import Synchronous
from privsdk.fl.models.features import in_range
from privsdk.fl.models.model import Model
from privsdk.fl.models.network import Rows
from privsdk.fl.models.training import Schedule, in_threads
from privsdk.fl.preparation import (
    LARGEST_STATISTIC,
    MOST_ROWS,
    UNIT,
    Preparation,
    class_weights_of,
    length_of,
    scale_of,
    totals_of,
)
from privsdk.protocol.roles import Role
from privsdk.testing import together

NAN = math.nan
STATED = Fraction(1, 2**29)  # what a client's rounding adds to an error, over the number of values


def prepared(model: Model, table: pa.Table, number: int = 0, **changes: Any) -> Preparation:
    settings: dict[str, Any] = {
        "label": "y", "class_weights": None, "share": 0.25, "seed": (5, number), "party": f"p{number}", "clients": 3,
        "min_count": 2, "owners": None,
    } | changes  # fmt: skip
    return Preparation(model, table, **settings)


def numbered(count: int, **columns: Any) -> pa.Table:
    """Rows whose x is their own number."""
    return pa.table({"x": np.arange(count), "y": [n % 3 == 0 for n in range(count)], **columns})


def plain(count: int, missing: str = "drop") -> Logistic:
    return Logistic(features={"x": (0, count - 1)}, missing=missing)  # type: ignore[arg-type]


def numbers_in(rows: Rows, count: int) -> list[int]:
    return sorted(round((float(x) + 1) / 2 * (count - 1)) for x in rows.x[:, 0])


def test_rows_are_split_by_the_seed_and_none_is_in_both() -> None:
    one, again, other = (prepared(plain(40), numbered(40), number) for number in (0, 0, 1))
    training, held_out = one.rows(one.statistics()), one.held_out
    assert (len(training), len(held_out)) == (30, 10)
    assert numbers_in(training, 40) + numbers_in(held_out, 40) != list(range(40))
    assert sorted(numbers_in(training, 40) + numbers_in(held_out, 40)) == list(range(40))
    assert one.kept.tolist() == again.kept.tolist()
    assert one.kept.tolist() != other.kept.tolist()
    assert sorted(one.kept.tolist()) == numbers_in(held_out, 40)
    assert all(each.x.flags.c_contiguous and each.x.dtype == np.float32 for each in (training, held_out))
    for rows in (training, held_out):
        assert [n % 3 == 0 for n in numbers_in(rows, 40)].count(True) == int(rows.y.sum())


def test_incomplete_rows_are_dropped_or_filled() -> None:
    x = [None if n % 4 == 0 else NAN if n % 4 == 1 else float(n) for n in range(40)]
    y = [None if n % 5 == 0 else n % 2 == 0 for n in range(40)]
    table = pa.table({"x": x, "y": y})
    complete = [n for n in range(40) if n % 4 >= 2 and n % 5]
    dropped = prepared(plain(40), table)
    assert sorted(numbers_in(dropped.rows(dropped.statistics()), 40) + numbers_in(dropped.held_out, 40)) == complete
    filled = prepared(plain(40, "fill"), table)
    together_ = np.concatenate([filled.rows(filled.statistics()).x, filled.held_out.x])[:, 0]
    labelled = [n for n in range(40) if n % 5]
    middle = sum(n not in complete for n in labelled)
    assert len(together_) == len(labelled)
    assert (together_ == 0).sum() == middle
    assert sorted(together_[together_ != 0]) == pytest.approx(sorted(2 * n / 39 - 1 for n in complete))


@pytest.mark.parametrize(
    ("changes", "table"),
    [
        ({"min_count": 31}, numbered(40)),
        ({"share": 0.01}, numbered(40)),
        ({}, numbered(0)),
        ({}, pa.table({"x": [1.0, 2.0, 3.0, 4.0], "y": pa.nulls(4)})),
        ({}, pa.table({"x": pa.nulls(4), "y": [True] * 4})),
        ({"min_count": 5, "owners": np.arange(40) // 10}, numbered(40)),
    ],
)
def test_too_few_complete_rows_are_refused(changes: dict[str, Any], table: pa.Table) -> None:
    with pytest.raises(DataError, match="p0 has too few complete rows"):
        prepared(plain(40), table, **changes)


def test_minimum_counts_are_of_owners() -> None:
    assert prepared(plain(40), numbered(40), min_count=30)
    assert prepared(plain(40), numbered(40), min_count=4, owners=np.arange(40) % 4)


def test_more_rows_than_the_facts_can_count_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ROWS / UNIT <= LARGEST_STATISTIC
    monkeypatch.setattr("privsdk.fl.preparation.MOST_ROWS", 119)
    with pytest.raises(DataError, match="more than 39 rows"):
        prepared(plain(40), numbered(40))


MIXED: dict[str, Any] = {"a": Standardised(-50, 200), "x": (0, 59), "b": Standardised(0, 1), "c": ["u", "v"]}


def mixed(seed: int, count: int, holes: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(60 + 10 * seed, 40, count), rng.random(count) ** (seed + 1)
    columns: dict[str, Any] = {"x": np.arange(count) % 60, "y": rng.random(count) < 0.3}
    for name, values in (("a", a), ("b", b)):
        columns[name] = pa.array(values, mask=rng.random(count) < holes)
    return pa.table({**columns, "c": rng.choice(["u", "v", "w"], count)})


def pooled(parts: list[tuple[pa.Table, Preparation]], name: str, low: float, high: float) -> tuple[Fraction, Fraction]:
    """Mean and variance of the clipped training values of all parties, in exact arithmetic."""
    values = []
    for table, part in parts:
        whole = set(range(len(table))) - set(part.kept.tolist())
        values += [table[name][n].as_py() for n in whole]
    exact = [Fraction(min(max(v, low), high)) for v in values if v is not None]
    mean = sum(exact) / len(exact)
    return mean, sum((v - mean) ** 2 for v in exact) / len(exact)


@pytest.mark.claim("fl: standardisation equals that of one pooled table within the stated error, through either sum")
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("missing", ["drop", "fill"])
def test_standardisation_is_that_of_the_pooled_rows(encrypted: bool, missing: str, cases: Cases) -> None:
    model = Logistic(features=MIXED, missing=missing)  # type: ignore[arg-type]
    holes = 0.2 if missing == "fill" else 0.0
    tables = [mixed(seed, count, holes) for seed, count in enumerate((60, 80, 200))]
    parts = [prepared(model, table, n, class_weights="balanced") for n, table in enumerate(tables)]
    names = tuple(f"p{n}" for n in range(3))
    course = Course(model.network, FedAvg(), Schedule(learning_rate=0.1), 1, 0, 3)

    def provided(me: str) -> tuple[Any, Any]:
        if encrypted:
            sums = EncryptedSum(me=me, clients=names, coordinator="k")
            return sums, OnGrid(sums)
        return PlainSum(coordinator="k", within_s=60), Each(coordinator="k", within_s=60)

    seen: list[int] = []
    roles: dict[str, Role[Any]] = {
        name: Synchronous().client(
            course,
            ClientInput(
                prepared=part,
                me=name,
                clients=names,
                coordinator="k",
                sum_=(given := provided(name))[0],
                averages=given[1],
                train=in_threads,
                look=lambda number, weights: seen.append(number),
            ),
        )
        for name, part in zip(names, parts, strict=True)
    }
    sum_, averages = provided("k")
    length = length_of(model, "balanced")
    leading = CoordinatorInput(clients=names, statistics=length, sum_=sum_, averages=averages)
    roles["k"] = Synchronous().coordinator(course, leading)
    outputs = together(roles)
    assert seen == [0, 0, 0]
    totals = totals_of(model, "balanced", outputs["k"].statistics, 3)
    assert totals.rows == 45 + 60 + 150
    worst = Fraction()
    for name, feature in model.standardised.items():
        half = Fraction(feature.high - feature.low) / 2
        mean, variance = pooled(list(zip(tables, parts, strict=True)), name, feature.low, feature.high)
        values = outputs["k"].statistics.tolist()[1 if name == "a" else 4]
        error = 3 * STATED / values + Fraction(1, 2**47)
        off = abs(Fraction(totals.scales[name].mean) - mean) / half
        assert off <= error
        assert abs(Fraction(totals.scales[name].deviation) ** 2 - variance) / half**2 <= 3 * error
        worst = max(worst, off / error)
        cases()
    cases.say(f"means at most {float(worst):.0%} of the bound off")
    scale, weighed = totals.scales["a"], 0.0
    for part, table in zip(parts, tables, strict=True):
        rows = part.rows(outputs["k"].statistics)
        raw = [table["a"][n].as_py() for n in part.kept.tolist()]
        wanted = [0.0 if v is None else (min(max(v, -50), 200) - scale.mean) / scale.deviation for v in raw]
        assert part.held_out.x[:, 0] == pytest.approx(np.array(wanted), abs=1e-6)
        training = [n for n in range(len(table)) if n not in set(part.kept.tolist())]
        raw = [table["a"][n].as_py() for n in training]
        wanted = [0.0 if v is None else (min(max(v, -50), 200) - scale.mean) / scale.deviation for v in raw]
        assert np.sort(rows.x[:, 0]) == pytest.approx(np.sort(wanted), abs=1e-6)
        assert np.isfinite(rows.x).all()
        positives = totals.classes[1]
        weights = {0.0: totals.rows / 2 / (totals.rows - positives), 1.0: totals.rows / 2 / positives}
        assert rows.weights == pytest.approx([weights[float(y)] for y in rows.y])
        weighed += float(rows.weights.sum())
    assert weighed == pytest.approx(totals.rows)


@given(
    st.lists(st.lists(st.floats(-2e3, 2e3), min_size=1, max_size=12), min_size=1, max_size=5),
    st.floats(-1e3, 0),
    st.floats(1, 1e3),
)
def test_the_stated_error_holds_for_any_values(parties: list[list[float]], low: float, high: float) -> None:
    totals = [0, 0, 0]
    exact: list[Fraction] = []
    for values in parties:
        z = in_range(np.array(values), low, high)
        own = [len(z), round(float(z.sum()) / UNIT), round(float(z @ z) / UNIT)]
        totals = [a + b for a, b in zip(totals, own, strict=True)]
        exact += [Fraction(min(max(v, low), high)) for v in values]
    n, half = len(exact), Fraction(high - low) / 2
    mean = sum(exact) / n
    variance = sum((v - mean) ** 2 for v in exact) / n / half**2
    error = len(parties) * STATED / n + Fraction(1, 2**47)
    scale = scale_of(*totals, low, high, clients=len(parties))
    assert abs(Fraction(scale.mean) - mean) / half <= error + Fraction(abs(low) + high) / half / 2**52
    found = (Fraction(scale.deviation) / half) ** 2
    assert abs(found - variance) <= (6 if not scale.deviation else 3) * error + Fraction(1, 2**50)


def test_a_feature_that_does_not_vary_tells_nothing() -> None:
    model = Logistic(features={"x": Standardised(0, 10)})
    table = pa.table({"x": [3.3] * 40, "y": [n % 2 == 0 for n in range(40)]})
    part = prepared(model, table)
    rows = part.rows(part.statistics())
    assert not rows.x.any()
    assert not part.held_out.x.any()


def test_a_variance_within_its_error_is_none() -> None:
    assert scale_of(30, 0, 4, 0, 10, clients=3) == (5.0, 0.0)  # 3 e is 4.5 units over 30
    assert scale_of(30, 0, 5, 0, 10, clients=3).deviation == pytest.approx(5 * math.sqrt(5 * 2.0**-28 / 30))


def test_no_values_at_all_leave_the_middle() -> None:
    model = Logistic(features={"x": Standardised(0, 10)}, missing="fill")
    part = prepared(model, pa.table({"x": pa.nulls(40), "y": [True] * 40}))
    assert part.statistics().tolist() == [30, 0, 0, 0]
    assert not part.rows(part.statistics()).x.any()
    assert totals_of(model, None, part.statistics(), 1).scales["x"] == (5.0, 0.0)


def test_facts_count_classes_of_training_rows_alone() -> None:
    model = Softmax(features={"x": (0, 39)}, classes=["a", "b", "c"])
    labels = [["a", "b"][n % 2] for n in range(40)]
    part = prepared(model, pa.table({"x": np.arange(40), "y": labels}), class_weights="balanced")
    kept = [labels[n] for n in part.kept]
    assert part.statistics().tolist() == [30, 20 - kept.count("a"), 20 - kept.count("b"), 0]
    totals = totals_of(model, "balanced", part.statistics(), 1)
    weights = class_weights_of("balanced", totals)
    assert weights is not None
    assert weights[:2] == pytest.approx([30 / 3 / (20 - kept.count("a")), 30 / 3 / (20 - kept.count("b"))])
    public = class_weights_of((1.0, 2.0, 5.0), totals)
    assert public is not None
    assert public.tolist() == [1.0, 2.0, 5.0]
    assert class_weights_of(None, totals) is None


BAD_FACTS = [
    ([30, 30, 0, 0], "4 training statistics, where there are 6"),
    ([30, 31, 0, 0, 15, 15], "more values"),
    ([30, -1, 0, 0, 15, 15], "more values"),
    ([30, 30, 34 << 28, 0, 15, 15], "beyond its range"),
    ([30, 30, 0, 34 << 28, 15, 15], "beyond its range"),
    ([30, 30, 0, -1, 15, 15], "beyond its range"),
    ([30, 30, 0, 0, 15, 14], "do not add up"),
    ([30, 30, 0, 0, 31, -1], "do not add up"),
]


@pytest.mark.parametrize(("facts", "reason"), BAD_FACTS)
def test_facts_that_are_no_tables_are_refused(facts: list[int], reason: str) -> None:
    model = Logistic(features={"x": Standardised(0, 10)})
    with pytest.raises(ProtocolViolation, match=reason):
        totals_of(model, "balanced", np.array(facts, np.int64), 3)


def test_batches_are_of_units_and_not_of_rows() -> None:
    """Sixty rows of twenty people: a batch of ten rows may be of four of them."""
    table = pa.table({"x": np.arange(60), "y": [n % 3 == 0 for n in range(60)]})
    by_row, by_person = (
        prepared(plain(60), table, share=0.1, min_count=10, owners=owners) for owners in (None, np.arange(60) // 3)
    )
    assert by_row.every_batch_is_large(10)
    assert not by_person.every_batch_is_large(10)
    assert by_person.every_batch_is_large(28)
