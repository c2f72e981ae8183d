"""Homomorphic encryption: statistics over parties' columns computed on ciphertexts, and encrypted columns alone.

Over a federation call `sum`, `mean` and their like on its tables. Without one, `encrypt` makes encrypted columns, which
have operators, live in Arrow tables and come out by `reveal` alone; `choose` finds the parameters.
"""

from .columns import Column, dot, matmul, weighted_sum
from .encryption import Range, choose, columns, encrypt, restored
from .keys import PublicContext, SecretContext
from .presets import Preset
from .reveals import Revealed, reveal
from .verbs import mean, sum

__all__ = [
    "Column",
    "Preset",
    "PublicContext",
    "Range",
    "Revealed",
    "SecretContext",
    "choose",
    "columns",
    "dot",
    "encrypt",
    "matmul",
    "mean",
    "restored",
    "reveal",
    "sum",
    "weighted_sum",
]
