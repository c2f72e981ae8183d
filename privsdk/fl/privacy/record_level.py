"""Local training with record-level differential privacy: DP-SGD at each party, with noise in every step.

Paper: M. Abadi, A. Chu, I. Goodfellow, H. B. McMahan, I. Mironov, K. Talwar, L. Zhang, "Deep Learning with Differential
Privacy", CCS 2016, algorithm 1.

    in each step, at weights w:
    S = each row with probability q, by secret randomness
    g = sum over S of each row's gradient, scaled down to an L2 norm of `clip`
    w = w - learning_rate * ((g + N(0, (noise_multiplier * clip)^2)) / batch_size + what the strategy adds)

Whoever sees the weights, every step of them, learns of a row no more than is charged: nobody need be trusted but the
row's own party, and strategies, sums and the clear alike only process what was released. `batch_size` is a public
number, not |S| or q times the number of rows, which would tell of them. Neighbours: a row more or less. One row of each
id enters, so a row is an id: rows are drawn apart, and several of one id would be in a step by chances not priced here.

A row's norm without its gradient: that of a dense layer is the outer product of its inputs a (and 1) with its errors e,
so its squared norm is the sum over the layers of (|a|^2 + 1) |e|^2 (I. Goodfellow, "Efficient Per-Example Gradient
Computations", arXiv:1510.01799, 2015), and the sum over rows scaled by s_i is A^T (s E).

Floating point. The sum is put on a grid in pieces of CHUNK rows, with integer arithmetic from there on:

- A row's gradient is a function of that row and w alone. Products of float64 matrices always have CHUNK rows, a
  multiple of what the kernels of a BLAS compute at a time, so that none is computed by another path than its neighbours
  (a test compares bits). A row whose squared norms are not finite or above 2^200 counts as zero.
- Each scaled gradient has a norm of at most clip (1 + 2^-30): the sums of squares have at most 2^20 terms, none rounded
  by more than 2^-53 of it, and what underflows is below 2^-400.
- A product over CHUNK rows differs from the exact one by at most 1.01 (CHUNK + 2) 2^-53 CHUNK clip in norm (N. Higham,
  "Accuracy and Stability of Numerical Algorithms", 2002, section 3.5), its rounding to the grid by sqrt(d) / 2 units.
  For 2^22 rows, d <= 2^20 and a clip of at least 2^42 units, twice all that, for two neighbours, is below
  2^-22 + 2^-17.6 of clip, and with the line above below EXCESS = 2^-16. The noise is made larger by this factor, so
  that noise_multiplier is its ratio to the true sensitivity.
- Overflow of 64 bits, by sums of more than 16 batch_size rows that all agree, would only process the noisy sum.

The noise. With N rounded to integers, an integer vector plus noise is the rounded sum of it and N: the Gaussian
mechanism, processed. A discrete Gaussian D of parameter s is as good: its probabilities are f(k) / sum of f, f the
density of N(0, s^2), and those of rounded N are integrals of f from k - 1/2 to k + 1/2, which differ from f(k) by
integrals of f'' against a kernel within [0, 1/8]. So all differences together are at most 1/8 of the integral of |f''|,
which is 4 max |f'| < 0.968 / s^2; with sum of f within 1 +- 2.1 exp(-2 pi^2 s^2), total variation is below 0.061 / s^2.
The sampler is within 2^-100 of D, and s near 2^48. For each entry and step this goes into delta: `privacy.CERTAIN`.

Not hidden: how long a step takes, which tells |S| roughly. Cost: the products in float64, and noise for each weight.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...crypto.aes import KEY_BYTES, stream
from ...crypto.gaussian import discrete_gaussian
from ...crypto.sums.base import Integers
from ...errors import DataError, InvalidArgument
from ...governance.charges import Gaussian
from ...protocol.roles import Entropy, Role
from ...protocol.workers.pool import Pipeline, threads
from ..models.network import Network, Rows, Vector, one_thread
from ..models.training import Task
from .levels import CERTAIN, RecordLevel

FLOPS_A_PIECE = 2e9  # about 0.2 s on one core, in double precision and row by row
STEPS_A_PIECE = 1024  # of small steps: noise takes longer than they do
CHUNK = 192  # rows; 64 and 24 divide it
MAX_ROWS = 1 << 22
MAX_WEIGHTS = 1 << 20
MAX_BATCH = 1 << 16
EXCESS = 2.0**-16
WIDTH = 49  # bits of the noise's standard deviation on the grid, where sums leave room
LEAST_WIDTH = 30
ROOM = 58  # bits of a batch in units of the grid; with 16 times as many rows, 62
LARGEST_SQUARE = 2.0**200

Wide = npt.NDArray[Any]  # float64, which a network computes with as well as with float32


class NoisySteps:
    """A `Trainer` by DP-SGD; the schedule says how many steps, and the batch size that gradients are divided by."""

    def __init__(self, privacy: RecordLevel, *, batch_size: int, entropy: Entropy) -> None:
        self.clip_units = units_of(privacy, batch_size)
        self._privacy = privacy
        self._batch_size = batch_size
        self._entropy = entropy

    def __call__(self, task: Task) -> Role[Vector]:
        """Train by the process's threads, some steps at a time."""
        if len(task.rows) > MAX_ROWS or task.network.size > MAX_WEIGHTS:
            raise DataError(
                f"more than {MAX_ROWS:,} rows or {MAX_WEIGHTS:,} weights: rounding is bounded for up to so many",
                hint="train on fewer of them",
            )
        flops = 6.0 * task.network.size * (CHUNK + self._privacy.sampling_rate * len(task.rows))
        size = max(1, min(STEPS_A_PIECE, int(FLOPS_A_PIECE / flops)))
        total, weights = task.schedule.steps, task.start
        with Pipeline(self.descend, "local training", total=-(-total // size), pool=threads()) as pipeline:
            for at in range(0, total, size):
                pipeline.submit(task, weights, min(size, total - at))
                weights = yield from pipeline.next()
        return weights

    def descend(self, task: Task, weights: Vector, steps: int) -> Vector:
        """So many steps."""
        weights = weights.copy()
        scale = self._privacy.clip / self.clip_units / self._batch_size
        sigma = self._privacy.noise_multiplier * (1 + EXCESS) * self.clip_units
        with one_thread(), np.errstate(all="ignore"):  # what is not finite counts as zero
            for _ in range(steps):
                rows = task.rows.take(sampled(len(task.rows), self._privacy.sampling_rate, self._entropy))
                units = clipped_sum(task.network, weights, rows, self._privacy.clip, self.clip_units)
                units += discrete_gaussian(sigma, len(units), self._entropy)
                gradient = (units * scale).astype(np.float32)
                if task.pull.offset is not None:
                    gradient += task.pull.offset
                if task.pull.strength:
                    gradient += np.float32(task.pull.strength) * (weights - task.start)
                weights -= np.float32(task.schedule.learning_rate) * gradient
        return weights


def charge(privacy: RecordLevel, *, batch_size: int, length: int, steps: int) -> Gaussian:
    """What a client's dataset loses by so many steps on a network of `length` weights."""
    sigma = privacy.noise_multiplier * units_of(privacy, batch_size)
    distance = length * (0.061 / sigma**2 + 2.0**-100)
    return Gaussian(
        noise_multiplier=privacy.noise_multiplier,
        sampling_rate=privacy.sampling_rate,
        steps=steps,
        delta=min(CERTAIN * steps * distance, 0.5),
    )


def units_of(privacy: RecordLevel, batch_size: int) -> int:
    """The clip in units of the grid: a power of two; raises InvalidArgument where the batches leave no room."""
    if not 1 <= batch_size <= MAX_BATCH:
        raise InvalidArgument(
            f"record-level privacy with batches of {batch_size:,} rows",
            hint=f"give batch_size of 1 to {MAX_BATCH:,}: about sampling_rate times the rows of a party; it is public",
        )
    room = ROOM - math.ceil(math.log2(batch_size))
    bits = min(room, WIDTH - math.floor(math.log2(privacy.noise_multiplier)) - 1)
    width = bits + math.log2(privacy.noise_multiplier)
    if bits < ROOM - 16 or width < LEAST_WIDTH:
        raise InvalidArgument(
            f"noise_multiplier is {privacy.noise_multiplier:g}",
            hint=f"give {2.0 ** (LEAST_WIDTH - room):.2g} to {2.0 ** (WIDTH - 1 - (ROOM - 16)):g}",
        )
    return 1 << bits


def sampled(rows: int, rate: float, entropy: Entropy) -> npt.NDArray[np.int64]:
    """Each row with a probability of at most `rate`, and less by below 2^-64: a Poisson sample."""
    if rate >= 1:
        return np.arange(rows)
    words = stream(entropy.draw(KEY_BYTES), 0, 8 * rows).view(np.uint64)
    return np.flatnonzero(words < np.uint64(int(rate * 2.0**64)))


def clipped_sum(network: Network, weights: Vector, rows: Rows, clip: float, clip_units: int) -> Integers:
    """The sum of the rows' gradients, each scaled down to a norm of `clip`, in units of clip / clip_units."""
    wide: Wide = weights.astype(np.float64)
    total = np.zeros(network.size, np.int64)
    for at in range(0, len(rows), CHUNK):
        held = min(CHUNK, len(rows) - at)
        index = np.zeros(CHUNK, np.int64)  # padded with a row that is there, times zero
        index[:held] = np.arange(at, at + held)
        part = _scaled_sum(network, wide, _widened(rows.take(index)), held, clip)
        total += np.rint(part * (clip_units / clip)).astype(np.int64)
    return total


def _scaled_sum(network: Network, weights: Wide, rows: Rows, held: int, clip: float) -> Wide:
    """Of the first `held` rows of a chunk."""
    parts = network.backward(weights, rows)
    inputs = [np.square(part.inputs).sum(axis=1) for part in parts]
    squares = sum((a + 1) * np.square(part.errors).sum(axis=1) for a, part in zip(inputs, parts, strict=True))
    usable = np.all([each <= LARGEST_SQUARE for each in (*inputs, squares)], axis=0)  # NaN is not
    usable[held:] = False
    scale = np.where(usable, np.minimum(1.0, clip / np.sqrt(squares)), 0.0)[:, None]
    total: Wide = np.empty(network.size)
    for layer, part in zip(network.layers(total), parts, strict=True):
        errors = np.where(usable[:, None], part.errors * scale, 0.0)
        np.matmul(np.where(usable[:, None], part.inputs, 0.0).T, errors, out=layer.matrix)
        errors.sum(axis=0, out=layer.bias)
    return total


def _widened(rows: Rows) -> Rows:
    x: Wide = rows.x.astype(np.float64)
    return Rows(x=x, y=rows.y, weights=rows.weights)
