"""FedBuff: clients train without waiting for each other, the model moves whenever K of their updates have come.

Paper: J. Nguyen, K. Malik, H. Zhan, A. Yousefpour, M. Rabbat, M. Malek, D. Huba, "Federated Learning with Buffered
Asynchronous Aggregation", AISTATS 2022, algorithms 1 and 2; staleness as in C. Xie, S. Koyejo, I. Gupta, "Asynchronous
Federated Optimization", 2019, with exponent 1/2. Its loop is `asynchronous`.

    client i:     y = local gradient descent from w_t;  sends Delta_i = y - w_t
    coordinator:  buffer = buffer + Delta_i / sqrt(1 + tau),  tau = steps since w_t
                  after every K: w = w + eta_g buffer / K, buffer = 0
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ...errors import InvalidArgument
from ..loops.asynchronous import Asynchronous
from ..models.network import Vector
from ..strategy import State
from .fedavg import FedAvg


class FedBuff(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedBuff"):
    """Buffered asynchronous averaging.

    Parameters
    ----------
    K : int
        Updates that a step is made of; of few clients, fewer than all, or nobody is ahead of the slowest.
    eta_g : float
        The server's rate.
    """

    K: int = 2
    eta_g: float = 1.0
    by_rows: ClassVar[bool] = False
    each: ClassVar[str] = "each update is scaled by its own age, and nobody knows beforehand who will be in a sum"

    def __post_init__(self) -> None:
        if self.K < 1:
            raise InvalidArgument(f"a buffer of {self.K} updates", hint="give K of 1 or more")
        if not 0 < self.eta_g < math.inf:
            raise InvalidArgument(f"eta_g is {self.eta_g}", hint="give a positive number; 1 is usual")

    @property
    def loop(self) -> Asynchronous:
        """A step with every K updates."""
        return Asynchronous(updates=self.K, scale=self.scale)

    def step(self, state: State, average: Vector, share: float) -> State:
        """Move by the buffer's mean."""
        return {"weights": state["weights"] + np.float32(self.eta_g) * average}

    def scale(self, tau: int) -> float:
        """What an update counts for that many steps after its start."""
        return 1 / math.sqrt(1 + tau)
