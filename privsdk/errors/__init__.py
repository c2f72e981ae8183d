"""Every error a user can meet, as a tree, and its form on the wire.

PrivsdkError
├── UsageError            yours: fix the call
│   ├── UnknownName         no such party, table, column, operation or run
│   │   └── UnknownAttribute  an object or module has nothing of this name
│   ├── InvalidArgument     a value, type or combination that cannot be used
│   │   └── UnsupportedUse    an object or verb is not for use in this way
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
│   │   ├── ConnectTimeout    it did not open its stream in time, or could not be reached in time
│   │   ├── ReadTimeout       nothing came from it for too long
│   │   └── StepTimeout       what one step waits for did not come in the time that the step has
│   ├── PeerFailed          it ended the session with an error of its own
│   ├── ProtocolViolation   it sent something the protocol does not allow
│   └── Busy                it runs as many sessions as its owner allows
├── LedgerError           a party's ledger cannot be used; the message says whose and what to do
│   └── LedgerChanged       a party's ledger is not the one you saw before; you found it, not the party
├── AnswerLost            the request was charged, its answer did not survive
├── Cancelled             the run was stopped on request
├── WorkerDied            a process ended in the middle of its task; others go on
└── InternalError         a defect in privsdk; details stay in the party's own log

An error is a code and typed fields (`details`), on the wire, too; its text is made where it is read, by
`privsdk.display.texts`, in the reader's language. Codes, reasons and fields are stable, texts are not. Errors never
hold row values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import ClassVar, Self

import msgspec

from . import refusals, sessions  # noqa: F401  (reasons are known once they are loaded)
from .details import Detail, Shown, Stated, reasons
from .inputs import NameUnknown
from .record import ErrorRecord


class PrivsdkError(Exception):
    """Base of all errors raised by privsdk.

    Parameters
    ----------
    what : Detail or str
        What happened, as data; a str where it is not data yet.
    hint : str, optional
        What to do next, in place of what the detail advises.

    Attributes
    ----------
    code : str
        Stable identifier of the kind of error, for programs.
    detail : Detail
        The typed fields.
    message, hint : str
        What happened, and what to do next.
    party, run_id, phase : str
        The party that raised it, the run it ended and the protocol phase; empty where there is none.
    lost : tuple of str
        The parties that it had lost by then, also where it went on without them.
    title : str
        What the party calls itself, where it is known.
    """

    code: ClassVar[str] = "privsdk"
    _by_code: ClassVar[dict[str, type[PrivsdkError]]] = {}

    def __init_subclass__(cls) -> None:
        PrivsdkError._by_code[cls.code] = cls

    def __init__(
        self, what: Detail | str, *, hint: str = "", party: str = "", run_id: str = "", phase: str = ""
    ) -> None:
        super().__init__(what)
        self.detail = Stated(message=what, hint=hint) if isinstance(what, str) else what
        self._hint = hint
        self._source = ""
        self._also: list[str] = []
        self._shown: TracebackType | None = None
        self.party = party
        self.run_id = run_id
        self.phase = phase
        self.lost: tuple[str, ...] = ()
        self.title = ""

    @property
    def message(self) -> str:
        """What happened."""
        source = f"{self._source}: " if self._source else ""
        return Shown.readable(source + Shown.text(self.detail).message + "".join(f"\n  {line}" for line in self._also))

    @property
    def hint(self) -> str:
        """What to do next, and what that needs."""
        return self.advice + "".join(
            f"\n  {label}:" + "".join(f"\n    {line}" for line in text.split("\n")) for label, text in self.facts
        )

    @property
    def advice(self) -> str:
        """What to do next, alone."""
        return Shown.readable(self._hint or Shown.text(self.detail).hint)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What that needs, such as the smallest grant, each with what it is."""
        if self._hint:
            return ()
        return tuple((label, Shown.readable(text)) for label, text in Shown.text(self.detail).facts)

    def __str__(self) -> str:
        text = f"{self.party}: {self.message}" if self.party and not self.names_party else self.message
        if self.hint:
            text += f"\n  What to do: {self.hint}"
        text += f"\n  Party: {self.party} ({self.title})" if self.title else ""
        facts = (self.code, self.run_id and f"run {self.run_id}", self.phase and f"phase {self.phase}", self.without)
        return Shown.readable(f"{text}\n  [{', '.join(filter(None, facts))}]")

    @property
    def without(self) -> str:
        """Whom its party had lost, but for one that the message names; only for how it is shown."""
        lost = [party for party in self.lost if party != getattr(self.detail, "peer", "")]
        return f"without {' and '.join(lost)}" if lost else ""

    @property
    def names_party(self) -> bool:
        """Whether the message already begins with whose error it is; only for how it is shown."""
        return self.message.startswith(self.party)

    def at(self, *, party: str = "", run_id: str = "", phase: str = "", source: str = "") -> Self:
        """Fill in where it happened, keeping what is known already; returns itself for `raise e.at(...)`.

        `source` is a file or field that the message should begin with.
        """
        self.party = self.party or party
        self.run_id = self.run_id or run_id
        self.phase = self.phase or phase
        self._source = self._source or source
        return self

    def advise(self, more: str) -> None:
        """Add to what to do next."""
        self._hint = f"{self.hint}; {more}" if self.hint else more

    def with_others(self, errors: Iterable[PrivsdkError]) -> Self:
        """Name the errors of other parties that came with it, each on a line of its own."""
        for error in errors:
            facts = ", ".join(filter(None, (error.phase, error.without)))
            self._also.append(f"{error.party}: {error.message}{f' ({facts})' if facts else ''}")
        return self

    def _repr_html_(self) -> str:
        return Shown.html(self)

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """What IPython prints of it in place of its frames.

        Those are shown, as of any exception, where it has no such attribute: of a defect in privsdk, and once more
        (`%tb`) of what was shown already.
        """
        if isinstance(self, InternalError) or (self._shown is not None and self._shown is self.__traceback__):
            raise AttributeError("_render_traceback_")

        def lines() -> list[str]:
            self._shown = self.__traceback__
            return Shown.lines(self)

        return lines

    def to_record(self) -> ErrorRecord:
        """The form on the wire."""
        stated = isinstance(self.detail, Stated)
        return ErrorRecord(
            code=self.code,
            message=self.message,
            hint=self.hint,
            party=self.party,
            run_id=self.run_id,
            phase=self.phase,
            lost=self.lost,
            detail=None if stated else msgspec.to_builtins(self.detail),
            own_hint=bool(self._hint),
        )

    @staticmethod
    def from_record(record: ErrorRecord) -> PrivsdkError:
        """Rebuild the error on the other side of a link: same class, no foreign traceback.

        A reason that this version does not know is shown in the English that came with it.
        """
        kind, code = PrivsdkError, record.code
        while code and kind is PrivsdkError:  # a kind that this version does not know is of the kind above it
            kind, code = PrivsdkError._by_code.get(code, PrivsdkError), code.rpartition(".")[0]
        what: Detail | str = record.message
        reason = reasons().get(str((record.detail or {}).get("reason")))
        hint = record.hint
        if reason is not None:
            try:
                what, hint = msgspec.convert(record.detail, reason), record.hint if record.own_hint else ""
            except msgspec.ValidationError:  # of another version: its English will do
                what = record.message
        error = kind(what, hint=hint, party=record.party, run_id=record.run_id, phase=record.phase)
        error.lost = record.lost
        return error


class UsageError(PrivsdkError):
    code = "usage"


class UnknownName(UsageError):
    code = "usage.unknown-name"

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], *, where: str = "") -> UnknownName:
        """An error for `name` that lists what exists and, where one is near, the likeliest match."""
        several = isinstance(name, list | tuple)
        return cls(NameUnknown(kind=kind, name=str(name), known=tuple(sorted(known)), where=where, several=several))


class UnknownAttribute(UnknownName, AttributeError):
    code = "usage.unknown-name.attribute"


class InvalidArgument(UsageError):
    code = "usage.argument"


class UnsupportedUse(InvalidArgument, TypeError):
    code = "usage.argument.use"


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


class ConnectTimeout(PeerGone):
    code = "peer.gone.connect"


class ReadTimeout(PeerGone):
    code = "peer.gone.read"


class StepTimeout(PeerGone):
    code = "peer.gone.step"


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
