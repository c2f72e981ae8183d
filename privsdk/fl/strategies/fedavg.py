"""Federated averaging: clients train on their own rows, the model moves by the mean of what their training changed.

Paper: H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-Efficient Learning of Deep
Networks from Decentralized Data", AISTATS 2017, algorithm 1.

    client k, with n_k rows:  w_k = local gradient descent from w_t
    coordinator:              w_{t+1} = w_t + sum of n_k (w_k - w_t) / sum of n_k, over the clients of the round
"""

from __future__ import annotations

import msgspec

from ...protocol.roles import Role
from ..models.network import Vector
from ..models.training import Pull
from .base import Averaging, Given, Local, State


class FedAvg(Averaging, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedAvg"):
    """Federated averaging."""

    def local(self, given: Given) -> Role[Local]:
        """Train, and send what it changed."""
        weights = yield from given.train(Pull())
        return Local(weights - given.start)

    def step(self, state: State, average: Vector, share: float) -> State:
        """Move by the average."""
        return {"weights": state["weights"] + average}
