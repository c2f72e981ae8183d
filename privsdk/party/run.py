"""One run at one party, from its reservation to its end: its streams, how far it is, and what its role may ask for."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ..errors import Cancelled, ConnectTimeout, InternalError, PeerFailed, PeerGone, PrivsdkError, ProtocolViolation
from ..errors.sessions import RunCancelled, SessionEnded, StreamEnded, TimedOut
from ..governance.charges import Debit, Exact
from ..governance.events import RunEvent, RunFailed, RunFinished, RunReleased, RunReserved, RunState, after
from ..governance.policy import KeyBounds
from ..protocol.control import Hello, ProgressReport, Watched
from ..protocol.conversation import Channel, Conversation
from ..protocol.messages import Binding
from ..protocol.operation import Operation
from ..protocol.roles import Gone, Progress, Role, drive
from ..protocol.services import Checkpoints, Figures, Identity, NoCheckpoints, RowSet
from ..protocol.timeouts import Timeouts
from .budget.books import Books
from .differencing.guard import Screen

T = TypeVar("T")
MOST_TOLD = 1000  # in one reply
Dial = Callable[[str, Hello], Channel]


class PartyRun:
    """One run at this party, from its reservation to its end."""

    def __init__(
        self,
        party: str,
        operation: Operation[Any],
        min_count: int,
        key_bounds: KeyBounds,
        timeouts: Timeouts,
    ) -> None:
        self.request = operation.request
        self.operation = operation
        self.min_count = min_count
        self.key_bounds = key_bounds
        self.instalments = 0  # that were paid
        self.digest = self.request.digest()
        self.nonce = secrets.token_hex(16)
        self.session = ""  # its id, of which every message is part, once it is fixed
        self.state = after(None, RunReserved)
        self.phase = ""
        self.since = self.begun = time.monotonic()
        self.told: list[ProgressReport] = []
        self.cancelled = threading.Event()
        self.stop_requested = threading.Event()
        self.waited_for: tuple[str, ...] = ()  # when it was cancelled
        self.screened = False  # whether its role asked the guard
        self.bits_paid = False
        self.party = party
        self._timeouts = timeouts
        self._changed = threading.Condition()
        self._over = False
        self._connecting: tuple[str, ...] = ()
        self._arrived: dict[str, tuple[Hello, Channel]] = {}
        self._conversations: dict[str, Conversation] = {}
        self._lost: dict[str, Gone] = {}

    @property
    def next_instalment(self) -> tuple[Debit, ...]:
        """What the next round costs."""
        return self.operation.per_round(self.instalments + 1).get(self.party, ())

    def begin(self, nonces: Mapping[str, str]) -> None:
        """Fix the session's id from every party's nonce."""
        if set(nonces) != set(self.request.parties) or nonces[self.party] != self.nonce:
            raise ProtocolViolation("the nonces are not those that the request's parties gave")
        self.begun = time.monotonic()
        joined = json.dumps([self.digest, sorted(nonces.items())])
        with self._changed:
            self.session = hashlib.sha256(joined.encode()).hexdigest()
            for _, channel in self._arrived.values():
                channel.listen()

    def move(self, event: type[RunEvent]) -> None:
        """Go on to the state that the event leads to, as the ledger does."""
        self.state = after(self.state, event)

    def check_screened(self) -> None:
        """Raise InternalError where exact figures of this party's rows left that the guard was not asked about.

        Its operation says whether there are: a minimum count applies to what it needs, and not noise alone pays for it.
        """
        operation = self.operation
        debits = operation.price().get(self.party, ())
        noise_alone = debits and not any(isinstance(debit.charge, Exact) for debit in debits)
        counted = any(need.disclosure.counted for need in operation.needs().get(self.party, ()))
        if counted and not noise_alone and not self.screened:
            raise InternalError(
                f"{self.request.operation} tells exact figures of {self.party}'s rows, and its role did not ask "
                "services.screen"
            )
        if operation.bits().get(self.party) and not self.bits_paid:
            raise InternalError(f"{self.request.operation} tells bits of columns, and did not call services.pay_bits")

    def arrive(self, peer: str, hello: Hello, channel: Channel) -> None:
        """Take a stream that a peer earlier in the request's order opened; it is heard from the run's start on."""
        order = self.request.parties
        if peer not in order or order.index(peer) >= order.index(self.party):
            raise ProtocolViolation(f"{peer} is not to open a stream to {self.party} in this run")
        with self._changed:
            if self._over:
                raise PeerGone(StreamEnded(peer=peer, how="shut"))
            if peer in self._arrived:
                raise ProtocolViolation(f"{peer} opened a second stream in one run")
            self._arrived[peer] = (hello, channel)
            if self.session:
                channel.listen()
            self._changed.notify_all()

    def conversation(self, peer: str, dial: Dial) -> Conversation:
        """The conversation with a peer: dialled by whoever comes first in the request's order."""
        if peer not in self._conversations:
            order = self.request.parties
            if order.index(self.party) < order.index(peer):
                channel = dial(peer, Hello(run_id=self.request.run_id, session=self.session))
            else:
                channel = self._await(peer)
            with self._changed:
                if self.cancelled.is_set():
                    channel.close()
                    raise Cancelled(RunCancelled())
                self._conversations[peer] = Conversation(
                    channel, self._binding(self.party), self._binding(peer), self._timeouts.read_s
                )
        return self._conversations[peer]

    def drive(self, role: Role[T], dial: Dial) -> T:
        """Run the role over this run's streams."""
        return drive(role, lambda peer: self.conversation(peer, dial), self.on_step, self._timeouts.step_s, self._lost)

    @property
    def lost(self) -> tuple[str, ...]:
        """Whom the role lost by now, those who failed by themselves last; but for those who were cancelled."""
        reasons = {party: gone.reason for party, gone in self._lost.items()}
        failed = {party: error.detail for party, error in reasons.items() if isinstance(error, PeerFailed)}
        codes = {party: detail.code for party, detail in failed.items() if isinstance(detail, SessionEnded)}
        found = sorted(reasons, key=lambda party: party in failed)
        return tuple(party for party in found if codes.get(party) != Cancelled.code)

    def on_step(self, progress: Progress | None) -> None:
        if progress is not None:
            self.phase = progress.phase
            if progress.figures is not None:
                self._tell(progress.done, progress.total, progress.figures)
        if self.cancelled.is_set():
            raise Cancelled(RunCancelled())

    def watched(self, since: int = 0) -> Watched:
        """What its caller may see of it by now."""
        told = tuple(self.told[since : since + MOST_TOLD])
        with self._changed:
            waits_for = self._waits_for()
        return Watched(phase=self.phase, waits_for=waits_for, told=told, instalments=self.instalments)

    def _waits_for(self) -> tuple[str, ...]:
        waiting = (peer for peer, each in self._conversations.items() if each.waiting)
        return (*self._connecting, *waiting)

    def _tell(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        conversations = list(self._conversations.values())
        told = ProgressReport(
            done=done,
            total=total,
            figures=dict(figures),
            seconds=time.monotonic() - self.begun,
            bytes_sent=sum(each.bytes_sent for each in conversations),
            bytes_received=sum(each.bytes_received for each in conversations),
        )
        if not self.told or (told.done, told.figures) != (self.told[-1].done, self.told[-1].figures):
            self.told.append(told)

    def cancel(self) -> None:
        with self._changed:
            if not self.cancelled.is_set():
                self.waited_for = self._waits_for()
            self.cancelled.set()
            conversations = list(self._conversations.values())
            self._changed.notify_all()
        for conversation in conversations:
            conversation.interrupt(Cancelled(RunCancelled()))

    def end(self, error: PrivsdkError | None, dial: Dial) -> None:
        """Close every stream, telling the peers why if it failed, and those too who still wait for a first word."""
        failed = RunFailed if self.state is RunState.STARTED else RunReleased
        self.move(RunFinished if error is None else failed)
        if error is not None and self.session:
            self._reach_those_who_wait(dial)
        for conversation in self._conversations.values():
            conversation.end(error)
        self.close()

    def close(self) -> None:
        """Take no stream any more, and end those that nobody spoke over."""
        with self._changed:
            self._over = True
            unheard = [channel for peer, (_, channel) in self._arrived.items() if peer not in self._conversations]
        for channel in unheard:
            channel.close()

    def _reach_those_who_wait(self, dial: Dial) -> None:
        """Where a run goes on without a party, those who must be in it wait for its stream, and nobody cancels them."""
        essential, order = self.operation.essential(), self.request.parties
        for peer in essential if set(essential) < set(order) else ():
            if order.index(self.party) < order.index(peer):
                with suppress(PrivsdkError):  # it has ended, or is ending, too
                    self.conversation(peer, dial)

    def _await(self, peer: str) -> Channel:
        with self._changed:
            self._connecting = (peer,)
            self._changed.wait_for(
                lambda: peer in self._arrived or self.cancelled.is_set(), timeout=self._timeouts.connect_s
            )
            self._connecting = ()
            if self.cancelled.is_set():
                raise Cancelled("the run was cancelled")
            if peer not in self._arrived:
                seconds = self._timeouts.connect_s
                raise ConnectTimeout(
                    TimedOut(peer=peer, seconds=seconds, wait="connect"), phase=self.phase or "connecting"
                )
            hello, channel = self._arrived[peer]
        if hello.session != self.session:
            raise ProtocolViolation(f"{peer} approved another request or session")
        return channel

    def _binding(self, sender: str) -> Binding:
        return Binding(session=self.session, request=self.digest, sender=sender)


class RunServices:
    """What the role of one run may ask of its party. What its operation does not declare is refused."""

    def __init__(
        self,
        run: PartyRun,
        *,
        books: Books,
        identity: Identity,
        screen: Screen | None,
        work: Callable[[str], Checkpoints] | None,
    ) -> None:
        self.identity = identity
        self._run = run
        self._books = books
        self._screen = screen
        self._work = work

    def screen(self, sets: Sequence[RowSet], min_count: int) -> list[Figures]:
        """As the differencing guard allows; see there."""
        if self._screen is None:
            raise InternalError(f"{self._run.request.operation} has exact figures, and no rows that the guard knows")
        self._run.screened = True
        return self._screen(sets, min_count)

    def check_bits(self, entropy: Mapping[str, float]) -> None:
        """Against what the ledger holds of each column, from whichever run and since whenever."""
        self._books.bits(self._run.request, self._bits(entropy), entropy, pay=False)

    def pay_bits(self, entropy: Mapping[str, float]) -> None:
        """On disk before it returns."""
        self._books.bits(self._run.request, self._bits(entropy), entropy, pay=True)
        self._run.bits_paid = True

    def _bits(self, entropy: Mapping[str, float]) -> tuple[Debit, ...]:
        run = self._run
        if set(entropy) != set(run.operation.bits().get(run.party, ())):
            raise TypeError(f"{run.request.operation} charges bits of other columns than it asks about")
        return run.operation.bit_debits()[run.party]

    def pay(self) -> None:
        """For one more round; on disk before it returns."""
        run = self._run
        if not run.operation.by_rounds:
            raise InternalError(f"{run.request.operation} pays by the round, and does not say what")
        self._books.pay(run.request, run.next_instalment)
        run.instalments += 1

    def checkpoints(self, part: str) -> Checkpoints:
        """Of the work that the request names."""
        return NoCheckpoints() if self._work is None else self._work(part)

    def stop_requested(self) -> bool:
        """Whether the caller did."""
        return self._run.stop_requested.is_set()
