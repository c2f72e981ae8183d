"""Differential privacy: statistics released with noise from OpenDP, priced before they are spent.

A verb makes a release, the release an exact vector; `noise` makes it noisy, `intervals` makes statistics of that.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ..errors.absent import in_module as _in_module
from .verbs import count, histogram, mean, median, quantile, sum, variance

__all__ = ["count", "histogram", "mean", "median", "quantile", "sum", "variance"]


def __dir__() -> list[str]:
    return __all__  # Tab shows these, not the modules that they come from


if not _TYPE_CHECKING:  # so that type checkers still find what is misspelt
    __getattr__ = _in_module(__name__, __all__)
