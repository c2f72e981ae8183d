"""Differential privacy: statistics released with noise from OpenDP, priced before they are spent.

A verb makes a release, the release an exact vector; `noise` makes it noisy, `intervals` makes statistics of that.
"""

from .verbs import count, histogram, mean, median, quantile, sum, variance

__all__ = ["count", "histogram", "mean", "median", "quantile", "sum", "variance"]


def __dir__() -> list[str]:
    return __all__  # Tab shows these, not the modules that they come from
