"""What a notebook calls of dp: one verb for each statistic, over one table, several parties', or a side of a join.

Every verb returns a plan of an Arrow table: the group column (`key` where its own name is taken), the statistic, and
`low` and `high`, a 95% interval for noise only; `privsdk.dp.intervals` says exactly what an interval covers. With
several tables the rows of all are pooled under encryption; `privsdk.dp.pooled` says what that assumes, and
`privsdk.dp.sides` what bounds a unit over a join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ..client.plan import Plan
from ..client.tables import Keys, Side, Sources
from ..errors.calls import verb
from ..protocol.columns.keys import GroupColumns
from .plans import plan_release, public_edges

DEFAULT_BINS = 256


@verb
def count(
    tables: Sources | Side,
    *,
    epsilon: float,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    rows_per_id: int | None = None,
    rows_per_key: int | None = None,
    key_holder: str | None = None,
    collusion: int = 1,
) -> Plan[pa.Table]:
    """Count rows, in all or in each public group, with differential privacy.

    Parameters
    ----------
    tables : Table, Tables or JointSide
        One party's table, one table a party such as `fed.tables("sales")`, or one party's side of a join,
        `joint["bank"]`: then every table of the join is charged, because its units decide which rows of the side enter.
    epsilon : float
        Privacy loss of the release, for one unit of each dataset it draws on: a row, or all rows of an id where the
        owner says so. Groups are disjoint: they cost epsilon once.
    by, keys : str and sequence
        Group column, and the public group keys to answer for: texts, whole numbers, booleans, decimals, dates or times.
        They are compared as the column's own type compares; keys that occur only in the data stay hidden, and their
        rows, like those of a null group, are counted nowhere. Of several columns keys are tuples:
        `by=["region", "year"], keys=[("north", 2024), ("south", 2024)]`.
    others : bool
        Whether the rows of all other keys, null among them, are one more group, last and with null for its key.
    where : mapping of column to value, (low, high) or list, optional
        As for an exact `count`, of columns that each table has: which rows enter. It takes a grant for comparison on
        these columns too.
    rows_per_id : int, optional
        Where the owner protects all rows of an id: the most rows of each id that enter. Fewer mean less noise and more
        rows left out. Default: the owner's choice. Rows of a null id never enter.
    rows_per_key : int, optional
        Of a side of a join: the most rows of each joint key that enter, which bounds what a unit of a partner moves.
        Default: as many as of one unit of the side's owner.
    key_holder : str, optional
        With several tables: the party that decrypts, and contributes nothing. Default: the first that holds none of
        them.
    collusion : int
        With several tables, whose owners draw the noise in shares: so many of them may tell the caller theirs, and the
        noise that is left is what epsilon was charged for. Each knows its own share, so it is at least 1; more than
        that cost accuracy, up to all owners but one, where each draws all of the noise.

    Returns
    -------
    Plan of Arrow table
        Columns: the group, `count`, and `low`, `high`: a 95% interval for noise only. Counts may be negative.

    Learns
    ------
    The caller, and the key holder of several tables: the noisy counts. Anyone else: nothing, but that each of several
    tables' owners knows its own share of the noise. Over a side of a join its owner knows the exact count, since the
    join told it which rows match, and the noise is its own: it protects the partners from everyone else.

    Source: see `privsdk.dp.noise`, and of a side of a join `privsdk.dp.sides`.
    """
    return plan_release("count", locals())


@verb
def sum(
    tables: Sources | Side,
    column: str,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    resolution: float | None = None,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    rows_per_id: int | None = None,
    rows_per_key: int | None = None,
    key_holder: str | None = None,
    collusion: int = 1,
) -> Plan[pa.Table]:
    """Sum a column, in all or in each public group, with differential privacy.

    Parameters as for `count`, and

    column : str
        Numeric, decimals too, or boolean. Nulls and NaN are left out, which cannot be told from outside; infinities are
        clamped.
    bounds : (float, float)
        Every value is clamped into this public range. Noise grows with its larger end; values outside it bias the sum.
    resolution : float, optional
        Values are rounded to this grid. Default: 1 for integers, the last place for decimals, else, and where
        these would be more than 2**28 steps, the power of two 20 bits below the larger bound.

    Returns
    -------
    Plan of Arrow table
        Columns: the group, `sum`, and `low`, `high`: a 95% interval for noise only, clamping bias not included.

    Learns: as for `count`.
    """
    return plan_release("sum", locals())


@verb
def mean(
    tables: Sources | Side,
    column: str,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    resolution: float | None = None,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    rows_per_id: int | None = None,
    rows_per_key: int | None = None,
    key_holder: str | None = None,
    collusion: int = 1,
) -> Plan[pa.Table]:
    """Mean of a column, over all or in each public group, with differential privacy.

    Parameters as for `sum`. Half of epsilon goes into the sum of distances from the middle of the bounds, half into the
    number of values; nulls and NaN are in neither. The default resolution for integers is a half, so that the middle
    is on the grid.

    Returns
    -------
    Plan of Arrow table
        Columns: the group, `mean`, `low`, `high`, and `count`, the noisy number of values. The interval is for noise
        only, clamping bias not included. It is all of `bounds` where the group may have no value, and the mean is null
        where the noisy count is below one.

    Learns: as for `count`; the noisy sums and counts are what is told.
    """
    return plan_release("mean", locals())


@verb
def variance(
    tables: Sources | Side,
    column: str,
    *,
    epsilon: float,
    bounds: tuple[float, float],
    resolution: float | None = None,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    rows_per_id: int | None = None,
    rows_per_key: int | None = None,
    key_holder: str | None = None,
    collusion: int = 1,
) -> Plan[pa.Table]:
    """Variance of a column, over all or in each public group, with differential privacy.

    Parameters as for `mean`. A third of epsilon each goes into count, sum and sum of squares about the middle of the
    bounds. It is the population's variance: squares are divided by the number of values.

    Returns
    -------
    Plan of Arrow table
        Columns: the group, `variance`, `low`, `high`, in the column's unit squared, and `count`; as for `mean`.

    Learns: as for `count`; the noisy sums, squares and counts are what is told.
    """
    return plan_release("variance", locals())


@verb
def quantile(
    tables: Sources | Side,
    column: str,
    level: float,
    *,
    epsilon: float,
    bounds: tuple[float, float] | None = None,
    bins: int | None = None,
    edges: Sequence[float] | None = None,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    rows_per_id: int | None = None,
    rows_per_key: int | None = None,
    key_holder: str | None = None,
    collusion: int = 1,
) -> Plan[pa.Table]:
    """A quantile of a column, over all or in each public group, with differential privacy.

    Parameters as for `histogram`, and

    level : float
        Between 0 and 1: the share of values up to the quantile.
    bins : int, optional
        Default 256. More candidates are finer and add noise: the error in ranks grows with their root.

    Returns
    -------
    Plan of Arrow table
        Columns: the group, `quantile`, and `low`, `high`, two of the candidates. They hold the least value up to which
        there are `level` of all clamped values with at least 95% probability, for noise only. The quantile is linear
        between candidates, and null where the noisy count of values is below one.

    Learns: as for `count`; the noisy counts of the bins are what is told.

    Source: see `privsdk.dp.quantiles`.
    """
    bins = DEFAULT_BINS if bins is None and edges is None else bins
    return plan_release("quantile", locals(), edges=public_edges(bounds, bins, edges))


@verb
def median(
    tables: Sources | Side,
    column: str,
    *,
    epsilon: float,
    bounds: tuple[float, float] | None = None,
    bins: int | None = None,
    edges: Sequence[float] | None = None,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    rows_per_id: int | None = None,
    rows_per_key: int | None = None,
    key_holder: str | None = None,
    collusion: int = 1,
) -> Plan[pa.Table]:
    """The `quantile` at 0.5: parameters, result and what is learned are the same."""
    return quantile(
        tables,
        column,
        0.5,
        epsilon=epsilon,
        bounds=bounds,
        bins=bins,
        edges=edges,
        by=by,
        keys=keys,
        others=others,
        where=where,
        rows_per_id=rows_per_id,
        rows_per_key=rows_per_key,
        key_holder=key_holder,
        collusion=collusion,
    )


@verb
def histogram(
    tables: Sources | Side,
    column: str,
    *,
    epsilon: float,
    bounds: tuple[float, float] | None = None,
    bins: int | None = None,
    edges: Sequence[float] | None = None,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    rows_per_id: int | None = None,
    rows_per_key: int | None = None,
    key_holder: str | None = None,
    collusion: int = 1,
) -> Plan[pa.Table]:
    """Count a column's values in public bins, over all rows or in each public group, with differential privacy.

    Parameters as for `count`, and

    column : str
        Numeric, decimals too, or boolean. Nulls and NaN are left out; infinities are clamped.
    bounds, bins : (float, float), int
        So many bins of equal width between public bounds.
    edges : sequence of float
        In their place: the edges of the bins, rising. A bin holds its lower edge and not its upper one, but for the
        last. The first and the last bin also hold all values beyond them.

    Returns
    -------
    Plan of Arrow table
        A row for each group and bin. Columns: the group, `from` and `to`, `count`, and `low`, `high`: a 95% interval of
        each count for noise only.

    Learns: as for `count`.
    """
    return plan_release("histogram", locals(), edges=public_edges(bounds, bins, edges))
