"""Ledger events: what the body of an audit row may say, one struct for each kind, and how events move a run's state.

The encoding is JSON with sorted keys, the same bytes as in ledgers written before these structs: row hashes depend on
it. A field that older rows lack is `UNSET` where they do. A kind of event that this version does not know is read as
`UnknownEvent`, and each reader says what it does with one: what computes budgets refuses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..errors import InternalError, InvalidArgument
from .chain import Head
from .charges import Budget, Charge, Debit

# An owner's actions on one dataset; each needs a reason.


class SetBudget(msgspec.Struct, frozen=True, kw_only=True, tag="set"):
    """Put another budget in force. `configured` marks one that came from party.toml or the notebook's argument."""

    dataset: str
    budget: Budget
    reason: str
    configured: bool = False


class Freeze(msgspec.Struct, frozen=True, kw_only=True, tag="freeze"):
    """Refuse whatever would be charged, until unfrozen."""

    dataset: str
    reason: str


class Unfreeze(msgspec.Struct, frozen=True, kw_only=True, tag="unfreeze"):
    """Allow charges again."""

    dataset: str
    reason: str


class Reset(msgspec.Struct, frozen=True, kw_only=True, tag="reset"):
    """Let the cap and its limits begin anew. The lifetime's spending stays recorded and shown."""

    dataset: str
    reason: str


Action: TypeAlias = SetBudget | Freeze | Unfreeze | Reset


def expect_reason(reason: str) -> None:
    """Raise InvalidArgument where an owner gives none."""
    if not reason.strip():
        raise InvalidArgument("an owner's action needs a reason: it is what the audit shows", hint='reason="..."')


class Entry(msgspec.Struct, frozen=True):
    """A charge and the dataset that it is debited to."""

    dataset: str
    charge: Charge


class RequestFacts(msgspec.Struct, frozen=True):
    """What is read back of a request in an event, or of the summary that stands for a large or refused one."""

    run_id: str
    operation: str = ""
    purpose: str = ""
    table: str = ""  # of a summary


class LedgerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event; the ledger fills in the time. `clock_set_back_to` is there where the clock was behind the last row."""

    at: str = ""
    clock_set_back_to: str | UnsetType = UNSET


class RequestEvent(LedgerEvent, frozen=True, kw_only=True):
    """Of a caller's request; `request` is its canonical JSON, or its summary's."""

    caller: str
    request: Raw

    @property
    def facts(self) -> RequestFacts:
        return facts_of(self.request)


class RunEvent(LedgerEvent, frozen=True, kw_only=True):
    """Of a run that was reserved."""

    run: str


class LedgerOpened(LedgerEvent, frozen=True, kw_only=True, tag_field="event", tag="opened"):
    """The first row."""


class LedgerMigrated(LedgerEvent, frozen=True, kw_only=True, tag_field="event", tag="migrated"):
    """The file's tables were brought to a later version; `copy` is the name of the file as it was."""

    version: int = msgspec.field(name="from")
    to: int
    copy: str


class RequestRefused(RequestEvent, frozen=True, kw_only=True, tag_field="event", tag="refused"):
    """Nothing was charged."""

    why: str


class RunReserved(RequestEvent, frozen=True, kw_only=True, tag_field="event", tag="reserved"):
    """The charges in `entries` were reserved; version 1 wrote them as `charges`, by table. `pooled` is a SHA-256 of
    what is kept of a pooled exact result."""

    tables: tuple[str, ...] | UnsetType = UNSET
    entries: tuple[Entry, ...] | UnsetType = UNSET
    charges: tuple[Debit, ...] | UnsetType = UNSET
    pooled: str | UnsetType = UNSET


class AnswerRepeated(RequestEvent, frozen=True, kw_only=True, tag_field="event", tag="answered from store"):
    """The request got the answer of an earlier run to the same question, uncharged."""

    answer: str


class RunReleased(RunEvent, frozen=True, kw_only=True, tag_field="event", tag="released"):
    """The reservation was given back."""

    why: str


class RunStarted(RunEvent, frozen=True, kw_only=True, tag_field="event", tag="started"):
    """From here the charge stands. Holds the peers' heads, and the request if its reservation has a summary only."""

    session: str
    heads: dict[str, Head] | UnsetType = UNSET
    request: Raw | UnsetType = UNSET


class RunPaid(RunEvent, frozen=True, kw_only=True, tag_field="event", tag="paid"):
    """A started run was charged for more."""

    entries: tuple[Entry, ...]


class FiguresDisclosed(RunEvent, frozen=True, kw_only=True, tag_field="event", tag="disclosed"):
    """What a run let out of exact answers: a hash over row sets and figures, "" where it added nothing."""

    told: str


class RunFinished(RunEvent, frozen=True, kw_only=True, tag_field="event", tag="finished"):
    """It ended with an answer: who learns what, and the answer's SHA-256."""

    learns: tuple[str, ...]
    answer: str | UnsetType = UNSET


class RunFailed(RunEvent, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """It ended without an answer; `code` is the error's."""

    code: str


class OwnerActed(LedgerEvent, frozen=True, kw_only=True, tag_field="event", tag="owner"):
    """The owner's action; `since` is the number of the last charge before the last reset of its dataset."""

    action: Action
    since: int


class LossShown(LedgerEvent, frozen=True, kw_only=True, tag_field="event", tag="behind"):
    """A caller showed a head that is not in this chain, which had so many rows."""

    caller: str
    head: Head
    rows: int


class LossAcknowledged(LedgerEvent, frozen=True, kw_only=True, tag_field="event", tag="acknowledged"):
    """The owner accepts the losses that these heads prove; a new branch begins."""

    reason: str
    heads: tuple[Head, ...]
    branch: int


class JointKept(LedgerEvent, frozen=True, kw_only=True, tag_field="event", tag="joint kept"):
    """What a join left is on disk until then; `joint` is a hash of its id."""

    caller: str
    table: str
    joint: str
    until: str

    @property
    def said(self) -> str:
        return f"until {self.until}"


WhyEnded: TypeAlias = Literal["revoked", "expired", "changed", "replaced"]


class JointEnded(LedgerEvent, frozen=True, kw_only=True, tag_field="event", tag="joint ended"):
    """It was revoked by the owner for this reason, was over its time, its table had changed, or a newer one came."""

    caller: str
    table: str
    joint: str
    why: WhyEnded
    reason: str = ""

    @property
    def said(self) -> str:
        return f"{self.why}: {self.reason}" if self.reason else self.why


class UnknownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a later version, as far as it can be shown."""

    event: str
    at: str
    caller: str = ""
    run: str = ""


KnownEvent: TypeAlias = (
    LedgerOpened
    | LedgerMigrated
    | RequestRefused
    | RunReserved
    | AnswerRepeated
    | RunReleased
    | RunStarted
    | RunPaid
    | FiguresDisclosed
    | RunFinished
    | RunFailed
    | OwnerActed
    | LossShown
    | LossAcknowledged
    | JointKept
    | JointEnded
)
_EVENT = msgspec.json.Decoder(KnownEvent)
_UNKNOWN = msgspec.json.Decoder(UnknownEvent)
_FACTS = msgspec.json.Decoder(RequestFacts)
_KNOWN = {kind.__struct_config__.tag for kind in KnownEvent.__args__}


def raw(request: Any) -> Raw:
    """A request or its summary as an event holds it."""
    return Raw(msgspec.json.encode(request, order="sorted"))


def facts_of(request: Raw) -> RequestFacts:
    """What is read back of a request in an event."""
    return _FACTS.decode(request)


def answer_hash(answer: bytes | None) -> str:
    """An answer's SHA-256, as an event holds it."""
    return "" if answer is None else hashlib.sha256(answer).hexdigest()


def encode(event: LedgerEvent) -> bytes:
    """The body of an audit row."""
    return msgspec.json.encode(event, order="sorted")


def decode(body: bytes) -> KnownEvent | UnknownEvent:
    """The event of an audit row; raises msgspec.DecodeError where it is none that privsdk writes."""
    try:
        return _EVENT.decode(body)
    except msgspec.ValidationError:
        unknown = _UNKNOWN.decode(body)
        if unknown.event in _KNOWN:
            raise
        return unknown


def name_of(event: LedgerEvent | UnknownEvent) -> str:
    """An event's name in the chain."""
    return event.event if isinstance(event, UnknownEvent) else str(event.__struct_config__.tag)


# How events move runs. The ledger, its reconciliation with the chain and the runs in memory move by `NEXT` alone; what
# is not in it is refused. A state that is added and not thought through fails closed: nothing leads out of it, and it
# counts as spent.


class RunState(StrEnum):
    """As the ledger's table holds it."""

    RESERVED = "reserved"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    RELEASED = "released"


NEXT: Mapping[RunState | None, Mapping[type[LedgerEvent], RunState]] = {
    None: {RunReserved: RunState.RESERVED, AnswerRepeated: RunState.FINISHED},
    RunState.RESERVED: {RunStarted: RunState.STARTED, RunReleased: RunState.RELEASED},
    RunState.STARTED: {RunPaid: RunState.STARTED, RunFinished: RunState.FINISHED, RunFailed: RunState.FAILED},
    RunState.FINISHED: {},
    RunState.FAILED: {},
    RunState.RELEASED: {},
}
OPEN = tuple(state for state, following in NEXT.items() if state is not None and following)  # the run has not ended
UNCHARGED = (RunState.RELEASED,)  # all others count as spent, whoever crashed


def moves(event: type[LedgerEvent]) -> tuple[RunState, ...]:
    """The states that an event may follow."""
    return tuple(state for state, following in NEXT.items() if state is not None and event in following)


def after(state: RunState | None, event: type[LedgerEvent]) -> RunState:
    """The state that an event leads to.

    Raises
    ------
    InternalError
        It may not follow this state.
    """
    following = NEXT.get(state, {}).get(event)
    if following is None:
        raise InternalError(f"a run that is {state or 'new'} cannot go on by {event.__name__}")
    return following
