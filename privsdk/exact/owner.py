"""The owner's computation: one statistic by group over the rows that pass, small groups suppressed.

Not a protocol: what comes of a partner's columns is `labels`. Which groups are small is `protocol.groups`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..client.aggregates import Statistic
from ..errors import DataError
from ..errors.refusals import TooManyGroups
from ..protocol.columns import comparison
from ..protocol.columns.ordering import distinct
from ..protocol.groups import is_large, label_names, rows_by_group, suppressed_of_rows
from ..protocol.operation import Outcome, RoleInput
from ..protocol.services import Figures, RowSet
from . import statistics


def groupable(party: str, column: str, type_: pa.DataType) -> None:
    """Raise DataError where a column of this type cannot label groups."""
    if not comparison.groupable(type_):
        raise DataError(f"{party}'s {column} is {type_}, which cannot group", hint="use a plain column")


def aggregate(
    given: RoleInput,
    statistic: Statistic,
    column: str | None,
    *,
    keep: npt.NDArray[np.bool_],
    by: Sequence[tuple[str, pa.ChunkedArray]],
    min_count: int,
    most_groups: int,
    level: float | None = None,
) -> Outcome:
    """The answer: a table of the label columns `by`, `count` and the statistic, one row for each group shown.

    Raises DataError where more groups than were paid for would be.

    Where all rows that pass are of fewer than `min_count` units, the answer is the same whatever there is: no group,
    one suppressed.
    """
    value = None if column is None else _values(given, column, statistic)
    if value is not None:
        keep = keep & value.is_valid().to_numpy()
    rows = np.flatnonzero(keep)
    units = given.units(rows)
    group, labels = _coded([each for _, each in by], keep)
    codes = range(int(group.max(initial=-1)) + 1)
    enough = is_large(units, min_count)
    hidden = sorted(suppressed_of_rows(codes, group, units, min_count) if enough else codes)
    shown = sorted({*codes} - {*hidden})
    names = [name for name, _ in by]
    if names and len(shown) > most_groups:
        raise DataError(TooManyGroups(party=given.party, by=" and ".join(names), most=most_groups))
    sets = _row_sets(rows, group, shown, hidden, by=names, statistic=statistic, column=column, value=value)
    lower = list[RowSet | None]()
    if value is not None and level is not None and enough:
        parts = [each.rows for each in sets[: len(shown)]]
        lower = [_lower(given, part, value, level, measure=f"max of {column}", min_count=min_count) for part in parts]
    screened = given.services.screen([*sets, *filter(None, lower)] if enough else [], min_count)
    figures = screened[: len(shown)]
    columns = {"count": pa.array([each[0] for each in figures], pa.int64())}
    if lower:
        told = iter(screened[len(sets) :])
        figures = [(each[0], None if low is None else next(told)[1]) for each, low in zip(figures, lower, strict=True)]
    if value is not None and statistic != "count":
        columns[statistic] = _answers(given.party, column, statistic, value.type, figures)
    of_shown = [each.take(pa.array(shown, pa.int64())) for each in labels]
    columns = {**dict(zip(label_names(names, columns), of_shown, strict=True)), **columns}
    suppressed = (screened[len(shown)][0] if hidden else 0) if enough else 1
    metadata = {"withheld_groups": str(suppressed), "min_count": str(min_count)}
    return Outcome(table=pa.table(columns).replace_schema_metadata(metadata))


def _lower(
    given: RoleInput, rows: npt.NDArray[np.int64], value: pa.ChunkedArray, level: float, *, measure: str, min_count: int
) -> RowSet | None:
    """The rows up to a quantile, which is their maximum and told as such: by the guard's rule of extremes.

    None where they, those from it on or, if there are any, those beyond it are of few units.
    """
    values = value.take(pa.array(rows))
    up_to, from_on = statistics.up_to_quantile(values, level)
    sides = [rows[up_to], rows[from_on], *([] if up_to.all() else [rows[~up_to]])]
    if not all(is_large(given.units(side), min_count) for side in sides):
        return None
    (most,) = statistics.figures_of(values.filter(pa.array(up_to)), np.zeros(1, np.int64), "max")
    return RowSet(rows=sides[0], measure=measure, figures=(len(sides[0]), most), extreme=True)


def _coded(
    labels: Sequence[pa.ChunkedArray], keep: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], list[pa.Array]]:
    """For each row that passes the number of its group, in the order of the labels, of the first column first; and for
    each column the label of each group."""
    group, of_groups = np.zeros(np.count_nonzero(keep), dtype=np.int64), list[pa.Array]()
    for each in labels:
        place, found = _ranked(each, keep)
        if not of_groups:
            group, of_groups = place, [found]
            continue
        both = group * len(found) + place
        there = distinct(both)
        group = np.searchsorted(there, both)
        earlier, last = (pa.array(part) for part in np.divmod(there, len(found)))
        of_groups = [*(one.take(earlier) for one in of_groups), found.take(last)]
    return group, of_groups


def _ranked(labels: pa.ChunkedArray, keep: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """For each row that passes the place of its label among all, in their order, null last; and these."""
    labels = comparison.labels_of(labels)
    passing = labels if keep.all() else labels.filter(pa.array(keep))
    encoded = passing.combine_chunks().dictionary_encode(null_encoding="encode")
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


def _row_sets(
    rows: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    shown: Sequence[int],
    hidden: Sequence[int],
    *,
    by: Sequence[str],
    statistic: Statistic,
    column: str | None,
    value: pa.ChunkedArray | None,
) -> list[RowSet]:
    """What is let out, as the guard needs it: each group shown, and all suppressed ones together for their number."""
    parts = rows_by_group(rows, group, shown)
    figures: list[Figures] = [(len(part),) for part in parts]
    measure = "count" if statistic in ("count", "quantile") else f"{statistic} of {column}"
    if value is not None and measure != "count" and parts:
        starts = np.cumsum([0, *map(len, parts[:-1])])
        of_groups = statistics.figures_of(value.take(pa.array(np.concatenate(parts))), starts, statistic)
        figures = [(*first, figure) for first, figure in zip(figures, of_groups, strict=True)]
    extreme = statistic in ("min", "max")
    sets = [
        RowSet(rows=part, measure=measure, figures=each, extreme=extreme)
        for part, each in zip(parts, figures, strict=True)
    ]
    if hidden:
        rest = rows[np.isin(group, hidden)]
        of = f"of {by[0]}" if len(by) == 1 else f"by {msgspec.json.encode(by).decode()}"  # no two lists are one text
        sets.append(RowSet(rows=rest, measure=f"withheld groups {of}", figures=(len(hidden),)))
    return sets


def _answers(
    party: str, column: str | None, statistic: Statistic, type_: pa.DataType, screened: Sequence[Figures]
) -> pa.Array:
    try:
        answers = statistics.column_of([figures[1] for figures in screened], statistic, type_)
    except OverflowError:
        answers = None
    if answers is None or (pa.types.is_floating(answers.type) and pc.any(pc.invert(pc.is_finite(answers))).as_py()):
        size = f"{type_.bit_width} bits" if pa.types.is_decimal(type_) else "64 bits"
        raise DataError(
            f"{party}'s {column} has a {statistic} beyond {size}", hint="ask its owner for a column of floats, or less"
        )
    return answers


def _values(given: RoleInput, name: str, statistic: Statistic) -> pa.ChunkedArray:
    """The value column with NaN as null; booleans count as 0 and 1."""
    column = given.table.column(name)
    if pa.types.is_floating(column.type):
        nan = pc.is_nan(column)
        column = pc.if_else(nan, pa.scalar(None, column.type), column) if pc.any(nan).as_py() else column
    if statistic == "count":
        return column
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int64())
    if pa.types.is_floating(column.type) and not np.isfinite(pc.fill_null(column, 0.0).to_numpy()).all():
        raise DataError(f"{given.party}'s {name} holds an infinite value", hint="ask its owner to clean it")
    return column
