"""Federated averaging: clients train on their own rows, the model moves by the mean of what their training changed.

Paper: H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-Efficient Learning of Deep
Networks from Decentralized Data", AISTATS 2017, algorithm 1.

    client k, with n_k rows:  w_k = local gradient descent from w_t
    coordinator:              w_{t+1} = w_t + sum of n_k (w_k - w_t) / sum of n_k, over the clients of the round

Every other strategy is this one with a part of it replaced. A strategy is a value with both of its halves in one file:
`local` is the client's; `begin`, `broadcast`, `combine` and `step` are the coordinator's. It knows no messages, other
clients or aggregation. When clients train, in rounds or without, is up to a loop (`parameters.loop_of`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors.calls import Declarative
from ..governance.learns import Knowledge
from ..protocol.roles import Role
from .models.network import Vector, one_thread
from .models.training import Pull

NOTHING = np.zeros(0, np.float32)
State = dict[str, Vector]
"""What the coordinator keeps from round to round: "weights", and whatever else the strategy needs."""


class LocalInput(NamedTuple):
    """What a client's half works with in a round.

    Attributes
    ----------
    start : the global weights
    broadcast : what the strategy's `broadcast` made of the coordinator's state
    train : trains from `start`, with a pull on every step, to the weights it ends with
    steps, learning_rate : of that training
    kept : what this client's half kept in the last round that it took part in; of size 0 before
    """

    start: Vector
    broadcast: Vector
    train: Callable[[Pull], Role[Vector]]
    steps: int
    learning_rate: float
    kept: Vector


class LocalUpdate(NamedTuple):
    """What a client's half returns: its update, to be averaged, and what it keeps."""

    update: Vector
    kept: Vector = NOTHING


class FedAvg(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedAvg"):
    """Federated averaging."""

    parts: ClassVar[int] = 1  # vectors of the model's size that an update consists of
    by_rows: ClassVar[bool] = True  # whether clients count by their numbers of rows in the average, else equally
    each: ClassVar[str] = ""  # why the coordinator must see each client's update, where an average is not enough
    extra: ClassVar[tuple[Knowledge, ...]] = ()  # what clients get with the weights
    compression_refused: ClassVar[str] = ""  # why updates cannot be compressed
    sparse_refused: ClassVar[str] = ""  # why most of their entries cannot be left out

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        """The client's half of a round: train, and send what it changed."""
        weights = yield from given.train(Pull())
        return LocalUpdate(weights - given.start)

    def begin(self, weights: Vector) -> State:
        """The coordinator's state before the first round: only the weights."""
        return {"weights": weights}

    def broadcast(self, state: State) -> Vector:
        """What clients get besides the weights: nothing."""
        return NOTHING

    @one_thread()  # others would spin on, next to the clients of the next round, where they share a process
    def combine(self, updates: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Vector:
        """Of updates of shape (clients, entries) what takes the average's place: their weighted mean."""
        mean: Vector = (weights @ updates / weights.sum()).astype(np.float32)
        return mean

    def step(self, state: State, average: Vector, share: float) -> State:
        """The state after a round of this share of all clients: moved by the average."""
        return {"weights": state["weights"] + average}
