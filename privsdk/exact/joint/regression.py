"""Linear regression over a join: ordinary least squares and ridge, of the moments that the parties told.

With X the features, y the label, both centred, and n complete keys: b = (X'X + ridge I)^-1 X'y. Without ridge the
residuals' variance is s^2 = (y'y - b'X'y) / (n - p - 1), the covariance of b s^2 (X'X)^-1; t, p and intervals are
Student's with n - p - 1 degrees of freedom (Greene, Econometric Analysis, chapter 4). Rounding of the products moves a
coefficient by about 8 / sqrt(n) of its standard error; see `grids`.

A feature that follows from others to within that rounding is left out and named: the last one that has a part in it.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from ...display.cards import Card, Displayed, Grid, cell
from ...display.tabular import Tabular
from .moments import Reals, ToldSums

LEVEL = 0.95
_PART = 0.1  # of an eigenvector's largest entry, above which a feature has a part in it
_COLUMNS = ("coefficient", "standard error", "t", "p", "low", "high")


class Regression(Displayed, Tabular):
    """A linear model of columns of several organisations.

    Attributes
    ----------
    label : str
    terms : tuple of str
        "intercept", then the features.
    coefficients, standard_errors, t, p : float64 arrays of shape (terms,)
        In the columns' units; NaN for an excluded feature, and with ridge for all but the coefficients.
    intervals : float64 array of shape (terms, 2)
        At 95%.
    excluded : tuple of str
        Features that follow from others.
    capped : tuple of str
        Columns of which their owners capped the most extreme values, so that no key makes up too much of them.
    r2 : float
        Share of the label's variance that the model explains.
    residual_error : float
        Estimated standard deviation of the residuals, in the label's unit.
    count : int
        Joint keys at which nothing is missing.
    ridge : float
    """

    def __init__(self, moments: ToldSums, label: str, features: tuple[str, ...], ridge: float) -> None:
        covariance, errors = moments.covariance()
        order = np.array([moments.index(i) - 1 for i in range(len(features) + 1)])
        at, means = np.ix_(order, order), moments.means[1:][order]
        steps = np.array([moments.step(i) for i in range(len(order))])
        centres = np.array([moments.centre(i) for i in range(len(order))])
        covariance, errors = covariance[at], errors[at]
        kept = _independent(covariance[1:, 1:], errors[1:, 1:])
        n, used = moments.count, 1 + kept
        free = n - len(kept) - 1
        gram, with_label = (n - 1) * covariance[np.ix_(used, used)], (n - 1) * covariance[used, 0]
        inverse = np.linalg.inv(gram + ridge * np.diag(1 / steps[used] ** 2))
        slopes = inverse @ with_label
        total = (n - 1) * covariance[0, 0]
        residual = total - 2 * slopes @ with_label + slopes @ gram @ slopes
        variance = residual / free if free > 0 else math.nan
        spread = np.full((len(kept) + 1, len(kept) + 1), math.nan)
        if not ridge:  # of the intercept first
            at_mean = inverse @ means[used]
            spread = variance * np.block(
                [[np.array([[1 / n + means[used] @ at_mean]]), -at_mean[None]], [-at_mean[:, None], inverse]]
            )
        # From steps about the centres to the columns' units: the intercept moves by the centres.
        units = steps[0] / np.concatenate([[1.0], steps[used]])
        change = np.diag(units)
        change[0, 1:] = -units[1:] * centres[used]
        found = change @ np.concatenate([[means[0] - slopes @ means[used]], slopes])
        found[0] += centres[0]
        places = np.concatenate([[0], used])
        self.label, self.terms, self.ridge = label, ("intercept", *features), ridge
        self.excluded = tuple(name for i, name in enumerate(features) if i not in kept)
        self.capped = moments.capped([label, *features])
        self.count, self.degrees = n, free
        self.coefficients = _spread(found, places, len(order))
        self.standard_errors = _spread(np.sqrt(np.diag(change @ spread @ change.T)), places, len(order))
        self.r2 = float(1 - residual / total)
        self.residual_error = float(math.sqrt(variance) * steps[0])
        self.t, self.p, self.intervals = _student(self.coefficients, self.standard_errors, free)

    def to_arrow(self) -> pa.Table:
        """A row for each term."""
        values = (self.coefficients, self.standard_errors, self.t, self.p, *self.intervals.T)
        return pa.table(
            [pa.array(self.terms), *(pa.array(v, from_pandas=True) for v in values)], names=["term", *_COLUMNS]
        )

    def _card(self) -> Card:
        rows = [tuple(cell(value) for value in row.values()) for row in self.to_arrow().to_pylist()]
        facts = [
            ("explains", f"{self.r2:.4g} of the variance"),
            ("residuals", f"standard deviation {self.residual_error:.6g}, {self.degrees:,} degrees of freedom"),
        ]
        facts += [("ridge", f"{self.ridge:g}: no standard errors")] if self.ridge else []
        facts += [("excluded", f"{', '.join(self.excluded)}: follows from the other features")] if self.excluded else []
        facts += [("capped", f"the most extreme values of {', '.join(self.capped)}")] if self.capped else []
        return Card(
            title=f"linear regression of {self.label} over {self.count:,} joint keys",
            answers=(("terms", Grid(header=("term", *_COLUMNS), rows=rows)),),
            facts=facts,
        )


def _independent(covariance: Reals, errors: Reals) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The features that are kept: those whose correlations are of full rank beyond what rounding could make of them."""
    kept = np.arange(len(covariance))
    deviation = np.sqrt(np.diag(covariance))
    correlation, errors = (each / np.outer(deviation, deviation) for each in (covariance, errors))
    while len(kept) > 1:
        at = np.ix_(kept, kept)
        values, vectors = np.linalg.eigh(correlation[at])
        if values[0] > np.linalg.norm(errors[at]):
            break
        part = np.abs(vectors[:, 0])
        kept = np.delete(kept, np.flatnonzero(part > _PART * part.max())[-1])
    return kept


def _spread(values: Reals, places: Reals, size: int) -> Reals:
    found = np.full(size, math.nan)
    found[places] = values
    return found


def _student(coefficients: Reals, errors: Reals, free: int) -> tuple[Reals, Reals, Reals]:
    """t, two-sided p, and intervals."""
    from scipy import special

    t = coefficients / errors
    p = 2 * special.stdtr(free, -np.abs(t))
    reach = special.stdtrit(free, (1 + LEVEL) / 2) * errors
    return t, p, np.stack([coefficients - reach, coefficients + reach], axis=1)
