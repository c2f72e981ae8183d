"""What callers saw of a party's chain: the heads they show, the losses these prove, what the owner said to them.

A head of this party's own key that is not in its chain proves that the ledger file was put back from an older copy.
From then on the party refuses every request until its owner acknowledges the loss. That begins a new branch: heads of
the lost one, up to the acknowledged number of rows, pass; heads of the new one do not, so a second loss is found again.
All of it is in the chain itself, so processes that share the file agree.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ...errors import InvalidArgument, LedgerBehind, LedgerError, ProtocolViolation
from ...governance.chain import Head, Row, head_statement
from ...governance.events import LossAcknowledged, LossShown, decode
from .database import Signer
from .ledger import Ledger
from .requests import cut

NAMES = ("behind", "acknowledged")  # of the events that are read back


class RollbackDetection:
    """One party's chain as its callers know it."""

    def __init__(self, party: str, ledger: Ledger, signer: Signer) -> None:
        self._party = party
        self._ledger = ledger
        self._signer = signer
        self._public_key = signer.public_key.hex()
        self._lock = threading.Lock()
        self._last: Row | None = None
        self._shown: list[Head] = []
        self._accepted: list[Head] = []
        self._branch = 0

    def head(self) -> Head:
        """The chain's end, signed."""
        with self._lock:
            last = self._follow()
            signature = self._signer.sign(head_statement(last.sequence, self._branch, last.hash))
            return Head(
                rows=last.sequence,
                hash=last.hash.hex(),
                signature=signature.hex(),
                public_key=self._public_key,
                branch=self._branch,
            )

    def losses(self) -> tuple[Head, ...]:
        """Heads that callers showed, that are not in the chain and that the owner has not acknowledged."""
        with self._lock:
            self._follow()
            return tuple(self._losses())

    def meet(self, caller: str, seen: Head | None) -> None:
        """Compare the head that a caller shows with this chain.

        Raises
        ------
        InvalidArgument
            It is not of this party's key: no evidence of anything.
        LedgerBehind
            The chain lacks it, or lacks one shown before, and the owner has not acknowledged that. Audited once.
        """
        with self._lock:
            last = self._follow()
            if seen is not None:
                if seen.public_key != self._public_key or not seen.is_signed():
                    raise InvalidArgument(
                        f"the head shown is not one that {self._party}'s present key signed",
                        hint="if its ledger and key were made anew, its earlier charges are forgotten: ask its owner, "
                        f"then fed.forget_head({self._party!r})",
                    )
                found = self._ledger.row(seen.rows)
                known = found is not None and found.hash.hex() == seen.hash
                if not (known or _covered(seen, self._accepted) or _covered(seen, self._shown)):
                    self._ledger.note(LossShown(caller=caller, head=seen, rows=last.sequence))
                    self._follow()
            losses = self._losses()
        if losses:
            raise self._refusal(max(losses, key=lambda head: head.order), last)

    def acknowledge(self, reason: str) -> tuple[Head, ...]:
        """The owner accepts the losses that were found; returns the heads that prove them.

        Raises
        ------
        InvalidArgument
            There is none, or no reason.
        """
        if not reason.strip():
            raise InvalidArgument("a loss is acknowledged with a reason", hint='--reason "disk replaced on Monday"')
        with self._lock:
            self._follow()
            losses = tuple(self._losses())
            if not losses:
                raise InvalidArgument(
                    f"{self._party}'s ledger is behind no head that it was shown: nothing to acknowledge",
                    hint="a ledger that was put back is found by the first caller who saw more of it",
                )
            branch = 1 + max(self._branch, *(head.branch for head in losses))
            self._ledger.note(LossAcknowledged(reason=cut(reason, 1000), heads=losses, branch=branch))
        return losses

    def _losses(self) -> list[Head]:
        return [head for head in self._shown if not _covered(head, self._accepted)]

    def _follow(self) -> Row:
        """Take in what was written since, by this process or another; returns the last row."""
        last = self._ledger.head()
        if self._last is not None and self._ledger.row(self._last.sequence) != self._last:
            # the file was exchanged under this process
            self._last, self._shown, self._accepted, self._branch = None, [], [], 0
        since = 0 if self._last is None else self._last.sequence
        for body in self._ledger.bodies(NAMES, since, last.sequence) if last.sequence > since else ():
            try:
                event = decode(body)  # any: a request within one may hold the words of these
            except msgspec.DecodeError:
                raise LedgerError(
                    f"{self._party}'s audit was changed", hint="python -m privsdk audit verify names the row"
                ) from None
            if isinstance(event, LossShown):
                self._shown.append(event.head)
            elif isinstance(event, LossAcknowledged):
                self._accepted += event.heads
                self._branch = event.branch
        self._last = last
        return last

    def _refusal(self, head: Head, last: Row) -> LedgerBehind:
        if head.rows > last.sequence:
            found = f"has {last.sequence} audit rows, and a caller holds a head of {head.rows} that its key signed"
        else:
            found = f"has another row {head.rows} than in a head that a caller holds and its key signed"
        return LedgerBehind(
            f"{self._party}'s ledger {found}: it was put back from an older copy and forgot what was spent since",
            hint="its owner restores the newest ledger file; where that is lost, takes off the budgets what was spent, "
            "then: python -m privsdk audit acknowledge LEDGER --reason ...; until then it refuses every request",
            party=self._party,
        )


def anchors(party: str, parties: Sequence[str], heads: Mapping[str, Head]) -> dict[str, Head]:
    """The peers' heads of one run, to be kept in this party's chain.

    Raises
    ------
    ProtocolViolation
        There is not one of each party, or one is not signed by the key that it names.
    """
    if set(heads) != set(parties):
        raise ProtocolViolation("the heads are not those of the request's parties")
    for peer, head in heads.items():
        if not head.is_signed():
            raise ProtocolViolation(f"{peer}'s head is not signed by the key that it names")
    return {peer: head for peer, head in heads.items() if peer != party}


def _covered(head: Head, by: Iterable[Head]) -> bool:
    """Whether a loss of this head is part of a known one: its branch or an older one, and no more rows."""
    return any(head.branch <= known.branch and head.rows <= known.rows for known in by)
