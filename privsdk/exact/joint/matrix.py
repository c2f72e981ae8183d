"""Covariances and correlations over a join, of the moments that the parties told."""

from __future__ import annotations

import numpy as np

from ...client.matrix import Matrix
from .moments import ToldSums


def covariances(moments: ToldSums, names: tuple[str, ...]) -> Matrix:
    """In the columns' units; divided by the number of keys less 1."""
    values, errors = moments.covariance()
    steps = np.array([moments.step(i) for i in range(len(names))])
    order = np.array([moments.index(i) - 1 for i in range(len(names))])
    scale, at = np.outer(steps, steps), np.ix_(order, order)
    return Matrix(
        name="covariance",
        columns=names,
        values=values[at] * scale,
        errors=errors[at] * scale,
        count=moments.count,
        capped=moments.capped(names),
    )


def correlations(moments: ToldSums, names: tuple[str, ...]) -> Matrix:
    """Pearson's; every bound holds for whatever covariances and variances are within theirs."""
    values, errors = moments.covariance()
    order = np.array([moments.index(i) - 1 for i in range(len(names))])
    at = np.ix_(order, order)
    covariance, of_covariance = values[at], errors[at]
    variance, of_variance = np.diag(covariance), np.diag(of_covariance)
    found = covariance / np.sqrt(np.outer(variance, variance))
    least, most = np.maximum(variance - of_variance, 0), variance + of_variance
    with np.errstate(divide="ignore", invalid="ignore"):
        widest = (np.abs(covariance) + of_covariance) / np.sqrt(np.outer(least, least))
        closest = np.maximum(np.abs(covariance) - of_covariance, 0) / np.sqrt(np.outer(most, most))
    off = np.maximum(widest - np.abs(found), np.abs(found) - closest)
    bounds = np.where(np.eye(len(names)) > 0, 0.0, np.minimum(off, 2.0))
    return Matrix(
        name="correlation",
        columns=names,
        values=np.clip(np.where(np.eye(len(names)) > 0, 1.0, found), -1, 1),
        errors=bounds,
        count=moments.count,
        capped=moments.capped(names),
    )
