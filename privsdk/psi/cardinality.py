"""`psi.cardinality` and its declaration: how many keys two tables share."""

from __future__ import annotations

from collections.abc import Mapping

from ..client.plan import Plan
from ..client.tables import Table, runner_of
from ..display.cards import Card, Displayed
from ..errors.calls import verb
from ..governance.learns import Caller, Eavesdropper, Knowledge, Learns, Parties
from ..governance.policy import Disclosure
from ..governance.prices import Figures, told
from ..protocol.control import Finished
from ..protocol.groups import shown
from ..protocol.operation import Outcome, RoleInput, register
from ..protocol.roles import Role
from . import question
from .protocols.ddh import cardinality as cardinality_role


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


@verb
def cardinality(left: Table, right: Table, *, on: question.On) -> Plan[Cardinality]:
    """Count the keys that two parties' tables share, without anyone learning which.

    Parameters
    ----------
    left, right : Table
        Tables of two different parties.
    on : str, list of str, Key, or a mapping of party to one of these
        The key; see `join`. Nulls never match, a key counts once.

    Returns
    -------
    Plan of Cardinality

    Learns
    ------
    Both parties: how many keys they share, exactly, and how many distinct keys the other has. The caller: how many are
    shared, where that reaches the owners' minimum count. An eavesdropper: both numbers of keys. For this an owner
    grants its key column as "cardinality only"; a grant as "join key" is wider.

    Examples
    --------
    >>> shared = psi.cardinality(fed["bank"]["loans"], fed["shop"]["orders"], on="company_id").release().value
    >>> shared.size

    Source: De Cristofaro, Gasti, Tsudik, CANS 2012; Agrawal, Evfimievski, Srikant, SIGMOD 2003, section 5.
    """

    def finish(answers: Mapping[str, Finished]) -> Cardinality:
        values = [answer.value for answer in answers.values()]
        sizes = [value["keys"] for value in values]
        min_count = max(value["min_count"] for value in values)
        return Cardinality(size=None if None in sizes else sizes[0], min_count=min_count)

    request = question.question("psi.cardinality", (left, right), on)
    notes = question.notes((left, right), request, "shuffled Diffie-Hellman over ristretto255")
    return Plan(runner_of(left, right), request, finish, notes=notes)


class SharedKeyNumber(Knowledge, frozen=True):
    template = "how many keys it shares with {other}, exactly, not which"
    other: str


@register("psi.cardinality")
class CountSharedKeys(question.KeyQuestion[question.KeyParameters]):
    parameters_type = question.KeyParameters
    disclosure = Disclosure.CARDINALITY

    def learns(self) -> tuple[Learns, ...]:
        left, right = self.request.parties
        return (
            *(
                Learns.of(Parties((me,)), SharedKeyNumber(other=other), *question.learned_by_terms(other))
                for me, other in ((left, right), (right, left))
            ),
            Learns.of(Caller(self.request.caller), question.SharedKeyNumberAbove(parties=2)),
            Learns.of(Eavesdropper(), question.KEY_NUMBERS_SHOW),
        )

    def figures(self) -> dict[str, Figures]:
        """The number of shared keys, and that of its own."""
        return dict.fromkeys(self.request.parties, Figures(what=self.request.operation, told=(told(2),)))

    def role(self, given: RoleInput) -> Role[Outcome]:
        keys, agreed = yield from self.opened(given)
        (peer,) = (party for party in self.request.parties if party != given.party)
        size = yield from cardinality_role(
            keys.encoded, me=given.party, peer=peer, agreed=agreed, entropy=given.entropy
        )
        return Outcome(value={"keys": shown(size, agreed.min_count), "min_count": agreed.min_count})
