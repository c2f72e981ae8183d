"""Private set intersection: the parties learn which keys they share, or how many, and nothing else of each other."""

from .alignment import Joint, JointSide
from .counting import Cardinality, cardinality
from .declarations import Key, key
from .local import intersect
from .returning import Difference, difference
from .verbs import join

__all__ = [
    "Cardinality", "Difference", "Joint", "JointSide", "Key", "cardinality", "difference", "intersect", "join", "key",
]  # fmt: skip
