"""Homomorphic encryption: sums and means over parties' columns, computed on ciphertexts."""

from .verbs import mean, sum

__all__ = ["mean", "sum"]
