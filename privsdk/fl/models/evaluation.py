"""What a party finds when it tries a model on rows that were kept from training: scores, whole and by public groups.

Calibration error, of probabilities p and whether what they are of is so, over ten bins of equal width of p: the share
of rows in a bin times |mean of p - share that is so|, added up. For two classes p is P(label = 1); for more it is that
of the predicted class, as in C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, ICML 2017, section 2. The Brier score is the
mean of (p - y)^2, for more than two classes added up over them, as in G. W. Brier, Monthly Weather Review 78, 1950.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...crypto.sums.base import Integers
from ...protocol.groups import NO_GROUP, is_large, suppressed_of_rows
from .features import Reals
from .network import Network, Output, Rows, Vector

BINS = 10
_PROBABILITIES = ("accuracy", "majority", "log_loss", "auc", "brier", "calibration")
SCORES: Mapping[Output, tuple[str, ...]] = {
    Output.SIGMOID: _PROBABILITIES,
    Output.SOFTMAX: _PROBABILITIES,
    Output.IDENTITY: ("rmse", "mae", "r2"),
}
Scores = dict[str, float | None]
GROUP_FIGURES = 2  # of a group: its rows and one score


class Groups(NamedTuple):
    """Public groups: how many there are, and for each row the number of its own, `NO_GROUP` for none."""

    number: int
    of: Integers


class Group(NamedTuple):
    """The held-out rows of one public group, by its number."""

    group: int
    rows: int
    score: float | None


def evaluate(network: Network, weights: Vector, rows: Rows, unit: float = 1.0) -> Scores:
    """The scores of these rows, None where one is undefined.

    For probabilities: the share of correct predictions and that of the most frequent label, the mean loss in nats, the
    area under the ROC curve (for more than two classes the mean over each class against the rest, of those that occur
    and are not alone), Brier score and calibration error. For numbers: root mean squared and mean absolute error in
    units of `unit`, and the share of the variance that is explained.
    """
    outputs = network.outputs(weights, rows.x).astype(np.float64)
    if network.output is Output.IDENTITY:
        found = _of_numbers(outputs[:, 0], rows.y.astype(np.float64), unit)
    else:
        found = _of_probabilities(outputs, rows.y.astype(np.int64))
        found["log_loss"] = float(network.losses(weights, rows).mean(dtype=np.float64))
    return {name: found[name] if math.isfinite(found[name]) else None for name in SCORES[network.output]}


def figures(output: Output) -> int:
    """How many figures an evaluation tells: its scores, and the number of rows."""
    return len(SCORES[output]) + 1


def main_score(output: Output) -> str:
    """The score by which groups are compared."""
    return SCORES[output][0]


@dataclass(slots=True)
class HeldOut:
    """What one party tells of models on its held-out rows: nothing where these are of fewer than `min_count` owners.

    Attributes
    ----------
    owners : int64 array
        For each row whose it is.
    every : int
        Rounds from one model on the way to the next that is evaluated; 0 for none.
    groups : Groups, optional
        Of the rows.
    """

    network: Network
    rows: Rows
    owners: Integers
    min_count: int
    unit: float = 1.0
    every: int = 0
    groups: Groups | None = None
    _curve: list[dict[str, float | None]] = field(default_factory=list, init=False)
    _enough: bool = field(init=False)

    def __post_init__(self) -> None:
        self._enough = is_large(self.owners, self.min_count)

    def look(self, number: int, weights: Vector) -> None:
        """Evaluate a model on the way, of so many rounds, if it is its turn."""
        due = self._enough and self.every and number and number % self.every == 0
        if due and not (self._curve and self._curve[-1]["round"] == number):  # a round that is not held comes twice
            self._curve.append({"round": number, **evaluate(self.network, weights, self.rows, self.unit)})

    def loss(self, weights: Vector) -> float | None:
        """The mean loss of a model; None where its rows are too few to tell."""
        return self.network.loss(weights, self.rows) if self._enough else None

    def told(self, weights: Vector) -> dict[str, Any]:
        """What the party answers with: scores of the final model, those on the way, and those by group."""
        if not self._enough:
            return {"evaluation": {}, "curve": [], "groups": []}
        scores = evaluate(self.network, weights, self.rows, self.unit)
        groups = [] if self.groups is None else self.by_group(weights, self.groups)
        return {"evaluation": {"rows": len(self.rows), **scores}, "curve": self._curve, "groups": groups}

    def by_group(self, weights: Vector, groups: Groups) -> list[Group]:
        """The main score of the rows of each group that has any and is not suppressed."""
        hidden = suppressed_of_rows(range(groups.number), groups.of, self.owners, self.min_count)
        score, shown = main_score(self.network.output), []
        for group in sorted({*groups.of.tolist()} - {NO_GROUP} - hidden):
            here = self.rows.take(np.flatnonzero(groups.of == group))
            shown.append(Group(group, len(here), evaluate(self.network, weights, here, self.unit)[score]))
        return shown


def _of_numbers(found: Reals, y: Reals, unit: float) -> dict[str, float]:
    errors = found - y
    squares, spread = float(np.mean(errors**2)), float(np.var(y))
    return {
        "rmse": unit * math.sqrt(squares),
        "mae": unit * float(np.mean(np.abs(errors))),
        "r2": 1 - squares / spread if spread else math.nan,
    }


def _of_probabilities(outputs: Reals, y: npt.NDArray[np.int64]) -> dict[str, float]:
    if outputs.shape[1] == 1:  # of two classes only that of the second
        p = np.column_stack([1 - outputs, outputs])
        predicted = (outputs[:, 0] >= 0.5).astype(np.int64)
        brier, error = float(np.mean((p[:, 1] - y) ** 2)), calibration(p[:, 1], y == 1)
        curves = [auc(p[:, 1], y == 1)]
    else:
        p, predicted = outputs, outputs.argmax(axis=1)
        truth = y[:, None] == np.arange(p.shape[1])
        brier = float(np.mean(np.sum((p - truth) ** 2, axis=1)))
        error = calibration(p.max(axis=1), predicted == y)
        curves = [auc(p[:, k], truth[:, k]) for k in range(p.shape[1])]
    known = [area for area in curves if not math.isnan(area)]
    return {
        "accuracy": float(np.mean(predicted == y)),
        "majority": float(np.bincount(y).max() / len(y)),
        "auc": sum(known) / len(known) if known else math.nan,
        "brier": brier,
        "calibration": error,
    }


def auc(scores: Reals, positive: npt.NDArray[np.bool_]) -> float:
    """P(score of a positive > score of a negative), ties counting half; NaN where a class is missing."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return math.nan
    rank_sum = float(midranks[inverse][positive].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def calibration(p: Reals, so: npt.NDArray[np.bool_]) -> float:
    """The expected calibration error over ten bins."""
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    off = np.bincount(bins, weights=p - so, minlength=BINS)  # in each bin the rows times the difference of the means
    return float(np.abs(off).sum() / len(p))
