"""A party's columns of a joint table as small whole numbers, one row a joint key.

**Numbers** are centred and scaled by constants c and s that tell little, a power of two s at most their standard
deviation and above half of it, and c the multiple of s next to their mean, and rounded to multiples of 2^-f:

    u = round((x - c) / s * 2^f)

For N keys and a minimum count k no value has more than a share of 1 / k of the sum of squared deviations: one unit
would make up a product with it. Where one would, the k most extreme values become as the k-th, or twice as many, and
so on; which those are, and what they become, the owner alone knows. So |x - mean| <= sd sqrt(N / k) < 2 s sqrt(N / k),
and with

    f = floor(15 - log2(2 sqrt(N / k) + 1/2))

every |u| is at most 2^15. Of 100,000 keys and a minimum count of 10 a standard deviation is 128 to 256 units, which
adds less than 2^-17 to a variance. At least k units must have another value than the most common one.

**Categories** are columns of 0 and 1, one for each value that at least k units have; the others are withheld, together
with the next smallest where they would follow from the total (`protocol.groups`). Null is a value. Of public intervals
those that nobody is in are withheld like those of few.

Columns that are each no unit's may be so together, as a column and itself corrected at one key. So no combination of
a question's columns and the constant may have more than half of its sum of squares from one key: no diagonal entry of
X (X^T X)^-1 X^T is above 1/2. Columns of several questions are not compared.

A key at which a number is missing, null or NaN, is left out: its row is 0 in every column.

The entropy of a column is that of the distribution of its encoded values over all keys, times their number: what is
told of it is held against that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError
from ...errors.inputs import JointColumnUnfit, SeveralRowsOfKey
from ...errors.refusals import TooManyGroups
from ...protocol.columns import comparison
from ...protocol.columns.numbers import reals
from ...protocol.groups import enough, suppressed_of_rows
from ...protocol.operation import RoleInput
from .parameters import JointColumn, interval_names

BITS = 15  # of an encoded value, beside its sign
ABSENT, WITHHELD = -2, -1  # codes of values that are in no column
MOST_OF_ONE = 0.5
Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Some columns of one party.

    Attributes
    ----------
    units : int64 array of shape (keys, width)
        0 in rows that are left out.
    present : int64 array of shape (keys, 1)
        1 where no number is missing, else 0.
    numbers : tuple of bool
        For each encoded column whether it is a number; else it is a category's.
    facts : tuple of dict
        For each column asked for, in order, what the caller needs to read it: `centre` and `step` of a number, the
        `labels` of a category and how many are `withheld`.
    sets : tuple of (str, int64 array)
        The rows behind what is told, with what is measured on them.
    entropy : dict of column to float
        In bits.
    """

    units: Integers
    present: Integers
    numbers: tuple[bool, ...]
    facts: tuple[dict[str, object], ...]
    sets: tuple[tuple[str, Integers], ...]
    entropy: dict[str, float]

    @property
    def missing(self) -> bool:
        return not self.present.all()


def fraction_bits(keys: int, min_count: int) -> int:
    """f, of so many joint keys."""
    return math.floor(BITS - math.log2(2 * math.sqrt(keys / min_count) + 0.5))


def encoded(given: RoleInput, columns: Sequence[JointColumn], *, keys: int, min_count: int) -> Encoded:
    """A party's columns, of a table with one row for each of so many joint keys.

    Raises
    ------
    DataError
        A key has several rows, a number is infinite, constant, or the same at all but a few keys, or no category has
        enough units.
    """
    held = np.zeros(0, np.int64) if given.keys is None else given.keys
    order = np.argsort(held, kind="stable")
    if not np.array_equal(held[order], np.arange(keys)):
        raise DataError(SeveralRowsOfKey(party=given.party, table=given.request.operands[given.party].table))
    table = given.table.take(pa.array(order))
    numbers = {c.name: reals(table.column(c.name)) for c in columns if c.kind == "number"}
    present = np.ones(keys, np.bool_)
    for values in numbers.values():
        present &= ~np.isnan(values)
    parts, kinds, facts, sets = list[Integers](), list[bool](), list[dict[str, object]](), list[tuple[str, Integers]]()
    entropy = dict[str, float]()
    for column in columns:
        if column.kind == "number":
            units, fact = _number(given.party, column.name, numbers[column.name], present, keys, min_count)
            sets.append((f"joint sums with {column.name}", order[present]))
            codes = units
        else:
            coded = (
                _intervals(table.column(column.name), column.edges)
                if column.edges
                else _coded(table.column(column.name))
            )
            codes, kept, fact = _category(given.party, column, coded, present, min_count)
            units = (codes[:, None] == kept).astype(np.int64)
            sets += [(f"joint count by {column.name}", order[codes == one]) for one in kept]
            sets.append((f"joint count by {column.name}", order[codes == WITHHELD]))
        parts.append(units.reshape(keys, -1))
        kinds += [column.kind == "number"] * parts[-1].shape[1]
        facts.append(fact)
        counts = np.unique(codes, return_counts=True)[1]
        entropy[column.name] = float((counts * np.log2(keys / counts)).sum())
    units = np.concatenate(parts, axis=1)
    if not _spread(units[present]):
        raise DataError(JointColumnUnfit(party=given.party, column=", ".join(entropy), why="together"))
    return Encoded(
        units=units,
        present=present.astype(np.int64)[:, None],
        numbers=tuple(kinds),
        facts=tuple(facts),
        sets=tuple(sets),
        entropy=entropy,
    )


def _number(
    party: str, name: str, values: Reals, present: npt.NDArray[np.bool_], keys: int, min_count: int
) -> tuple[Integers, dict[str, object]]:
    held = values[present]
    if not enough(len(held), min_count):
        raise DataError(JointColumnUnfit(party=party, column=name, why="few", min_count=min_count))
    if not np.isfinite(held).all():
        raise DataError(JointColumnUnfit(party=party, column=name, why="infinite"))
    different = len(held) - int(np.unique(held, return_counts=True)[1].max())
    if different and not enough(different, min_count):
        raise DataError(JointColumnUnfit(party=party, column=name, why="alike", min_count=min_count))
    held, capped = _capped(held, min_count)
    if not _shared(held, min_count):
        raise DataError(JointColumnUnfit(party=party, column=name, why="alike", min_count=min_count))
    size = float(np.abs(held).max()) or 1.0
    mean = float(np.mean(held / size)) * size
    squares = np.square((held - mean) / size)
    deviation = math.sqrt(float(squares.mean())) * size
    if deviation <= size * 2.0**-40 or (held == held[0]).all():
        raise DataError(JointColumnUnfit(party=party, column=name, why="constant"))
    step = 2.0 ** math.floor(math.log2(deviation))
    centre = round(mean / step) * step
    scale = 2.0 ** fraction_bits(keys, min_count)
    units = np.zeros(keys, np.int64)
    units[present] = np.rint((held - centre) / step * scale).astype(np.int64)
    return units, {"centre": centre, "step": step, "capped": capped}


def _capped(values: Reals, min_count: int) -> tuple[Reals, bool]:
    """The values, the most extreme ones brought nearer to the median until none has more than its share of the sum of
    squares; and whether any was."""
    middle, most = float(np.median(values)), min_count
    found = values
    while most < len(values) and not _shared(found, min_count):
        reach = np.partition(np.abs(values - middle), -most)[-most]
        found = np.clip(values, middle - reach, middle + reach)
        most *= 2
    return found, found is not values


def _shared(values: Reals, min_count: int) -> bool:
    """Whether at least so many values would make up the sum of squared deviations, if all were as the largest."""
    scaled = values / (np.abs(values).max() or 1.0)
    squares = np.square(scaled - scaled.mean())
    return not squares.any() or enough(float(squares.sum() / squares.max()), min_count)


def _spread(units: Integers) -> bool:
    """Whether no key makes up more than half of any combination of columns and the constant."""
    extended = np.concatenate([np.ones((len(units), 1)), units / 2.0**BITS], axis=1)
    left, sizes, _ = np.linalg.svd(extended, full_matrices=False)
    basis = left[:, sizes > sizes[0] * len(units) * np.finfo(np.float64).eps]
    return bool(np.square(basis).sum(axis=1).max() <= MOST_OF_ONE)


def _intervals(column: pa.ChunkedArray, edges: Sequence[float]) -> tuple[Integers, list[str | None]]:
    """For each number the interval between edges that it is in, the lower one included; and their names, null last."""
    values = reals(column)
    codes = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), len(edges) + 1, codes), [*interval_names(edges), None]


def _coded(column: pa.ChunkedArray) -> tuple[Integers, list[str | None]]:
    """For each value its number in their order, null last; and the values as text."""
    labels = comparison.labels_of(column).combine_chunks().dictionary_encode(null_encoding="encode")
    order = pc.sort_indices(labels.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    names = labels.dictionary.take(pa.array(order)).to_pylist()
    return rank[labels.indices.to_numpy()], [None if name is None else str(name) for name in names]


def _category(
    party: str,
    column: JointColumn,
    coded: tuple[Integers, list[str | None]],
    present: npt.NDArray[np.bool_],
    min_count: int,
) -> tuple[Integers, list[int], dict[str, object]]:
    """For each key the number of its value where that is shown, which of them are, and what they are."""
    codes, names = coded
    groups = range(len(names))
    if column.edges and not enough(int(np.count_nonzero(codes[present] == groups[-1])), min_count):
        groups = groups[:-1]  # null is of no interval, and no group of its own
    hidden = suppressed_of_rows(groups, codes[present], np.flatnonzero(present), min_count)
    kept = [value for value in groups if value not in hidden]
    if not kept:
        raise DataError(JointColumnUnfit(party=party, column=column.name, why="groups", min_count=min_count))
    if len(kept) > column.groups:
        raise DataError(TooManyGroups(party=party, by=column.name, most=column.groups))
    told = np.where(np.isin(codes, kept), codes, WITHHELD)
    fact = {"labels": [names[value] for value in kept], "withheld": len(hidden)}
    return np.where(present, told, ABSENT), kept, fact
