"""Federated learning: models trained over several parties' rows, of which only averages of updates are seen.

A training is a model (`models`), a strategy (`strategies`), a loop (`loops`) and an aggregation mode (`aggregation`).
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ..errors.absent import in_module as _in_module
from .compression.quantised import Quantised
from .compression.topk import TopK
from .fedavg import FedAvg
from .fitted import Fitted, load
from .models.features import Standardised, Vector
from .models.model import MLP, Linear, Logistic, Softmax
from .privacy.levels import PartyLevel, RecordLevel
from .simulation import simulate
from .strategies.fedbuff import FedBuff
from .strategies.fedopt import FedAdam, FedYogi
from .strategies.fedprox import FedProx
from .strategies.robust import Median, TrimmedMean
from .strategies.scaffold import Scaffold
from .validation.verbs import Validation, cross_validate
from .verbs import fit

__all__ = [
    "MLP",
    "FedAdam",
    "FedAvg",
    "FedBuff",
    "FedProx",
    "FedYogi",
    "Fitted",
    "Linear",
    "Logistic",
    "Median",
    "PartyLevel",
    "Quantised",
    "RecordLevel",
    "Scaffold",
    "Softmax",
    "Standardised",
    "TopK",
    "TrimmedMean",
    "Validation",
    "Vector",
    "cross_validate",
    "fit",
    "load",
    "simulate",
]


def __dir__() -> list[str]:
    return __all__  # Tab shows these, not the modules that they come from


if not _TYPE_CHECKING:  # so that type checkers still find what is misspelt
    __getattr__ = _in_module(__name__, __all__)
