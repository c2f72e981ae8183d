"""`psi.difference` and its declaration: the rows of one party whose keys another lacks, handed to the caller.

The only operation by which rows leave their owner, each of them under a grant for its columns: a deduplicated return
of data. The owner runs an intersection that it alone learns, masks the rows whose keys the other party has, and returns
the rest. The other party takes part with its keys and learns nothing but sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ..client.plan import Plan
from ..client.tables import Table, runner_of
from ..display.cards import Card, Displayed, grid_of
from ..display.tabular import Tabular
from ..errors import InvalidArgument
from ..errors.calls import verb
from ..governance.learns import Caller, Eavesdropper, Knowledge, Learns, LengthsShow, Parties, Quantity, RoleName
from ..governance.members import combine
from ..governance.policy import Disclosure, Need
from ..governance.prices import SET, Figures, Lever, told
from ..protocol.columns import predicates
from ..protocol.columns.predicates import Name, Where
from ..protocol.control import Finished
from ..protocol.groups import shown
from ..protocol.operation import Outcome, RoleInput, register
from ..protocol.roles import Role
from . import question
from .protocols.choose import Protocol, explained


class Difference(Displayed, Tabular):
    """Rows of one party whose keys another lacks.

    Attributes
    ----------
    table : Arrow table
        The returned rows, with the columns that were asked for.
    masked : int or None
        Distinct keys among the chosen rows that were left out because the other party has them; None where they are
        fewer than `min_count`, or none: else a question about one key would disclose whether both have it.
    min_count : int
        The larger of both owners' minimum counts.
    """

    def __init__(self, table: pa.Table, *, masked: int | None, min_count: int) -> None:
        self.table = table
        self.masked = masked
        self.min_count = min_count

    def __str__(self) -> str:
        masked = f"fewer than {self.min_count}" if self.masked is None else f"{self.masked:,}"
        return f"{self.table.num_rows:,} rows returned, {masked} keys masked"

    def to_arrow(self) -> pa.Table:
        """The returned rows."""
        return self.table

    def _card(self) -> Card:
        return Card(title=str(self), answers=(("rows", grid_of(self.table)),))


@verb
def difference(
    mine: Table,
    yours: Table,
    *,
    on: question.On,
    columns: Sequence[str],
    where: Mapping[str, Any] | None = None,
    protocol: Protocol = "auto",
) -> Plan[Difference]:
    """Return the rows of `mine` whose keys `yours` lacks.

    Parameters
    ----------
    mine : Table
        Whose rows are returned, where its owner grants their columns as "row return".
    yours : Table
        Of another party: rows whose keys it has already are masked. Its owner grants its key as "join key".
    on : str, list of str, Key, or a mapping of party to one of these
        The key; see `join`. A row without a key is not returned.
    columns : list of str
        What to return of `mine`.
    where : mapping, optional
        Which rows, as in `count`: for example {"label": 1}. These columns are disclosed as well.
    protocol : "auto", "ddh" or "kkrt"
        See `join`.

    Returns
    -------
    Plan of Difference

    Learns
    ------
    The caller: the returned rows, and how many keys were masked where that reaches the minimum count. If it knows by
    other means that `mine` has a key and it is not returned, that `yours` has it. The owner of `mine`: which of its own
    keys the other has, and how many distinct ones. The owner of `yours`: how many distinct keys the other has. An
    eavesdropper: both numbers of keys, and how long the answer is.

    Examples
    --------
    >>> new = psi.difference(fed["rail"]["trips"], fed["park"]["guests"], on="id", columns=["id", "home"],
    ...                      where={"label": 1}).release().value
    >>> new.table.to_pandas()
    """
    if isinstance(columns, str) or not columns or not all(isinstance(column, str) for column in columns):
        raise InvalidArgument(
            "columns is no list of names of columns to return", hint='give a list, as in columns=["id", "city"]'
        )
    question.expect_tables("psi.difference", (mine, yours))
    conditions = predicates.canonical(where, lambda column: Name(party=mine.party, column=column))
    request = question.question(
        "psi.difference",
        (mine, yours),
        on,
        columns={mine.party: (*columns, *(condition.name.column for condition in conditions))},
        more={"columns": tuple(columns), "where": msgspec.to_builtins(conditions), "protocol": protocol},
    )

    def finish(answers: Mapping[str, Finished]) -> Difference:
        answer = answers[mine.party]
        return Difference(answer.table, masked=answer.value["masked"], min_count=answer.value["min_count"])

    notes = question.notes((mine, yours), request, explained(protocol, request.parties))
    return Plan(runner_of(mine, yours), request, finish, notes=notes)


class DifferenceParameters(question.IntersectionParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    columns: tuple[str, ...]
    where: Where

    @property
    def returned(self) -> tuple[str, ...]:
        """Every column that a returned row discloses something of."""
        return tuple(dict.fromkeys((*self.columns, *(condition.name.column for condition in self.where))))


class ReturnedRows(Knowledge, frozen=True):
    """Rows of `owner` whose keys `other` lacks; `where` is the condition on them, as `predicates.text` writes it."""

    own = RoleName.OWNER
    owner: str
    other: str
    columns: tuple[str, ...]
    where: str = ""

    def __str__(self) -> str:
        where = f" where {self.where}" if self.where else ""
        return (
            f"{', '.join(self.columns)} of each row of {self.owner}{where} whose key {self.other} lacks; how many keys "
            f"of such rows {self.other} has, if not fewer than the owners' minimum count; of a key that it knows "
            f"{self.owner} to have there, by its absence, that {self.other} has it"
        )


class MaskedNumber(Knowledge, frozen=True):
    template = "how many of its keys {owner} has, however few, and not which"
    owner: str


combine(
    question.KeyNumbers,
    ReturnedRows,
    role=RoleName.PARTNER,
    gives=lambda _, rows, others: None if rows.where else MaskedNumber(owner=rows.owner),
    because="all keys less those that came",
)


@register("psi.difference")
class ReturnUnmatched(question.Intersection[DifferenceParameters]):
    parameters_type = DifferenceParameters

    @property
    def owner(self) -> str:
        """Whose rows are returned."""
        return self.request.parties[0]

    def columns(self) -> Mapping[str, Sequence[str]]:
        return {self.owner: self.parameters.returned}

    def check(self) -> None:
        super().check()
        predicates.check(self.parameters.where)
        columns = self.parameters.columns
        if not columns or len(set(columns)) < len(columns):
            raise InvalidArgument(
                "psi.difference returns one column or more, and none twice", hint="name each column once"
            )
        if any(condition.name.party != self.owner for condition in self.parameters.where):
            raise InvalidArgument("the rows of psi.difference are chosen by their owner's columns alone")

    def fits(self, party: str, schema: pa.Schema) -> None:
        super().fits(party, schema)
        if party == self.owner:
            for condition in self.parameters.where:
                predicates.check_type(party, condition, schema.field(condition.name.column).type)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        found, table = super().needs(), self.request.operands[self.owner].table
        rows = [Need(table=table, column=c, disclosure=Disclosure.ROW_RETURN) for c in self.parameters.returned]
        return {**found, self.owner: (*found[self.owner], *rows)}

    def figures(self) -> dict[str, Figures]:
        """The other party tells which keys it has; the owner a column of values for each that is returned."""
        figures, returned = super().figures(), told(len(self.parameters.returned), Lever.RETURNED, each=SET)
        return {**figures, self.owner: Figures(what=self.request.operation, told=(told(SET), returned))}

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        owner, other = self.request.parties
        return {owner: (RoleName.OWNER,), other: (RoleName.PARTNER,)}

    def learns(self) -> tuple[Learns, ...]:
        owner, other = self.request.parties
        where = predicates.text(self.parameters.where, owner) if self.parameters.where else ""
        return (
            Learns.of(Parties((owner,)), question.SharedKeys(others=(other,)), *question.learned_by_terms(other)),
            Learns.of(Parties((other,)), *question.learned_by_terms(owner)),
            Learns.of(
                Caller(self.request.caller),
                ReturnedRows(owner=owner, other=other, columns=self.parameters.columns, where=where),
            ),
            Learns.of(Eavesdropper(), question.KEY_NUMBERS_SHOW, LengthsShow(of=(Quantity.RETURNED,))),
        )

    def role(self, given: RoleInput) -> Role[Outcome]:
        keys, agreed, found = yield from self.intersected(given, learner=self.owner)
        if given.party != self.owner:
            return Outcome(value={"min_count": agreed.min_count})
        chosen = predicates.passing(given.table, self.parameters.where) & (keys.codes >= 0)
        held = np.zeros(keys.size + 1, np.bool_)  # one more, for rows without a key
        held[found] = True
        masked = len(np.unique(keys.codes[chosen & held[keys.codes]]))
        rows = np.flatnonzero(chosen & ~held[keys.codes])
        return Outcome(
            table=given.table.select(list(self.parameters.columns)).take(pa.array(rows)),
            value={"masked": shown(masked, agreed.min_count), "min_count": agreed.min_count},
        )
