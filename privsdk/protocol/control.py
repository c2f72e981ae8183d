"""What a notebook asks of a party and what it answers: the control messages, beside the protocols' own.

A party's side of a link is an `Endpoint`; the notebook's side is a `Link`. Both live in `transport` and `party`, which
do not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import pyarrow as pa

from ..errors import InvalidArgument, PrivsdkError, ProtocolViolation
from ..governance.chain import Count, Head
from ..governance.charges import Balance, Unit, attacker_certainty
from ..governance.policy import Derivation, Policy
from .conversation import Channel
from .messages import Abort, Binding, Frame, Message, decode, encode
from .operation import Request

MOST_REQUESTS = 100  # in one quote: quoting is free


class Describe(msgspec.Struct, frozen=True, kw_only=True, tag="describe"):
    """Who are you, what tables do you have, what do you allow, what is left for this purpose?"""

    purpose: str = ""


class Quote(msgspec.Struct, frozen=True, kw_only=True, tag="quote"):
    """Would you allow these requests, one after the other? Reserves and charges nothing."""

    requests: tuple[Request, ...]
    seen: Head | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.requests) <= MOST_REQUESTS:
            raise InvalidArgument(
                f"{len(self.requests):,} requests in one quote", hint=f"ask for 1 to {MOST_REQUESTS} at a time"
            )


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag="prepare"):
    """Decide on this request and reserve its price.

    `seen` is the last head of this party that the caller saw; a party whose chain lacks it refuses.
    """

    request: Request
    seen: Head | None = None


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Run what was prepared; every party's nonce makes the session's id. Answers when the run has ended.

    Each party writes the others' heads into its own chain, so that the chains of those who work together hold each
    other.
    """

    run_id: str
    nonces: dict[str, str]
    heads: dict[str, Head]


class Release(msgspec.Struct, frozen=True, kw_only=True, tag="release"):
    """Give a reservation back that will not be started."""

    run_id: str


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Stop a run."""

    run_id: str


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """End a run at its next round, with what there is by then."""

    run_id: str


class Watch(msgspec.Struct, frozen=True, kw_only=True, tag="watch"):
    """How far is a run? Of its progress reports, only those after the first `since`."""

    run_id: str
    since: Count = 0


class VerifyAudit(msgspec.Struct, frozen=True, kw_only=True, tag="verify-audit"):
    """Check your audit chain from its first row to its head."""


MOST_NOTED = 1000  # rows in one reply


class ReadAudit(msgspec.Struct, frozen=True, kw_only=True, tag="read-audit"):
    """What do the latest rows of your audit chain say of me?"""

    most: Count = 50

    def __post_init__(self) -> None:
        if not 1 <= self.most <= MOST_NOTED:
            raise InvalidArgument(f"{self.most:,} audit rows", hint=f"ask for 1 to {MOST_NOTED:,}")


Call = Describe | Quote | Prepare | Start | Release | Cancel | Stop | Watch | VerifyAudit | ReadAudit


class ColumnInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    type: str
    permits: tuple[str, ...]  # disclosures that some grant allows this caller
    range: tuple[float, float] | None = None  # of its values, as its owner declares


class TableInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    dataset: str
    columns: tuple[ColumnInfo, ...]
    unit: Unit = Unit()  # whose privacy the dataset's epsilon is about


class Description(Message, frozen=True, kw_only=True, tag="description"):
    party: str
    tables: tuple[TableInfo, ...]
    operations: tuple[str, ...]
    policy: Policy
    balances: tuple[Balance, ...]
    running: int
    ledger: str
    head: Head
    title: str = ""  # what it calls itself


class DatasetQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What requests would do to a dataset.

    Attributes
    ----------
    epsilon : float
        Composed epsilon of these requests alone.
    now, after : Balance
    queries_left : int
        How often all of them could be made from now; `charges.MOST_QUERIES` stands for at least so often.
    short : str
        Where they pay as they go and may be ended by the budget: why it does not cover the most that they can cost;
        `fitting` what would be covered whole.
    """

    epsilon: float
    now: Balance
    after: Balance
    queries_left: int
    short: str = ""
    fitting: str = ""

    @property
    def certainty(self) -> tuple[float, float]:
        """How sure someone can become of a unit's presence who was 50% sure: by these requests, by all ever made."""
        return attacker_certainty(self.epsilon), attacker_certainty(self.after.epsilon_lifetime)


class Quoted(Message, frozen=True, kw_only=True, tag="quoted"):
    """What a party says of requests that it would allow: the datasets they touch, and how its policy allows them."""

    datasets: tuple[DatasetQuote, ...]
    derivations: tuple[Derivation, ...] = ()


class Prepared(Message, frozen=True, kw_only=True, tag="prepared"):
    nonce: str
    digest: str
    head: Head


class ProgressReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run reports to its caller on the way: `done` of `total` rounds or the like, with figures of the last one.

    `seconds` since its start at this party, and all the bytes it has sent to and received from the others by then.
    """

    done: Count
    total: Count
    figures: dict[str, float] = {}
    seconds: float = 0.0
    bytes_sent: Count = 0
    bytes_received: Count = 0


class Watched(Message, frozen=True, kw_only=True, tag="watched"):
    """How far a run is at a party: its phase, its progress reports, the instalments that it paid after its start."""

    phase: str
    waits_for: tuple[str, ...] = ()
    told: tuple[ProgressReport, ...] = ()
    instalments: Count = 0


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """`ProgressReport` by columns, without figures: what each of many rounds took."""

    done: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    bytes_sent: tuple[int, ...] = ()
    bytes_received: tuple[int, ...] = ()

    @staticmethod
    def of(reports: Sequence[ProgressReport]) -> Trace:
        """Seconds to a tenth of a millisecond."""
        return Trace(
            done=tuple(each.done for each in reports),
            seconds=tuple(round(each.seconds, 4) for each in reports),
            bytes_sent=tuple(each.bytes_sent for each in reports),
            bytes_received=tuple(each.bytes_received for each in reports),
        )


class Finished(Message, frozen=True, kw_only=True, tag="finished"):
    """A party's answer: JSON facts and at most one table, with its receipt; `kept_until` where what a join left
    outlives the party's process, `stored` where it was given before and nothing was charged, `instalments` how many the
    run paid after its start, `trace` of its progress reports."""

    value: dict[str, Any]
    table: pa.Table | None = None
    alignment: str = ""
    kept_until: str = ""
    stored: bool = False
    instalments: Count = 0
    trace: Trace = Trace()
    receipt: Head | None = None  # absent only in the copy that the ledger keeps


class Done(Message, frozen=True, kw_only=True, tag="done"):
    pass


class AuditReport(Message, frozen=True, kw_only=True, tag="audit-report"):
    """Outcome of a verification: rows checked, and the first row that fails (-1: none)."""

    rows: int
    first_bad: int
    reason: str
    head: Head


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An audit row about a caller's request: when (ISO 8601, UTC), what happened, and why where it was not done.

    `charged` is what it was charged with this row, by dataset, such as "epsilon 0.1 (discrete Laplace)".
    """

    sequence: int
    at: str
    event: str
    run: str = ""
    operation: str = ""
    tables: tuple[str, ...] = ()
    why: str = ""
    charged: tuple[tuple[str, str], ...] = ()


class AuditLog(Message, frozen=True, kw_only=True, tag="audit-log"):
    """A party's latest audit rows about the caller who asks, latest first, and the head of its chain."""

    rows: tuple[AuditEntry, ...]
    head: Head


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The opening of a stream between two parties: the run it belongs to."""

    run_id: str
    session: str


class Endpoint(Protocol):
    """A party as a link sees it."""

    def handle(self, caller: str, call: Call) -> Message:
        """Answer a call; `caller` is who the link says it is. Raises PrivsdkError."""

    def accept(self, caller: str, hello: Hello, channel: Channel) -> None:
        """Take a stream that another party opened. Raises PrivsdkError where no run awaits it."""


class Link(Protocol):
    """The notebook's way to all parties."""

    def parties(self) -> tuple[str, ...]: ...

    def call(self, party: str, call: Call, kind: type[R]) -> R:
        """Ask one party; returns its reply or raises the error it answered with."""

    def close(self) -> None: ...


R = TypeVar("R", bound=Message)

MAX_CALL_BYTES = 16 << 20  # 100,000 public group keys of a hundred letters and some more

_CALLS = msgspec.json.Decoder(Call)


def encode_call(call: Call) -> bytes:
    return msgspec.json.encode(call)


def check_size(size: int) -> None:
    """Raise where a call is too large to be sent: a party reads no further than that."""
    if size > MAX_CALL_BYTES:
        raise ProtocolViolation(f"a call of {size} bytes; {MAX_CALL_BYTES} are allowed")


def decode_call(data: bytes) -> Call:
    check_size(len(data))
    try:
        call: Call = _CALLS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolViolation(f"not a call that this privsdk knows: {error}") from None
    return call


def encode_reply(party: str, reply: Message | PrivsdkError) -> Iterator[Frame]:
    if isinstance(reply, PrivsdkError):
        reply = Abort(code=reply.code, error=reply.at(party=party).to_record())
    return encode(reply, _binding(party), 0)


def decode_reply(party: str, kind: type[R], next_frame: Callable[[], Frame]) -> R:
    """The reply of this kind; raises the error that the party answered with."""
    return decode(kind, _binding(party), 0, next_frame)


def _binding(party: str) -> Binding:
    return Binding(session="call", request="", sender=party)
