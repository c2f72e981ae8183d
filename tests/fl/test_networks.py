"""Networks against their definitions written anew: losses, gradients by finite differences, initial weights."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from claims import Cases
from hypothesis import given
from hypothesis import strategies as st
from rounding import FUNCTION, gradient_of, gradient_terms, roundoff

from privsdk.fl.models.network import Network, Output, Rows

Reals = npt.NDArray[np.float64]
SHAPES = [(3, 1), (4, 5, 1), (6, 7, 5, 1)]

pytestmark = pytest.mark.rounding


def network_of(widths: tuple[int, ...], output: Output) -> Network:
    return Network((*widths[:-1], 4 if output is Output.SOFTMAX else 1), output)


def problem(network: Network, seed: int, count: int = 30) -> tuple[npt.NDArray[np.float32], Rows]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, network.widths[0])).astype(np.float32)
    y: Any = {
        Output.IDENTITY: rng.normal(size=count).astype(np.float32),
        Output.SIGMOID: rng.integers(0, 2, count).astype(np.float32),
        Output.SOFTMAX: rng.integers(0, 4, count),
    }[network.output]
    return rng.normal(0, 0.7, network.size).astype(np.float32), Rows(x=x, y=y)


def sums_of(widths: tuple[int, ...], weights: Reals, x: Reals) -> Reals:
    """The last layer's sums in float64, row by row of the definition."""
    at, found = 0, x.astype(np.float64)
    for layer, (i, o) in enumerate(pairwise(widths)):
        if layer:
            found = np.where(found > 0, found, 0)
        matrix = weights[at : at + i * o].reshape(i, o)
        found = np.einsum("ri,io->ro", found, matrix) + weights[at + i * o : at + (i + 1) * o]
        at += (i + 1) * o
    return found


def losses_of(network: Network, weights: Reals, rows: Rows) -> list[float]:
    """Half squared errors, and negative log-likelihoods from probabilities."""
    sums = sums_of(network.widths, weights.astype(np.float64), rows.x)
    losses = []
    for z, y in zip(sums, rows.y.tolist(), strict=True):
        if network.output is Output.IDENTITY:
            losses.append((z[0] - y) ** 2 / 2)
        elif network.output is Output.SIGMOID:
            p = 1 / (1 + math.exp(-z[0]))
            losses.append(-math.log(p if y else 1 - p))
        else:
            losses.append(-math.log(math.exp(z[int(y)]) / sum(math.exp(each) for each in z)))
    return losses


def rounding(network: Network, weights: Any, rows: Rows) -> Reals:
    """How far single precision may be from each row's loss: at most as steep in the sums as these and the label."""
    terms = sums_of(network.widths, np.abs(weights).astype(np.float64), np.abs(rows.x)).max(axis=1)
    return roundoff(sum(network.widths) + FUNCTION) * terms * (terms + np.abs(rows.y) + 2)


CASES = [(widths, output) for widths in SHAPES for output in Output]


@pytest.mark.parametrize(("widths", "output"), CASES)
def test_losses_are_the_definitions(widths: tuple[int, ...], output: Output) -> None:
    network = network_of(widths, output)
    weights, rows = problem(network, 1)
    away = np.abs(network.losses(weights, rows) - losses_of(network, weights, rows))
    assert (away < rounding(network, weights, rows)).all()


@pytest.mark.claim("fl: gradients of every output equal finite differences of the loss to float rounding, and by row")
@pytest.mark.parametrize(("widths", "output"), CASES)
def test_gradients_are_derivatives_of_the_loss(widths: tuple[int, ...], output: Output, cases: Cases) -> None:
    network = network_of(widths, output)
    for seed in range(3):
        weights, rows = problem(network, seed)
        by_row = np.random.default_rng(seed).uniform(0.2, 3, len(rows)).astype(np.float32)
        rows = Rows(x=rows.x, y=rows.y, weights=by_row if seed else None)
        importance = by_row.astype(np.float64) if seed else np.ones(len(rows))
        step, wide = 1e-6, weights.astype(np.float64)

        def loss(at: Reals, rows: Rows = rows, importance: Reals = importance) -> float:
            return float(np.mean(importance * losses_of(network, at, rows)))

        differences = [(loss(wide + step * e) - loss(wide - step * e)) / (2 * step) for e in np.eye(network.size)]
        gradient = gradient_of(network, weights, rows)
        assert gradient.dtype == np.float32
        allowed = roundoff(len(rows) + sum(network.widths) + FUNCTION) * gradient_terms(network, weights, rows)
        rounded = roundoff(len(rows) * sum(network.widths), np.float64) * loss(wide) / step  # in double precision
        assert (np.abs(gradient - differences) < allowed + rounded).all()
        away = abs(network.loss(weights, rows) - loss(wide))
        assert away < np.mean(importance * rounding(network, weights, rows))
        single = [gradient_of(network, weights, rows.take(np.array([i]))) for i in range(len(rows))]
        assert (np.abs(np.mean(single, axis=0) - gradient) < allowed).all()
        cases(network.size)


@pytest.mark.parametrize("widths", SHAPES)
def test_row_gradients_are_outer_products_of_inputs_and_errors(widths: tuple[int, ...]) -> None:
    network = network_of(widths, Output.SOFTMAX)
    weights, rows = problem(network, 5, count=6)
    parts = network.backward(weights, rows)
    for i in range(len(rows)):
        flat = np.concatenate(
            [np.append(np.outer(part.inputs[i], part.errors[i]).ravel(), part.errors[i]) for part in parts]
        )
        one = rows.take(np.array([i]))
        allowed = roundoff(sum(widths) + FUNCTION) * gradient_terms(network, weights, one)
        assert (np.abs(flat - gradient_of(network, weights, one)) <= allowed).all()


@given(st.integers(0, 2**32), st.floats(0.1, 20))
def test_softmax_of_two_classes_is_logistic_in_their_difference(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logistic, softmax = Network((5, 1), Output.SIGMOID), Network((5, 2), Output.SOFTMAX)
    both = (scale * rng.normal(size=(6, 2))).astype(np.float32)
    x, y = rng.uniform(-1, 1, (9, 5)).astype(np.float32), rng.integers(0, 2, 9)
    difference = both[:, 1] - both[:, 0]
    p = softmax.outputs(both.ravel(), x)
    terms = float((np.abs(x) @ np.abs(both[:-1]) + np.abs(both[-1])).sum(axis=1).max())
    allowed = roundoff(6 + FUNCTION) * max(1.0, terms)
    assert p.sum(axis=1) == pytest.approx(np.ones(9), abs=roundoff(FUNCTION))
    assert p[:, 1] == pytest.approx(logistic.outputs(difference, x)[:, 0], abs=allowed)
    losses = logistic.losses(difference, Rows(x=x, y=y.astype(np.float32)))
    assert softmax.losses(both.ravel(), Rows(x=x, y=y)) == pytest.approx(losses, rel=0, abs=allowed)


@pytest.mark.parametrize("output", [Output.SIGMOID, Output.SOFTMAX])
def test_large_sums_do_not_overflow(output: Output) -> None:
    network = network_of((1, 1), output)
    weights = np.zeros(network.size, np.float32)
    weights[0] = 1e30
    rows = Rows(x=np.array([[1.0], [-1.0]], np.float32), y=np.array([0.0, 0.0] if output is Output.SIGMOID else [0, 0]))
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(network.outputs(weights, rows.x)).all()
        assert np.isfinite(network.losses(weights, rows)).all()
        assert np.isfinite(gradient_of(network, weights, rows)).all()


def test_class_weights_are_repeated_rows() -> None:
    network = Network((3, 4, 4), Output.SOFTMAX)
    weights, rows = problem(network, 2)
    times = np.array([1, 3, 2, 5])[rows.y.astype(np.int64)]
    repeated = rows.take(np.repeat(np.arange(len(rows)), times))
    weighted = Rows(x=rows.x, y=rows.y, weights=times.astype(np.float32))
    scale = times.sum() / len(rows)
    allowed = roundoff(len(repeated) + sum(network.widths) + FUNCTION) * gradient_terms(network, weights, repeated)
    away = gradient_of(network, weights, weighted) / scale - gradient_of(network, weights, repeated)
    assert (np.abs(away) < allowed).all()
    allowed = float(np.mean(rounding(network, weights, repeated)))
    assert network.loss(weights, weighted) / scale == pytest.approx(network.loss(weights, repeated), rel=0, abs=allowed)


def test_initial_weights_are_hes_and_the_same_everywhere() -> None:
    network = Network((400, 300, 200, 10), Output.SOFTMAX)
    weights = network.initial(7)
    assert weights.dtype == np.float32
    assert np.array_equal(weights, network.initial(7))
    assert not np.array_equal(weights, network.initial(8))
    for layer, width in zip(network.layers(weights), network.widths, strict=False):
        assert not layer.bias.any()
        count = layer.matrix.size
        # the sample variance of n normal numbers has a standard deviation of sqrt(2 / n) of it: six of those
        assert layer.matrix.var() * width / 2 == pytest.approx(1, abs=6 * math.sqrt(2 / count))
        assert layer.matrix.mean() == pytest.approx(0, abs=6 * math.sqrt(2 / width / count))
    for output in Output:
        assert not network_of((8, 1), output).initial(3).any()


def test_layers_are_views_in_order() -> None:
    network = Network((2, 3, 1), Output.SIGMOID)
    weights = np.arange(network.size, dtype=np.float32)
    first, second = network.layers(weights)
    assert first.matrix.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (first.bias.tolist(), second.matrix.tolist(), second.bias.tolist()) == ([6, 7, 8], [[9], [10], [11]], [12])
    first.matrix[0, 0] = 100
    assert weights[0] == 100
