"""Federated averaging: clients train on their own rows, the model moves by the mean of what their training changed.

Paper: H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-Efficient Learning of Deep
Networks from Decentralized Data", AISTATS 2017, algorithm 1.

    client k, with n_k rows:  w_k = local gradient descent from w_t
    coordinator:              w_{t+1} = w_t + sum of n_k (w_k - w_t) / sum of n_k, over the clients of the round

Every other strategy is this one with a part of it replaced.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from ...governance.learns import Knowledge
from ...protocol.roles import Role
from ..loops.course import NOTHING, Loop
from ..loops.rounds import Synchronous
from ..models.blas import one_thread
from ..models.network import Vector
from ..models.training import Pull
from ..strategy import LocalInput, LocalUpdate, State


class FedAvg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="FedAvg"):
    """Federated averaging."""

    parts: ClassVar[int] = 1
    by_rows: ClassVar[bool] = True
    each: ClassVar[str] = ""
    extra: ClassVar[tuple[Knowledge, ...]] = ()  # what clients get with the weights
    compression_refused: ClassVar[str] = ""  # why updates cannot be compressed
    sparse_refused: ClassVar[str] = ""  # why most of their entries cannot be left out

    @property
    def loop(self) -> Loop:
        """When clients train and the model moves."""
        return Synchronous()

    def local(self, given: LocalInput) -> Role[LocalUpdate]:
        """Train, and send what it changed."""
        weights = yield from given.train(Pull())
        return LocalUpdate(weights - given.start)

    def begin(self, weights: Vector) -> State:
        """Only the weights."""
        return {"weights": weights}

    def broadcast(self, state: State) -> Vector:
        """Nothing."""
        return NOTHING

    @one_thread()  # others would spin on, next to the clients of the next round, where they share a process
    def combine(self, updates: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Vector:
        """The weighted mean."""
        mean: Vector = (weights @ updates / weights.sum()).astype(np.float32)
        return mean

    def step(self, state: State, average: Vector, share: float) -> State:
        """Move by the average."""
        return {"weights": state["weights"] + average}
