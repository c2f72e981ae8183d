"""The coordinate-wise median, or trimmed mean, of the clients' updates: a minority of them cannot move it far.

Paper: D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
Rates", ICML 2018, definitions 1 and 2, and algorithm 1 with options I and II.

    client i:     w_i = local gradient descent from w_t
    coordinator:  w_{t+1} = w_t + in each coordinate, over the m clients of the round,
                  Median:       the median of w_i - w_t
                  TrimmedMean:  the mean of w_i - w_t without the beta m largest and beta m least

The paper sends gradients, here one round's updates: the same with one local step. For an even number of clients the
median is the mean of the middle two. Of few clients beta m is rounded up, so that a share beta of them is covered, but
one or two always remain. Clients count equally: a poisoned one could claim any number of rows.

As long as fewer than half of the round's clients are poisoned, at a trimmed mean at most a share beta, each coordinate
stays between the least and the largest of the honest ones'. Honest clients whose data differ are a cost: the median of
skewed updates is not their mean, so the model is another one than without attack. More of the honest updates are in the
trimmed mean, at the price of a bound that has to be known. The mean loss in the history is of what clients say, and not
robust.

The coordinator sees every client's update: order statistics cannot be had from a sum.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...errors import InvalidArgument
from ..fedavg import FedAvg
from ..models.network import Vector

SPARSE_REFUSED = "an entry that most clients did not send has a median of zero, whatever the others sent"


class Median(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="Median"):
    """Coordinate-wise median."""

    by_rows: ClassVar[bool] = False
    sparse_refused: ClassVar[str] = SPARSE_REFUSED
    each: ClassVar[str] = "a median compares the clients' updates with each other, and a sum has none of them left"

    def combine(self, updates: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Vector:
        """Each coordinate's median."""
        median: Vector = np.median(updates, axis=0)
        return median


class TrimmedMean(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="TrimmedMean"):
    """Coordinate-wise trimmed mean.

    Parameters
    ----------
    beta : float
        Share of the clients left out at either end; at least the share that may be poisoned.
    """

    beta: float
    by_rows: ClassVar[bool] = False
    sparse_refused: ClassVar[str] = SPARSE_REFUSED
    each: ClassVar[str] = (
        "a trimmed mean compares the clients' updates with each other, and a sum has none of them left"
    )

    def __post_init__(self) -> None:
        if not 0 < self.beta < 0.5:
            raise InvalidArgument(
                f"beta is {self.beta}", hint="give a share above 0 and below 0.5, such as 0.2; fl.Median() trims more"
            )

    def trimmed(self, clients: int) -> int:
        """How many are left out at either end."""
        wanted = math.ceil(self.beta * clients - 1e-9)  # 0.07 * 100 is a little above 7 in floating point
        return min(wanted, (clients - 1) // 2)

    def combine(self, updates: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Vector:
        """Each coordinate's mean without its extremes."""
        cut = self.trimmed(len(updates))
        middle = np.sort(updates, axis=0)[cut : len(updates) - cut]
        mean: Vector = middle.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean
