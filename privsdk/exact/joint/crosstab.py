"""Contingency tables and means by group over a join, of the moments that the parties told.

Mutual information is estimated in nats with the bias correction of Miller (1955): minus (R - 1)(C - 1) / 2n for R rows
and C columns. Its interval is normal with the variance of the plug-in estimate, (sum p ln^2(p / p_r p_c) - I^2) / n,
and with that of the rounding of the cells, g^2 / 4 each at most (Moddemeijer, Signal Processing 16, 1989). Whether the
columns are independent is Pearson's chi-squared test, where rounding adds to its variance as if to that of the counts.
Weight of evidence and information value are the credit industry's (Siddiqi, Credit Risk Scorecards, 2006, chapter 6).
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from ...display.cards import Card, Displayed, Grid, at_most, cell
from ...display.tabular import Tabular
from ...errors import InvalidArgument
from ...errors.inputs import JointQuestion
from ...protocol.groups import label_names
from .moments import Reals, ToldSums

_NORMAL = 1.959964  # of 95%


class Crosstab(Displayed, Tabular):
    """How often values of one organisation's column and of another's come together.

    Attributes
    ----------
    columns : (str, str)
    labels : (tuple, tuple)
        The values that are told, of the rows and of the columns of the table.
    counts : float64 array of shape (rows, columns)
        Each to within `error`, and without bias: rounded at random to multiples of at least the minimum count.
    error : float
    withheld : (int, int)
        How many values of either column too few keys have, or would follow from the total.
    count : int
        Joint keys in all.
    mutual_information : float
        In nats, bias-corrected, of the values that are told; `interval` at 95%.
    p : float
        Of independent columns, the chance of as large a chi-squared.
    """

    def __init__(self, moments: ToldSums, columns: tuple[str, str]) -> None:
        rows, across = (np.array(moments.columns[i]) for i in range(2))
        at = np.ix_(rows, across)
        self.columns = columns
        self.labels = tuple(moments.labels(0)), tuple(moments.labels(1))
        self.counts: Reals = moments.sums[at]
        self.error = float(moments.errors[at].max())
        self.withheld = moments.withheld(0), moments.withheld(1)
        self.count = moments.count
        self.mutual_information, self.interval, self.p = _dependence(np.maximum(self.counts, 0), self.error)

    def weight_of_evidence(self) -> pa.Table:
        """For each row's value the weight of evidence ln(P(value | first) / P(value | second)) of two columns' values,
        and its part of the information value, which the schema's metadata adds up.

        Raises
        ------
        InvalidArgument
            The second column has not two values.
        """
        counts = np.maximum(self.counts, 0)
        if counts.shape[1] != 2:
            raise InvalidArgument(JointQuestion(wrong="weights", column=self.columns[1], number=counts.shape[1]))
        share = counts / counts.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.log(share[:, 0] / share[:, 1])
            value = (share[:, 0] - share[:, 1]) * weight
        total = float(np.nansum(np.where(np.isfinite(value), value, np.nan)))
        return pa.table(
            {
                label_names([self.columns[0]], ["weight of evidence", "information value"])[0]: pa.array(
                    self.labels[0]
                ),
                "weight of evidence": pa.array(np.where(np.isfinite(weight), weight, np.nan), from_pandas=True),
                "information value": pa.array(np.where(np.isfinite(value), value, np.nan), from_pandas=True),
            }
        ).replace_schema_metadata({"information_value": f"{total:.6g}"})

    def to_arrow(self) -> pa.Table:
        """A row for each two values: both labels and the count."""
        rows, across = (pa.array(labels) for labels in self.labels)
        first, second = np.divmod(np.arange(self.counts.size), self.counts.shape[1])
        return pa.table(
            [rows.take(pa.array(first)), across.take(pa.array(second)), pa.array(self.counts.ravel())],
            names=[*self.columns, "count"],
        )

    def _card(self) -> Card:
        low, high = self.interval
        lines = [
            (_shown(name), *(cell(value) for value in line))
            for name, line in zip(self.labels[0], self.counts.tolist(), strict=True)
        ]
        facts = [
            ("counts", f"each within {at_most(self.error)}, without bias"),
            ("mutual information", f"{self.mutual_information:.4g} nats, {low:.4g} to {high:.4g} at 95%"),
            ("independent", f"p = {self.p:.3g}"),
        ]
        if any(self.withheld):
            each = zip(self.columns, self.withheld, strict=True)
            facts.append(("withheld", ", ".join(f"{n} of {name}" for name, n in each if n)))
        header = (f"{self.columns[0]} \\ {self.columns[1]}", *map(_shown, self.labels[1]))
        return Card(
            title=f"{self.columns[0]} by {self.columns[1]} over {self.count:,} joint keys",
            answers=(("counts", Grid(header=header, rows=lines)),),
            facts=facts,
        )


def _shown(label: str | None) -> str:
    return "null" if label is None else label


def means_by_group(moments: ToldSums, value: str, by: str) -> pa.Table:
    """Columns: the group's label, `mean` in the value's unit, `error`, a bound on it, and `count`."""
    column, groups = moments.index(0), np.array(moments.columns[1])
    step, centre = moments.step(0), moments.centre(0)
    sums, counts = moments.sums[column, groups], moments.sums[0, groups]
    of_sums, of_counts = moments.errors[column, groups], moments.errors[0, groups]
    with np.errstate(divide="ignore", invalid="ignore"):
        offset, least = sums / counts, np.maximum(counts - of_counts, 1)
        errors = (of_sums + np.abs(offset) * of_counts) / least * step
    labels = moments.labels(1)
    named = {
        label_names([by], ["mean", "error", "count"])[0]: pa.array(labels),
        "mean": pa.array(np.where(counts > 0, centre + offset * step, np.nan), from_pandas=True),
        "error": pa.array(errors),
        "count": pa.array(np.rint(counts).astype(np.int64)),
    }
    metadata = {"capped": value} if moments.capped([value, by]) else {}
    metadata |= {"withheld_groups": str(moments.withheld(1)), "min_count": str(moments.min_count)}
    return pa.table(named).replace_schema_metadata(metadata)


def _dependence(counts: Reals, error: float) -> tuple[float, tuple[float, float], float]:
    """Mutual information in nats, its interval, and the p of independence."""
    from scipy import special

    n = float(counts.sum())
    p = counts / n
    alone = np.outer(p.sum(axis=1), p.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(p > 0, np.log(p / alone), 0.0)
    plain = float((p * log).sum())
    rows, columns = counts.shape
    freedom = (rows - 1) * (columns - 1)
    rounding = (error / (2 * n)) ** 2 * float(np.square(log).sum())
    variance = max(float((p * log**2).sum()) - plain**2, 0.0) / n + rounding
    found = max(plain - freedom / (2 * n), 0.0)
    reach = _NORMAL * math.sqrt(variance)
    expected = n * alone
    squares = np.square(counts - expected) / (expected + error**2 / 4)
    chance = float(special.chdtrc(freedom, squares.sum())) if freedom else 1.0
    return found, (max(found - reach, 0.0), found + reach), chance
