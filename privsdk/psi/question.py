"""What all questions about the keys of several tables share: their checks, what is learned, their terms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..client.tables import Table, new_request, runner_of
from ..errors import InvalidArgument
from ..errors.inputs import KeysMisfit, Wrong
from ..governance.learns import MOST_NAMES, Knowledge, LengthsShow, MinimumCounts, Quantity, RoleName, listed
from ..governance.policy import Disclosure, Need
from ..governance.prices import SET, Figures, told
from ..protocol.operation import Operation, Request, RoleInput
from ..protocol.roles import Role
from .keys.declaration import Key, check_agreement, declared, key
from .keys.distinct import DistinctKeys, distinct_keys
from .protocols.choose import Protocol, check_protocol, intersection
from .protocols.terms import SharedTerms, agree

ENUMERABLE = (
    "such keys can be listed: a party that enters all possible ones, say all phone numbers, learns the others' whole "
    "lists; owners limit only the number of answers"
)
# declarations of columns with so few possible keys: numbers, dates, strings of digits or of few characters
LISTABLE = re.compile(r"integer|date|string \(.*(digits|(first|last) [1-4]\b).*\)")
OneKey: TypeAlias = str | Key | Sequence[str] | Sequence[Key]
On: TypeAlias = OneKey | Mapping[str, OneKey]
KEY_NUMBERS_SHOW = LengthsShow(of=(Quantity.KEYS,), exact=True)  # what an eavesdropper learns of every question


class KeyParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of a question about keys: by party, the columns that make its key, and how they are normalised."""

    keys: dict[str, Key]


def question(
    operation: str,
    tables: Sequence[Table],
    on: On,
    *,
    more: Mapping[str, Any] | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Request:
    """The request of an operation over the keys of several tables, checked as far as their descriptions go.

    `more` are parameters beside the keys; `columns`, by party, columns beside the key's.
    """
    expect_tables(operation, tables)
    parties = tuple(table.party for table in tables)
    if twice := [party for party in parties if parties.count(party) > 1]:
        raise InvalidArgument(
            f"two tables are {twice[0]}'s", hint="a party joins its own tables by itself; name one table a party"
        )
    first, *weaker = turns = _turns(operation, on, parties)
    for keys in turns:
        check_agreement({table.party: _declaration(table, keys[table.party]) for table in tables})
    wanted = {party: _wanted(party, turns, columns) for party in parties}
    return new_request(
        runner_of(*tables),
        operation,
        parties=parties,
        operands={table.party: table.operand(*wanted[table.party]) for table in tables},
        parameters={
            "keys": msgspec.to_builtins(first),
            **({"weaker": msgspec.to_builtins(weaker)} if weaker else {}),
            **(more or {}),
        },
    )


def expect_tables(operation: str, given: Sequence[object]) -> None:
    """Raise InvalidArgument unless two or more tables are given."""
    if len(given) < 2:
        raise InvalidArgument(
            f"{operation} takes the tables of two parties or more, not {len(given)}",
            hint=f'as in {operation}(fed["a"]["t"], fed["b"]["t"], on="id")',
        )
    for each in given:
        if not isinstance(each, Table):
            raise InvalidArgument(
                f"{operation} takes tables, not a {type(each).__name__}", hint='use fed["party"]["table"]'
            )


K = TypeVar("K", bound=KeyParameters)


class KeyQuestion(Operation[K]):
    """A question about the keys of several parties' tables: one exact answer from each, under one disclosure.

    Attributes
    ----------
    disclosure : Disclosure
        What each party's key columns are used as.
    most : int
        The most parties there may be.
    """

    disclosure: ClassVar[Disclosure]
    most: ClassVar[int] = 2

    @property
    def turns(self) -> tuple[Mapping[str, Key], ...]:
        """The keys by party, of each intersection in turn."""
        return (self.parameters.keys,)

    def columns(self) -> Mapping[str, Sequence[str]]:
        """By party, the columns that are read besides the key's."""
        return {}

    def check(self) -> None:
        request = self.request
        named = {frozenset(each) for each in (request.operands, request.parties, *self.turns)}
        if not 2 <= len(request.parties) <= self.most or len(named) > 1:
            wanted = "two parties" if self.most == 2 else f"two to {self.most} parties"
            raise InvalidArgument(f"{request.operation} takes {wanted} with a table and a key each")
        for party, operand in request.operands.items():
            if operand.alignment or operand.columns != _wanted(party, self.turns, self.columns()):
                raise InvalidArgument(
                    f"{request.operation} takes the key columns of a base table from each party, then those it names "
                    "besides, and no others"
                )

    def fits(self, party: str, schema: pa.Schema) -> None:
        where = f"{party}/{self.request.operands[party].table}."
        for keys in self.turns:
            declared([str(schema.field(column).type) for column in keys[party].columns], keys[party], where=where)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        return {
            party: tuple(
                Need(table=operand.table, column=c, disclosure=self.disclosure) for c in _wanted(party, self.turns)
            )
            for party, operand in self.request.operands.items()
        }

    def figures(self) -> dict[str, Figures]:
        found = tuple(told(SET) for _ in self.turns)
        return {party: Figures(what=self.request.operation, told=found) for party in self.request.parties}

    def contributors(self) -> tuple[str, ...]:
        return ()

    def opened(self, given: RoleInput, turn: int = 0) -> Role[tuple[DistinctKeys, SharedTerms]]:
        """A party's distinct keys, and terms agreed with all others; only the first turn takes place at all costs."""
        given.services.screen([], given.min_count)  # sizes and shared keys are under grants of their own, and no sums
        mine = self.turns[turn][given.party]
        keys = distinct_keys(given.table.select(list(mine.columns)), normalise=mine.normalise)
        pa.default_memory_pool().release_unused()  # counting keys takes several times what it leaves: 100 MB a million
        agreed = yield from agree(
            given.party,
            [party for party in self.request.parties if party != given.party],
            kind=keys.kind,
            size=keys.size,
            min_count=given.min_count,
            most=given.key_bounds.of(keys.size),
            optional=turn > 0,
            session=given.session,
            entropy=given.entropy,
        )
        return keys, agreed


class IntersectionParameters(KeyParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protocol: Protocol


I = TypeVar("I", bound=IntersectionParameters)  # noqa: E741


class Intersection(KeyQuestion[I]):
    """A question answered by an intersection, which uses join keys and may be asked to run a protocol."""

    disclosure = Disclosure.JOIN_KEY

    def check(self) -> None:
        super().check()
        check_protocol(self.parameters.protocol, self.request.parties)

    def intersected(
        self, given: RoleInput, learner: str | None, turn: int = 0
    ) -> Role[tuple[DistinctKeys, SharedTerms, npt.NDArray[np.int64]]]:
        """A party's keys, the terms, and where the shared keys are among its own; see `intersection`. In a later turn
        in which somebody has fewer keys left than owners ask for, none are found."""
        keys, agreed = yield from self.opened(given, turn)
        if turn and not agreed.enough:
            return keys, agreed, np.zeros(0, np.int64)
        found = yield from intersection(
            self.parameters.protocol,
            keys.encoded,
            me=given.party,
            parties=self.request.parties,
            learner=learner,
            agreed=agreed,
            entropy=given.entropy,
        )
        return keys, agreed, found


def _wanted(
    party: str, turns: Sequence[Mapping[str, Key]], columns: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """What a party's operand holds: the keys' columns, then others, each once."""
    keyed = (column for keys in turns for column in keys[party].columns)
    return tuple(dict.fromkeys((*keyed, *(columns or {}).get(party, ()))))


def _turns(operation: str, on: On, parties: tuple[str, ...]) -> list[dict[str, Key]]:
    """The key of each party's table, for each intersection in turn."""

    def unfit(wrong: Wrong, named: Iterable[object] = ()) -> InvalidArgument:
        return InvalidArgument(
            KeysMisfit(operation=operation, wrong=wrong, parties=parties, named=tuple(map(str, named)))
        )

    def listed(one: OneKey) -> list[Key]:
        if isinstance(one, Key):
            return [one]
        columns = [one] if isinstance(one, str) else list(one) if isinstance(one, Sequence) else []
        kinds = {str if isinstance(each, str) else type(each) for each in columns}
        if kinds == {str}:
            return [key(*map(str, columns))]
        if kinds == {Key}:
            return [each for each in columns if isinstance(each, Key)]
        raise unfit("mixed" if kinds == {str, Key} else "none")

    by_party = on if isinstance(on, Mapping) else dict.fromkeys(parties, on)
    if set(by_party) != set(parties):
        raise unfit("parties", by_party)
    keys = {party: listed(by_party[party]) for party in parties}
    if len({len(each) for each in keys.values()}) > 1:
        raise unfit("numbers")
    turns = [dict(zip(parties, each, strict=True)) for each in zip(*keys.values(), strict=True)]
    if len(turns) > 1 and operation != "psi.join":
        raise unfit("several")
    return turns


def _declaration(table: Table, columns: Key) -> str:
    types = [table.type_of(column) for column in columns.columns]
    return declared(types, columns, where=f"{table.party}/{table.name}.")


def notes(tables: Sequence[Table], request: Request, protocol: str) -> tuple[tuple[str, str], ...]:
    """What a plan says: its protocol, how keys are compared, and a warning where all possible ones could be entered."""
    first, parameters = tables[0], request.parameters
    turns = msgspec.convert([parameters["keys"], *parameters.get("weaker", ())], list[dict[str, Key]])
    declarations = [_declaration(first, keys[first.party]) for keys in turns]
    listable = any(all(LISTABLE.fullmatch(part) for part in each.split(" + ")) for each in declarations)
    compared = "; then of the rest ".join(declarations)
    return (("protocol", protocol), ("keys", compared), *([("warning", ENUMERABLE)] if listable else []))


class SharedKeys(Knowledge, frozen=True):
    """By each of so many keys in turn."""

    others: tuple[str, ...]
    turns: int = 1

    def __str__(self) -> str:
        by = f", by which of {self.turns} in turn" if self.turns > 1 else ""
        if len(self.others) > MOST_NAMES:
            return f"which of its own keys all {len(self.others)} others have{by}"
        have = {1: "has", 2: "both have"}.get(len(self.others), "all have")
        return f"which of its own keys {listed(self.others)} {have}{by}"


class KeyNumbers(Knowledge, frozen=True):
    of: tuple[str, ...]
    turns: int = 1

    def __str__(self) -> str:
        left = ", of each in turn among the rows then left" if self.turns > 1 else ""
        return f"how many distinct keys {'each' if len(self.of) > 1 else self.of[0]} has{left}"


def learned_by_terms(*parties: str, turns: int = 1) -> tuple[Knowledge, ...]:
    """What a party learns of others from their terms."""
    return KeyNumbers(of=parties, turns=turns), MinimumCounts(of=parties)


class SharedKeyNumberAbove(Knowledge, frozen=True):
    """The number that `parties` have in common, where it reaches the owners' minimum count."""

    own = RoleName.OWNER
    parties: int

    def __str__(self) -> str:
        among = "both" if self.parties == 2 else "all"
        return f"how many keys {among} have, if not fewer than the owners' minimum count"
