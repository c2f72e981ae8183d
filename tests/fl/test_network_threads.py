"""Losses, outputs and means take one BLAS thread: others would keep spinning beside the training that follows."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from privsdk.fl.fedavg import FedAvg
from privsdk.fl.models.network import Matrix, Network, Output, Rows, Vector


@pytest.mark.parametrize("output", list(Output))
def test_losses_and_outputs_take_one_thread(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((5, 4, 3 if output is Output.SOFTMAX else 1), output)
    rows = Rows(x=np.ones((6, 5), np.float32), y=np.ones(6, np.int64))
    weights, threads = network.initial(0), []
    sums = Network.sums

    def watched(self: Network, weights: Vector, x: Matrix) -> list[Matrix]:
        threads.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return sums(self, weights, x)

    monkeypatch.setattr(Network, "sums", watched)
    with threadpool_limits(2):
        network.losses(weights, rows)
        network.outputs(weights, rows.x)
        assert set(threads) == {1}
        threads.clear()
        network.sums(weights, rows.x)
        assert set(threads) == {2}


class Watched:
    """Updates that see how many threads there are when they are multiplied."""

    __array_ufunc__ = None

    def __init__(self, updates: Matrix) -> None:
        self.updates, self.threads = updates, set[int]()

    def __rmatmul__(self, weights: Vector) -> Vector:
        self.threads |= {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
        mean: Vector = weights @ self.updates
        return mean


def test_the_mean_takes_one_thread() -> None:
    updates = Watched(np.ones((3, 4), np.float32))
    with threadpool_limits(2):
        mean = FedAvg().combine(updates, np.array([0.5, 0.25, 0.25]))  # type: ignore[arg-type]
    assert mean.tolist() == [1, 1, 1, 1]
    assert updates.threads == {1}
