"""Which choices of a training go together. What does not is refused before anything is charged, with the reason."""

from __future__ import annotations

from ..errors import InvalidArgument
from .aggregation import AggregationMode
from .compression.quantised import Quantised
from .compression.topk import TopK
from .strategies.fedavg import FedAvg
from .strategies.fedbuff import FedBuff
from .strategies.fedopt import FedAdam, FedYogi
from .strategies.fedprox import FedProx
from .strategies.median import Median
from .strategies.scaffold import Scaffold
from .strategies.trimmed import TrimmedMean

Strategies = FedAvg | FedProx | Scaffold | FedAdam | FedYogi | Median | TrimmedMean | FedBuff
Compressions = Quantised | TopK

CLEAR = 'use aggregation="clear", which shows every update to the coordinator'


def check(strategy: Strategies, mode: AggregationMode, participation: float, compression: Compressions | None) -> None:
    """Raise InvalidArgument where one of them rules out another."""
    name = type(strategy).__name__
    if strategy.each and mode.hides:
        raise InvalidArgument(
            f"{name} cannot go with {mode.name} updates: {strategy.each}", hint=f"{CLEAR}, or another strategy"
        )
    if isinstance(strategy, FedBuff) and participation < 1:
        raise InvalidArgument(
            "FedBuff has no rounds to draw clients for: all of them train all the time, and nobody waits",
            hint="use participation=1, or a strategy with rounds",
        )
    if compression is None:
        return
    packed = type(compression).__name__
    if mode.hides:
        raise InvalidArgument(
            f"{packed} updates cannot be {mode.name}: {compression.sum_refused}",
            hint=f"{CLEAR}, or no compression",
        )
    if isinstance(strategy, Scaffold):
        raise InvalidArgument(
            f"Scaffold cannot go with {packed} updates: the coordinator's control variate has to stay the mean of the "
            "clients', and what compression takes from their changes would part them",
            hint="use another strategy, or no compression",
        )
    if isinstance(strategy, Median | TrimmedMean) and isinstance(compression, TopK):
        raise InvalidArgument(
            f"{name} cannot go with TopK updates: an entry that most clients did not send has a median of zero, "
            "whatever the others sent",
            hint="use fl.Quantised(), which moves a median by at most one of its levels",
        )
