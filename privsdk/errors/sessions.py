"""What errors of sessions with other parties say: who they are, when they ended, and why."""

from __future__ import annotations

from typing import Literal

from .details import Detail


class CallerMismatch(Detail, frozen=True, kw_only=True, tag="caller"):
    """Who sent a request, and in whose name."""

    certified: str
    named: str


Unfit = Literal["key", "expired", "early", "authority"]


class CertificateUnfit(Detail, frozen=True, kw_only=True, tag="certificate"):
    """A member's certificate is of another key or authority, or not valid now but from `since` to `until`."""

    member: str
    why: Unfit
    since: str
    until: str


class SessionEnded(Detail, frozen=True, kw_only=True, tag="ended"):
    """Where a message of this kind was due; `code` is that of the peer's own error, if it named one."""

    peer: str
    due: str = ""
    code: str = ""


class TimedOut(Detail, frozen=True, kw_only=True, tag="timeout"):
    """A peer that was waited for, how long, and for what: "connect", "read", "step" or "send"."""

    peer: str
    seconds: float
    wait: str


class StreamEnded(Detail, frozen=True, kw_only=True, tag="stream"):
    """With a peer: it "closed" it, it "broke", or it is "shut" at this end already."""

    peer: str
    how: str


class TooBusy(Detail, frozen=True, kw_only=True, tag="busy"):
    """A party that takes no more of something: "runs", "calls", another "question", or the "effort" of this one.

    `most` is how many, and `caller` whose, where that is what counts.
    """

    party: str
    of: str
    most: int = 0
    caller: str = ""


class RunCancelled(Detail, frozen=True, kw_only=True, tag="cancelled"):
    """`charged`: whether charges stand; None where the one who says it does not know.
    `waited_for`: the parties for whom it waited when the run was cancelled."""

    charged: bool | None = None
    waited_for: tuple[str, ...] = ()


class AnswerGone(Detail, frozen=True, kw_only=True, tag="answer"):
    """A run of which there is no answer, what became of it, and whether it was charged."""

    run_id: str
    state: str
    charged: bool


class TermsDiffer(Detail, frozen=True, kw_only=True, tag="terms"):
    """A peer whose session of products has other terms than one's own."""

    peer: str


class ProductUnfit(Detail, frozen=True, kw_only=True, tag="product"):
    """A peer whose message is of another product than the one of this `name`, or not of its form."""

    peer: str
    name: str
