"""From a noisy vector to statistics with 95% intervals, at the caller's side: post-processing, which costs nothing.

An interval is for the noise only: it holds the statistic of the clamped values on the grid, and says nothing of what
clamping and rounding did to them. For a count, sum or bin it is the noise's own, and holds the truth in exactly
`confidence` of all releases. For a mean or variance every component gets an interval, at levels whose product is 95%;
as their noise is independent, all of them hold together in exactly `confidence` of all releases, and the interval is
every value that the statistic takes on that box. It then holds the truth too, so it holds it at least as often. Where
the box has groups of fewer than one value, it is everything that the bounds allow. Quantiles are in `quantiles`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..protocol.groups import labelled
from . import quantiles
from .accuracy import coverage, half_width
from .noise import WHOLE
from .release import Integers, ReleaseParameters

LEVEL = 0.95
Reals = npt.NDArray[np.float64]


def half_widths(scales: Sequence[float], shape: Fraction = WHOLE) -> tuple[int, ...]:
    """For each component the half-width of its interval, so that all hold together at 95%."""
    return tuple(half_width(scale, LEVEL ** (1 / len(scales)), shape) for scale in scales)


def confidence(scales: Sequence[float], shape: Fraction = WHOLE) -> float:
    """The probability that the components' intervals all hold their true values: exact, and a little above 95% as noise
    is discrete. The coverage of a count, sum or bin; a lower bound on that of a mean or variance."""
    widths = half_widths(scales, shape)
    return math.prod(coverage(scale, width, shape) for scale, width in zip(scales, widths, strict=True))


def names(release: ReleaseParameters) -> tuple[str, ...]:
    """The columns that `finished` makes, in order."""
    bins = ("from", "to") if release.statistic == "histogram" else ()
    own = "count" if release.statistic == "histogram" else release.statistic
    rows = ("count",) if release.statistic in ("mean", "variance") else ()
    given = (*bins, own, "low", "high", *rows)
    return (*labelled(release.public, (), given), *given)


def finished(
    release: ReleaseParameters,
    scales: Sequence[float],
    noisy: Sequence[Integers],
    shape: Fraction = WHOLE,
    label_types: Sequence[pa.DataType | None] = (),
) -> pa.Table:
    """The answer: the group, the statistic, `low` and `high`, and for a mean or variance the noisy `count`.

    `noisy` holds the components in order, each of shape (groups * width,), with noise of these scales and this shape;
    keys are shown as of `label_types`, where these are known.
    """
    statistic, widths = release.statistic, half_widths(scales, shape)
    if statistic == "histogram":
        columns = _histogram(release, widths[0], noisy[0])
    elif statistic == "quantile":
        columns = _quantile(release, scales[0], shape, noisy[0])
    elif statistic == "count" or (statistic == "sum" and release.resolution == 1.0):
        columns = _around(noisy[0], widths[0])
    elif statistic == "sum":
        columns = [_in_unit(each, release.resolution) for each in _around(noisy[0], widths[0])]
    else:
        columns = _moments(release, widths, [part.astype(np.float64) for part in noisy])
    of_group = np.repeat(np.arange(release.groups), max(1, len(columns[0]) // release.groups))
    groups = [each.take(of_group) for each in labelled(release.public, label_types, ()).values()]
    return pa.table([*groups, *map(pa.array, columns)], names=names(release))


def _in_unit(steps: Integers, resolution: float) -> Reals:
    """Rounded once where a step is one of so many to a unit, as of hundredths."""
    inverse = round(1 / resolution)
    return np.asarray(steps / inverse if inverse and 1 / inverse == resolution else steps * resolution, np.float64)


def _around(values: npt.NDArray[Any], width: float) -> list[Any]:
    return [values, values - width, values + width]


def _histogram(release: ReleaseParameters, width: int, counts: Integers) -> list[Any]:
    edges = np.array(release.edges)
    bins = [np.tile(edges[:-1], release.groups), np.tile(edges[1:], release.groups)]
    return [*bins, *_around(counts, width)]


def _quantile(release: ReleaseParameters, scale: float, shape: Fraction, counts: Integers) -> list[Any]:
    found = quantiles.invert(
        counts.reshape(release.groups, release.bins),
        edges=np.array(release.edges),
        level=release.quantile or 0.5,
        scale=scale,
        shape=shape,
    )
    return [_known(found.values, counts.reshape(release.groups, -1).sum(axis=1)), found.low, found.high]


def _moments(release: ReleaseParameters, widths: Sequence[int], noisy: Sequence[Reals]) -> list[Any]:
    """Mean or variance, in the column's unit or its square, over the box of the components."""
    boxes = [(part - width, part + width) for part, width in zip(noisy, widths, strict=True)]
    least = boxes[0][0]
    rows = (np.maximum(least, 1.0), np.maximum(boxes[0][1], 1.0))
    count, unit = np.maximum(noisy[0], 1.0), release.resolution
    low, high = (float(bound - release.centre) for bound in release.clamp)
    mean, (mean_low, mean_high) = noisy[1] / count, _ratio(boxes[1], rows)
    if release.statistic == "mean":
        value, bounds, box, start = mean, (low, high), (mean_low, mean_high), release.centre * unit
    else:
        offset, grain = release.largest_square // 2, 2.0**release.dropped_bits
        square_low, square_high = ((end + offset) * grain for end in _ratio(boxes[2], rows))
        mean, mean_low, mean_high = (np.clip(at, low, high) for at in (mean, mean_low, mean_high))
        nearest = np.maximum(0.0, np.maximum(mean_low, -mean_high))  # least distance of the mean from the centre
        farthest = np.maximum(-mean_low, mean_high)
        value = (noisy[2] / count + offset) * grain - mean**2
        bounds, box = (0.0, ((high - low) / 2) ** 2), (square_low - farthest**2, square_high - nearest**2)
        unit, start = unit**2, 0.0
    everything = least < 1
    ends = [
        start + unit * np.where(everything, bounds[0], np.clip(box[0], *bounds)),
        start + unit * np.where(everything, bounds[1], np.clip(box[1], *bounds)),
    ]
    return [_known(start + unit * np.clip(value, *bounds), noisy[0]), *ends, noisy[0].astype(np.int64)]


def _ratio(totals: tuple[Reals, Reals], rows: tuple[Reals, Reals]) -> tuple[Reals, Reals]:
    """Least and largest of total / rows over a box with at least one row."""
    (low, high), (fewest, most) = totals, rows
    return low / np.where(low < 0, fewest, most), high / np.where(high < 0, most, fewest)


def _known(values: Reals, counts: npt.NDArray[Any]) -> pa.Array:
    """Null where the noisy number of values is below one: there may be none to speak of."""
    return pa.array(values, mask=np.asarray(counts < 1))
