"""Handles: names of parties and tables that a notebook can hold, one by one or taken as one. They never hold rows."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import msgspec
import pyarrow as pa
from msgspec import UNSET

from ..display.cards import Card, Displayed, Grid, grouped, without_empty
from ..errors import InvalidArgument, UnknownName, UnsupportedUse
from ..errors.absent import NoContainer
from ..errors.inputs import NotTables
from ..governance.charges import Unit
from ..protocol.columns.keys import GivenKey, type_named
from ..protocol.columns.kinds import TypeCheck
from ..protocol.columns.predicates import Name, Where, check_type
from ..protocol.control import Description, TableInfo
from ..protocol.operation import Operand, Request
from .aggregates import OPERATION, AggregateParameters, Aggregates
from .budgets import balance_facts, balances_grid
from .plan import Plan
from .runner import Runner


class Handle(Displayed, NoContainer):
    """A name for something at a party. Handles are bound to their federation and cannot be pickled."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} handle belongs to its open federation and cannot be pickled; "
            "open the federation where you need it"
        )


class Table(Handle, Aggregates):
    """One table at one party: its columns and what its owner permits, never its rows.

    Its verbs are exact aggregates of the owner's rows; see `count`.
    """

    def __init__(self, runner: Runner, party: str, info: TableInfo, *, min_parties: int = 1) -> None:
        self.party = party
        self.name = info.name
        self.min_parties = min_parties
        self.columns: dict[str, str] = {column.name: column.type for column in info.columns}
        self._info = info
        self._runner = runner

    def operand(self, *columns: str) -> Operand:
        """These columns as an operand; an unknown one is an error that lists what exists."""
        for column in columns:
            self.type_of(column)
        return Operand(table=self.name, columns=columns)

    @property
    def unit(self) -> Unit:
        """Whose privacy the owner's epsilon is about: one row's, or all rows' of one id."""
        return self._info.unit

    def expect(self, kinds: Mapping[str, TypeCheck], where: Where = ()) -> None:
        """Raise InvalidArgument where a column's type is not of the kind that is asked for, or not compared with what a
        condition gives."""
        for column, kind in kinds.items():
            kind.check(f"{self.party}/{self.name}.{column}", self.type_of(column))
        for condition in where:
            type_ = type_named(self.type_of(condition.name.column))
            if type_ is not None:  # else it is its party that refuses
                check_type(self.party, condition, type_)

    def type_of(self, column: str) -> str:
        """The Arrow type of a column, as text."""
        if not isinstance(column, str) or column not in self.columns:  # a list of names is no name
            raise UnknownName.among("column", column, self.columns, where=f"in {self.party}/{self.name}")
        return self.columns[column]

    def range_of(self, column: str) -> tuple[float, float] | None:
        """The least and largest value that its owner declares of a column."""
        return next(each.range for each in self._info.columns if each.name == column)

    def _reached(self) -> Mapping[str, str]:
        return {name: f'table.mean("{name}")' for name in self.columns}

    @property
    def _owner(self) -> str:
        return self.party

    def _name(self, column: str) -> Name:
        self.type_of(column)
        return Name(party=self.party, column=column)

    def _ask(self, parameters: AggregateParameters) -> Plan[pa.Table]:
        request = new_request(
            self._runner,
            OPERATION,
            parties=(self.party,),
            operands={self.party: self.operand(*parameters.columns_of(self.party))},
            parameters=msgspec.to_builtins(parameters),
        )
        return Plan(self._runner, request, lambda answers: answers[self.party].table)

    def _card(self) -> Card:
        title = f"{self.party}/{self.name} (dataset {self._info.dataset})"
        titles = self._runner.titles
        facts = [("party", titles.titled(self.party))] if titles.of(self.party) else []
        facts += [("protects", f"{self.unit.protected}, in differentially private releases")]
        alike, grid = columns_grid([(c.name, c.type, ", ".join(c.permits) or "nothing") for c in self._info.columns])
        return Card(title=title, facts=[*facts, *alike], grids=(("columns", grid),))


def columns_grid(columns: list[tuple[str, str, str]]) -> tuple[list[tuple[str, str]], Grid]:
    """Columns with their types and permitted uses; where those are the same for all, they are said once, as a fact."""
    if len({permits for _, _, permits in columns}) == 1:
        facts = [("permitted to you, every column", columns[0][2])]
        return facts, Grid(header=("column", "type"), rows=[(name, type_) for name, type_, _ in columns])
    return [], Grid(header=("column", "type", "permitted to you"), rows=columns)


class Tables(Handle):
    """Tables of several parties that hold the same columns for different rows."""

    def __init__(self, tables: tuple[Table, ...]) -> None:
        if not tables:
            raise InvalidArgument("no tables were given", hint='use fed.tables("name") or a list of tables')
        parties = [table.party for table in tables]
        if len(set(parties)) != len(parties):
            raise InvalidArgument(f"two tables of one party: {', '.join(parties)}", hint="give one table a party")
        self._tables = tables

    def __iter__(self) -> Iterator[Table]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def _reached(self) -> Mapping[str, str]:
        columns = {name for table in self._tables for name in table.columns}
        return {name: f'he.mean(tables, "{name}")' for name in columns} | {
            table.party: f'fed["{table.party}"]["{table.name}"]' for table in self._tables
        }

    def _card(self) -> Card:
        first = self._tables[0]
        common = [name for name in first.columns if all(name in table.columns for table in self._tables)]
        titles = first._runner.titles
        rows = [
            (f"{t.party}/{t.name}", t._info.dataset, f"{len(t.columns)}", t.unit.protected, titles.of(t.party))
            for t in self._tables
        ]
        header = ("table", "dataset", "columns", "protects", "title of its party")
        grids = [("tables", without_empty(Grid(header=header, rows=rows)))]
        facts = []
        if common:
            alike, grid = columns_grid([(name, self._types(name), self._permits(name)) for name in common])
            facts += alike
            grids.append(("columns that all have", grid))
        else:
            facts.append(("columns", "none in common"))
        others = {f"{t.party}/{t.name}": ", ".join(c for c in t.columns if c not in common) for t in self._tables}
        facts += [(f"only some have, {name}", names) for name, names in others.items() if names]
        return Card(title=f"tables of {', '.join(t.party for t in self._tables)}", facts=facts, grids=grids)

    def _types(self, column: str) -> str:
        """Its type; where parties differ, each type with those that have it."""
        whose = grouped((table.columns[column], table.party) for table in self._tables)
        return next(iter(whose)) if len(whose) == 1 else ", ".join(f"{t} ({', '.join(p)})" for t, p in whose.items())

    def _permits(self, column: str) -> str:
        """What every owner permits."""
        ways = [next(c.permits for c in t._info.columns if c.name == column) for t in self._tables]
        return ", ".join(way for way in ways[0] if all(way in each for each in ways)) or "nothing by all"


class Side(Handle):
    """One party's rows of a joint table, for verbs that know nothing of joins."""

    party: str
    table: Table

    @abstractmethod
    def _bounded(self, own: Operand, rows: int) -> dict[str, Operand]:
        """The operands of a release with noise, of all parties of the join: that of this party's table, with so many
        rows of a joint key at most, and of the others no more than that they take part."""


class Party(Handle):
    """One party of a federation; index it with a table's name."""

    def __init__(self, runner: Runner, description: Description) -> None:
        self.name = description.party
        self._runner = runner
        self._description = description

    @property
    def tables(self) -> dict[str, Table]:
        least = self._description.policy.min_parties
        return {info.name: Table(self._runner, self.name, info, min_parties=least) for info in self._description.tables}

    def __getitem__(self, table: str) -> Table:
        tables = self.tables
        if not isinstance(table, str) or table not in tables:
            raise UnknownName.among("table", table, tables, where=f"at {self.name}")
        return tables[table]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.tables)

    def _reached(self) -> Mapping[str, str]:
        return {name: f'fed["{self.name}"]["{name}"]' for name in self.tables}

    def _card(self) -> Card:
        d, title = self._description, self._runner.titles.of(self.name)
        facts = [
            *([("title", title)] if title else []),
            ("operations", ", ".join(d.operations) or "none"),
            ("joint results", f"at least {d.policy.min_parties} contributors, not counting one who sees the result"),
            ("ledger", d.ledger),
            *balance_facts({"": d.balances}),
        ]
        facts += [("now", f"{d.running} run{'s' * (d.running != 1)} under way")] if d.running else []
        if not d.tables:
            return Card(title=f"party {self.name}", facts=[("tables", "none; it can hold keys for others"), *facts])
        rows = [(t.name, t.dataset, ", ".join(column.name for column in t.columns)) for t in d.tables]
        grids = [("tables", Grid(header=("table", "dataset", "columns"), rows=rows))]
        grids += [("budgets", balances_grid({"": d.balances}))] if d.balances else []
        return Card(title=f"party {self.name}", facts=facts, grids=grids)


Sources = Tables | Table | list[Table]
Keys = Sequence[GivenKey] | Sequence[tuple[GivenKey, ...]]  # tuples by several columns


def as_tables(tables: Tables | Table | list[Table] | tuple[Table, ...]) -> Tables:
    if isinstance(tables, Tables):
        return tables
    if isinstance(tables, Table):
        return Tables((tables,))
    if isinstance(tables, list | tuple) and all(isinstance(table, Table) for table in tables):
        return Tables(tuple(tables))
    given = (
        next((x for x in tables if not isinstance(x, Table)), tables) if isinstance(tables, list | tuple) else tables
    )
    raise UnsupportedUse(NotTables(given=type(given).__name__))


def runner_of(*tables: Table) -> Runner:
    """The federation behind these tables; tables of two federations cannot be combined."""
    runner = tables[0]._runner
    if any(table._runner is not runner for table in tables):
        raise InvalidArgument("the tables belong to different federations", hint="open one federation with all parties")
    return runner


def new_request(
    runner: Runner,
    operation: str,
    *,
    parties: tuple[str, ...],
    operands: Mapping[str, Operand],
    parameters: Mapping[str, Any],
    exact_of: Iterable[Table] = (),
) -> Request:
    """A request in the caller's name, under a fresh run id; `exact_of` are the tables that an exact result pools."""
    min_parties = {table.party: table.min_parties for table in exact_of}
    return Request(
        run_id=secrets.token_hex(8),
        operation=operation,
        caller=runner.caller,
        purpose=runner.purpose,
        parties=parties,
        operands=dict(operands),
        parameters=dict(parameters),
        min_parties=min_parties or UNSET,
    )
