"""Private set intersection: the parties learn which keys they share, or how many, and nothing else of each other.

A file for each verb, with its declaration and its value; joint tables are in `joint`. What verbs share is `question`.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ..errors.absent import in_module as _in_module
from .cardinality import Cardinality, cardinality
from .difference import Difference, difference
from .join import intersect, join
from .joint import Joint, JointSide, load
from .keys.declaration import Key, key

__all__ = [
    "Cardinality", "Difference", "Joint", "JointSide", "Key", "cardinality", "difference", "intersect", "join", "key",
    "load",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__  # Tab shows these, not the modules that they come from


if not _TYPE_CHECKING:  # so that type checkers still find what is misspelt
    __getattr__ = _in_module(__name__, __all__)
