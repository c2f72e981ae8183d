"""An audit of epsilon from outside: two inputs that differ by one unit, many releases, how well they are told apart.

For an event E, epsilon-DP says P(E | one) <= exp(epsilon) P(E | other). Both probabilities are counted over many
releases; by Clopper and Pearson the first is at least, the second at most so much, and the logarithm of their ratio is
a lower bound on epsilon that holds with probability 1 - 2e-6. E is where the loss is largest: every entry that the unit
moves lies beyond where it moves it. The groups of a release have independent noise, so one release is many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from claims import Cases, Counts, lengthy
from releasing import PARAMETERS, copies, pooled, release
from scipy import stats

from privsdk.crypto.sums.base import Vector
from privsdk.governance.charges import Unit
from privsdk.party import tables as store
from privsdk.party.tables import Store

CLAIM = pytest.mark.claim("dp: the epsilon found by an audit stays below the claimed one")
ALPHA = 1e-6

BASE: dict[str, list[Any]] = {name: [0.0, 1.0, 2.0, None] for name in PARAMETERS}
# The row that moves every component furthest.
ADDED: dict[str, float] = {"count": 1.0, "sum": 9.0, "mean": 2.0, "variance": 4.0, "quantile": 2.5, "histogram": 0.0}

Vectors = npt.NDArray[np.int64]  # of shape (trials, entries of one)


def by_trial(noisy: list[Vectors], trials: int) -> Vectors:
    return np.concatenate([part.reshape(trials, -1) for part in noisy], axis=1)


def least_epsilon(one: Vectors, other: Vectors, moved: Vectors, true_one: Vectors) -> float:
    """The lower bound. `moved` is by how much the unit moves each entry, `true_one` the entries with it."""
    hits = [int(((x - true_one) * np.sign(moved) >= 0).all(axis=1).sum()) for x in (one, other)]
    at_least = stats.beta.ppf(ALPHA, hits[0], len(one) - hits[0] + 1) if hits[0] else 0.0
    at_most = stats.beta.ppf(1 - ALPHA, hits[1] + 1, len(other) - hits[1]) if hits[1] < len(other) else 1.0
    return math.log(at_least / at_most) if at_least > 0 else -math.inf


def exactly(make: Callable[[], Vectors]) -> Vectors:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("privsdk.dp.noise.add_noise", lambda values, scale: list(values))
        return make()


def audit(with_unit: Callable[[], Vectors], without: Callable[[], Vectors]) -> float:
    true_one = exactly(with_unit)
    moved = true_one - exactly(without)
    assert (moved != 0).any(axis=1).all()
    return least_epsilon(with_unit(), without(), moved, true_one)


def audit_rows(statistic: str, trials: int) -> float:
    """Neighbours that differ by a row."""
    options = PARAMETERS[statistic] | {"by": "g", "keys": list(range(trials))}

    def released(rows: list[Any]) -> Vectors:
        return by_trial(release(copies(rows, trials), statistic, **options).noisy, trials)

    return audit(lambda: released([*BASE[statistic], ADDED[statistic]]), lambda: released(BASE[statistic]))


@pytest.fixture
def trials(counts: Counts) -> int:
    return counts(5_000, 20_000, 20_000)


@pytest.fixture
def people() -> int:
    return 10_000


@CLAIM
@pytest.mark.parametrize("statistic", PARAMETERS)
def test_a_row_is_told_apart_no_better_than_paid_for(statistic: str, trials: int, cases: Cases, counts: Counts) -> None:
    claimed = PARAMETERS[statistic]["epsilon"]
    for _ in range(counts(1, 1, 10)):
        found = audit_rows(statistic, trials)
        assert counts(0.4, 0.6, 0.6) * claimed < found <= claimed  # near it, so that the audit would see little more
        cases(2 * trials)
    cases.say(f"{statistic} at least {found:.2f} of {claimed:g}")


@CLAIM
@pytest.mark.parametrize("statistic", PARAMETERS)
def test_a_tenth_of_the_noise_is_found(
    statistic: str, trials: int, cases: Cases, noise_times: Callable[[float], None]
) -> None:
    noise_times(0.1)
    assert audit_rows(statistic, trials) > PARAMETERS[statistic]["epsilon"]
    cases(2 * trials)


UNIT = Unit(id="who", rows=3)


def table_of_ids(trials: int, *, with_unit: bool) -> pa.Table:
    """In each trial two groups, a person with two rows in each, and perhaps one more with five."""
    rows = [(2 * t + side, f"a{t}", 1.0) for t in range(trials) for side in (0, 0, 1, 1)]
    rows += [(2 * t + side, f"b{t}", 3.0) for t in range(trials) for side in (0, 1, 0, 1, 1)]
    order = np.random.default_rng(5).permutation(len(rows))  # the same with the person and without
    groups, ids, values = zip(*(rows[i] for i in order if with_unit or rows[i][1][0] == "a"), strict=True)
    return pa.table({"g": groups, "who": ids, "x": values})


def audit_ids(statistic: str, trials: int) -> float:
    """Neighbours that differ by a person, whose rows the party's store bounds."""
    options = PARAMETERS[statistic] | {"by": "g", "keys": list(range(2 * trials))}

    def released(with_unit: bool) -> Vectors:
        held = Store("north", {"t": table_of_ids(trials, with_unit=with_unit)})
        columns = ("g",) if statistic == "count" else ("x", "g")
        return by_trial(release(held.read("t", columns, UNIT), statistic, unit=UNIT, **options).noisy, trials)

    return audit(lambda: released(True), lambda: released(False))


@CLAIM
@pytest.mark.parametrize("statistic", ["count", "sum"])
def test_a_person_is_told_apart_no_better_than_paid_for(statistic: str, people: int, cases: Cases) -> None:
    claimed = PARAMETERS[statistic]["epsilon"]
    found = audit_ids(statistic, people)
    assert 0.5 * claimed < found <= claimed
    cases(2 * people)
    cases.say(f"{statistic} by id at least {found:.2f} of {claimed:g}")


@CLAIM
def test_rows_that_are_not_bounded_are_found(people: int, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_first_rows", lambda ids, known, rows: known)
    assert audit_ids("sum", people) > PARAMETERS["sum"]["epsilon"]
    cases(2 * people)


@CLAIM
def test_noise_for_one_row_of_three_is_found(people: int, cases: Cases, noise_times: Callable[[float], None]) -> None:
    noise_times(1 / UNIT.rows)
    assert audit_ids("sum", people // 4) > PARAMETERS["sum"]["epsilon"]
    cases(people // 2)


def audit_pooled(statistic: str, trials: int, given_in: Mapping[str, Vector], collusion: int) -> float:
    """Neighbours that differ by a row of one of three parties; the others that may collude take off what they gave."""
    options = PARAMETERS[statistic] | {"by": "g", "keys": list(range(trials)), "collusion": collusion}
    other = copies([1.0, 2.0], trials)

    def released(rows: list[Any]) -> Vectors:
        tables = {"north": copies(rows, trials), "south": other, "east": other}
        noisy = pooled(tables, statistic, **options).noisy
        known = sum(given_in[name] for name in ("east", "south")[:collusion])
        return by_trial([part - own for part, own in zip(noisy, np.split(known, len(noisy)), strict=True)], trials)

    return audit(lambda: released([*BASE[statistic], ADDED[statistic]]), lambda: released(BASE[statistic]))


@CLAIM
@pytest.mark.parametrize(("statistic", "collusion"), [("count", 2), ("mean", 1), *lengthy(("count", 1), ("mean", 2))])
def test_a_row_of_one_party_of_three_is_told_apart_no_better(
    statistic: str, collusion: int, given_in: dict[str, Vector], cases: Cases, noise_times: Callable[[float], None]
) -> None:
    claimed, trials = PARAMETERS[statistic]["epsilon"], 4_000
    found = audit_pooled(statistic, trials, given_in, collusion)
    assert 0.3 * claimed < found <= claimed
    cases(2 * trials)
    cases.say(f"{statistic} of three parties, {collusion} of which collude, at least {found:.2f} of {claimed:g}")
    noise_times(0.1)
    assert audit_pooled(statistic, trials, given_in, collusion) > claimed
    cases(2 * trials)
