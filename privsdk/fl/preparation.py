"""A client's rows before training: which are complete, which are held out, and what they add up to with the others'.

The training statistics are one vector of integers, summed over all clients: the number of training rows; for each
standardised feature how many of them have a value, and the sums of z and z^2 in units of 2^-28, where z is the value
scaled from its public range to [-1, 1]; with balanced classes the rows of each class. Each client rounds its own once.

What rounding does: with P clients, n values and e = P 2^-29 / n + 2^-47 (the last for the floats themselves), the mean
of z is within e, and its variance, E[z^2] - E[z]^2, within 3 e.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..crypto.sums.base import Integers
from ..errors import DataError, ProtocolViolation
from ..protocol.columns.keys import Key
from ..protocol.columns.numbers import reals
from ..protocol.groups import NO_GROUP, every_part_is_large, is_large, rows_by_group, suppressed_of_rows
from ..protocol.services import RowSet
from .models.evaluation import Groups
from .models.features import Reals, Scale, Standardised, in_range, inputs, parts, without_misfits
from .models.model import Model
from .models.network import Matrix, Rows, Targets, Vector
from .privacy.levels import Privacy

UNIT = 2.0**-28
LARGEST_STATISTIC = 1 << 61
MOST_ROWS = round(LARGEST_STATISTIC * UNIT)  # of all clients together
FLOATS = 2.0**-47
MOMENTS = 3  # statistics of a standardised feature

ClassWeights = Literal["balanced"] | tuple[float, ...] | None


class Fold(NamedTuple):
    """Which of so many parts of its rows a client keeps from training, in place of a share."""

    number: int
    of: int

    def slice(self, rows: int) -> slice:
        """Of rows in their drawn order; parts differ by one row at most."""
        return slice(rows * self.number // self.of, rows * (self.number + 1) // self.of)


class PooledRows(NamedTuple):
    """What is known of all clients' training rows."""

    rows: int
    scales: dict[str, Scale]
    classes: tuple[int, ...]


def length_of(model: Model, class_weights: ClassWeights) -> int:
    """How many training statistics there are."""
    return 1 + MOMENTS * len(model.standardised) + len(_counted(model, class_weights))


def totals_of(model: Model, class_weights: ClassWeights, statistics: Integers, clients: int) -> PooledRows:
    """The training statistics, taken apart; raises ProtocolViolation where they cannot be a table's."""
    numbers_ = [int(each) for each in statistics]
    if len(numbers_) != length_of(model, class_weights):
        raise ProtocolViolation(
            f"{len(numbers_)} training statistics, where there are {length_of(model, class_weights)}"
        )
    rows, *rest = numbers_
    scales, at = {}, 0
    for name, feature in model.standardised.items():
        values, total, squares = rest[at : at + MOMENTS]
        if not 0 <= values <= rows:
            raise ProtocolViolation("a standardised feature has more values than there are rows")
        scales[name] = scale_of(values, total, squares, feature.low, feature.high, clients=clients)
        at += MOMENTS
    classes = tuple(rest[at:])
    if min(classes, default=0) < 0 or (classes and sum(classes) != rows):
        raise ProtocolViolation("the rows of the classes do not add up to all rows")
    return PooledRows(rows, scales, classes)


def scale_of(values: int, total: int, squares: int, low: float, high: float, *, clients: int) -> Scale:
    """Mean and deviation in the feature's unit; a deviation of 0 where the variance is within its error."""
    half = (high - low) / 2
    most = values / UNIT + clients
    if abs(total) > most or not 0 <= squares <= most:
        raise ProtocolViolation("the sums of a standardised feature are beyond its range")
    if not values:
        return Scale(low + half, 0.0)
    mean = total * UNIT / values
    variance = squares * UNIT / values - mean**2
    error = clients * UNIT / 2 / values + FLOATS
    return Scale(low + half * (1 + mean), half * math.sqrt(variance) if variance > 3 * error else 0.0)


def class_weights_of(class_weights: ClassWeights, totals: PooledRows) -> Vector | None:
    """Each class's weight in the loss. Balanced: rows / (classes * rows of the class), so that all weigh the same."""
    if class_weights is None:
        return None
    if class_weights == "balanced":
        counts = np.array(totals.classes, np.float64)
        weights = totals.rows / (len(counts) * np.maximum(counts, 1))
    else:
        weights = np.array(class_weights, np.float64)
    return weights.astype(np.float32)


def usable(
    model: Model, table: pa.Table, scales: Mapping[str, Scale], *, party: str
) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """The inputs of a table's rows, and which rows take part; missing values are filled if the model says so."""
    x = inputs(model.declared, table, scales, party=party)
    if model.missing == "fill":
        x[np.isnan(x)] = 0
        return x, np.ones(len(x), np.bool_)
    return x, np.logical_not(np.isnan(x).any(axis=1))


class Preparation:
    """A client's complete rows, split by a public seed into those it trains on and those it keeps for evaluation.

    In a private training none are kept: an evaluation would be exact, and the split depends on how many rows there are.
    Its statistics are a constant, in place of how many. Nothing in its rows is an error, which would tell of them:
    values that are not as declared are missing, and rows may be few or none.

    Attributes
    ----------
    held_out : Rows
        Prepared by the statistics, as the training rows are; there once `rows` was called.
    kept : int64 array
        The rows of the table that are held out, in their order.
    owners : int64 array
        For each row of the table whose it is; a minimum count is one of those. Each row its own where None was given.
    """

    def __init__(
        self,
        model: Model,
        table: pa.Table,
        *,
        label: str,
        class_weights: ClassWeights,
        share: float,
        seed: Sequence[int],
        party: str,
        clients: int,
        min_count: int,
        owners: Integers | None,
        private: Privacy | None = None,
        fold: Fold | None = None,
    ) -> None:
        self._model = model
        self._class_weights = class_weights
        self._party = party
        self._clients = clients
        if pa.types.is_null(table.column(label).type):
            table = table.slice(0, 0)  # a label that is never there
        if private:
            table = without_misfits(model.declared, table)
        x, complete = usable(model, table, {}, party=party)
        y, missing = model.targets(table.column(label), party=party, name=label, strict=not private)
        complete &= ~missing
        found = np.flatnonzero(complete)
        order = np.random.default_rng(list(seed)).permutation(len(found))
        cut = 0 if private else round(len(found) * share)
        index = found[order]
        if fold is not None:
            kept = fold.slice(len(index))
            cut = kept.stop - kept.start
            index = np.roll(index, -kept.start)
        self.owners = np.arange(table.num_rows) if owners is None else owners
        too_few = cut < 1 or not is_large(self.owners[index[cut:]], max(1, min_count))
        if too_few and not private:  # whose noise hides how many there are
            raise DataError(
                f"{party} has too few complete rows: training takes at least its minimum count of {min_count}, and "
                "at least one more is held out",
                hint="leave this party out, or choose features with fewer nulls",
            )
        if len(found) > MOST_ROWS // clients:
            raise DataError(
                f"{party} has more than {MOST_ROWS // clients:,} rows",
                hint=f"{clients} clients train on {MOST_ROWS:,} rows in all; train on fewer of them",
            )
        self._index, self.kept = index, index[:cut]
        self._private = private is not None
        self._cut = cut
        self._x = x[index]
        self._y: Targets = y[index]
        self._raw: dict[str, Reals] = {name: reals(table.column(name))[index] for name in model.standardised}
        self.held_out = Rows(x=self._x[:cut], y=self._y[:cut])
        self._min_count = min_count
        self._training = training = self.owners[index[cut:]]
        for name, values in self._raw.items():  # a mean is released, and of few rows may be theirs alone
            having = training[~np.isnan(values[cut:])]
            if len(having) and not is_large(having, min_count):
                raise DataError(
                    f"{party} has too few values of {name}: its mean takes at least its minimum count of {min_count}",
                    hint="leave this party out, or give the feature a public range, such as (0, 100)",
                )

    def row_sets(self, groups: Groups | None) -> list[RowSet]:
        """The rows whose number a training that is not private tells: of training; held out, by group where there are
        some."""
        sets = [RowSet.counted(self._index[self._cut :], "training rows")]
        if is_large(self.owners[self.kept], self._min_count):
            sets.append(RowSet.counted(self.kept, "held-out rows"))
            sets += [RowSet.counted(rows, "held-out rows of a group") for rows in self._by_group(groups)]
        return sets

    def _by_group(self, groups: Groups | None) -> list[Integers]:
        """Held-out rows of each group whose score is told."""
        if groups is None:
            return []
        hidden = suppressed_of_rows(range(groups.number), groups.of, self.owners[self.kept], self._min_count)
        return rows_by_group(self.kept, groups.of, sorted({*groups.of.tolist()} - {NO_GROUP} - hidden))

    def every_batch_is_large(self, size: int) -> bool:
        """Whether every batch of so many training rows is of at least the minimum count of owners."""
        return every_part_is_large(self._training, size, self._min_count)

    def statistics(self) -> Integers:
        """What the training rows add up to."""
        found = [1 if self._private else len(self._y) - self._cut]
        for name, feature in self._model.standardised.items():
            z = in_range(self._raw[name][self._cut :], feature.low, feature.high)
            z = z[~np.isnan(z)]
            found += [len(z), round(float(z.sum()) / UNIT), round(float(np.dot(z, z)) / UNIT)]
        counted = _counted(self._model, self._class_weights)
        found += np.bincount(self._y[self._cut :].astype(np.int64), minlength=len(counted)).tolist() if counted else []
        return np.array(found, np.int64)

    def rows(self, statistics: Integers) -> Rows:
        """The training rows, prepared by what all clients' add up to."""
        totals = totals_of(self._model, self._class_weights, statistics, self._clients)
        for name, feature, part in parts(self._model.declared, self._x):
            if isinstance(feature, Standardised):
                part[:, 0] = feature.standardised(self._raw[name], totals.scales[name])
                if self._model.missing == "fill":
                    part[np.isnan(part)] = 0
        x, y = self._x[self._cut :], self._y[self._cut :]
        by_class = class_weights_of(self._class_weights, totals)
        return Rows(x=x, y=y, weights=None if by_class is None else by_class[y.astype(np.int64)])


def _counted(model: Model, class_weights: ClassWeights) -> tuple[Key, ...]:
    """The classes whose rows are counted."""
    return model.target.classes if class_weights == "balanced" else ()
