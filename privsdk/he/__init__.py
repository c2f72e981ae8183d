"""Homomorphic encryption: statistics over several parties' rows, their totals added on ciphertexts."""

from .verbs import correlation, count, covariance, histogram, mean, sum, variance

__all__ = ["correlation", "count", "covariance", "histogram", "mean", "sum", "variance"]
