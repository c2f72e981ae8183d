"""What a notebook calls of psi, and the declaration of `psi.join`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ..calls import Finished
from ..charges import Debit, Exact
from ..errors import InvalidArgument
from ..handles import Table, new_request, runner_of
from ..operations import Alignment, Operation, Outcome, Request, RoleInput, register
from ..privacy import Disclosure, Learns, Need
from ..protocol import Role
from ..results import Plan
from .alignment import Joint
from .ddh import opener, responder
from .keys import distinct_keys

_KEY_TYPE = re.compile(
    r"(dictionary<values=)?(?:(?P<integer>u?int\d+)|(?P<string>(large_)?string)|(large_|fixed_size_)?binary(\[\d+\])?)"
    r"(?(1), indices=.*)"
)


def join(left: Table, right: Table, *, on: str | tuple[str, str]) -> Plan[Joint]:
    """Join two parties' tables on a key without showing either the other's keys.

    Parameters
    ----------
    left, right : Table
        Tables of two different parties.
    on : str or (str, str)
        The key column, or the left and the right one. String, integer or binary; nulls never match, duplicates stay
        local.

    Returns
    -------
    Plan of Joint
        The joint table: each side computes aggregates of its matched rows, under its own policy.

    Learns
    ------
    Both parties: which of their own keys the other holds, and how many distinct keys it has. The caller: the number of
    shared keys where it reaches the owners' minimum count. An onlooker: both numbers of keys.

    Examples
    --------
    >>> joint = psi.join(fed["bank"]["loans"], fed["shop"]["orders"], on="company_id").release().value
    >>> joint["bank"].count(by="segment").release()

    Source: Agrawal, Evfimievski, Srikant, SIGMOD 2003, section 3.
    """
    for table in (left, right):
        if not isinstance(table, Table):
            raise InvalidArgument(
                f"psi.join takes two tables, not a {type(table).__name__}", hint='use fed["party"]["table"]'
            )
    if left.party == right.party:
        raise InvalidArgument(
            f"both tables are {left.party}'s", hint="a party joins its own tables by itself; name two parties"
        )
    left_on, right_on = (on, on) if isinstance(on, str) else on
    kinds = [_kind_of(left, left_on), _kind_of(right, right_on)]
    if kinds[0] != kinds[1]:
        raise InvalidArgument(
            f"{left.party}/{left.name}.{left_on} is {left.type_of(left_on)} and {right.party}/{right.name}.{right_on} "
            f"is {right.type_of(right_on)}: they would never match",
            hint="join columns of one family: string with string, integer with integer, binary with binary",
        )
    runner = runner_of(left, right)
    request = new_request(
        runner,
        "psi.join",
        parties=(left.party, right.party),
        operands={left.party: left.operand(left_on), right.party: right.operand(right_on)},
        parameters={"protocol": "ddh"},
    )

    def finish(answers: Mapping[str, Finished]) -> Joint:
        return Joint(runner, request, answers, {left.party: left, right.party: right})

    return Plan(runner, request, finish, notes=(("protocol", "Diffie-Hellman over ristretto255"),))


def _kind_of(table: Table, column: str) -> str:
    text = table.type_of(column)
    if found := _KEY_TYPE.fullmatch(text):
        return "integer" if found["integer"] else "string" if found["string"] else "binary"
    raise InvalidArgument(
        f"{table.party}/{table.name}.{column} is {text}, which cannot be a join key",
        hint="use a string, integer or binary column",
    )


class JoinParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protocol: str


def _check(request: Request, parameters: JoinParameters) -> None:
    if parameters.protocol != "ddh":
        raise InvalidArgument(f"psi.join has no protocol {parameters.protocol!r}", hint="known: ddh")
    if len(request.parties) != 2 or set(request.operands) != set(request.parties):
        raise InvalidArgument("psi.join takes two parties with a table each")
    if any(len(operand.columns) != 1 or operand.alignment for operand in request.operands.values()):
        raise InvalidArgument("psi.join takes one key column of a base table from each party")


def _needs(request: Request, parameters: JoinParameters) -> dict[str, tuple[Need, ...]]:
    return {
        party: (Need(table=operand.table, column=operand.columns[0], disclosure=Disclosure.JOIN_KEY),)
        for party, operand in request.operands.items()
    }


def _price(request: Request, parameters: JoinParameters) -> dict[str, tuple[Debit, ...]]:
    return {
        party: (Debit(table=operand.table, charge=Exact(what="psi.join")),)
        for party, operand in request.operands.items()
    }


def _learns(request: Request, parameters: JoinParameters) -> tuple[Learns, ...]:
    left, right = request.parties
    return (
        Learns(
            who=left,
            what=f"which of its own keys {right} has, how many distinct ones {right} has, and its minimum count",
        ),
        Learns(
            who=right,
            what=f"which of its own keys {left} has, how many distinct ones {left} has, and its minimum count",
        ),
        Learns(who=request.caller, what="how many keys both have, if not fewer than the owners' minimum count"),
        Learns(who="onlooker", what="how many distinct keys each has, from the length of the encrypted stream"),
    )


def _role(given: RoleInput, parameters: JoinParameters) -> Role[Outcome]:
    keys = distinct_keys(given.table.column(0))
    left, right = given.request.parties
    role, peer = (opener, right) if given.party == left else (responder, left)
    found = yield from role(
        keys.encoded.to_pylist(),
        kind=keys.kind,
        peer=peer,
        session=given.session,
        entropy=given.entropy,
        min_count=given.min_count,
    )
    rows, joint_keys = keys.rows_of(found.positions)
    size = len(found.positions)
    return Outcome(
        value={"keys": size if size >= found.min_count else None, "min_count": found.min_count},
        keep=Alignment(
            rows=rows,
            keys=joint_keys,
            min_count=found.min_count,
            column=given.table.column_names[0],
            session=given.session,
        ),
    )


register(
    Operation(
        name="psi.join",
        parameters=JoinParameters,
        check=_check,
        needs=_needs,
        price=_price,
        learns=_learns,
        role=_role,
    )
)
