"""Dense networks in NumPy: layers with ReLU between them, one of three outputs, and its loss. All in float32.

Linear, logistic and softmax regression are networks of one layer. Weights are one flat vector: for each layer its
matrix of shape (inputs, outputs), row by row, then its biases. All arrays may have one more axis in front, for several
clients with weights and rows of their own.

Whoever computes on a core of its own has one BLAS thread (`one_thread`): more of them than cores are ten times slower.
Most builds of BLAS have one pool of threads for the process, so there the first to come sets the limit and the last to
leave lifts it. Builds with OpenMP have a limit for each thread.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]
Targets = npt.NDArray[np.float32] | npt.NDArray[np.int64]

FEW_INPUTS = 64  # of which leaving some out gains nothing
MOST_USED = 0.9  # of the inputs: with more of them in use, leaving the others out gains less than it costs
_lock = threading.Lock()
_limits: list[Any] = []
_users = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread, at least in this thread and while anyone is within."""
    global _users  # noqa: PLW0603  # a limit of the process
    mine = _own().limit(limits=1)
    with _lock:
        _users += 1
        if _users == 1:
            _seize()
            _limits.append(_shared().limit(limits=1))
            _seize()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _seize()
                _limits.pop().restore_original_limits()
                _seize()
        mine.restore_original_limits()


@cache
def _own() -> Any:
    """Of the BLAS libraries those with a limit for each thread."""
    return _controller().select(threading_layer="openmp")


@cache
def _shared() -> Any:
    """The others."""
    own = {library.filepath for library in _own().lib_controllers}
    others = [each.filepath for each in _controller().lib_controllers if each.filepath not in own]
    return _controller().select(filepath=others)


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _seize() -> None:
    """From 3.8 on, threadpoolctl heeds only the thread that set a limit first; here any may, one after another."""
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


class Output(StrEnum):
    """What the last layer's sums mean, and with it the loss of one row."""

    IDENTITY = "identity"  # a number; half the squared error
    SIGMOID = "sigmoid"  # P(label = 1); negative log-likelihood in nats
    SOFTMAX = "softmax"  # a probability for each class; negative log-likelihood in nats


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Inputs of shape (rows, inputs), their targets and weights in the loss.

    Attributes
    ----------
    y : array of shape (rows,)
        Numbers, labels 0.0 and 1.0, or the classes' numbers as int64.
    weights : float32 array of shape (rows,), optional
        By class, for losses and gradients; 1 where there are none.
    """

    x: Matrix
    y: Targets
    weights: Vector | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        return Rows(x=self.x[index], y=self.y[index], weights=None if self.weights is None else self.weights[index])

    @cached_property
    def narrow(self) -> Narrow | None:
        """Without the inputs that are zero in all rows, such as an image's corners; None where they are few."""
        if self.x.shape[1] < FEW_INPUTS:
            return None
        used: npt.NDArray[np.bool_] = np.logical_or.reduce(self.x != 0, axis=0)
        if used.sum() > MOST_USED * len(used):
            return None
        found = np.flatnonzero(used)
        return Narrow(found, Rows(x=np.ascontiguousarray(self.x[:, found]), y=self.y, weights=self.weights))


class Narrow(NamedTuple):
    """Which inputs are used, and the rows with these alone."""

    inputs: npt.NDArray[np.int64]
    rows: Rows


class Layer(NamedTuple):
    """Views into the flat weights."""

    matrix: Matrix
    bias: Vector


class Backward(NamedTuple):
    """A layer's part of the gradient: that of row i is the outer product of `inputs[i]` (and 1) with `errors[i]`."""

    inputs: Matrix
    errors: Matrix


@dataclass(frozen=True, slots=True)
class Network:
    """Layers of these widths, the inputs' first."""

    widths: tuple[int, ...]
    output: Output

    @property
    def size(self) -> int:
        """Number of weights, biases included."""
        return sum((i + 1) * o for i, o in zip(self.widths, self.widths[1:], strict=False))

    def layers(self, weights: Vector) -> list[Layer]:
        layers, at = [], 0
        for i, o in zip(self.widths, self.widths[1:], strict=False):
            matrix = weights[..., at : at + i * o].reshape(*weights.shape[:-1], i, o)
            layers.append(Layer(matrix, weights[..., at + i * o : at + (i + 1) * o]))
            at += (i + 1) * o
        return layers

    def narrowed(self, inputs: npt.NDArray[np.int64], weights: Vector) -> tuple[Network, Vector]:
        """The network of these inputs alone, and its weights."""
        end = self.widths[0] * self.widths[1]
        matrix = weights[:end].reshape(-1, self.widths[1])
        network = Network((len(inputs), *self.widths[1:]), self.output)
        return network, np.concatenate([matrix[inputs].ravel(), weights[end:]])

    def widened(self, inputs: npt.NDArray[np.int64], part: Vector, weights: Vector) -> Vector:
        """The weights with those of the network of these inputs alone in their places."""
        whole, end = weights.copy(), self.widths[0] * self.widths[1]
        cut = len(inputs) * self.widths[1]
        whole[:end].reshape(-1, self.widths[1])[inputs] = part[:cut].reshape(-1, self.widths[1])
        whole[end:] = part[cut:]
        return whole

    def initial(self, seed: int) -> Vector:
        """Zeros for one layer. For more, normal numbers of variance 2 / inputs, the same everywhere by the public seed.

        Source: K. He, X. Zhang, S. Ren, J. Sun, ICCV 2015, section 2.2.
        """
        weights = np.zeros(self.size, np.float32)
        if len(self.widths) > 2:
            rng = np.random.default_rng(seed)
            for layer in self.layers(weights):
                layer.matrix[:] = rng.normal(0, math.sqrt(2 / len(layer.matrix)), layer.matrix.shape)
        return weights

    def sums(self, weights: Vector, x: Matrix) -> list[Matrix]:
        """Each layer's inputs, and last the sums that the output is a function of."""
        *hidden, last = self.layers(weights)
        inputs = [x]
        for layer in hidden:
            inputs.append(np.maximum(inputs[-1] @ layer.matrix + layer.bias[..., None, :], 0))
        return [*inputs, inputs[-1] @ last.matrix + last.bias[..., None, :]]

    @one_thread()  # else threads of BLAS keep spinning after it, for longer than a few steps of training take
    def outputs(self, weights: Vector, x: Matrix) -> Matrix:
        """Numbers or probabilities, of shape (rows, outputs)."""
        return self._activated(self.sums(weights, x)[-1])

    @one_thread()
    def losses(self, weights: Vector, rows: Rows) -> Vector:
        """Each row's loss, before weights."""
        if rows.narrow is not None:
            network, part = self.narrowed(rows.narrow.inputs, weights)
            return network.losses(part, rows.narrow.rows)
        sums = self.sums(weights, rows.x)[-1].astype(np.float64)
        if self.output is Output.SOFTMAX:
            top = sums.max(axis=1)
            partition = top + np.log(np.exp(sums - top[:, None]).sum(axis=1))
            losses = partition - sums[np.arange(len(rows)), rows.y.astype(np.int64)]
        elif self.output is Output.SIGMOID:
            losses = np.logaddexp(0, sums[:, 0]) - rows.y * sums[:, 0]
        else:
            losses = 0.5 * (sums[:, 0] - rows.y) ** 2
        each: Vector = losses.astype(np.float32)
        return each

    def loss(self, weights: Vector, rows: Rows) -> float:
        """The mean of all rows' losses, times their weights; its gradient is the mean of what `backward` gives."""
        losses = self.losses(weights, rows)
        return float(np.mean(losses if rows.weights is None else losses * rows.weights, dtype=np.float64))

    def backward(self, weights: Vector, rows: Rows) -> list[Backward]:
        """Every row's gradient of its loss, by layer."""
        *inputs, sums = self.sums(weights, rows.x)
        errors = self._activated(sums)
        if self.output is Output.SOFTMAX:
            errors -= rows.y[..., None] == np.arange(self.widths[-1])
        else:
            errors = errors - rows.y.astype(np.float32)[..., None]
        if rows.weights is not None:
            errors = errors * rows.weights[..., None]
        parts = [Backward(inputs[-1], errors)]
        for layer, given in zip(self.layers(weights)[:0:-1], inputs[-2::-1], strict=True):
            errors = (errors @ layer.matrix.swapaxes(-1, -2)) * (parts[-1].inputs > 0)
            parts.append(Backward(given, errors))
        return parts[::-1]

    def _activated(self, sums: Matrix) -> Matrix:
        if self.output is Output.SOFTMAX:
            raised = np.exp(sums - sums.max(axis=-1, keepdims=True))
            softmax: Matrix = raised / raised.sum(axis=-1, keepdims=True)
            return softmax
        return 0.5 * (1 + np.tanh(0.5 * sums)) if self.output is Output.SIGMOID else sums
