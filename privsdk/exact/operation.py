"""The declaration of `aggregate`: what it needs, costs and discloses, and its roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import pyarrow as pa

from ..client.aggregates import EXTREMES, OPERATION, AggregateParameters
from ..errors import InvalidArgument
from ..errors.inputs import GroupsMisfit, LevelMisfit
from ..governance.learns import (
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
from ..governance.members import combine
from ..governance.policy import ROWS, Disclosure, Need
from ..governance.prices import SET, Factor, Figures, Lever, told
from ..protocol.columns.predicates import check, passing, text
from ..protocol.operation import Operation, Outcome, RoleInput, register
from ..protocol.roles import Role, checkpoint
from . import labels, statistics
from .owner import aggregate, groupable


class ExactFigures(Knowledge, frozen=True):
    """A statistic of one owner's rows, with `joint` of its side of a join, or of what that did not match (`unmatched`),
    and how many groups were suppressed."""

    own = RoleName.OWNER
    statistic: str
    column: str = ""
    by: str = ""
    where: str = ""
    joint: bool = False
    unmatched: bool = False
    level: float | None = None

    def __str__(self) -> str:
        of = f" at {self.level:g}" if self.level is not None else ""
        of += f" of {self.column}" if self.column else ""
        own = ", some row's own value," if self.statistic in EXTREMES else ""
        rows = "" if self.statistic == "count" else " and the number of rows"
        by = f" by {self.by}, and the labels of those groups" if self.by else ""
        where = f", where {self.where}" if self.where else ""
        keys = "keys" if self.unmatched else "joint keys"
        least = f"the owners' minimum count of {keys}" if self.joint else "the owner's minimum count of rows"
        figures = f"the exact {self.statistic}{of}{own}{rows}{by}{where}, over groups of at least {least}"
        figures += ", of rows that the join did not match" if self.unmatched else ""
        figures += "; of which groups few are on one side of it" if self.level is not None else ""
        return f"{figures}; how many groups were suppressed"


class JointKeyLabels(Knowledge, frozen=True):
    """What a partner says of each joint key: whether it passes a condition, its label, or both."""

    partner: str
    where: str = ""
    label: tuple[str, ...] = ()

    def __str__(self) -> str:
        which = f"whether {self.where} at {self.partner}" if self.where else ""
        names = ", ".join(self.label)
        label = f"{self.partner}'s {names}{' where it is so' if self.where else ''}" if names else ""
        return f"of each joint key, {' and '.join(filter(None, (which, label)))}"


class FiguresByItsKeys(Knowledge, frozen=True):
    template = "these figures over joint keys that it knows one by one and labels as it likes"


combine(
    ExactFigures,
    role=RoleName.PARTNER,
    gives=lambda *_: FiguresByItsKeys(),
    because="the labels and conditions are of its own rows",
)


@register(OPERATION)
class Aggregate(Operation[AggregateParameters]):
    """An exact statistic of one party's rows, of a table or of its side of a join."""

    parameters_type = AggregateParameters
    remembered = True

    def check(self) -> None:
        request, parameters = self.request, self.parameters
        check(parameters.where)
        if parameters.by == () or len(set(parameters.groups)) != len(parameters.groups):
            raise InvalidArgument(GroupsMisfit(by=tuple(name.text(parameters.party) for name in parameters.groups)))
        level = parameters.level
        if (parameters.statistic == "quantile") != (level is not None) or not 0 < (0.5 if level is None else level) < 1:
            raise InvalidArgument(LevelMisfit(level=level))
        if parameters.statistic != "count" and parameters.column is None:
            raise InvalidArgument(
                f"a {parameters.statistic} needs a column",
                hint=f'table.{parameters.statistic}("column"), or table.count()',
            )
        if set(request.parties) != parameters.parties or set(request.operands) != set(request.parties):
            raise InvalidArgument("aggregate takes the tables of those parties whose columns its parameters name")
        joint = [bool(operand.alignment) for operand in request.operands.values()]
        if len(joint) > 2 or (len(joint) == 2 and not all(joint)):
            raise InvalidArgument("aggregate takes one party's table, or both sides of one join")
        for party, operand in request.operands.items():
            if operand.unmatched and len(joint) > 1:  # it has no joint keys for a partner to label
                raise InvalidArgument("rows that a join did not match are one party's, by its own columns")
            if set(operand.columns) != set(parameters.columns_of(party)):
                raise InvalidArgument("aggregate takes the columns that its parameters name")

    def fits(self, party: str, schema: pa.Schema) -> None:
        parameters, by = self.parameters, self.parameters.by_of(party)
        self._expect(party, schema, {}, parameters.conditions_of(party))
        if party == parameters.party:
            if parameters.column is not None:
                statistics.check_type(
                    party, parameters.column, parameters.statistic, schema.field(parameters.column).type
                )
            for each in by:
                groupable(party, each, schema.field(each).type)
        else:
            for each in by:
                labels.label_kind(party, each, schema.field(each).type)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        return {party: tuple(self._uses(operand.table, party)) for party, operand in self.request.operands.items()}

    def _uses(self, table: str, party: str) -> Iterator[Need]:
        """What is used of one party's table, for which part of the result."""
        parameters = self.parameters
        by, conditions = parameters.by_of(party), parameters.conditions_of(party)
        column = parameters.column or ROWS
        grouped = f" by {parameters.by_text(party)}" if parameters.by else ""
        result = f"{parameters.statistic} of {column}{grouped}"
        if party == parameters.party:
            way = Disclosure.EXTREME if parameters.statistic in EXTREMES else Disclosure.AGGREGATE
            yield Need(table=table, column=column, disclosure=way, result=result)
            for partner in self.request.parties:
                if partner != party:
                    yield from self._by_partner(table, partner, result)
        for each in by:
            yield Need(table=table, column=each, disclosure=Disclosure.GROUP_KEY, result=result)
        where = f"the rows where {text(conditions, party)}" if conditions else ""
        for condition in conditions:
            yield Need(table=table, column=condition.name.column, disclosure=Disclosure.COMPARISON, result=where)
        if party != parameters.party:
            used = dict.fromkeys([*by, *(c.name.column for c in conditions)])
            result = f"what {parameters.party} learns of each joint key"
            for name in used:
                yield Need(table=table, column=name, disclosure=Disclosure.PAYLOAD, result=result)

    def _by_partner(self, table: str, partner: str, result: str) -> Iterator[Need]:
        """A partner that labels or filters this party's rows by what it likes chooses their groups as by a column."""
        if self.parameters.by_of(partner):
            yield Need(table=table, column=ROWS, disclosure=Disclosure.GROUP_KEY, result=result)
        if self.parameters.conditions_of(partner):
            yield Need(table=table, column=ROWS, disclosure=Disclosure.COMPARISON, result=result)

    def figures(self) -> dict[str, Figures]:
        """Of the owner's rows the statistic and the number of rows of each group, and how many groups are suppressed;
        of a partner's whether each joint key passes, and its label."""
        owner, parameters = self.parameters.party, self.parameters
        each, groups = 1 if parameters.statistic == "count" else 2, told(1)
        if parameters.by is not None:
            groups = told(parameters.most_groups, Lever.MOST_GROUPS)
        groups = msgspec.structs.replace(groups, factors=(*groups.factors, Factor(each)))
        noise = f"dp.{parameters.statistic}" if parameters.statistic not in ("min", "max") else ""
        found = {owner: Figures(what=parameters.statistic, told=(groups, told(1)), noise=noise)}
        for partner in (party for party in self.request.parties if party != owner):
            sets = len(parameters.by_of(partner)) + bool(parameters.conditions_of(partner))
            found[partner] = Figures(what=f"labels for {owner}", told=(told(sets, each=SET),))
        return found

    def contributors(self) -> tuple[str, ...]:
        return ()

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        owner = self.parameters.party
        return {p: (RoleName.OWNER if p == owner else RoleName.PARTNER,) for p in self.request.parties}

    def learns(self) -> tuple[Learns, ...]:
        request, parameters, owner = self.request, self.parameters, self.parameters.party
        partners = [party for party in request.parties if party != owner]
        figures = ExactFigures(
            statistic=parameters.statistic,
            column=parameters.column or "",
            by=parameters.by_text(owner),
            where=text(parameters.where, owner) if parameters.where else "",
            joint=bool(request.operands[owner].alignment),
            unmatched=bool(request.operands[owner].unmatched),
            level=parameters.level,
        )
        quantities = (*([Quantity.JOINT_KEYS] if partners else []), Quantity.GROUPS)
        return (
            Learns.of(Caller(request.caller), figures),
            Learns.of(Parties((owner,)), *(each for partner in partners for each in self._of_partner(partner))),
            *(Learns.of(Parties((partner,))) for partner in partners),
            Learns.of(Eavesdropper(), LengthsShow(of=quantities)),
        )

    def _of_partner(self, partner: str) -> Iterator[Knowledge]:
        """What the owner learns from the partner's message."""
        conditions = self.parameters.conditions_of(partner)
        where = text(conditions, partner) if conditions else ""
        yield JointKeyLabels(partner=partner, where=where, label=self.parameters.by_of(partner))
        yield MinimumCounts(of=(partner,))

    def role(self, given: RoleInput) -> Role[Outcome]:
        parameters, me = self.parameters, given.party
        yield from checkpoint("aggregating", 0, 1)
        self.fits(me, given.table.schema)
        where = parameters.conditions_of(me)
        if me != parameters.party:
            yield from labels.partner(given, parameters.by_of(me), where, owner=parameters.party)
            return Outcome()
        keep, min_count = passing(given.table, where), given.min_count
        label = {each: given.table.column(each.column) for each in parameters.groups if each.party == me}
        for partner in (party for party in self.request.parties if party != me):
            of_partner = [each for each in parameters.groups if each.party == partner]
            labelled = yield from labels.owner(given, partner=partner, columns=len(of_partner))
            keep, min_count = keep & labelled.passes, labelled.min_count
            label |= dict(zip(of_partner, labelled.labels, strict=True))
        return aggregate(
            given,
            parameters.statistic,
            parameters.column,
            keep=keep,
            by=[(each.text(me), label[each]) for each in parameters.groups],
            min_count=min_count,
            most_groups=parameters.most_groups,
            level=parameters.level,
        )
