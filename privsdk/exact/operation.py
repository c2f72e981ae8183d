"""The declaration of `aggregate`: what it needs, costs and tells, and its roles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ..client.aggregates import OPERATION, AggregateParameters
from ..errors import InvalidArgument
from ..governance.charges import Debit, Exact
from ..governance.policy import ROWS, Disclosure, Learns, Need
from ..protocol.operation import Operation, Outcome, Request, RoleInput, register
from ..protocol.predicates import check, check_type, passing, text
from ..protocol.roles import Role, checkpoint
from . import labels
from .owner import aggregate, groupable, numeric


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
