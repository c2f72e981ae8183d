"""Was a row among those that a model was trained on: by its confidence, and by how usual that is (LiRA).

N. Carlini, S. Chien, M. Nasr, S. Song, A. Terzis, F. Tramer, "Membership Inference Attacks From First Principles", IEEE
S&P 2022, algorithm 1, with one variance for all rows as in section VI-A for few shadow models. The attacker trains
models of its own on random halves of rows of the same kind, the row in doubt among them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Reals = npt.NDArray[np.float64]
Members = npt.NDArray[np.bool_]


def confidence(probability: Reals) -> Reals:
    """phi(p) = log(p / (1 - p)) of the probability of the row's own label: about normal (section V-C)."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(p) - np.log1p(-p))


def likelihood_ratios(target: Reals, shadows: Reals, members: Members) -> Reals:
    """For each row the log likelihood ratio of being a member. `shadows` is of shape (models, rows), as `members`."""
    within = np.where(members, shadows, np.nan)
    without = np.where(members, np.nan, shadows)
    means = np.nanmean(within, axis=0), np.nanmean(without, axis=0)
    deviations = (
        np.sqrt(np.nanmean(np.square(each - mean))) for each, mean in zip((within, without), means, strict=True)
    )
    present, absent = (norm.logpdf(target, mean, max(s, 1e-9)) for mean, s in zip(means, deviations, strict=True))
    return np.asarray(present - absent)


def halves(models: int, rows: int, rng: np.random.Generator) -> Members:
    """Who is a member of which model, of shape (models, rows): of a random half of them each row."""
    within = np.arange(models) < models // 2
    return rng.permuted(np.repeat(within[:, None], rows, axis=1), axis=0)


def each_by_the_others(confidences: Reals, members: Members) -> Reals:
    """The likelihood ratios of all rows in all models: each is the target in turn, and all others are its shadows."""
    rest = [np.arange(len(members)) != target for target in range(len(members))]
    return np.stack([likelihood_ratios(confidences[~r][0], confidences[r], members[r]) for r in rest])


def true_positives(scores: Reals, members: Members, false_positives: float) -> tuple[float, float]:
    """The share of members found where at most this share of others is taken for one, and what that share is."""
    others = np.sort(scores[~members])
    allowed = int(false_positives * len(others))
    threshold = others[len(others) - allowed - 1]
    return float((scores[members] > threshold).mean()), float((others > threshold).mean())


def advantage(scores: Reals, members: Members) -> float:
    """The largest difference of true and false positives over all thresholds: S. Yeom, I. Giacomelli, M. Fredrikson,
    S. Jha, "Privacy Risk in Machine Learning", CSF 2018, definition 4."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(members[order]) / members.sum()
    wrong = np.cumsum(~members[order]) / (~members).sum()
    last = np.r_[np.diff(scores[order]) != 0, True]  # ties are taken together
    return float(np.max((found - wrong)[last], initial=0.0))
