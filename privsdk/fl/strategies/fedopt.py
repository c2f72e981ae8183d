"""FedAdam and FedYogi: the mean of the clients' updates is a gradient for an adaptive optimiser at the coordinator.

Paper: S. J. Reddi, Z. Charles, M. Zaheer, Z. Garrett, K. Rush, J. Konečný, S. Kumar, H. B. McMahan, "Adaptive Federated
Optimization", ICLR 2021, algorithm 2.

    client i:     x_i = local gradient descent from x_t;  sends Delta_i = x_i - x_t
    coordinator:  Delta_t = mean of Delta_i
                  m_t = beta1 m_{t-1} + (1 - beta1) Delta_t
                  v_t = beta2 v_{t-1} + (1 - beta2) Delta_t^2                      (FedAdam)
                  v_t = v_{t-1} - (1 - beta2) Delta_t^2 sign(v_{t-1} - Delta_t^2)  (FedYogi)
                  x_{t+1} = x_t + eta m_t / (sqrt(v_t) + tau)

with m_{-1} = 0 and v_{-1} = tau^2. There is no correction of the moments' bias, as in the paper: with beta1 = 0.9 the
first steps are short. Clients count by their rows, as in `FedAvg`. An update of the order of the aggregation's rounding
is brought up to eta by an equally small tau: choose tau well above it.
"""

from __future__ import annotations

import math

import numpy as np

from ...errors import InvalidArgument
from ..fedavg import FedAvg, State
from ..models.network import Vector

LEAST_TAU = 1e-9  # its square is a normal number in float32


class FedAdam(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedAdam"):
    """Adam at the coordinator.

    Parameters
    ----------
    eta : float
        The server's rate: about the largest change of a weight in a round.
    beta1, beta2 : float
        Share of the old in the mean of the updates, and in that of their squares.
    tau : float
        Adaptivity: entries whose updates are much smaller move by eta / tau times their mean, as without adaptation.
    """

    eta: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.eta < math.inf:
            raise InvalidArgument(f"eta is {self.eta}", hint="give a positive number, such as 0.1")
        for name, beta in (("beta1", self.beta1), ("beta2", self.beta2)):
            if not 0 <= beta < 1:
                raise InvalidArgument(f"{name} is {beta}", hint="give 0 or more and less than 1, such as 0.9")
        if not LEAST_TAU <= self.tau < math.inf:
            raise InvalidArgument(f"tau is {self.tau}", hint=f"give {LEAST_TAU} or more, such as 0.001")

    def begin(self, weights: Vector) -> State:
        """The weights, m = 0 and v = tau^2."""
        return {"weights": weights, "m": np.zeros_like(weights), "v": np.full_like(weights, self.tau**2)}

    def step(self, state: State, average: Vector, share: float) -> State:
        """Update both moments, and move by their quotient."""
        m = np.float32(self.beta1) * state["m"] + np.float32(1 - self.beta1) * average
        v = self.second_moment(state["v"], average * average)
        moved = np.float32(self.eta) * m / (np.sqrt(v) + np.float32(self.tau))
        return {"weights": state["weights"] + moved, "m": m, "v": v}

    def second_moment(self, v: Vector, squared: Vector) -> Vector:
        """v_t of v_{t-1} and Delta_t^2: their weighted mean."""
        return np.float32(self.beta2) * v + np.float32(1 - self.beta2) * squared


class FedYogi(FedAdam, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedYogi"):
    """Yogi at the coordinator: as FedAdam, but v forgets large squares by steps of the small ones."""

    def second_moment(self, v: Vector, squared: Vector) -> Vector:
        """v_t of v_{t-1} and Delta_t^2: a step towards it by a share of it, however far it is."""
        stepped: Vector = v - np.float32(1 - self.beta2) * squared * np.sign(v - squared)
        return stepped
