"""Exact aggregates as a notebook asks for them, of a table or of one side of a join."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa

from ..errors import InvalidArgument
from ..errors.calls import expect, verb
from ..protocol.columns.keys import GroupColumns
from ..protocol.columns.predicates import Name, Where, canonical
from .plan import Plan

Statistic = Literal["count", "sum", "mean", "variance", "min", "max", "quantile"]
EXTREMES = ("min", "max", "quantile")  # some row's own value
OPERATION = "aggregate"
DEFAULT_GROUPS = 30
MOST_GROUPS = 4096  # as many sets of rows as the differencing guard lets out of a table


# What is left out where it is as by default is not in the question: stored answers to those of before are found.
class AggregateParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One statistic of one party's column, by columns and under conditions that may be its partner's in a join.

    `most_groups` is how many groups are paid for, and no more are told; `level` is a quantile's.
    """

    statistic: Statistic
    party: str
    column: str | None
    by: Name | tuple[Name, ...] | None
    where: Where
    most_groups: Annotated[int, msgspec.Meta(ge=1, le=MOST_GROUPS)] = DEFAULT_GROUPS
    level: float | None = None

    @property
    def groups(self) -> tuple[Name, ...]:
        """The columns of the groups."""
        return () if self.by is None else (self.by,) if isinstance(self.by, Name) else self.by

    def by_text(self, owner: str) -> str:
        """The columns of the groups as `owner` calls them; "" for none."""
        return " and ".join(name.text(owner) for name in self.groups)

    @property
    def parties(self) -> frozenset[str]:
        """The owner of the rows, and its partner where columns of it are used."""
        names = (*self.groups, *(condition.name for condition in self.where))
        return frozenset((self.party, *(name.party for name in names)))

    def columns_of(self, party: str) -> tuple[str, ...]:
        """The columns of a party that are used, each once."""
        named = [Name(party=self.party, column=self.column)] if self.column is not None else []
        named += [*self.groups, *(condition.name for condition in self.where)]
        return tuple(dict.fromkeys(name.column for name in named if name.party == party))

    def conditions_of(self, party: str) -> Where:
        return tuple(condition for condition in self.where if condition.name.party == party)

    def by_of(self, party: str) -> tuple[str, ...]:
        """The columns of the groups that are this party's."""
        return tuple(name.column for name in self.groups if name.party == party)


class Aggregates(ABC):
    """Mixin: exact aggregates of one owner's rows, under its policy, minimum count and allowance.

    Groups with fewer rows than the owner's minimum count are suppressed, and the next smallest with them where the
    suppressed ones would otherwise follow from the total; the result's schema metadata says how many were
    (`withheld_groups`; 1 where fewer rows than the minimum pass altogether). Where the dataset's budget names a unit id
    its distinct values are counted in place of rows; in a joint table distinct joint keys are, and the larger of both
    owners' minimum counts holds. Nulls and NaN in the column are left out; a null group is a group of its own.

    An answer that with earlier ones tells of few rows is refused (`errors.DifferencingRefused`) and charged. A
    question to one party that was answered before is answered again without a charge.

    Notes
    -----
    `where` maps columns to a value (equal), a pair (low, high; both included, None for an open end) or a list of
    values; all must hold. Nulls and NaN never match. In a joint table the partner's columns are named "partner.column",
    in `by` and `where`: the owner of the values then learns them for every shared key. Of several columns in `by` each
    combination of values is a group; in a joint table they may be of both parties.
    """

    @verb
    def count(
        self,
        column: str | None = None,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """Count rows, or those whose `column` is neither null nor NaN.

        Parameters
        ----------
        column : str, optional
        by : str or list of str, optional
            Column whose values are the groups, or several.
        where : mapping of column to value, pair or list, optional
            Which rows; see the class.
        most_groups : int
            The most groups that may be told, which is what the question pays for. Where more would be, it is an error,
            and charged.

        Returns
        -------
        Plan of Arrow table
            Columns: those of the groups if `by` is given, and `count`. A group column that is called like a statistic
            is `key`, another `key 2`.

        Learns
        ------
        The caller: the counts and labels of groups of at least the minimum count, and how many were suppressed.

        Examples
        --------
        >>> fed["bank"]["loans"].count(by="segment", where={"age": (20, 30), "state": ["NY", "NJ"]}).release()
        """
        return self._plan("count", column, by, where, most_groups)

    @verb
    def sum(
        self,
        column: str,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """Sum of a numeric or boolean column; columns of the result: group, `count`, `sum`. As `count` otherwise."""
        return self._plan("sum", column, by, where, most_groups)

    @verb
    def mean(
        self,
        column: str,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """Mean of a numeric or boolean column; columns of the result: group, `count`, `mean`. As `count` otherwise."""
        return self._plan("mean", column, by, where, most_groups)

    @verb
    def variance(
        self,
        column: str,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """Sample variance of a numeric or boolean column, squares divided by the count less 1; null of one row.

        Columns of the result: group, `count`, `variance`. As `count` otherwise.
        """
        return self._plan("variance", column, by, where, most_groups)

    @verb
    def min(
        self,
        column: str,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """Least value of a column of numbers, dates or times, which is some row's own: needs a grant as "extreme"."""
        return self._plan("min", column, by, where, most_groups)

    @verb
    def max(
        self,
        column: str,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """Largest value of a column of numbers, dates or times, which is some row's own: needs a grant as "extreme"."""
        return self._plan("max", column, by, where, most_groups)

    @verb
    def quantile(
        self,
        column: str,
        level: float,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """The least value of a column of numbers, dates or times with at least `level` of all values up to it.

        That is some row's own, as SQL's `quantile_disc`: it needs a grant as "extreme".

        Parameters
        ----------
        level : float
            Between 0 and 1, by its decimal digits; 0.5 is the median, the lower of two in the middle.
        column, by, where, most_groups
            As in `count`.

        Returns
        -------
        Plan of Arrow table
            Columns: those of the groups, `count`, `quantile`; this is null where the values up to it, those from it on
            or those beyond it are of fewer units than the minimum count.

        Learns
        ------
        The caller: as of `max` over the rows up to it, which is what the owner's guard takes it for, so that quantiles
        of the same rows are at least the minimum count apart; where it is null, that few are on one side.
        """
        expect("level", level, float)
        return self._plan("quantile", column, by, where, most_groups, float(level))

    @verb
    def median(
        self,
        column: str,
        *,
        by: GroupColumns | None = None,
        where: Mapping[str, Any] | None = None,
        most_groups: int = DEFAULT_GROUPS,
    ) -> Plan[pa.Table]:
        """The `quantile` at 0.5."""
        return self._plan("quantile", column, by, where, most_groups, 0.5)

    def _plan(
        self,
        statistic: Statistic,
        column: str | None,
        by: GroupColumns | None,
        where: Mapping[str, Any] | None,
        most_groups: int,
        level: float | None = None,
    ) -> Plan[pa.Table]:
        value = None if column is None else self._name(column)
        if value is not None and value.party != self._owner:
            raise InvalidArgument(
                f"{column} is {value.party}'s, and this is {self._owner}'s side",
                hint=f'ask the other side: joint["{value.party}"].{statistic}("{value.column}")',
            )
        return self._ask(
            AggregateParameters(
                statistic=statistic,
                party=self._owner,
                column=None if value is None else value.column,
                by=self._by(by),
                where=canonical(where, self._name),
                most_groups=most_groups,
                level=level,
            )
        )

    def _by(self, by: GroupColumns | None) -> Name | tuple[Name, ...] | None:
        """In the one form of a request: a tuple of two or more."""
        if by is None:
            return None
        names = tuple(map(self._name, by if isinstance(by, list | tuple) else [by]))
        return names[0] if len(names) == 1 else names

    @property
    @abstractmethod
    def _owner(self) -> str:
        """Whose rows these are."""

    @abstractmethod
    def _name(self, column: str) -> Name:
        """The column that this handle calls so; an unknown one is an error that lists what exists."""

    @abstractmethod
    def _ask(self, parameters: AggregateParameters) -> Plan[pa.Table]:
        """The plan of this question."""
