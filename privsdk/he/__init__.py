"""Homomorphic encryption: statistics over parties' columns computed on ciphertexts, and encrypted columns alone.

Over a federation call `sum`, `mean` and their like on its tables. Without one, `encrypt` makes encrypted columns, which
have operators, live in Arrow tables and come out by `reveal` alone; `choose` finds the parameters.
"""

from .choice import Range, choose
from .columns import Column
from .encryption import columns, encrypt, restored
from .keys import PublicContext, SecretContext
from .linear import dot, matmul, weighted_sum
from .presets import Preset
from .reveals import Revealed, reveal
from .scores import Scores, score
from .verbs import correlation, count, covariance, histogram, mean, sum, variance

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
