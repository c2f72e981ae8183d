"""What a notebook calls on a table or on a side of a join, and the declaration of `aggregate`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ..charges import Debit, Exact
from ..errors import InvalidArgument
from ..operations import Operation, Outcome, Request, RoleInput, register
from ..privacy import ROWS, Disclosure, Learns, Need
from ..protocol import Role, checkpoint
from ..results import Plan
from . import labels
from .exact import Statistic, aggregate, groupable, numeric
from .predicates import Name, Where, canonical, check, check_type, passing, text

OPERATION = "aggregate"


class AggregateParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One statistic of one party's column, by a column and under conditions that may be its partner's in a join."""

    statistic: Statistic
    party: str
    column: str | None
    by: Name | None
    where: Where

    @property
    def parties(self) -> frozenset[str]:
        """The owner of the rows, and its partner where columns of it are used."""
        by = () if self.by is None else (self.by.party,)
        return frozenset((self.party, *by, *(condition.name.party for condition in self.where)))

    def columns_of(self, party: str) -> tuple[str, ...]:
        """The columns of a party that are used, each once."""
        named = [Name(party=self.party, column=self.column)] if self.column is not None else []
        named += [self.by] if self.by is not None else []
        named += [condition.name for condition in self.where]
        return tuple(dict.fromkeys(name.column for name in named if name.party == party))

    def conditions_of(self, party: str) -> Where:
        return tuple(condition for condition in self.where if condition.name.party == party)

    def by_of(self, party: str) -> str | None:
        """The group column, if it is this party's."""
        return self.by.column if self.by is not None and self.by.party == party else None


class Aggregates(ABC):
    """Mixin: exact aggregates of one owner's rows, under its policy, minimum count and allowance.

    Groups with fewer rows than the owner's minimum count are withheld, and the next smallest with them where the
    withheld ones would otherwise follow from the total; the result's schema metadata says how many were
    (`withheld_groups`; 1 where fewer rows than the minimum pass altogether). Where the dataset's budget names a unit id
    its distinct values are counted in place of rows; in a joint table distinct joint keys are, and the larger of both
    owners' minimum counts holds. Nulls and NaN in the column are left out; a null group is a group of its own.

    An answer over almost the same rows as an earlier one is refused (`errors.DifferencingRefused`) and charged. A
    question to one party that was answered before is answered again without a charge.

    Notes
    -----
    `where` maps columns to a value (equal), a pair (low, high; both included, None for an open end) or a list of
    values; all must hold. Nulls and NaN never match. In a joint table the partner's columns are named "partner.column",
    in `by` and `where`: the owner of the values then learns them for every shared key.
    """

    def count(
        self, column: str | None = None, *, by: str | None = None, where: Mapping[str, Any] | None = None
    ) -> Plan[pa.Table]:
        """Count rows, or those whose `column` is neither null nor NaN.

        Parameters
        ----------
        column : str, optional
        by : str, optional
            Column whose values are the groups.
        where : mapping of column to value, pair or list, optional
            Which rows; see the class.

        Returns
        -------
        Plan of Arrow table
            Columns: the group column if `by` is given, and `count`.

        Learns
        ------
        The caller: the counts and labels of groups of at least the minimum count, and how many were withheld.

        Examples
        --------
        >>> fed["bank"]["loans"].count(by="segment", where={"age": (20, 30), "state": ["NY", "NJ"]}).release()
        """
        return self._plan("count", column, by, where)

    def sum(self, column: str, *, by: str | None = None, where: Mapping[str, Any] | None = None) -> Plan[pa.Table]:
        """Sum of a numeric or boolean column; columns of the result: group, `count`, `sum`. As `count` otherwise."""
        return self._plan("sum", column, by, where)

    def mean(self, column: str, *, by: str | None = None, where: Mapping[str, Any] | None = None) -> Plan[pa.Table]:
        """Mean of a numeric or boolean column; columns of the result: group, `count`, `mean`. As `count` otherwise."""
        return self._plan("mean", column, by, where)

    def min(self, column: str, *, by: str | None = None, where: Mapping[str, Any] | None = None) -> Plan[pa.Table]:
        """Least value of a numeric or boolean column, which is some row's own: needs a grant as "extreme"."""
        return self._plan("min", column, by, where)

    def max(self, column: str, *, by: str | None = None, where: Mapping[str, Any] | None = None) -> Plan[pa.Table]:
        """Largest value of a numeric or boolean column, which is some row's own: needs a grant as "extreme"."""
        return self._plan("max", column, by, where)

    def _plan(
        self, statistic: Statistic, column: str | None, by: str | None, where: Mapping[str, Any] | None
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
                by=None if by is None else self._name(by),
                where=canonical(where, self._name),
            )
        )

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


def _check(request: Request, parameters: AggregateParameters) -> None:
    check(parameters.where)
    if parameters.statistic != "count" and parameters.column is None:
        raise InvalidArgument(f"a {parameters.statistic} needs a column")
    if set(request.parties) != parameters.parties or set(request.operands) != set(request.parties):
        raise InvalidArgument("aggregate takes the tables of those parties whose columns its parameters name")
    joint = [bool(operand.alignment) for operand in request.operands.values()]
    if len(joint) > 2 or (len(joint) == 2 and not all(joint)):
        raise InvalidArgument("aggregate takes one party's table, or both sides of one join")
    for party, operand in request.operands.items():
        if set(operand.columns) != set(parameters.columns_of(party)):
            raise InvalidArgument("aggregate takes the columns that its parameters name")


def _fits(request: Request, parameters: AggregateParameters, party: str, schema: pa.Schema) -> None:
    for condition in parameters.conditions_of(party):
        check_type(party, condition, schema.field(condition.name.column).type)
    by = parameters.by_of(party)
    if party == parameters.party:
        if parameters.column is not None:
            numeric(party, parameters.column, parameters.statistic, schema.field(parameters.column).type)
        if by is not None:
            groupable(party, by, schema.field(by).type)
    elif by is not None:
        labels.label_kind(party, by, schema.field(by).type)


def _needs(request: Request, parameters: AggregateParameters) -> dict[str, tuple[Need, ...]]:
    return {party: tuple(_uses(operand.table, party, parameters)) for party, operand in request.operands.items()}


def _uses(table: str, party: str, parameters: AggregateParameters) -> Iterator[Need]:
    """What is used of one party's table, for which part of the result."""
    owner, by, conditions = parameters.party, parameters.by_of(party), parameters.conditions_of(party)
    column = parameters.column or ROWS
    grouped = f" by {parameters.by.text(party)}" if parameters.by else ""
    result = f"{parameters.statistic} of {column}{grouped}"
    if party == owner:
        way = Disclosure.EXTREME if parameters.statistic in ("min", "max") else Disclosure.AGGREGATE
        yield Need(table=table, column=column, disclosure=way, result=result)
    if by is not None:
        yield Need(table=table, column=by, disclosure=Disclosure.GROUP_KEY, result=result)
    where = f"the rows where {text(conditions, party)}" if conditions else ""
    for condition in conditions:
        yield Need(table=table, column=condition.name.column, disclosure=Disclosure.COMPARISON, result=where)
    if party != owner:
        used = dict.fromkeys([*([by] if by is not None else []), *(c.name.column for c in conditions)])
        for name in used:
            told = f"what {owner} is told of each joint key"
            yield Need(table=table, column=name, disclosure=Disclosure.PAYLOAD, result=told)


def _price(request: Request, parameters: AggregateParameters) -> dict[str, tuple[Debit, ...]]:
    what = dict.fromkeys(request.parties, f"labels for {parameters.party}") | {parameters.party: parameters.statistic}
    return {
        party: (Debit(table=operand.table, charge=Exact(what=what[party])),)
        for party, operand in request.operands.items()
    }


def _learns(request: Request, parameters: AggregateParameters) -> tuple[Learns, ...]:
    owner = parameters.party
    of = f" of {parameters.column}" if parameters.column else ""
    own = ", some row's own value," if parameters.statistic in ("min", "max") else ""
    rows = "" if parameters.statistic == "count" else " and the number of rows"
    by = f" by {parameters.by.text(owner)}, and the labels of those groups" if parameters.by else ""
    where = f", where {text(parameters.where, owner)}" if parameters.where else ""
    joint = bool(request.operands[owner].alignment)
    least = "the owners' minimum count of joint keys" if joint else "the owner's minimum count of rows"
    what = f"the exact {parameters.statistic}{of}{own}{rows}{by}{where}, over groups of at least {least}"
    partners = [party for party in request.parties if party != owner]
    return (
        Learns(who=request.caller, what=f"{what}, and how many groups were withheld"),
        Learns(who=owner, what="; ".join(_told(parameters, partner) for partner in partners) or "nothing"),
        *(Learns(who=partner, what="nothing") for partner in partners),
        Learns(
            who="onlooker",
            what=f"about how many {'joint keys and ' if partners else ''}groups there are, from the length of the "
            f"encrypted {'streams' if partners else 'answer'}",
        ),
    )


def _told(parameters: AggregateParameters, partner: str) -> str:
    """What the partner's message tells the owner."""
    conditions, by = parameters.conditions_of(partner), parameters.by_of(partner)
    which = f"whether {text(conditions, partner)} at {partner}" if conditions else ""
    label = f"{partner}'s {by}{' where it is so' if conditions else ''}" if by is not None else ""
    return f"of each joint key, {' and '.join(filter(None, (which, label)))}; and {partner}'s minimum count"


def _role(given: RoleInput, parameters: AggregateParameters) -> Role[Outcome]:
    yield from checkpoint("aggregating", 0, 1)
    _fits(given.request, parameters, given.party, given.table.schema)
    where = parameters.conditions_of(given.party)
    if given.party != parameters.party:
        yield from labels.partner(given, parameters.by_of(given.party), where, owner=parameters.party)
        return Outcome()
    keep, min_count = passing(given.table, where), given.min_count
    if given.keys is not None and not given.table.columns:  # Arrow does not know how many rows of no column are taken
        keep = np.ones(len(given.keys), dtype=np.bool_)
    by = parameters.by_of(given.party)
    label = None if by is None else given.table.column(by)
    for partner in (party for party in given.request.parties if party != given.party):
        by_partner = parameters.by_of(partner) is not None
        told = yield from labels.owner(given, partner=partner, labelled=by_partner)
        keep, min_count = keep & told.passes, told.min_count
        label = told.label if by_partner else label
    name = parameters.by.text(given.party) if parameters.by is not None else ""
    return aggregate(
        given, parameters.statistic, parameters.column, keep=keep, by=name, labels=label, min_count=min_count
    )


register(
    Operation(
        name=OPERATION,
        parameters=AggregateParameters,
        check=_check,
        needs=_needs,
        price=_price,
        learns=_learns,
        role=_role,
        fits=_fits,
        remembered=True,
    )
)
