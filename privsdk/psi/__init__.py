"""Private set intersection: joins in which the parties learn which keys they share, and nothing else of each other."""

from .alignment import Joint, JointSide
from .ddh import Intersection, intersect
from .declarations import Key, key
from .verbs import join

__all__ = ["Intersection", "Joint", "JointSide", "Key", "intersect", "join", "key"]
