"""Several parties' rows taken as one table: whose they are, in which public groups, and who has the totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..protocol.groups import Key
from ..protocol.operation import Kind, Operand
from .plan import Runner
from .tables import Table, Tables, as_tables, pick_key_holder, runner_of

Sources = Tables | Table | list[Table]
Keys = Sequence[Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTables:
    """What verbs over several parties' tables have in common; they describe it.

    Attributes
    ----------
    tables : Tables, or one or more of Table
    by, keys : str and sequence, or None
        Group column and its public keys.
    key_holder : str or None
        The party that contributes nothing and has the totals; by default the first without a table.
    """

    tables: Sources
    by: str | None = None
    keys: Keys | None = None
    key_holder: str | None = None

    @property
    def group(self) -> Tables:
        """The tables, one a party."""
        return as_tables(self.tables)

    @property
    def runner(self) -> Runner:
        """The federation behind them."""
        return runner_of(*self.group)

    def operands(self, columns: Iterable[str]) -> dict[str, Operand]:
        """These columns of every table, and that of the groups."""
        used = dict.fromkeys([*columns, *([] if self.by is None else [self.by])])
        return {table.party: table.operand(*used) for table in self.group}

    def all_of(self, column: str, types: tuple[str, ...]) -> bool:
        """Whether the column is of one of these types everywhere; types are named by how they begin."""
        return all(table.type_of(column).startswith(types) for table in self.group)

    def expect(self, kinds: Mapping[str, Kind]) -> None:
        """Raise InvalidArgument where a column's type is not of the kind that is asked for."""
        for table in self.group:
            table.expect(kinds)

    def holder(self) -> str:
        """Who has the totals; raises InvalidArgument where nobody is left for it."""
        return pick_key_holder(self.runner, tuple(table.party for table in self.group), self.key_holder)
