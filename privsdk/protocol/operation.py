"""Requests and the operations that answer them: one canonical request, one declaration for each operation.

An operation declares, from the request alone, which disclosures it needs, what it costs, what everyone learns and which
role each party plays. The same declaration is shown before the run, enforced by the gate and checked by the tests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import IdentityRefused, InvalidArgument, UnknownName
from ..governance.charges import Debit, Unit
from ..governance.policy import Learns, Need
from .checkpoints import Checkpoints, nowhere
from .messages import build
from .roles import Entropy, Role

VERSION = 1
LONGEST_NAME = 100  # letters of a run id or purpose: ledgers keep them whole, also of requests that cost nothing


class Operand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a party brings: columns of one of its tables, or of the rows it matched in a join.

    `unit` bounds how many rows of one id there are in it: the party hands its role no more than that.
    """

    table: str
    columns: tuple[str, ...]
    alignment: str = ""
    unit: Unit = Unit()


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question, sent in the same canonical form to every party named in it.

    Parameters
    ----------
    run_id : str
        Chosen by the caller; a request repeated under it returns the stored answer and is not charged again.
    parties : tuple of str
        Everyone who takes part, in dialling order: of any two, the earlier opens the stream to the later.
    operands : mapping of party to Operand
        Parties that bring data; the others only help.
    parameters : mapping
        The operation's own parameters, public to all.
    """

    version: int = VERSION
    run_id: str
    operation: str
    caller: str
    purpose: str
    parties: tuple[str, ...]
    operands: dict[str, Operand]
    parameters: dict[str, Any]

    def canonical(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> str:
        return hashlib.sha256(self.canonical()).hexdigest()

    def question(self) -> str:
        """The digest of what is asked, whichever run asks it."""
        return msgspec.structs.replace(self, run_id="").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The rows of one party that take part in a join, by joint key.

    Attributes
    ----------
    rows : int64 array of shape (n,)
        Indices into the party's table, grouped by key.
    keys : int64 array of shape (n,)
        For each of them the joint key, numbered as at the partner.
    min_count : int
        The larger of both owners' minimum counts.
    codes : int64 array
        For each row of the party's table the number of its key, after normalisation; -1 where it has none.
    session : bytes
        The session that made it: both sides of one join have the same.
    """

    rows: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    min_count: int
    codes: npt.NDArray[np.int64]
    session: bytes


Figures = tuple[int | float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSet:
    """Rows whose figures a role is about to let out: the guard compares them with what was let out before.

    Attributes
    ----------
    rows : int64 array
        Distinct indices into the role's table.
    measure : str
        What the figures are, such as "mean of income"; the same measure of the same rows has the same figures.
    """

    rows: npt.NDArray[np.int64]
    measure: str
    figures: Figures


Settle = Callable[[Sequence[RowSet], int], list[Figures]]
Pay = Callable[[], None]


def as_computed(sets: Sequence[RowSet], min_count: int) -> list[Figures]:
    """Let the figures out as they are: there is no guard."""
    return [each.figures for each in sets]


class Identity(Protocol):
    """A party's name as others can check it, where what it says reaches them through a third party."""

    def sign(self, statement: bytes) -> bytes:
        """A token by which others know that this party said this."""

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        """Raise IdentityRefused unless the token shows that this party said this."""


class NoIdentity:
    """Of a party that was opened without one: it neither signs nor believes anyone."""

    def sign(self, statement: bytes) -> bytes:
        """Refuse."""
        raise IdentityRefused(
            "this party has nothing to sign with",
            hint="open the federation by ps.embedded, ps.connect or party.toml, or give its gate an identity",
        )

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        """Refuse."""
        raise IdentityRefused(f"nothing is known here by which {party} could be told from others")


NO_IDENTITY = NoIdentity()


def free() -> None:
    """Pay nothing: there is no ledger."""


def never() -> bool:
    """Go on: there is nobody who could stop it."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleInput:
    """All that a role gets: its party's share of the request, the columns it may see, entropy, and the guard.

    Attributes
    ----------
    session : bytes
        A hash over the request and every party's nonce: fresh in each run, the same at all parties.
    keys : int64 array or None
        Whose each row is: its joint key in a joint table, else its owner in a dataset whose privacy unit is an id. A
        minimum count is one of distinct keys; None where each row counts for itself.
    joint : bytes
        The session that made the joint table; empty for a base table.
    min_parties : int
        The fewest contributors to a joint result that this party's owner asks for, not counting one who sees it.
    settle : callable
        Takes the row sets of an exact answer and the minimum count, once and before anything of it leaves; returns the
        figures to let out, or raises where these and earlier ones together would tell about a few rows.
    identity : Identity
        Signs for this party, and checks what others signed.
    pay : callable
        Charges one more instalment of the operation, before anything that it pays for leaves; raises BudgetExceeded or
        DatasetFrozen where its owner's budget has ended, and then nothing was charged.
    checkpoints : callable
        What this party keeps under the name that the request gives its work, if it gives one, by the part it plays.
    stopping : callable
        Whether the caller would have what there is by now.
    """

    request: Request
    party: str
    session: bytes
    table: pa.Table
    keys: npt.NDArray[np.int64] | None
    min_count: int
    entropy: Entropy
    joint: bytes = b""
    min_parties: int = 1
    settle: Settle = as_computed
    identity: Identity = NO_IDENTITY
    pay: Pay = free
    checkpoints: Callable[[str], Checkpoints] = nowhere
    stopping: Callable[[], bool] = never


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a role returns: the answer that leaves the party for the caller, and what the party keeps."""

    value: dict[str, Any] = field(default_factory=dict)
    table: pa.Table | None = None
    keep: Alignment | None = None


class Kind(StrEnum):
    """What a column must hold for a use of it. Its Arrow type tells, so this is checked before a charge and before any
    value is read; a column of nothing but nulls may be of type null and is of every kind."""

    NUMBER = "numeric or boolean"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    ID = "integer, real, text or binary"
    VECTOR = "list of numbers"

    @property
    def pattern(self) -> str:
        """The regular expression that such a type matches as a whole, as text; of the syntax that browsers have too."""
        return _TYPES[self]

    def check(self, where: str, type_: str) -> None:
        """Raise InvalidArgument unless the column at `where`, of this Arrow type as text, is of this kind."""
        if not re.fullmatch(self.pattern, type_):
            keyed = self in (Kind.INTEGER, Kind.BOOLEAN, Kind.TEXT)
            hint = "give the keys in the column's own type" if keyed else f"use a {self.value} column"
            raise InvalidArgument(f"{where} is {type_}, which is not {self.value}", hint=hint)


_TYPES = {
    Kind.NUMBER: r"u?int\d+|bool|halffloat|float|double|null",
    Kind.INTEGER: r"u?int\d+|null",
    Kind.BOOLEAN: r"bool|null",
    Kind.TEXT: r"(large_)?string|null",
    Kind.ID: r"u?int\d+|float|double|(large_)?(string|binary)|fixed_size_binary\[\d+\]|null",
    Kind.VECTOR: r"(fixed_size_|large_)?list<.+: (u?int\d+|halffloat|float|double)( not null)?>(\[\d+\])?|null",
}

P = TypeVar("P", bound=msgspec.Struct)
Price = Callable[[Request, P], Mapping[str, tuple[Debit, ...]]]


def nobody(request: Request, parameters: Any) -> tuple[str, ...]:
    return ()


def everyone(request: Request, parameters: Any) -> tuple[str, ...]:
    return request.parties


def unnamed(request: Request, parameters: Any) -> str:
    return ""


def of_kinds(kinds: Callable[[Request, P], Mapping[str, Kind]]) -> Callable[[Request, P, str, pa.Schema], None]:
    """`Operation.fits` where each column must be of one kind, the same at every party."""

    def fits(request: Request, parameters: P, party: str, schema: pa.Schema) -> None:
        for column, kind in kinds(request, parameters).items():
            kind.check(f"{party}/{request.operands[party].table}.{column}", str(schema.field(column).type))

    return fits


def any_types(request: Request, parameters: Any, party: str, schema: pa.Schema) -> None:
    """Nothing to object to before the data is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[P]):
    """The declaration of an operation; every callable sees the request and its parsed parameters, never data.

    Attributes
    ----------
    check : raises InvalidArgument where the request's shape does not fit (a party re-checks what a caller sends)
    needs, price : by party, the disclosures it must permit and the most that its datasets are charged
    instalment : where a run pays as it goes, the debits of each call of `RoleInput.pay`; such a run starts wherever the
        deposit and one instalment are covered, and the price is the most that it can come to
    deposit : what such a run reserves before it starts and never gets back; one instalment where it is not given
    learns : what each party, the caller and an onlooker learn
    contributors, recipients : for pooled sums, whose values enter and who sees the result
    role : the generator that a party runs
    fits : raises a UsageError where a party's columns are of types that cannot be used, before anything is charged
    essential : the parties without whom a run fails; it goes on when others are lost, who are named in its result
    named : the name that a request gives work which may be interrupted and go on in another run; "" for none
    remembered : whether an identical question on the same table is answered with the stored answer, without a charge
    stops : whether it goes in rounds and its role asks `RoleInput.stopping` before each, to end with what there is
    """

    name: str
    parameters: type[P]
    check: Callable[[Request, P], None]
    needs: Callable[[Request, P], Mapping[str, tuple[Need, ...]]]
    price: Price[P]
    learns: Callable[[Request, P], tuple[Learns, ...]]
    role: Callable[[RoleInput, P], Role[Outcome]]
    contributors: Callable[[Request, P], tuple[str, ...]] = nobody
    recipients: Callable[[Request, P], tuple[str, ...]] = nobody
    fits: Callable[[Request, P, str, pa.Schema], None] = any_types
    essential: Callable[[Request, P], tuple[str, ...]] = everyone
    remembered: bool = False
    instalment: Price[P] | None = None
    deposit: Price[P] | None = None
    named: Callable[[Request, P], str] = unnamed
    stops: bool = False

    def reserved(self, request: Request, parameters: P) -> Mapping[str, tuple[Debit, ...]]:
        """What a run is charged before it starts, by party."""
        return (self.deposit or self.instalment or self.price)(request, parameters)

    def paid(self, request: Request, parameters: P, instalments: Mapping[str, int]) -> dict[str, tuple[Debit, ...]]:
        """What a run has cost by party, each of which paid so many instalments; of the others nothing."""
        first = self.reserved(request, parameters)
        each = self.instalment(request, parameters) if self.instalment else {}
        return {p: (*first[p], *(each.get(p, ()) * n)) for p, n in instalments.items() if p in first}

    def parse(self, request: Request) -> P:
        """The request's parameters as their type, everything checked that can be without data."""
        if request.version != VERSION:
            raise InvalidArgument(
                f"{self.name}: a request of version {request.version}; this privsdk answers version {VERSION}",
                hint="install the same privsdk version at every party",
            )
        for what, name in (("run id", request.run_id), ("purpose", request.purpose)):
            if not 0 < len(name) <= LONGEST_NAME:
                raise InvalidArgument(
                    f"{self.name}: a {what} of {len(name):,} letters", hint=f"give 1 to {LONGEST_NAME} letters"
                )
        try:
            parameters = msgspec.convert(request.parameters, type=self.parameters)
        except msgspec.ValidationError as error:
            raise InvalidArgument(f"{self.name}: {error}") from None
        if len(set(request.parties)) != len(request.parties):
            raise InvalidArgument(f"{self.name} names a party twice: {', '.join(request.parties)}")
        if strangers := set(request.operands) - set(request.parties):
            raise InvalidArgument(f"{self.name} has operands of parties not in it: {', '.join(sorted(strangers))}")
        for party, operand in request.operands.items():
            if len(set(operand.columns)) != len(operand.columns):
                raise InvalidArgument(f"{self.name} names a column of {party}/{operand.table} twice")
        self.check(request, parameters)
        return parameters


_OPERATIONS: dict[str, Operation[Any]] = {}


def register(operation: Operation[P]) -> Operation[P]:
    if operation.name in _OPERATIONS:
        raise ValueError(f"operation {operation.name!r} is registered twice")
    build(operation.parameters)
    _OPERATIONS[operation.name] = operation
    return operation


def operation_named(name: str) -> Operation[Any]:
    if name not in _OPERATIONS:
        raise UnknownName.among("operation", name, _OPERATIONS)
    return _OPERATIONS[name]


def operation_names() -> tuple[str, ...]:
    return tuple(sorted(_OPERATIONS))
