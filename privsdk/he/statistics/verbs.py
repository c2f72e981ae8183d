"""What a notebook calls of he: one verb for each statistic over the rows of several parties.

Every party makes totals of its own rows in the clear, and only additions happen under encryption, exact ones unless
CKKS is asked for. `error` bounds the whole difference from exact arithmetic; `he.statistics.moments` derives it.

With `aggregation="masked"` totals are added by masks that cancel out in the sum: the results, prices and thresholds are
the same. There is no key then; the key holder adds up, and learns what it would learn by decrypting. Under encryption
it would see every contribution together with the aggregator, the last contributor. By masks it learns no more than the
total over the others, however many contributors it puts its knowledge together with. Masked sums take two contributors
or more, four messages of each, and all of them to the end. See `privsdk.crypto.sums` and `privsdk.crypto.seal.schemes`.

By public groups an answer is an Arrow table of the group column (`key` where its own name is taken), the statistic,
`error`, and `count` where rows are counted. Groups of too few rows or parties are suppressed, which is null in each
column; `privsdk.he.statistics.thresholds` says which and why. Rows of other keys, like those of a null key, are
counted nowhere, unless `others=True` makes them a group. Of a list of columns it is a table with a row for each, or
for each group of each, and its name in `column`: one question, with one price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ...client.matrix import Matrix
from ...client.plan import Plan
from ...client.tables import Keys, Sources
from ...crypto.seal.presets import Scheme
from ...errors.calls import verb
from ...protocol.columns.keys import GroupColumns
from .plans import DEFAULT_ROWS, OfColumns, plan_statistic
from .statistic import Aggregation
from .values import Pooled, Variance


@verb
def count(
    tables: Sources,
    *,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    max_rows: int = DEFAULT_ROWS,
    key_holder: str | None = None,
    aggregation: Aggregation = "encrypted",
) -> Plan[Pooled | pa.Table]:
    """Count the rows of all parties, in all or in each public group, under encryption.

    Parameters
    ----------
    tables : Tables
        One table a party, such as `fed.tables("sales")`.
    by, keys : str and sequence, optional
        Group column, and the public group keys to answer for: texts, whole numbers, booleans, decimals, dates or times.
        Of several columns keys are tuples: `by=["region", "year"], keys=[("north", 2024), ("south", 2024)]`.
    others : bool
        Whether the rows of all other keys, null among them, are one more group, last and with null for its key.
    where : mapping of column to value, (low, high) or list, optional
        As for an exact `count`, of columns that each table has: which rows enter. It takes a grant for comparison on
        these columns, and each party must have as many rows that pass as its owner's minimum count.
    max_rows : int
        Most rows of one party, which refuses if it has more.
    key_holder : str, optional
        The party that decrypts, or adds up what is masked; it contributes nothing. Default: the first party that holds
        none of the tables.
    aggregation : "encrypted" or "masked"
        How the totals are added.

    Returns
    -------
    Plan of Pooled, or of Arrow table
        By group the columns are the group and `count`.

    Raises
    ------
    InvalidArgument
        A column or key cannot be used, or nobody is left to hold the key.
    DataError
        On release: a party has fewer rows than its owner's minimum count, or more than `max_rows`.

    Learns
    ------
    Key holder: the counts, by group also those that are suppressed, and how many parties are in each group. Caller: the
    counts that are not suppressed. Others: nothing. Aggregator and key holder together would see every contribution;
    masked, key holder and other contributors no more than the count over the rest.

    Examples
    --------
    >>> he.count(fed.tables("sales"), by="region", keys=["north", "south"]).release()
    """
    return plan_statistic("count", locals())


@verb
def sum(
    tables: Sources,
    column: str | Sequence[str],
    *,
    bound: OfColumns | None = None,
    max_rows: int = DEFAULT_ROWS,
    resolution: OfColumns | None = None,
    preset: Scheme = "exact",
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    key_holder: str | None = None,
    aggregation: Aggregation = "encrypted",
) -> Plan[Pooled | pa.Table]:
    """Sum a column over all parties that hold it, in all or in each public group, under encryption.

    Parameters
    ----------
    tables, by, keys, others, where, key_holder, aggregation
        As for `count`; CKKS is encrypted only.
    column : str or sequence of str
        Numeric, decimals too, or boolean. Nulls are left out, of each column by itself; a NaN or infinite value is
        refused by its party before anything is encrypted.
    bound : float, or mapping of column to float, optional
        Largest absolute total, by group of each group, in the column's unit; each party refuses if one of its own
        subtotals is larger, which is charged. Default: what `max_rows` rows within the range that owners declare add up
        to, or else of the column's type, which few totals exceed; see `privsdk.he.statistics.bounds`.
    max_rows : int
        Most values of one party, which refuses if it has more.
    resolution : float, or mapping of column to float, optional
        Grid of the fixed point, in the column's unit. Default: 1 for integers, the last place for decimals, of which
        nothing is then rounded; for reals 2**-60 of a given bound, else 2**-20, or 2**-52 of a declared range. By
        group the sums of such decimals are decimals.
    preset : "exact" or "ckks"
        Exact integers by BFV, or approximate reals by CKKS with a stated error; groups, and lists of columns, are exact
        only.

    Returns
    -------
    Plan of Pooled, or of Arrow table
        By group the columns are the group, `sum` and `error`, of a list of columns after `column`.

    Raises
    ------
    InvalidArgument
        A column, key or option cannot be used, or nobody is left to hold the key.
    DataError
        On release: a party's values cannot be summed within the bound, or there are more than `max_rows` or fewer than
        its owner's minimum count.

    Learns
    ------
    Key holder and caller: the total. By group the key holder learns all totals, and how many rows and parties are in
    each group; the caller the totals that are not suppressed. Others: nothing. Together, as for `count`.

    Examples
    --------
    >>> he.sum(fed.tables("sales"), "turnover", by="region", keys=["north", "south"]).release()
    """
    return plan_statistic("sum", locals())


@verb
def mean(
    tables: Sources,
    column: str | Sequence[str],
    *,
    bound: OfColumns | None = None,
    max_rows: int = DEFAULT_ROWS,
    resolution: OfColumns | None = None,
    preset: Scheme = "exact",
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    key_holder: str | None = None,
    aggregation: Aggregation = "encrypted",
) -> Plan[Pooled | pa.Table]:
    """Mean of a column over all parties' rows, in all or in each public group, under encryption.

    Parameters, errors and example as for `sum`. `bound` is the largest absolute total, not mean. CKKS's error grows
    with `max_rows`.

    Returns
    -------
    Plan of Pooled, or of Arrow table
        By group the columns are the group, `mean`, `error` and `count`.

    Learns
    ------
    Key holder and caller: the total and the number of rows, so the mean. By group as for `sum`. Others: nothing.
    """
    return plan_statistic("mean", locals())


@verb
def variance(
    tables: Sources,
    column: str | Sequence[str],
    *,
    ddof: int = 1,
    bound: OfColumns | None = None,
    max_rows: int = DEFAULT_ROWS,
    resolution: OfColumns | None = None,
    by: GroupColumns | None = None,
    keys: Keys | None = None,
    others: bool = False,
    where: Mapping[str, Any] | None = None,
    key_holder: str | None = None,
    aggregation: Aggregation = "encrypted",
) -> Plan[Variance | pa.Table]:
    """Variance, standard deviation and mean of a column over all parties' rows, in all or in each public group.

    Parameters
    ----------
    tables, column, max_rows, by, keys, others, where, key_holder, aggregation
        As for `sum`.
    ddof : int
        Delta degrees of freedom: 1 for a sample's variance, as in pandas and SQL; 0 for a population's, as in NumPy.
    bound, resolution : float, or mapping of column to float, optional
        Of each value, not of the total: the largest absolute one, and the grid to which each is rounded. Default: as
        for `sum`; of floats without a declared range within 2**40.

    Returns
    -------
    Plan of Variance, or of Arrow table
        By group the columns are the group, `variance`, `error`, `std`, `std_error`, `mean`, `mean_error` and `count`.
        NaN where there are no more rows than `ddof`.

    Errors as for `sum`.

    Learns
    ------
    Key holder and caller: the total, that of the squares, and the number of rows. By group the key holder learns those
    of each group, and how many parties are in it; the caller what is not suppressed. Others: nothing.

    Examples
    --------
    >>> he.variance(fed.tables("sales"), "turnover", bound=1e6).release().value.std

    Source: see `privsdk.he.statistics.moments`.
    """
    return plan_statistic("variance", locals())


@verb
def covariance(
    tables: Sources,
    columns: Sequence[str],
    *,
    ddof: int = 1,
    bound: OfColumns | None = None,
    where: Mapping[str, Any] | None = None,
    max_rows: int = DEFAULT_ROWS,
    resolution: OfColumns | None = None,
    key_holder: str | None = None,
    aggregation: Aggregation = "encrypted",
) -> Plan[Matrix]:
    """Covariance of each two of several columns over all parties' rows, under encryption.

    Parameters
    ----------
    tables, ddof, where, max_rows, key_holder, aggregation
        As for `variance`.
    columns : sequence of str
        2 to 128 numeric or boolean columns. Rows with a null in any of them are left out, as pandas' `dropna` does.
    bound, resolution : float, or mapping of column to float, optional
        As for `variance`; one for all columns or one for each.

    Returns
    -------
    Plan of Matrix

    Errors as for `sum`.

    Learns
    ------
    Key holder and caller: the number of complete rows, each column's total, and that of each two columns' products and
    of each one's squares. Others: nothing.

    Examples
    --------
    >>> he.covariance(fed.tables("sales"), ["turnover", "staff"], bound={"turnover": 1e6, "staff": 1000}).release()

    Source: see `privsdk.he.statistics.moments`.
    """
    return plan_statistic("covariance", locals())


@verb
def correlation(
    tables: Sources,
    columns: Sequence[str],
    *,
    bound: OfColumns | None = None,
    where: Mapping[str, Any] | None = None,
    max_rows: int = DEFAULT_ROWS,
    resolution: OfColumns | None = None,
    key_holder: str | None = None,
    aggregation: Aggregation = "encrypted",
) -> Plan[Matrix]:
    """Pearson's correlation of each two of several columns over all parties' rows, under encryption.

    Parameters, errors and what everyone learns as for `covariance`. A column that is constant, to within its grid, has
    no correlation: NaN, and the matrix names it in `undefined`.

    Examples
    --------
    >>> he.correlation(fed.tables("sales"), ["turnover", "staff"]).release().value.values
    """
    return plan_statistic("correlation", locals())


@verb
def histogram(
    tables: Sources,
    column: str,
    *,
    edges: Sequence[float],
    where: Mapping[str, Any] | None = None,
    max_rows: int = DEFAULT_ROWS,
    key_holder: str | None = None,
    aggregation: Aggregation = "encrypted",
) -> Plan[pa.Table]:
    """Count the values of a column in public bins over all parties' rows, under encryption.

    Parameters
    ----------
    tables, column, where, max_rows, key_holder, aggregation
        As for `sum`.
    edges : sequence of float
        Public edges, each above the one before: bin i holds edges[i] <= value < edges[i + 1], and the last one its
        upper edge too, as in `numpy.histogram`. Values outside, infinite ones and NaN are counted nowhere.

    Returns
    -------
    Plan of Arrow table
        Columns `from`, `to` and `count`, which is null where a bin is suppressed: those of too few rows or parties are,
        as groups are.

    Errors as for `sum`.

    Learns
    ------
    Key holder: the counts of all bins, and how many parties have values in each. Caller: the counts that are not
    suppressed. Others: nothing.

    Examples
    --------
    >>> he.histogram(fed.tables("sales"), "turnover", edges=[0, 100, 1_000, 10_000]).release()
    """
    return plan_statistic("histogram", locals())
