"""How far apart two results of floating arithmetic may be: from what is computed, never from what a machine gave.

Kernels differ by machine: they add up in another order, fuse products with sums or do not, and round exp another way.
A rounding is off by at most u (half of `eps`) of a value, which is at most the sum of its terms' magnitudes. Of n of
them, in any order and independent, all come to more than lambda sqrt(n) u with a probability of 2 exp(-lambda^2 / 2)
(N. J. Higham, T. Mary, "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41 (2019), thm.
2.4): 3e-14 for lambda = 8, which up to n = 64 covers the worst case, too. A tolerance is this, times the magnitude,
times the condition of what is done with the result. Sums in double precision that tests compare to 1e-9 have far fewer
than the 1e12 terms that this allows.

"Bit for bit" is asserted only between runs with the same kernels, so on one machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from privsdk.fl.models.network import Network, Output, Rows

LAMBDA = 8
FUNCTION = (
    12  # roundings of an exp, log or tanh: they are within 4 units in the last place of two roundings each, and more
)


def roundoff(roundings: int, precision: Any = np.float32) -> float:
    """The relative error of so many roundings: in a sum, of its terms' magnitudes."""
    return LAMBDA * math.sqrt(roundings) * float(np.finfo(precision).eps) / 2


def descent(*, steps: int, rows: int, inputs: int, rate: float, gradient: float, weights: float) -> float:
    """How far gradient descent in single precision ends from the same steps in double precision, in any norm.

    A step rounds a product over the inputs, an activation and a mean over the rows, and adds it to the weights.
    For a convex loss and a rate of at most 2 / L it does not amplify what was rounded before.

    Parameters
    ----------
    gradient, weights : float
        The largest magnitude of the terms of a gradient, and of the weights, in that norm.
    """
    step = math.hypot(rate * roundoff(rows + inputs + FUNCTION) * gradient, roundoff(3) * weights)
    return math.sqrt(steps) * step


def gradient_of(network: Network, weights: Any, rows: Rows) -> Any:
    """The gradient of the loss: the mean of all rows' gradients."""
    gradient = np.empty(network.size, np.float32)
    for layer, part in zip(network.layers(gradient), network.backward(weights, rows), strict=True):
        np.matmul(part.inputs.T, part.errors, out=layer.matrix)
        part.errors.sum(axis=0, out=layer.bias)
    return gradient / len(rows)


def gradient_terms(network: Network, weights: Any, rows: Rows) -> Any:
    """The magnitudes that each entry of a gradient is added up from: of the same network, all its numbers positive."""
    wide = Network(network.widths, Output.IDENTITY)
    target = np.abs(rows.y) if network.output is Output.IDENTITY else np.ones(len(rows))
    return gradient_of(
        wide, np.abs(weights), Rows(x=np.abs(rows.x), y=-target.astype(np.float32), weights=rows.weights)
    )
