"""The seam between strategies and rounds: what a client computes in a round, and what becomes of the average.

A strategy is a value with both of its halves in one file: `local` is the client's, `begin`, `broadcast` and `step` are
the coordinator's. It knows no messages, no other clients and no aggregation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..protocol.roles import Role
from .models.network import Vector
from .models.training import Pull

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
    kept: Vector = np.zeros(0, np.float32)


class Strategy(Protocol):
    """One algorithm of federated optimisation.

    Attributes
    ----------
    parts : how many vectors of the model's size an update consists of
    by_rows : whether clients count by their numbers of rows in the average; equally where not
    each : why the coordinator must see each client's update; "" where an average of them is enough
    """

    @property
    def parts(self) -> int: ...

    @property
    def by_rows(self) -> bool: ...

    @property
    def each(self) -> str: ...

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        """The client's half of a round."""

    def begin(self, weights: Vector) -> State:
        """The coordinator's state before the first round."""

    def broadcast(self, state: State) -> Vector:
        """What clients get besides the weights."""

    def combine(self, updates: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Vector:
        """Of updates of shape (clients, entries) and the clients' weights, what takes the average's place."""

    def step(self, state: State, average: Vector, share: float) -> State:
        """The state after a round in which this share of all clients took part."""
