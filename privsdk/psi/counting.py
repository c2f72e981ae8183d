"""`psi.cardinality` and its declaration: how many keys two tables share."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..calls import Finished
from ..charges import Debit, Exact
from ..displays import Card, Displayed
from ..handles import Table, runner_of
from ..operations import Operation, Outcome, Request, RoleInput, register
from ..privacy import Disclosure, Learns, Need
from ..protocol import Role
from ..results import Plan
from . import verbs
from .cardinality import cardinality as cardinality_role
from .keys import distinct_keys


class Cardinality(Displayed):
    """How many keys two tables share.

    Attributes
    ----------
    size : int or None
        The number of distinct keys that both have; None where it is below `min_count`.
    min_count : int
        The larger of both owners' minimum counts.
    """

    def __init__(self, *, size: int | None, min_count: int) -> None:
        self.size = size
        self.min_count = min_count

    def __str__(self) -> str:
        return f"{f'fewer than {self.min_count}' if self.size is None else f'{self.size:,}'} shared keys"

    def _card(self) -> Card:
        return Card(title=str(self))


def cardinality(left: Table, right: Table, *, on: str | tuple[str, str]) -> Plan[Cardinality]:
    """Count the keys that two parties' tables share, without anyone learning which.

    Parameters
    ----------
    left, right : Table
        Tables of two different parties.
    on : str or (str, str)
        The key column, or the left and the right one. String, integer or binary; nulls never match, a key counts once.

    Returns
    -------
    Plan of Cardinality

    Learns
    ------
    Both parties: how many keys they share, exactly, and how many distinct keys the other has. The caller: how many are
    shared, where that reaches the owners' minimum count. An onlooker: both numbers of keys. For this an owner grants
    its key column as "cardinality only"; a grant as "join key" is wider.

    Examples
    --------
    >>> shared = psi.cardinality(fed["bank"]["loans"], fed["shop"]["orders"], on="company_id").release().value
    >>> shared.size

    Source: De Cristofaro, Gasti, Tsudik, CANS 2012; Agrawal, Evfimievski, Srikant, SIGMOD 2003, section 5.
    """

    def finish(answers: Mapping[str, Finished]) -> Cardinality:
        told = [answer.value for answer in answers.values()]
        sizes = [each["keys"] for each in told]
        return Cardinality(size=None if None in sizes else sizes[0], min_count=max(each["min_count"] for each in told))

    request = verbs.question("psi.cardinality", left, right, on, parameters={})
    return Plan(
        runner_of(left, right), request, finish, notes=(("protocol", "shuffled Diffie-Hellman over ristretto255"),)
    )


class CardinalityParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None: the keys are all there is to it."""


def _check(request: Request, parameters: CardinalityParameters) -> None:
    verbs.check_operands(request)


def _needs(request: Request, parameters: CardinalityParameters) -> dict[str, tuple[Need, ...]]:
    return {
        party: (Need(table=operand.table, column=operand.columns[0], disclosure=Disclosure.CARDINALITY),)
        for party, operand in request.operands.items()
    }


def _price(request: Request, parameters: CardinalityParameters) -> dict[str, tuple[Debit, ...]]:
    return {
        party: (Debit(table=operand.table, charge=Exact(what="psi.cardinality")),)
        for party, operand in request.operands.items()
    }


def _learns(request: Request, parameters: CardinalityParameters) -> tuple[Learns, ...]:
    left, right = request.parties
    return (
        *(
            Learns(
                who=who,
                what=f"how many keys it shares with {other}, exactly, not which; how many distinct ones {other} has, "
                "and its minimum count",
            )
            for who, other in ((left, right), (right, left))
        ),
        Learns(who=request.caller, what="how many keys both have, if not fewer than the owners' minimum count"),
        Learns(who="onlooker", what="how many distinct keys each has, from the length of the encrypted stream"),
    )


def _role(given: RoleInput, parameters: CardinalityParameters) -> Role[Outcome]:
    keys = distinct_keys(given.table.column(0))
    agreed = yield from verbs.agreement(given, keys)
    (peer,) = (party for party in given.request.parties if party != given.party)
    size = yield from cardinality_role(keys.encoded, me=given.party, peer=peer, agreed=agreed, entropy=given.entropy)
    shown = size if size >= agreed.min_count else None
    return Outcome(value={"keys": shown, "min_count": agreed.min_count})


register(
    Operation(
        name="psi.cardinality",
        parameters=CardinalityParameters,
        check=_check,
        needs=_needs,
        price=_price,
        learns=_learns,
        role=_role,
    )
)
