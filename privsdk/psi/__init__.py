"""Private set intersection: the parties learn which keys they share, or how many, and nothing else of each other."""

from .alignment import Joint, JointSide
from .counting import Cardinality, cardinality
from .ddh import intersect
from .verbs import join

__all__ = ["Cardinality", "Joint", "JointSide", "cardinality", "intersect", "join"]
