"""Joint tables: what each side of a join can compute over its matched rows, under its own policy.

The notebook holds the random ids of an alignment's two sides; the rows stay at the parties.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pyarrow as pa

from ..client.aggregates import OPERATION, AggregateParameters, Aggregates
from ..client.plan import Plan, Runner
from ..client.tables import Handle, Table, new_request
from ..display.cards import Card, Grid
from ..errors import UnknownName
from ..protocol.control import Finished
from ..protocol.operation import Operand, Request
from ..protocol.predicates import Name
from .protocols.choose import NAMES


class Joint(Handle):
    """The result of a join: index it with a party's name for that party's side."""

    def __init__(
        self, runner: Runner, request: Request, answers: Mapping[str, Finished], tables: Mapping[str, Table]
    ) -> None:
        sizes = [answer.value["keys"] for answer in answers.values()]
        self.size: int | None = None if None in sizes else sizes[0]
        self.protocol: str = next(iter(answers.values())).value["protocol"]
        self.min_count: int = max(answer.value["min_count"] for answer in answers.values())
        self.parties = request.parties
        alignments = {party: answers[party].alignment for party in request.parties}
        self._sides = {party: JointSide(runner, party, tables, alignments) for party in request.parties}

    def __getitem__(self, party: str) -> JointSide:
        if party not in self._sides:
            raise UnknownName.among("party", party, self._sides, where="in this join")
        return self._sides[party]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._sides)

    def __str__(self) -> str:
        size = f"fewer than {self.min_count}" if self.size is None else f"{self.size:,}"
        *others, last = self.parties
        return f"joint table of {', '.join(others)} and {last}: {size} shared keys"

    def _card(self) -> Card:
        sides = ", ".join(f'["{party}"]' for party in self.parties)
        return Card(title=str(self), facts=[("sides", sides), ("protocol", NAMES[self.protocol])])


class JointSide(Handle, Aggregates):
    """One party's matched rows: exact aggregates of its own columns, by its own or its partner's; see `count`.

    The partner's columns are named "partner.column", in `by` and `where`. Then the partner takes part: it tells this
    party of each shared key whether it passes, and its label. A key passes if any of its rows there does; its label is
    the one that all those rows have, null where they differ.
    """

    def __init__(self, runner: Runner, party: str, tables: Mapping[str, Table], alignments: Mapping[str, str]) -> None:
        self.party = party
        self.table = tables[party]
        self._runner = runner
        self._tables = {name: tables[name] for name in alignments}  # in the join's order, which says who dials whom
        self._alignments = alignments

    @property
    def _owner(self) -> str:
        return self.party

    def _name(self, column: str) -> Name:
        party, _, rest = column.partition(".")
        if column not in self.table.columns and party in self._tables:
            self._tables[party].type_of(rest)
            return Name(party=party, column=rest)
        if column not in self.table.columns:
            known = [*self.table.columns, *(f"{p}.{c}" for p, t in self._tables.items() for c in t.columns)]
            raise UnknownName.among("column", column, known, where=f"on {self.party}'s side of this join")
        return Name(party=self.party, column=column)

    def _ask(self, parameters: AggregateParameters) -> Plan[pa.Table]:
        parties = tuple(party for party in self._tables if party in parameters.parties)
        request = new_request(
            self._runner,
            OPERATION,
            parties=parties,
            operands={
                party: Operand(
                    table=self._tables[party].name,
                    columns=parameters.columns_of(party),
                    alignment=self._alignments[party],
                )
                for party in parties
            },
            parameters=msgspec.to_builtins(parameters),
        )
        return Plan(self._runner, request, lambda answers: answers[self.party].table)

    def _card(self) -> Card:
        rows = [(name, type_) for name, type_ in self.table.columns.items()]
        return Card(
            title=f"{self.party}'s side of a join ({self.table.name})",
            facts=[("offers", ".count(column=None, by=None, where=None), .sum(column, ...), .mean, .min, .max")],
            grids=(("columns", Grid(header=("column", "type"), rows=rows)),),
        )
