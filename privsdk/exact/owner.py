"""The owner's computation: one statistic by group over the rows that pass, small groups suppressed.

Not a protocol: what comes of a partner's columns is `labels`. Which groups are small is `protocol.groups`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..client.aggregates import Statistic
from ..errors import DataError
from ..protocol.groups import is_large, suppressed_of_rows
from ..protocol.operation import Outcome, RoleInput
from ..protocol.services import Figures, RowSet

_CODES = "number of the group"


def numeric(party: str, column: str, statistic: Statistic, type_: pa.DataType) -> None:
    """Raise DataError where the statistic of a column of this type cannot be taken."""
    usable = pa.types.is_boolean(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_)
    if statistic != "count" and not usable:
        raise DataError(
            f"{party} cannot take the {statistic} of {column}, which is {type_}",
            hint="use a numeric or boolean column",
        )


def groupable(party: str, column: str, type_: pa.DataType) -> None:
    """Raise DataError where a column of this type cannot label groups."""
    if pa.types.is_nested(type_):
        raise DataError(f"{party}'s {column} is {type_}, which cannot group", hint="use a plain column")


def aggregate(
    given: RoleInput,
    statistic: Statistic,
    column: str | None,
    *,
    keep: npt.NDArray[np.bool_],
    by: str,
    labels: pa.ChunkedArray | None,
    min_count: int,
) -> Outcome:
    """The answer: a table of the label column `by`, `count` and the statistic, one row for each group shown.

    Where all rows that pass are of fewer than `min_count` units, the answer is the same whatever there is: no group,
    one suppressed.
    """
    value = None if column is None else _values(given, column, statistic)
    if value is not None:
        keep = keep & value.is_valid().to_numpy()
    rows = np.flatnonzero(keep)
    units = given.units(rows)
    group, names = _coded(labels, rows)
    frame = pa.table({_CODES: group})
    wanted: list[tuple[str, str]] = [(_CODES, "count")]
    if value is not None and statistic != "count":
        frame = frame.append_column("value", value.take(pa.array(rows)))
        wanted.append(("value", statistic))
    found = frame.group_by(_CODES, use_threads=False).aggregate(wanted).sort_by(_CODES)
    codes = found[_CODES].to_numpy()
    enough = is_large(units, min_count)
    hidden = sorted(suppressed_of_rows(codes.tolist(), group, units, min_count) if enough else codes.tolist())
    shown = found.filter(pa.array(~np.isin(codes, hidden)))
    sets = _row_sets(rows, group, shown, hidden, statistic, column, by) if enough else []
    screened = given.services.screen(sets, min_count)
    columns = {}
    if labels is not None:
        columns[by] = names.take(shown[_CODES])
    columns["count"] = pa.array([figures[0] for figures in screened[: shown.num_rows]], pa.int64())
    if statistic != "count":
        like = pa.float64() if statistic == "mean" else frame["value"].type
        columns[statistic] = _typed([figures[1] for figures in screened[: shown.num_rows]], like)
    suppressed = (screened[-1][0] if hidden else 0) if enough else 1
    metadata = {"withheld_groups": str(suppressed), "min_count": str(min_count)}
    return Outcome(table=pa.table(columns).replace_schema_metadata(metadata))


def _coded(
    labels: pa.ChunkedArray | None, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], pa.Array | pa.ChunkedArray]:
    """For each row the number of its group, in the order of the labels, null last; and the labels."""
    if labels is None:
        return np.zeros(len(rows), dtype=np.int64), pa.nulls(1)
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    encoded = labels.take(pa.array(rows)).combine_chunks().dictionary_encode(null_encoding="encode")
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


def _row_sets(
    rows: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    shown: pa.Table,
    hidden: Sequence[int],
    statistic: Statistic,
    column: str | None,
    by: str,
) -> list[RowSet]:
    """What is let out, as the guard needs it: each group shown, and all suppressed ones together for their number."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(shown) + len(hidden) + 1))
    measure = "count" if statistic == "count" else f"{statistic} of {column}"
    figures: list[Figures] = [(n,) for n in shown[f"{_CODES}_count"].to_pylist()]
    if statistic != "count":
        values = shown[f"value_{statistic}"].to_pylist()
        figures = [(*first, value) for first, value in zip(figures, values, strict=True)]
    sets = [
        RowSet(
            rows=rows[order[starts[code] : starts[code + 1]]],
            measure=measure,
            figures=each,
            extreme=statistic in ("min", "max"),
        )
        for code, each in zip(shown[_CODES].to_pylist(), figures, strict=True)
    ]
    if hidden:
        rest = rows[np.isin(group, hidden)]
        sets.append(RowSet(rows=rest, measure=f"withheld groups of {by}", figures=(len(hidden),)))
    return sets


def _typed(values: list[int | float | None], like: pa.DataType) -> pa.Array:
    """Figures as a column: integers where the column is, floats otherwise."""
    whole = all(isinstance(value, int) for value in values) and pa.types.is_integer(like)
    return pa.array(values, (pa.uint64() if pa.types.is_uint64(like) else pa.int64()) if whole else pa.float64())


def _values(given: RoleInput, name: str, statistic: Statistic) -> pa.ChunkedArray:
    """The value column with NaN as null; booleans count as 0 and 1."""
    column = given.table.column(name)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if statistic == "count":
        return column
    numeric(given.party, name, statistic, column.type)
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int64())
    if pa.types.is_floating(column.type) and not np.isfinite(pc.fill_null(column, 0.0).to_numpy()).all():
        raise DataError(f"{given.party}'s {name} holds an infinite value", hint="ask its owner to clean it")
    if pa.types.is_float16(column.type):
        return column.cast(pa.float64())
    if pa.types.is_integer(column.type) and statistic == "sum" and _magnitude(column) >= 2**63:
        raise DataError(f"{given.party}'s {name} has a sum beyond 64 bits", hint="ask its owner for a column of floats")
    return column


def _magnitude(column: pa.ChunkedArray) -> float:
    """Sum of absolute values: Arrow's sums of integers wrap around beyond 64 bits."""
    return float(pc.sum(pc.abs(column.cast(pa.float64(), safe=False))).as_py() or 0)
