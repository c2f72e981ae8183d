"""The declaration of `joint.moments`: what it needs, costs and discloses, and its role."""

from __future__ import annotations

import pyarrow as pa

from ...errors import InvalidArgument
from ...errors.inputs import JointQuestion
from ...governance.learns import (
    Caller,
    Eavesdropper,
    Knowledge,
    Learns,
    LengthsShow,
    MinimumCounts,
    Parties,
    Quantity,
    RoleName,
)
from ...governance.members import combine
from ...governance.policy import ROWS, Disclosure, Need
from ...governance.prices import Figures, told
from ...protocol.columns.kinds import Kind
from ...protocol.operation import Operation, Outcome, RoleInput, register
from ...protocol.roles import Role
from ..owner import groupable
from .grids import Grids
from .parameters import CONSTANT_BITS, LEAST_MIN_COUNT, MOST_PARTIES, OPERATION, JointColumn, MomentsParameters
from .protocol import moments


class JointSums(Knowledge, frozen=True):
    """Sums of columns of several owners, and of products of each two, over joint keys; some may be `categories`."""

    columns: tuple[str, ...]
    categories: bool = False

    def __str__(self) -> str:
        labels = "; the values of categories that as many keys as the owners' minimum count have"
        return (
            f"sums and sums of products of {', '.join(self.columns)} over the joint keys, each rounded at random to "
            f"what the owners' minimum count of keys make up{labels if self.categories else ''}"
        )


class EncodedColumns(Knowledge, frozen=True):
    """What parties tell each other before they multiply."""

    of: tuple[str, ...]
    categories: bool = False

    def __str__(self) -> str:
        whose = ", ".join(self.of)
        values = f"how many values of {whose}'s categories are told, and " if self.categories else ""
        complete = "of two parties, where some are, roughly how many keys are complete"
        return f"{values}whether numbers are missing at {whose}; {complete}"


class EquationsOf(Knowledge, frozen=True):
    own = RoleName.OWNER
    template = "linear equations of {others}'s columns, one for each of its own, with coefficients that it knows"
    others: str


@register(OPERATION)
class JointMoments(Operation[MomentsParameters]):
    """Sums of products of the columns that parties hold of a join's keys; every verb of `verbs` asks this."""

    parameters_type = MomentsParameters

    def check(self) -> None:
        request, columns = self.request, self.parameters.columns
        named = {(column.party, column.name) for column in columns}
        if len(named) < len(columns):
            raise InvalidArgument(JointQuestion(wrong="twice"))
        by_party = {party: tuple(c.name for c in self.parameters.of(party)) for party in request.parties}
        operands = {p: operand.columns for p, operand in request.operands.items() if operand.alignment}
        unmatched = any(operand.unmatched for operand in request.operands.values())
        those = {column.party for column in columns} == set(request.parties)
        if not those or len(request.parties) > MOST_PARTIES or operands != by_party or unmatched:
            raise InvalidArgument(JointQuestion(wrong="shape", most=MOST_PARTIES))

    def fits(self, party: str, schema: pa.Schema) -> None:
        numbers = {c.name: Kind.NUMBER for c in self.parameters.of(party) if c.kind == "number"}
        self._expect(party, schema, numbers)
        for column in self.parameters.of(party):
            if column.kind == "category":
                groupable(party, column.name, schema.field(column.name).type)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        return {party: tuple(self._uses(operand.table, party)) for party, operand in self.request.operands.items()}

    def _uses(self, table: str, party: str) -> list[Need]:
        result = f"{self.parameters.statistic} over the join"
        found = [Need(table=table, column=ROWS, disclosure=Disclosure.JOINT_STATISTIC, result=result)]
        for column in self.parameters.of(party):
            found.append(Need(table=table, column=column.name, disclosure=Disclosure.JOINT_STATISTIC, result=result))
            if column.kind == "category":
                found.append(Need(table=table, column=column.name, disclosure=Disclosure.GROUP_KEY, result=result))
        return found

    def figures(self) -> dict[str, Figures]:
        """Of each party's columns their products with each other, with the others' and with 1, and where numbers begin
        and their steps."""
        found = {}
        for party in self.request.parties:
            mine = _width(self.parameters.of(party))
            others = _width(self.parameters.columns) - mine
            constants = 2 * sum(column.kind == "number" for column in self.parameters.of(party))
            parts = (told(mine * (mine + 1) // 2), told(mine * (others + 1)), told(constants))
            found[party] = Figures(what=f"joint {self.parameters.statistic}", told=parts)
        return found

    def bits(self) -> dict[str, dict[str, int]]:
        """Each figure in which a column is tells so many of it: of all others somebody may know everything."""
        columns = [column for column in self.parameters.columns for _ in range(column.groups)]
        grids = Grids(
            keys=self.parameters.keys,
            min_count=LEAST_MIN_COUNT,  # the owners' own are not known here: it can only be larger, and the grids too
            numbers=tuple(column.kind == "number" for column in columns),
            lacking=False,
        )
        found: dict[str, dict[str, int]] = {party: {} for party in self.request.parties}
        for i, column in enumerate(columns, 1):
            told = CONSTANT_BITS if column.kind == "number" else 0
            told += grids.told(0, i)
            for j, other in enumerate(columns, 1):
                if "number" in (column.kind, other.kind) or column.party != other.party:
                    told += grids.told(i, j)
            found[column.party][column.name] = found[column.party].get(column.name, 0) + told
        return found

    def contributors(self) -> tuple[str, ...]:
        return ()

    def learns(self) -> tuple[Learns, ...]:
        parties, asked = self.request.parties, self.parameters.columns
        columns, categories = tuple(column.text for column in asked), any(c.kind == "category" for c in asked)
        by_party = {party: tuple(other for other in parties if other != party) for party in parties}
        return (
            Learns.of(
                Caller(self.request.caller),
                JointSums(columns=columns, categories=categories),
            ),
            *(
                Learns.of(
                    Parties((party,)),
                    *([EncodedColumns(of=others, categories=categories), MinimumCounts(of=others)] if others else []),
                )
                for party, others in by_party.items()
            ),
            Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.JOINT_KEYS, Quantity.COLUMNS))),
        )

    def role(self, given: RoleInput) -> Role[Outcome]:
        found = yield from moments(given, self.parameters)
        value = {
            "keys": found.keys,
            "complete": found.complete,
            "min_count": found.min_count,
            "lacking": found.lacking,
            "numbers": list(found.numbers),
            "facts": list(found.facts),
        }
        return Outcome(value=value, table=found.parts)


def _width(columns: tuple[JointColumn, ...] | list[JointColumn]) -> int:
    """The most encoded columns that these are."""
    return sum(column.groups for column in columns)


def _equations(figures: JointSums, others: tuple[str, ...]) -> Knowledge | None:
    return EquationsOf(others=", ".join(others)) if others else None


combine(
    JointSums,
    role=RoleName.OWNER,
    gives=_equations,
    because="it knows its own columns; the bits of a column's entropy bound how many and how exact",
)
