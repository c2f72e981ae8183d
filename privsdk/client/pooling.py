"""Tables of several parties as verbs over their rows take them: columns, groups, conditions, and who has the totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import pyarrow as pa

from ..protocol.columns.keys import GroupColumns, PublicGroups, public_groups, type_named
from ..protocol.columns.kinds import TypeCheck
from ..protocol.columns.numbers import places
from ..protocol.columns.predicates import Where, canonical, columns_of, own
from ..protocol.operation import Operand
from .runner import Runner, pick_key_holder
from .tables import Keys, Sources, Tables, as_tables, runner_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTables:
    """What verbs over several parties' tables have in common; they describe it.

    Attributes
    ----------
    tables : Tables, or one or more of Table
    by, keys : str and sequence, or sequences of column and of tuple, or None
        Group column or columns, and the public keys.
    others : bool
        Whether all other rows are a group too.
    where : mapping of column to value, pair or list, or None
        Conditions on columns that each table has.
    key_holder : str or None
        The party that contributes nothing and has the totals; by default the first without a table.
    """

    tables: Sources
    by: GroupColumns | None = None
    keys: Keys | None = None
    others: bool = False
    where: Mapping[str, Any] | None = None
    key_holder: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From a verb's arguments."""
        return cls(**{each.name: given[each.name] for each in fields(cls) if each.name in given})

    @property
    def group(self) -> Tables:
        """The tables, one a party."""
        return as_tables(self.tables)

    @property
    def runner(self) -> Runner:
        """The federation behind them."""
        return runner_of(*self.group)

    @property
    def conditions(self) -> Where:
        """Which rows enter, in the one form of a request."""
        return canonical(self.where, own)

    def operands(self, columns: Iterable[str]) -> dict[str, Operand]:
        """These columns of every table, that of the groups, and those of conditions."""
        used = [*columns, *self.groups.columns, *columns_of(self.conditions)]
        for column in used:
            next(iter(self.group)).type_of(column)
        return {table.party: table.operand(*dict.fromkeys(used)) for table in self.group}

    def places(self, column: str) -> int | None:
        """The most decimal places that the column has anywhere; None where it holds floats."""
        return places(table.type_of(column) for table in self.group)

    @property
    def groups(self) -> PublicGroups:
        """The public groups."""
        return public_groups(self.by, self.keys, others=self.others)

    def label_types(self) -> list[pa.DataType | None]:
        """The group columns' types, where each is one everywhere."""
        types = [{table.type_of(column) for table in self.group} for column in self.groups.columns]
        return [type_named(*each) if len(each) == 1 else None for each in types]

    def expect(self, kinds: Mapping[str, TypeCheck]) -> None:
        """Raise InvalidArgument where a column's type is not of the kind that is asked for, or not compared with what a
        condition gives."""
        for table in self.group:
            table.expect(kinds, self.conditions)

    def holder(self, operation: str) -> str:
        """Who has the totals; raises InvalidArgument where nobody is left for it."""
        return pick_key_holder(self.runner, tuple(table.party for table in self.group), self.key_holder, operation)
