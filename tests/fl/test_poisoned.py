"""Poisoned clients: median and trimmed mean stay near the honest model, FedAvg does not; and where that ends."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from claims import Cases, lengthy
from federating import course_of, each, federate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rounding import roundoff

from privsdk.errors import DataError, ProtocolViolation
from privsdk.fl import FedAvg, Median, TrimmedMean
from privsdk.fl.models.network import Rows, Vector
from privsdk.fl.parameters import Strategies

CLIENTS, FEATURES = 10, 4
HELD = np.array([1.5, -1.0, 0.5, 2.0, -0.7])  # the honest clients' model

ATTACKS: dict[str, Callable[[Vector], Vector]] = {
    "sign-flipped": lambda update: np.clip(-3 * update, -30, 30),
    "scaled": lambda update: np.clip(8 * update + np.float32(1), -30, 30),
    "constant": lambda update: np.full_like(update, 30),
    "zero": lambda update: 0 * update,
}


def honest(seed: int) -> list[Rows]:
    rng = np.random.default_rng(seed)
    clients = []
    for _ in range(CLIENTS):
        x = rng.normal(0, 1, (60, FEATURES))
        y = x @ HELD[:-1] + HELD[-1] + rng.normal(0, 0.3, 60)
        clients.append(Rows(x=x.astype(np.float32), y=y.astype(np.float32)))
    return clients


def away(strategy: Strategies, poisoned: int, attack: str, seed: int) -> float:
    """How far from the honest model training ends with so many poisoned clients; infinite where it diverges."""
    course = course_of(strategy, FEATURES, rounds=25, steps=4, learning_rate=0.2)
    names = [f"p{i}" for i in np.random.default_rng(seed).choice(CLIENTS, poisoned, replace=False)]
    try:
        run = federate(honest(seed), course, each(), poisoned=dict.fromkeys(names, ATTACKS[attack]))
    except DataError:  # of an honest client: it finds that it cannot train from this model
        return math.inf
    assert run.trained.lost == {}  # what is sent is well-formed
    return float(np.linalg.norm(run.trained.weights - HELD))


SURVIVE = pytest.mark.claim("fl: median and trimmed mean survive 3 of 10 poisoned clients (median 4), FedAvg does not")


@SURVIVE
@pytest.mark.parametrize("attack", ["sign-flipped", "scaled", "constant"])
@pytest.mark.parametrize("seed", [0, *lengthy(1)])
def test_robust_strategies_survive_poisoned_clients_and_fedavg_does_not(attack: str, seed: int, cases: Cases) -> None:
    assert away(FedAvg(), 0, attack, seed) < 0.15
    assert away(FedAvg(), 3, attack, seed) > 1.0
    robust: list[tuple[Strategies, int]] = [(TrimmedMean(beta=0.3), 3), (Median(), 3), (Median(), 4)]
    for strategy, poisoned in robust:
        assert away(strategy, poisoned, attack, seed) < 0.3, (strategy, poisoned)
    cases(5)


def test_silent_clients_only_slow_training_down() -> None:
    assert away(Median(), 3, "zero", 0) < 0.3


@SURVIVE
def test_more_than_the_stated_share_is_not_survived(cases: Cases) -> None:
    assert away(TrimmedMean(beta=0.2), 3, "constant", 0) > 1.0
    assert away(Median(), 6, "constant", 0) > 1.0
    cases(2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, 33.0])
@pytest.mark.parametrize("strategy", [FedAvg(), Median()])
def test_updates_out_of_bounds_are_left_out_with_their_sender(
    bad: float, strategy: Strategies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privsdk.fl.averages.check", lambda update: None)  # a poisoned client checks nothing
    course = course_of(strategy, FEATURES, rounds=25, steps=4, learning_rate=0.2)
    run = federate(
        honest(0), course, each(), poisoned={"p4": lambda update: np.concatenate([update[:-1], np.float32([bad])])}
    )
    assert set(run.trained.lost) == {"p4"}
    round_, error = run.trained.lost["p4"]
    assert (round_, type(error)) == (1, ProtocolViolation)
    assert str(bad) not in str(error)
    assert np.linalg.norm(run.trained.weights - HELD) < 0.15


updates = arrays.arrays(np.float32, (7, 3), elements=st.floats(-30, 30, width=32))


@given(updates, arrays.arrays(np.float32, (3, 3), elements=st.floats(-30, 30, width=32)), st.permutations(range(10)))
@pytest.mark.rounding
def test_a_minority_moves_no_coordinate_out_of_the_honest_range(
    good: np.ndarray, bad: np.ndarray, order: list[int]
) -> None:
    together = np.vstack([good, bad])[order]
    for strategy in (Median(), TrimmedMean(beta=0.3)):
        combined = strategy.combine(together, np.ones(10))
        assert (good.min(axis=0) - roundoff(1) * 30 <= combined).all()
        assert (combined <= good.max(axis=0) + roundoff(1) * 30).all()


@given(updates, st.lists(st.floats(0.01, 1), min_size=7, max_size=7))
def test_robust_strategies_count_clients_equally(good: np.ndarray, weights: list[float]) -> None:
    for strategy in (Median(), TrimmedMean(beta=0.3)):
        claimed = strategy.combine(good, np.array(weights))
        assert claimed.tolist() == strategy.combine(good, np.ones(7)).tolist()
