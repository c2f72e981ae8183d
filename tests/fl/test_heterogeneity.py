"""Clients whose data differ: where FedAvg ends, in closed form, and that SCAFFOLD and FedProx end nearer the optimum.

On least squares with all rows in every step, training is linear. A client with Hessian H and optimum w* moves, in K
steps of rate r from w with a proximal term mu, by -A (w - w*) with

    A = (I - (I - r (H + mu I))^K) (H + mu I)^{-1} H.

Averaging stays where the mean of A_i (w - w_i*) is zero; the optimum is where the mean of H_i (w - w_i*) is. They agree
for one step, and for none that differ in H otherwise (Karimireddy et al. 2020, section 3; Li et al. 2020, section 3.2).
SCAFFOLD's fixed point is the optimum for any K (its theorem III needs no bound on how much clients differ).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases, lengthy
from federating import course_of, each, federate, grid
from rounding import descent

from privsdk.fl import FedAvg, FedProx, Scaffold
from privsdk.fl.averages import UNIT
from privsdk.fl.models.network import Rows
from privsdk.fl.parameters import Strategies

Reals = npt.NDArray[np.float64]
RATE, STEPS = 0.1, 25
pytestmark = pytest.mark.usefixtures("_last_model")


def quadratics(seed: int, *, alike: bool = False) -> list[Rows]:
    """Three clients with as many rows each, with curvatures far apart (unless `alike`) and optima of their own."""
    rng = np.random.default_rng(seed)
    clients = []
    for spread in ([2.2, 0.5], [0.4, 2.0], [1.0, 1.0]):
        x = rng.normal(0, 1, (12, 2)) * (1.0 if alike else np.array(spread))
        optimum, intercept = rng.normal(0, 2, 2), rng.normal(0, 1)
        clients.append(Rows(x=x.astype(np.float32), y=(x @ optimum + intercept).astype(np.float32)))
    if alike:
        clients = [Rows(x=clients[0].x, y=rows.y) for rows in clients]
    return clients


def hessian(rows: Rows) -> Reals:
    a = np.column_stack([rows.x.astype(float), np.ones(len(rows))])
    return a.T @ a / len(rows)


def drift(rows: Rows, mu: float) -> Reals:
    """A_i of the header."""
    h, identity = hessian(rows), np.eye(3)
    held = h + mu * identity
    return (identity - np.linalg.matrix_power(identity - RATE * held, STEPS)) @ np.linalg.solve(held, h)


def solved(clients: list[Rows], matrix: str, mu: float = 0.0) -> Reals:
    """Where the mean of A_i (w - w_i*), or of H_i (w - w_i*), is zero."""
    left, right = np.zeros((3, 3)), np.zeros(3)
    for rows in clients:
        a = np.column_stack([rows.x.astype(float), np.ones(len(rows))])
        h, b = hessian(rows), a.T @ rows.y.astype(float) / len(rows)
        m = drift(rows, mu) if matrix == "A" else h
        left += m / len(clients)
        right += m @ np.linalg.solve(h, b) / len(clients)
    return np.linalg.solve(left, right)


def near(clients: list[Rows], w: Reals, moves: Reals, rounds: int, *, grid: float = 0.0) -> Any:
    """A solution as float rounding, and a grid, let so many rounds find it that each leave `moves` of the distance."""
    terms = 0.0
    for rows in clients:
        a = np.abs(np.column_stack([rows.x, np.ones(len(rows))]).astype(float))
        terms = max(terms, float(np.linalg.norm(a.T @ (a @ np.abs(w) + np.abs(rows.y)) / len(rows))))
    size = float(np.linalg.norm(w))
    once = grid + descent(steps=STEPS, rows=12, inputs=3, rate=RATE, gradient=terms, weights=size)
    left = [float(np.linalg.norm(np.linalg.matrix_power(moves, k), 2)) for k in range(rounds + 1)]
    return pytest.approx(w, rel=0, abs=once * sum(left) + left[-1] * size)


def of_averages(clients: list[Rows], mu: float = 0.0) -> Reals:
    """What a round of FedAvg or FedProx leaves of the distance: the mean of I - A_i."""
    return np.mean([np.eye(3) - drift(rows, mu) for rows in clients], axis=0)


def of_gradients(clients: list[Rows], steps: int) -> Reals:
    """What steps along the mean gradient leave of it."""
    return np.linalg.matrix_power(np.eye(3) - RATE * np.mean([hessian(rows) for rows in clients], axis=0), steps)


def end(clients: list[Rows], strategy: Strategies, *, steps: int = STEPS, rounds: int = 80, **how: float) -> Reals:
    course = course_of(strategy, 2, rounds=rounds, steps=steps, learning_rate=RATE, **how)
    return federate(clients, course, each()).trained.weights.astype(float)


THEORY = pytest.mark.claim("fl: SCAFFOLD and FedProx beat FedAvg on non-IID quadratics, by what theory says")


@THEORY
@pytest.mark.parametrize("seed", [0, *lengthy(1, 2)])
def test_fedavg_is_biased_scaffold_is_not_and_fedprox_is_less(seed: int, cases: Cases) -> None:
    clients = quadratics(seed)
    optimum = solved(clients, "H")

    def away(w: Reals) -> float:
        return float(np.linalg.norm(w - optimum))

    fedavg = end(clients, FedAvg())
    assert fedavg == near(clients, solved(clients, "A"), of_averages(clients), 80)
    assert away(fedavg) > 0.15
    proximal = [end(clients, FedProx(mu=mu), rounds=200) for mu in (1.0, 4.0)]
    for mu, w in zip((1.0, 4.0), proximal, strict=True):
        assert w == near(clients, solved(clients, "A", mu), of_averages(clients, mu), 200)
    assert away(proximal[1]) < 0.7 * away(proximal[0]) < 0.7 * away(fedavg)
    scaffold = end(clients, Scaffold(), rounds=120)
    assert away(scaffold) < 1e-3 * away(fedavg)
    cases.say(f"distance to the optimum: {away(fedavg):.2f}, FedProx {away(proximal[1]):.2f}, {away(scaffold):.0e}")
    cases()


@THEORY
@pytest.mark.parametrize("seed", [0, *lengthy(1)])
def test_scaffold_gets_to_the_optimum_with_half_of_the_clients_a_round(seed: int, cases: Cases) -> None:
    clients = quadratics(seed) + quadratics(seed + 10)[:1]
    optimum = solved(clients, "H")
    biased = end(clients, FedAvg(), participation=0.5, rounds=100)
    exact = end(clients, Scaffold(), participation=0.5, rounds=300, steps=5)
    assert np.linalg.norm(exact - optimum) < 1e-2 * np.linalg.norm(biased - optimum)
    cases()


@THEORY
@pytest.mark.rounding
def test_with_one_step_or_equal_curvatures_fedavg_is_not_biased_either(cases: Cases) -> None:
    clients = quadratics(0)
    wanted = near(clients, solved(clients, "H"), of_gradients(clients, 1), 250)
    assert end(clients, FedAvg(), steps=1, rounds=250) == wanted
    alike = quadratics(0, alike=True)
    assert end(alike, FedAvg()) == near(alike, solved(alike, "H"), of_gradients(alike, STEPS), 80)
    cases(2)


@pytest.mark.rounding
def test_scaffold_gets_there_through_a_sum_on_the_grid_too() -> None:
    clients = quadratics(1)
    course = course_of(Scaffold(), 2, rounds=120, steps=STEPS, learning_rate=RATE)
    w = federate(clients, course, grid).trained.weights
    assert w == near(clients, solved(clients, "H"), of_gradients(clients, STEPS), 120, grid=UNIT)
