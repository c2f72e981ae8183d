"""Private set intersection: the parties learn which keys they share, or how many, and nothing else of each other."""

from .cardinality import Cardinality, cardinality
from .difference import Difference, difference
from .join import join
from .joint import Joint, JointSide
from .keys.declaration import Key, key
from .local import intersect

__all__ = [
    "Cardinality", "Difference", "Joint", "JointSide", "Key", "cardinality", "difference", "intersect", "join", "key",
]  # fmt: skip
