"""`psi.join` and its declaration."""

from __future__ import annotations

from collections.abc import Mapping

from ..client.plan import Plan
from ..client.tables import Table, runner_of
from ..governance.learns import Caller, Coalition, Eavesdropper, Learns, LengthsShow, MinimumCounts, Parties, Quantity
from ..governance.policy import Disclosure
from ..protocol.control import Finished
from ..protocol.groups import shown
from ..protocol.operation import Alignment, Outcome, RoleInput, register
from ..protocol.roles import Role
from . import question
from .joint import Joint
from .learns import KeyNumbers, MoreKeysThan, SharedKeyNumberAbove, SharedKeys, SharedKeysOf
from .protocols import choose, multiparty


def join(*tables: Table, on: question.On, protocol: choose.Protocol = "auto") -> Plan[Joint]:
    """Join tables of two to ten parties on a key without showing any of them the others' keys.

    Parameters
    ----------
    tables : Table
        Tables of different parties. The first one's owner leads where there are three or more; best the one with the
        fewest keys.
    on : str, Key, or one of these for each table
        The key: a column's name, or `psi.key` of several columns and how to normalise them. String, integer, binary,
        date or decimal; nulls never match, duplicates stay local.
    protocol : "auto", "ddh", "kkrt" or "multiparty"
        "auto" decides by the number of keys, which the parties tell each other anyway: "ddh" costs least for two small
        sets, "kkrt" is hundreds of times faster for large ones. Three or more parties always run "multiparty".

    Returns
    -------
    Plan of Joint
        The joint table: each side computes aggregates of its matched rows, under its own policy.

    Learns
    ------
    Each party: which of its own keys all others hold, and how many distinct keys each other has. The caller: the number
    of shared keys where it reaches the owners' minimum count, and which protocol "auto" chose. An eavesdropper: all
    numbers of keys. Of three or more parties nobody learns which keys a pair shares, or how many, unless the leader
    colludes with another.

    Examples
    --------
    >>> joint = psi.join(fed["bank"]["loans"], fed["shop"]["orders"], on="company_id").release().value
    >>> joint["bank"].count(by="segment").release()
    >>> psi.join(a, b, c, on=psi.key("name", "born", normalise=("nfc", "lower", "spaces")))

    Source: Agrawal, Evfimievski, Srikant, SIGMOD 2003, section 3 ("ddh"); Kolesnikov, Kumaresan, Rosulek, Trieu, CCS
    2016 ("kkrt"); Kolesnikov, Matania, Pinkas, Rosulek, Trieu, CCS 2017 ("multiparty").
    """
    request = question.question("psi.join", tables, on, more={"protocol": protocol})
    runner, by_party = runner_of(*tables), {table.party: table for table in tables}

    def finish(answers: Mapping[str, Finished]) -> Joint:
        return Joint(runner, request, answers, by_party)

    said = (("protocol", choose.explained(protocol, request.parties)), *question.notes(tables, request))
    return Plan(runner, request, finish, notes=said)


class JoinParameters(question.KeyParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protocol: choose.Protocol


@register("psi.join")
class Join(question.KeyQuestion[JoinParameters]):
    parameters_type = JoinParameters
    disclosure = Disclosure.JOIN_KEY
    most = multiparty.MOST

    def check(self) -> None:
        super().check()
        choose.check(self.parameters.protocol, self.request.parties)

    def learns(self) -> tuple[Learns, ...]:
        parties = self.request.parties
        others = {party: tuple(other for other in parties if other != party) for party in parties}
        by_size = self.parameters.protocol == "auto" and len(parties) == 2  # the answer names the protocol
        leader = multiparty.leader_of(parties)
        return (
            *(
                Learns.of(Parties((me,)), SharedKeys(others=rest), KeyNumbers(of=rest), MinimumCounts(of=rest))
                for me, rest in others.items()
            ),
            Learns.of(
                Caller(self.request.caller),
                SharedKeyNumberAbove(parties=len(parties)),
                *([MoreKeysThan(number=choose.SMALL)] if by_size else []),
            ),
            Learns.of(Eavesdropper(), LengthsShow(of=(Quantity.KEYS,), exact=True)),
            *(
                [Learns.of(Coalition((leader,), 1, others[leader]), SharedKeysOf(leader=leader))]
                if len(parties) > 2
                else []
            ),
        )

    def role(self, given: RoleInput) -> Role[Outcome]:
        keys, agreed = yield from self.opened(given)
        found = yield from choose.intersection(
            self.parameters.protocol,
            keys.encoded,
            me=given.party,
            parties=self.request.parties,
            learner=None,
            agreed=agreed,
            entropy=given.entropy,
        )
        rows, joint_keys = keys.rows_of(found)
        size = len(found)
        return Outcome(
            value={
                "keys": shown(size, agreed.min_count),
                "min_count": agreed.min_count,
                "protocol": choose.chosen(self.parameters.protocol, agreed.sizes),
            },
            keep=Alignment(
                rows=rows,
                keys=joint_keys,
                min_count=agreed.min_count,
                codes=keys.codes,
                session=given.session,
            ),
        )
