"""Differential privacy: counts and sums released with noise from OpenDP, priced before they are spent."""

from .verbs import count, sum

__all__ = ["count", "sum"]
