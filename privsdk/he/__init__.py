"""Homomorphic encryption: statistics over parties' columns computed on ciphertexts, and encrypted columns alone.

Over a federation call `sum`, `mean` and their like on its tables. Without one, `encrypt` makes encrypted columns, which
have operators, live in Arrow tables and come out by `reveal` alone; `choose` finds the parameters.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ..crypto.seal.keys import PublicContext, SecretContext
from ..crypto.seal.presets import Preset
from ..errors.absent import in_module as _in_module
from .columns.choose import Range, choose
from .columns.column import Column, dot, matmul, weighted_sum
from .columns.encrypt import columns, encrypt, restored
from .columns.reveal import Revealed, reveal
from .scoring.verbs import Scores, score
from .statistics.verbs import correlation, count, covariance, histogram, mean, sum, variance

__all__ = [
    "Column",
    "Preset",
    "PublicContext",
    "Range",
    "Revealed",
    "Scores",
    "SecretContext",
    "choose",
    "columns",
    "correlation",
    "count",
    "covariance",
    "dot",
    "encrypt",
    "histogram",
    "matmul",
    "mean",
    "restored",
    "reveal",
    "score",
    "sum",
    "variance",
    "weighted_sum",
]


def __dir__() -> list[str]:
    return __all__  # Tab shows these, not the modules that they come from


if not _TYPE_CHECKING:  # so that type checkers still find what is misspelt
    __getattr__ = _in_module(__name__, __all__)
