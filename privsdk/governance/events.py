"""Ledger events: what the body of an audit row may say, one struct for each kind of event.

The encoding is JSON with sorted keys, the same bytes as in ledgers written before these structs: row hashes depend on
it. A field that older rows lack is `UNSET` where they do. A kind of event that this version does not know is read as
`UnknownEvent`, and each reader says what it does with one: what computes budgets refuses it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .charges import Budget, Charge, Debit
from .heads import Head

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
    """The charges in `entries` were reserved; version 1 wrote them as `charges`, by table."""

    tables: tuple[str, ...] | UnsetType = UNSET
    entries: tuple[Entry, ...] | UnsetType = UNSET
    charges: tuple[Debit, ...] | UnsetType = UNSET


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
