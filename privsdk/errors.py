"""Every error a user can meet, as a tree, and its form on the wire.

PrivsdkError
├── UsageError            yours: fix the call
│   ├── UnknownName         no such party, table, column, operation or run
│   ├── InvalidArgument     a value, type or combination that cannot be used
│   ├── CircuitTooDeep      more multiplications or larger values under encryption than the preset allows
│   ├── MissingLibrary      a library that is no dependency is not installed
│   ├── DataError           a party's data does not fit the operation (never quotes a value)
│   └── StaleJoin           an alignment that is gone, expired or belongs to another caller or table
├── Refused               a data owner said no; nothing was charged, but by DifferencingRefused
│   ├── IdentityRefused     the caller is not who the request says
│   ├── PolicyRefused       no grant allows it; the message holds the smallest grant that would
│   ├── BudgetExceeded      the dataset's budget, or a limit below it, does not cover it
│   ├── DatasetFrozen       its owner lets nothing be charged for now
│   ├── DifferencingRefused the answer and an earlier one together would tell about a few rows; charged
│   └── LedgerBehind        its ledger is older than a head its key signed; its owner has to say what happened
├── PeerError             another party's fault, or the network's
│   ├── PeerGone            it stopped answering, or its stream closed without an End
│   ├── PeerFailed          it ended the session with an error of its own
│   ├── ProtocolViolation   it sent something the protocol does not allow
│   └── Busy                it runs as many sessions as its owner allows
├── LedgerError           a party's ledger cannot be used; the message says whose and what to do
│   └── LedgerChanged       a party's ledger is not the one you saw before; you found it, not the party
├── AnswerLost            the request was charged, its answer did not survive
├── Cancelled             the run was stopped on request
├── WorkerDied            a process ended in the middle of its task; others go on
└── InternalError         a defect in privsdk; details stay in the party's own log

Errors never hold row values. Codes are stable; messages are not.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Self

import msgspec


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it crosses the wire: what, whose, when in the protocol, what to do."""

    code: str
    message: str
    hint: str = ""
    party: str = ""
    run_id: str = ""
    phase: str = ""


class PrivsdkError(Exception):
    """Base of all errors raised by privsdk.

    Attributes
    ----------
    code : str
        Stable identifier of the kind of error, for programs.
    message, hint : str
        What happened, and what to do next.
    party, run_id, phase : str
        The party that raised it, the run it ended and the protocol phase; empty where there is none.
    """

    code: ClassVar[str] = "privsdk"
    _by_code: ClassVar[dict[str, type[PrivsdkError]]] = {}

    def __init_subclass__(cls) -> None:
        PrivsdkError._by_code[cls.code] = cls

    def __init__(self, message: str, *, hint: str = "", party: str = "", run_id: str = "", phase: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.party = party
        self.run_id = run_id
        self.phase = phase

    def __str__(self) -> str:
        named = not self.party or self.message.startswith(self.party)
        text = self.message if named else f"{self.party}: {self.message}"
        if self.hint:
            text += f"\n  What to do: {self.hint}"
        facts = [self.code]
        if self.run_id:
            facts.append(f"run {self.run_id}")
        if self.phase:
            facts.append(f"phase {self.phase}")
        return f"{text}\n  [{', '.join(facts)}]"

    def at(self, *, party: str = "", run_id: str = "", phase: str = "") -> Self:
        """Fill in where it happened, keeping what is known already; returns itself for `raise e.at(...)`."""
        self.party = self.party or party
        self.run_id = self.run_id or run_id
        self.phase = self.phase or phase
        return self

    def to_record(self) -> ErrorRecord:
        return ErrorRecord(
            code=self.code,
            message=self.message,
            hint=self.hint,
            party=self.party,
            run_id=self.run_id,
            phase=self.phase,
        )

    @staticmethod
    def from_record(record: ErrorRecord) -> PrivsdkError:
        """Rebuild the error on the other side of a link: same class, no foreign traceback."""
        kind = PrivsdkError._by_code.get(record.code, PrivsdkError)
        return kind(record.message, hint=record.hint, party=record.party, run_id=record.run_id, phase=record.phase)


class UsageError(PrivsdkError):
    code = "usage"


class UnknownName(UsageError):
    code = "usage.unknown-name"

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], *, where: str = "") -> UnknownName:
        """An error for `name` that lists what exists and, where one is near, the likeliest match."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        folded = {n.casefold(): n for n in names}
        match = folded.get(name.casefold()) or (near[0] if near else "")
        hint = f"did you mean {match!r}? " if match else ""
        hint += f"known: {', '.join(names)}" if names else "there are none"
        return cls(f"no {kind} named {name!r}{' ' + where if where else ''}", hint=hint)


class InvalidArgument(UsageError):
    code = "usage.argument"


class CircuitTooDeep(UsageError):
    code = "usage.too-deep"


class MissingLibrary(UsageError):
    code = "usage.missing-library"


class DataError(UsageError):
    code = "usage.data"


class StaleJoin(UsageError):
    code = "usage.stale-join"


class Refused(PrivsdkError):
    code = "refused"


class IdentityRefused(Refused):
    code = "refused.identity"


class PolicyRefused(Refused):
    code = "refused.policy"


class BudgetExceeded(Refused):
    code = "refused.budget"


class DatasetFrozen(Refused):
    code = "refused.frozen"


class DifferencingRefused(Refused):
    code = "refused.differencing"


class LedgerBehind(Refused):
    code = "refused.behind"


class PeerError(PrivsdkError):
    code = "peer"


class PeerGone(PeerError):
    code = "peer.gone"


class PeerFailed(PeerError):
    code = "peer.failed"


class ProtocolViolation(PeerError):
    code = "peer.violation"


class Busy(PeerError):
    code = "peer.busy"


class LedgerError(PrivsdkError):
    code = "ledger"


class LedgerChanged(LedgerError):
    code = "ledger.changed"


class AnswerLost(PrivsdkError):
    code = "ledger.answer-lost"


class Cancelled(PrivsdkError):
    code = "cancelled"


class WorkerDied(PrivsdkError):
    code = "worker-died"


class InternalError(PrivsdkError):
    code = "internal"
