"""The coordinate-wise median of the clients' updates in place of their mean: a minority of them cannot move it far.

Paper: D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
Rates", ICML 2018, definition 1 and algorithm 1 with option I.

    client i:     w_i = local gradient descent from w_t
    coordinator:  w_{t+1} = w_t + in each coordinate the median of w_i - w_t over the clients of the round

The paper sends gradients, here one round's updates: the same with one local step. For an even number of clients the
median is the mean of the middle two. Clients count equally: a poisoned one could claim any number of rows.

As long as fewer than half of the round's clients are poisoned, each coordinate stays between the least and the largest
of the honest ones'. Honest clients whose data differ are a cost: the median of skewed updates is not their mean, so the
model is another one than without attack. The mean loss in the history is of what clients say, and not robust.

The coordinator sees every client's update: order statistics cannot be had from a sum.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..models.network import Vector
from .fedavg import FedAvg


class Median(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="Median"):
    """Coordinate-wise median."""

    by_rows: ClassVar[bool] = False
    sparse_refused: ClassVar[str] = (
        "an entry that most clients did not send has a median of zero, whatever the others sent"
    )
    each: ClassVar[str] = "a median compares the clients' updates with each other, and a sum has none of them left"

    def combine(self, updates: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Vector:
        """Each coordinate's median."""
        median: Vector = np.median(updates, axis=0)
        return median
