"""Operations: a request as every party gets it, the class that answers it, what a role of it gets and gives.

An operation declares, from the request alone, which disclosures it needs, what it costs, what everyone learns and which
role each party plays. The same declaration is shown before the run, enforced by the gate and checked by the tests.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import UNSET, UnsetType

from ..errors import InvalidArgument, UnknownName
from ..governance.charges import Unit
from ..governance.learns import Learns, RoleName
from ..governance.policy import NO_KEY_BOUNDS, ROWS, KeyBounds, Need
from .columns.kinds import TypeCheck
from .columns.predicates import Where, check_type
from .messages import build
from .pricing import RULE, Priced
from .roles import Entropy, Role
from .services import Services

VERSION = 1
LONGEST_NAME = 100  # letters of a run id or purpose: ledgers keep them whole, also of requests that cost nothing


class MatchBound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far one unit of any table behind a joint one moves what a party hands its role.

    Parameters
    ----------
    join : str
        The digest of the request that joined: every operand is of this one join.
    rows : int
        Most rows of one joint key that enter; 0 at a party whose unit only decides which keys match.
    one_unit : bool
        Whether all rows of a key are of one unit, whose id is part of the key.
    """

    join: str
    rows: int
    one_unit: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rows < 1 << 31:
            raise ValueError("rows of one joint key are 0 or more, and fewer than 2**31")


class Operand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a party brings: columns of one of its tables, or of the rows it matched in a join, or did not.

    `unit` bounds how many rows of one id there are in it, and `bound` those of one joint key: the party hands its role
    no more than that.
    """

    table: str
    columns: tuple[str, ...]
    alignment: str = ""
    unit: Unit = Unit()
    unmatched: bool | UnsetType = UNSET
    bound: MatchBound | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.unmatched is not UNSET and not (self.unmatched and self.alignment):
            raise ValueError("rows that a join did not match are those of an alignment")
        if self.bound is not UNSET and not self.alignment:
            raise ValueError("rows of one joint key are those of an alignment")


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
    min_parties : mapping of party to int, optional
        Of a pooled exact result: what each contributor's owner asks for, so that all others hold to it in later runs.
    """

    version: int = VERSION
    run_id: str
    operation: str
    caller: str
    purpose: str
    parties: tuple[str, ...]
    operands: dict[str, Operand]
    parameters: dict[str, Any]
    min_parties: dict[str, int] | UnsetType = UNSET

    def canonical(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> str:
        return hashlib.sha256(self.canonical()).hexdigest()

    def question(self) -> str:
        """The digest of what is asked, whichever run asks it, and whatever owners ask for."""
        return msgspec.structs.replace(self, run_id="", min_parties=UNSET).digest()


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
        For each row of the party's table its joint key or the number of another; of each row without a key its own.
    session : bytes
        The session that made it: both sides of one join have the same.
    key : mapping of column to bool
        The columns of the party's key, and whether each is compared as it is, without a normalisation; none where
        several keys were compared in turn.
    """

    rows: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    min_count: int
    codes: npt.NDArray[np.int64]
    session: bytes
    key: Mapping[str, bool] = field(default_factory=dict)

    def unmatched(self) -> Alignment:
        """The party's other rows, in their own order."""
        rows = np.delete(np.arange(len(self.codes)), self.rows)
        return replace(self, rows=rows, keys=self.codes[rows])

    def none(self) -> Alignment:
        """No rows."""
        return replace(self, rows=self.rows[:0], keys=self.keys[:0])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleInput:
    """All that a role gets: its party's share of the request, the columns it may see, entropy, its party's services.

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
    key_bounds : KeyBounds
        The most distinct keys that a partner may bring.
    """

    request: Request
    party: str
    session: bytes
    table: pa.Table
    keys: npt.NDArray[np.int64] | None
    min_count: int
    entropy: Entropy
    services: Services
    joint: bytes = b""
    min_parties: int = 1
    key_bounds: KeyBounds = NO_KEY_BOUNDS

    def units(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The number of the unit of each of these rows: what a minimum count counts."""
        return rows if self.keys is None else self.keys[rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a role returns: the answer that leaves the party for the caller, and what the party keeps."""

    value: dict[str, Any] = field(default_factory=dict)
    table: pa.Table | None = None
    keep: Alignment | None = None


P = TypeVar("P", bound=msgspec.Struct)


class Operation(Priced, Generic[P]):
    """An operation bound to one request: what it declares of itself follows from the request alone, never from data.

    What has no safe default is abstract: a class that forgets it cannot be registered.

    Attributes
    ----------
    request : Request
    parameters : P
        The request's parameters, parsed.
    parameters_type : type
        What they are parsed as.
    remembered : bool
        Whether an identical question on the same table is answered with the stored answer, without a charge.
    stops : bool
        Whether it goes in rounds and its role asks before each whether a stop was requested, to end with what there is.
    """

    parameters_type: ClassVar[type[msgspec.Struct]]
    remembered: ClassVar[bool] = False
    stops: ClassVar[bool] = False

    def __init__(self, request: Request, parameters: P) -> None:
        self.request = request
        self.parameters = parameters

    @property
    def tables(self) -> Mapping[str, str]:
        return {party: operand.table for party, operand in self.request.operands.items()}

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Bind to a request, everything checked that can be without data."""
        name = request.operation
        if request.version != VERSION:
            raise InvalidArgument(
                f"{name}: a request of version {request.version}; this privsdk answers version {VERSION}",
                hint="install the same privsdk version at every party",
            )
        for what, text in (("run id", request.run_id), ("purpose", request.purpose)):
            if not 0 < len(text) <= LONGEST_NAME:
                raise InvalidArgument(f"{name}: a {what} of {len(text):,} letters", hint=f"give 1 to {LONGEST_NAME}")
        try:
            parameters: Any = msgspec.convert(request.parameters, type=cls.parameters_type)
        except msgspec.ValidationError as error:
            raise InvalidArgument(f"{name}: {error}") from None
        if len(set(request.parties)) != len(request.parties):
            raise InvalidArgument(f"{name} names a party twice: {', '.join(request.parties)}")
        if strangers := set(request.operands) - set(request.parties):
            raise InvalidArgument(f"{name} has operands of parties not in it: {', '.join(sorted(strangers))}")
        for party, operand in request.operands.items():
            if len(set(operand.columns)) != len(operand.columns):
                raise InvalidArgument(f"{name} names a column of {party}/{operand.table} twice")
        bound = cls(request, parameters)
        bound.check()
        return bound

    @abstractmethod
    def check(self) -> None:
        """Raise InvalidArgument where the request's shape does not fit: a party checks again what a caller sends."""

    @abstractmethod
    def fits(self, party: str, schema: pa.Schema) -> None:
        """Raise a UsageError where a party's columns are of types that cannot be used: before anything is charged."""

    @abstractmethod
    def needs(self) -> Mapping[str, tuple[Need, ...]]:
        """By party, the disclosures that it must permit."""

    @abstractmethod
    def learns(self) -> tuple[Learns, ...]:
        """What each party, the caller and an eavesdropper learn."""

    @abstractmethod
    def contributors(self) -> tuple[str, ...]:
        """Whose values enter a sum that shows nobody's own: of these there must be as many as each owner asks for."""

    @abstractmethod
    def role(self, given: RoleInput) -> Role[Outcome]:
        """The generator that a party runs."""

    def roles(self) -> Mapping[str, tuple[RoleName, ...]]:
        """By party, what it is in the request; the caller is one more role, of a party or of nobody else."""
        return {p: (RoleName.OWNER if p in self.request.operands else RoleName.HELPER,) for p in self.request.parties}

    def recipients(self) -> tuple[str, ...]:
        """Who sees such a sum; a contributor who does does not count."""
        return (*self.request.parties, self.request.caller)

    def summed(self, party: str) -> tuple[str, ...]:
        """The columns of a contributor that such a sum tells of, the number of its rows being one of its own."""
        return (*self.request.operands[party].columns, ROWS)

    def essential(self) -> tuple[str, ...]:
        """The parties without whom a run fails; it goes on when others are lost, who are named in its result."""
        return self.request.parties

    def name_of_work(self) -> str:
        """The name that a request gives work which may be interrupted and go on in another run; "" for none."""
        return ""

    def _expect(self, party: str, schema: pa.Schema, kinds: Mapping[str, TypeCheck], where: Where = ()) -> None:
        """Raise InvalidArgument unless each of a party's columns is of its kind, and compared with what conditions
        give."""
        for column, kind in kinds.items():
            kind.check(f"{party}/{self.request.operands[party].table}.{column}", str(schema.field(column).type))
        for condition in where:
            check_type(party, condition, schema.field(condition.name.column).type)


O = TypeVar("O", bound=Operation[Any])  # noqa: E741
_OPERATIONS: dict[str, type[Operation[Any]]] = {}


def register(*names: str) -> Callable[[type[O]], type[O]]:
    """A decorator: requests for operations of these names are answered by the class."""

    def add(operation: type[O]) -> type[O]:
        if forgotten := sorted(getattr(operation, "__abstractmethods__", ())):
            raise TypeError(f"{operation.__name__} does not say its {', '.join(forgotten)}")
        if own := [name for name in RULE if getattr(operation, name) is not getattr(Priced, name)]:
            raise TypeError(
                f"{operation.__name__} has a {', '.join(own)} of its own: it says its figures, and no price"
            )
        build(operation.parameters_type)
        for name in names:
            if name in _OPERATIONS:
                raise ValueError(f"operation {name!r} is registered twice")
            _OPERATIONS[name] = operation
        return operation

    return add


def operation_named(name: str) -> type[Operation[Any]]:
    if name not in _OPERATIONS:
        raise UnknownName.among("operation", name, _OPERATIONS)
    return _OPERATIONS[name]


def operation_of(request: Request) -> Operation[Any]:
    """The operation that a request asks for, bound to it."""
    return operation_named(request.operation).parse(request)


def operation_names() -> tuple[str, ...]:
    return tuple(sorted(_OPERATIONS))
