"""`psi.join` and its declaration; `psi.intersect` of two columns in one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..client.plan import Plan
from ..client.tables import Table, runner_of
from ..errors import InvalidArgument
from ..errors.calls import verb
from ..errors.inputs import KeysMisfit
from ..governance.learns import Caller, Coalition, Eavesdropper, Knowledge, Learns, Parties, RoleName
from ..protocol.control import Finished
from ..protocol.groups import shown
from ..protocol.in_memory import together
from ..protocol.operation import Alignment, Outcome, RoleInput, register
from ..protocol.roles import Role, SystemEntropy
from . import question
from .joint import Joint, JointRecord
from .keys.declaration import Key, Normalise
from .keys.distinct import Column, DistinctKeys, distinct_keys
from .protocols import multiparty
from .protocols.choose import SMALL, Protocol, check_protocol, chosen, explained, intersection
from .protocols.terms import SharedTerms, agree


@verb
def join(*tables: Table, on: question.On, protocol: Protocol = "auto") -> Plan[Joint]:
    """Join tables of 2 to 32 parties on a key without showing any of them the others' keys.

    Parameters
    ----------
    tables : Table
        Tables of different parties. The first one's owner leads where there are three or more; best the one with the
        fewest keys.
    on : str, list of str, Key, list of Key, or a mapping of party to one of these
        The key: a column, columns that are one key together, or `psi.key` of these and how to normalise them; by party
        where they are called differently. String, integer, binary, date or decimal; nulls never match, duplicates stay
        local. Several keys are compared in turn, each among the rows that none before matched: an exact one first,
        then weaker ones, for keys that differ a little. A later one is left out where a party has fewer keys left than
        an owner's minimum count. Each costs an answer.
    protocol : "auto", "ddh", "kkrt" or "multiparty"
        "auto" decides by the number of keys, which the parties disclose to each other anyway: "ddh" costs least for two
        small sets, "kkrt" is hundreds of times faster for large ones. Three or more parties always run "multiparty".

    Returns
    -------
    Plan of Joint
        The joint table: each side computes aggregates of its matched rows, under its own policy.

    Learns
    ------
    Each party: which of its own keys all others hold, and how many distinct keys each other has; of keys in turn, both
    of each, among the rows that none before matched. The caller: the number of shared keys where it reaches the owners'
    minimum count, and which protocol "auto" chose. An eavesdropper: all numbers of keys. Of three or more parties
    nobody learns which keys a pair shares, or how many, unless the leader colludes with another.

    Examples
    --------
    >>> joint = psi.join(fed["bank"]["loans"], fed["shop"]["orders"], on="company_id").release().value
    >>> joint["bank"].count(by="segment").release()
    >>> psi.join(a, b, c, on=psi.key("name", "born", normalise=("nfc", "lower", "spaces")))
    >>> psi.join(a, b, on=[psi.key("tax_id"), psi.key("name", "born", normalise=("nfc", "lower", "spaces"))])

    Source: Agrawal, Evfimievski, Srikant, SIGMOD 2003, section 3 ("ddh"); Kolesnikov, Kumaresan, Rosulek, Trieu, CCS
    2016 ("kkrt"); Kolesnikov, Matania, Pinkas, Rosulek, Trieu, CCS 2017 ("multiparty").
    """
    request = question.question("psi.join", tables, on, more={"protocol": protocol})
    runner, by_party = runner_of(*tables), {table.party: table for table in tables}

    def finish(answers: Mapping[str, Finished]) -> Joint:
        return Joint(runner, JointRecord.of(request, answers), by_party)

    notes = question.notes(tables, request, explained(protocol, request.parties))
    return Plan(runner, request, finish, notes=notes)


class SharedKeysOf(Knowledge, frozen=True):
    template = "which of {leader}'s keys all parties but themselves have (collusion threshold 1)"
    leader: str


class MoreKeysThan(Knowledge, frozen=True):
    own = RoleName.OWNER
    template = "whether both together bring more than {number:,} keys"
    number: int


MOST_TURNS = 5


class JoinParameters(question.IntersectionParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`weaker`: keys in turn after the first, for rows that none before matched."""

    weaker: tuple[dict[str, Key], ...] = ()


@register("psi.join")
class Join(question.Intersection[JoinParameters]):
    parameters_type = JoinParameters
    most = multiparty.MOST

    @property
    def turns(self) -> tuple[Mapping[str, Key], ...]:
        return (self.parameters.keys, *self.parameters.weaker)

    def check(self) -> None:
        if len(self.turns) > MOST_TURNS:
            many = KeysMisfit(operation="psi.join", wrong="many", parties=self.request.parties, number=MOST_TURNS)
            raise InvalidArgument(many)
        super().check()

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        leading = {self.request.parties[0]: (RoleName.OWNER, RoleName.LEADER)} if len(self.request.parties) > 2 else {}
        return {**super().roles(), **leading}

    def learns(self) -> tuple[Learns, ...]:
        parties, turns = self.request.parties, len(self.turns)
        others = {party: tuple(other for other in parties if other != party) for party in parties}
        by_size = self.parameters.protocol == "auto" and len(parties) == 2  # the answer names the protocol
        leading = list(others.items())[:1] if len(parties) > 2 else []
        return (
            *(
                Learns.of(
                    Parties((me,)),
                    question.SharedKeys(others=rest, turns=turns),
                    *question.learned_by_terms(*rest, turns=turns),
                )
                for me, rest in others.items()
            ),
            Learns.of(
                Caller(self.request.caller),
                question.SharedKeyNumberAbove(parties=len(parties)),
                *([MoreKeysThan(number=SMALL)] if by_size else []),
            ),
            Learns.of(Eavesdropper(), question.KEY_NUMBERS_SHOW),
            *(Learns.of(Coalition((leader,), 1, rest), SharedKeysOf(leader=leader)) for leader, rest in leading),
        )

    def role(self, given: RoleInput) -> Role[Outcome]:
        left = np.arange(given.table.num_rows)
        codes = np.zeros(len(left), dtype=np.int64)
        parts, terms, matched = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]](), list[SharedTerms](), 0
        for turn in range(len(self.turns)):
            here = given if turn == 0 else dataclasses.replace(given, table=given.table.take(pa.array(left)))
            keys, agreed, found = yield from self.intersected(here, None, turn)
            terms.append(agreed)
            rows, joint_keys = keys.rows_of(found)
            parts.append((left[rows], joint_keys + matched))
            matched_now = matched + len(found)
            own = np.arange(len(left)) + keys.size  # for rows without a key
            codes[left] = np.where(keys.codes < 0, own, keys.codes) + matched_now
            codes[left[rows]] = joint_keys + matched
            left, matched = np.delete(left, rows), matched_now
        rows, joint_keys = (np.concatenate(each) for each in zip(*parts, strict=True))
        first, (key, *weaker) = terms[0], (turn[given.party] for turn in self.turns)
        return Outcome(
            value={
                "keys": shown(matched, first.min_count),
                "min_count": first.min_count,
                "protocol": chosen(self.parameters.protocol, first.sizes),
            },
            keep=Alignment(
                rows=rows,
                keys=joint_keys,
                min_count=first.min_count,
                codes=codes,
                session=given.session,
                key={} if weaker else key.plain,
            ),
        )


@verb
def intersect(left: Column, right: Column, *, protocol: Protocol = "auto", normalise: Normalise = ()) -> pa.Array:
    """Run an intersection on two local columns, both roles in this process; for learning and for tests.

    Parameters
    ----------
    left, right : Arrow arrays of string, integer, binary, date or decimal type
        Duplicates count once, nulls never match.
    protocol : "auto", "ddh" or "kkrt"
        By the number of keys unless forced; see `join`.
    normalise : names of normalisations
        As in `key`.

    Returns
    -------
    Arrow array
        The distinct values of `left` that occur in `right`, in the protocol's order.
    """
    sides = {"left": distinct_keys(left, normalise=normalise), "right": distinct_keys(right, normalise=normalise)}
    check_protocol(protocol, list(sides))
    entropy = SystemEntropy()
    session = entropy.draw(32)

    def party(me: str, keys: DistinctKeys) -> Role[npt.NDArray[np.int64]]:
        (peer,) = (side for side in sides if side != me)
        agreed = yield from agree(
            me, [peer], kind=keys.kind, size=keys.size, min_count=0, session=session, entropy=entropy
        )
        return (
            yield from intersection(
                protocol, keys.encoded, me=me, parties=list(sides), learner=None, agreed=agreed, entropy=entropy
            )
        )

    found = together({me: party(me, keys) for me, keys in sides.items()})
    return sides["left"].values.column(0).take(pa.array(found["left"])).combine_chunks()
