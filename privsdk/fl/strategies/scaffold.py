"""SCAFFOLD: control variates take out of each client's steps what makes it drift from the others.

Paper: S. P. Karimireddy, S. Kale, M. Mohri, S. J. Reddi, S. U. Stich, A. T. Suresh, "SCAFFOLD: Stochastic Controlled
Averaging for Federated Learning", ICML 2020, algorithm 1 with option II for the control variates.

    coordinator to the clients of the round, S out of N:  x, c
    client i:     y_i = x, then K times  y_i = y_i - eta_l (g_i(y_i) - c_i + c)
                  c_i+ = c_i - c + (x - y_i) / (K eta_l)
                  sends y_i - x and c_i+ - c_i, and keeps c_i = c_i+
    coordinator:  x = x + eta_g mean of (y_i - x),   c = c + |S| / N mean of (c_i+ - c_i)

So c is the mean of all N clients' c_i after every round, whoever was in it. All clients count equally, whatever their
rows: the optimum is that of the mean of their mean losses.

A client that is lost is one that is never drawn again: the last c_i that arrived of it stays in c, N stays what it was,
and the steps of the others go on to hold its pull as it was then. What it computed for the round in which it was lost
is in neither x nor c.

Updates are of two parts, so messages are twice as long both ways. c_i+ - c_i is -c - (y_i - x) / (K eta_l): where all
clients make the same number K of steps, its mean tells nothing that the mean of y_i - x does not; with epochs over
unequal rows K differs, and it is a second mean of the same updates with other weights.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ...errors import InvalidArgument, ProtocolViolation
from ...governance.learns import Knowledge
from ...protocol.roles import Role
from ..fedavg import FedAvg, LocalInput, LocalUpdate, State
from ..models.network import Vector
from ..models.training import Pull


class MeanControlVariates(Knowledge, frozen=True):
    template = "the mean control variate of each round"


class Scaffold(FedAvg, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="Scaffold"):
    """SCAFFOLD, option II.

    Parameters
    ----------
    eta_g : float
        The server's rate; 1 moves to the mean of the clients' models.
    """

    eta_g: float = 1.0
    parts: ClassVar[int] = 2
    by_rows: ClassVar[bool] = False
    extra: ClassVar[tuple[Knowledge, ...]] = (MeanControlVariates(),)
    compression_refused: ClassVar[str] = (
        "the coordinator's control variate has to stay the mean of the clients', and what compression takes from their "
        "changes would part them"
    )

    def __post_init__(self) -> None:
        if not 0 < self.eta_g < math.inf:
            raise InvalidArgument(f"eta_g is {self.eta_g}", hint="give a positive number; 1 is usual")

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        """Train with c - c_i added to every gradient; send both changes, keep c_i."""
        x, c = given.start, given.broadcast
        if len(c) != len(x):
            raise ProtocolViolation("the coordinator sent no control variate of the model's size")
        c_i = given.kept if len(given.kept) else np.zeros_like(x)
        y_i = yield from given.train(Pull(offset=c - c_i))
        c_new = c_i - c + (x - y_i) / np.float32(given.steps * given.learning_rate)
        return LocalUpdate(np.concatenate([y_i - x, c_new - c_i]), c_new)

    def begin(self, weights: Vector) -> State:
        """The weights, and c = 0."""
        return {"weights": weights, "c": np.zeros_like(weights)}

    def broadcast(self, state: State) -> Vector:
        """c."""
        return state["c"]

    def step(self, state: State, average: Vector, share: float) -> State:
        """Move both by their means, c by the share of all clients that were in the round."""
        x, c = state["weights"], state["c"]
        dx, dc = average[: len(x)], average[len(x) :]
        return {"weights": x + np.float32(self.eta_g) * dx, "c": c + np.float32(share) * dc}
