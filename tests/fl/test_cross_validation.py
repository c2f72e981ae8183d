"""Cross-validation: every fold kept once, one price, scores and no model, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from claims import Cases

import privsdk as ps
from privsdk import fl
from privsdk.errors import DataError, InvalidArgument, PolicyRefused, UsageError
from privsdk.fl.preparation import Fold, Preparation
from privsdk.fl.validation.operation import CrossValidate
from privsdk.protocol.operation import operation_of

CLAIM = pytest.mark.claim("fl: cross-validation keeps each fold once, for one price, and tells no model")
MODEL = fl.Logistic(features={"x": (-1, 1), "z": (-1, 1)})


def rows(seed: int, count: int) -> pa.Table:
    rng = np.random.default_rng([31, seed])
    x, z = rng.uniform(-1, 1, (2, count))
    return pa.table({"x": x, "z": z, "late": x - z + rng.normal(0, 0.4, count) > 0, "age": rng.uniform(0, 9, count)})


TABLES: dict[str, Any] = {name: rows(n, 90 + n) for n, name in enumerate(("north", "south", "east"))} | {"keeper": {}}


@pytest.fixture
def fed() -> Iterator[ps.Federation]:
    with ps.embedded(TABLES, store=None, quiet=True) as federation:
        yield federation


def validate(fed: ps.Federation, **changes: Any) -> ps.Plan[fl.Validation]:
    given: dict[str, Any] = {"label": "late", "folds": 3, "rounds": 4}
    return fl.cross_validate(MODEL, fed.tables("table"), **{**given, **changes})


@CLAIM
@pytest.mark.parametrize(("count", "folds"), [(90, 3), (91, 4), (50, 2)])
def test_each_row_is_kept_in_one_fold_and_trained_on_in_all_others(count: int, folds: int, cases: Cases) -> None:
    kept = []
    for number in range(folds):
        prepared = Preparation(
            MODEL, rows(0, count), label="late", class_weights=None, share=0.5, seed=(0, 0), party="p", clients=2,
            min_count=2, owners=None, fold=Fold(number, folds),
        )  # fmt: skip
        training, held_out = prepared.row_sets(None)
        assert sorted([*training.rows, *held_out.rows]) == list(range(count))
        kept.append(held_out.rows)
        cases()
    assert sorted(np.concatenate(kept)) == list(range(count))
    assert max(map(len, kept)) - min(map(len, kept)) <= 1


@CLAIM
def test_a_search_compares_its_candidates_for_one_price_and_tells_no_model(fed: ps.Federation, cases: Cases) -> None:
    plan = validate(fed, grid={"learning_rate": [1e-4, 1.0], "rounds": [2, 8]})
    single = fl.fit(MODEL, fed.tables("table"), label="late", rounds=8)
    price, one = (operation_of(each.request).price()["north"][0].charge.uses for each in (plan, single))
    assert one < price < 12
    result = plan.release()
    assert fed.budgets()["north"][0].exact_spent == price
    found = result.value
    assert found.best == {"learning_rate": 1.0, "rounds": 8}
    assert found.means[3] == min(found.means)
    assert "learning_rate=1.0, rounds=8" in str(found).splitlines()[1]
    scores = found.to_arrow()
    assert scores.num_rows == 4 * 3 * 3
    assert scores.filter(pa.compute.equal(scores["party"], "north"))["rows"].to_pylist() == [30] * 12
    assert any("no model" in each.text for each in result.learned)
    assert result.value.to_pandas()["log_loss"].mean() == pytest.approx(np.mean(found.means), rel=0.01)
    fl.fit(MODEL, fed.tables("table"), label="late", **found.best).release()
    cases()


def test_a_party_may_coordinate_and_other_scores_compare() -> None:
    with ps.embedded({name: TABLES[name] for name in ("north", "south", "east")}, store=None, quiet=True) as fed:
        by_accuracy = validate(fed, scoring="accuracy", grid={"learning_rate": [1e-4, 1.0]}).release().value
        assert by_accuracy.best == {"learning_rate": 1.0}
        assert by_accuracy.means[1] > by_accuracy.means[0]
        assert validate(fed, aggregation="all-to-all").release().value.means[0] > 0


def test_a_grant_to_train_is_none_to_validate() -> None:
    grant = ps.Grant(table="*", columns={"*": ("training feature", "training label")})
    policy = ps.Policy(operations=("fl.fit",), grants=(grant,), min_parties=2)
    with ps.embedded(TABLES, store=None, quiet=True, policy=policy) as fed:
        fl.fit(MODEL, fed.tables("table"), label="late", rounds=1).release()
        with pytest.raises(PolicyRefused):
            validate(fed).release()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folds": 1}, "folds is 1"),
        ({"folds": 21}, "folds is 21"),
        ({"folds": True}, "folds is a bool"),
        ({"grid": {"depth": [1]}}, "no argument named 'depth'"),
        ({"grid": [10, 20]}, "the grid is of type list"),
        ({"grid": {"rounds": 3}}, "the grid is of type int for rounds"),
        ({"grid": {"rounds": list(range(1, 100))}}, "make 297 trainings"),
        ({"grid": {"model": [MODEL, fl.Logistic(features={"age": (0, 9)})]}}, "differ in columns"),
        ({"grid": {"model": [MODEL, fl.Linear(features=MODEL.features, label_range=(0, 1))]}}, "different things"),
        ({"scoring": "f1"}, "no score named 'f1'"),
    ],
)
def test_what_cannot_be_validated_is_refused_before_anything_is_asked(
    fed: ps.Federation, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        validate(fed, **changes)


def test_too_few_rows_for_a_fold_are_an_error_of_their_party(fed: ps.Federation) -> None:
    few = rows(0, 12)
    with (
        ps.embedded({**TABLES, "north": few}, store=None, quiet=True) as other,
        pytest.raises(DataError, match="north has too few complete rows"),
    ):
        validate(other, folds=2).release()


@pytest.mark.parametrize("change", ["privacy", "name", "seed"])
def test_a_party_checks_what_it_is_sent(fed: ps.Federation, change: str) -> None:
    request = validate(fed, grid={"rounds": [1, 2]}).request
    assert isinstance(operation_of(request), CrossValidate)
    first, *rest = request.parameters["candidates"]
    private = msgspec.to_builtins(fl.RecordLevel(clip=1.0, noise_multiplier=1.0, sampling_rate=0.5))
    first = {**first, change: {"privacy": private, "name": "spring", "seed": 3}[change]}
    with pytest.raises(InvalidArgument):
        operation_of(msgspec.structs.replace(request, parameters={**request.parameters, "candidates": [first, *rest]}))
