"""The gate: the one place where a party decides, charges, reads, runs and answers.

    identify -> decide -> reserve -> start -> read -> run -> record -> answer

A party whose ledger is behind a head that a caller shows goes no further until its owner says why. A refusal costs
nothing. From `start` on the charge stands, whatever happens. Knows no protocol: operations say what they need, and
roles are generators it drives.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..errors import (
    AnswerLost,
    Cancelled,
    IdentityRefused,
    InternalError,
    InvalidArgument,
    PrivsdkError,
    Refused,
    UnknownName,
)
from ..errors.sessions import AnswerGone, CallerMismatch, RunCancelled
from ..governance.charges import Debit
from ..governance.events import RunStarted, RunState
from ..governance.policy import Derivation, KeyBounds, Policy
from ..governance.prices import Figures
from ..protocol import control
from ..protocol.conversation import Channel
from ..protocol.messages import Message
from ..protocol.operation import Operation, Outcome, Request, operation_of
from ..protocol.roles import Entropy, SystemEntropy
from ..protocol.services import NO_IDENTITY, Identity
from ..protocol.timeouts import Joins, Limits, Timeouts
from . import policy
from .budget.books import Books
from .budget.caps import Asking
from .checkpoints import CheckpointStore
from .differencing.guard import Guard
from .joints import JointTables
from .ledger.pooled_runs import PooledRun
from .ledger.rollback import anchors
from .policy import describe
from .run import Dial, PartyRun
from .runs import Inputs, PartyRuns
from .tables import Store

log = logging.getLogger("privsdk.party")


class _Decided(NamedTuple):
    """A request that the policy allows, with all that follows from it before any data is read."""

    operation: Operation[Any]
    price: tuple[Debit, ...]
    reserved: tuple[Debit, ...]  # all of the price, but where the run pays as it goes
    first_round: tuple[Debit, ...]
    exact: Figures | None
    pooled: PooledRun | None
    min_count: int
    key_bounds: KeyBounds
    derivation: Derivation


class Gate:
    """One data owner. `dial` opens a stream to another party, wherever the link is; `members` are the parties that its
    owner works with, by its own federation file."""

    def __init__(
        self,
        name: str,
        *,
        store: Store,
        policy: Policy,
        books: Books,
        dial: Dial,
        limits: Limits | None = None,
        joins: Joins | None = None,
        timeouts: Timeouts | None = None,
        entropy: Entropy | None = None,
        identity: Identity = NO_IDENTITY,
        members: Callable[[], Collection[str]],
        title: str = "",
    ) -> None:
        self.name = name
        self._members = members
        self._store = store
        self._policy = policy
        self._describe = partial(describe, name, title=title, policy=policy, store=store, books=books)
        self._books = books
        self._dial = dial
        self._timeouts = timeouts or Timeouts()
        self._runs = PartyRuns(name, limits or Limits(), self._timeouts, give_back=books.release)
        self._joints = JointTables(name, store, books, limits or Limits(), joins or Joins())
        self._guard = Guard(name, store, books)
        self._inputs = Inputs(
            store=store,
            joints=self._joints,
            guard=self._guard,
            books=books,
            checkpoints=CheckpointStore(name, books.beside(".checkpoints")),
            entropy=entropy or SystemEntropy(),
            identity=identity,
            min_parties=policy.min_parties,
        )

    def handle(self, caller: str, call: control.Call) -> Message:
        """Answer a call of `caller`, as the link identified it."""
        try:
            self._runs.release_overdue()
            return self._reply(caller, call)
        except PrivsdkError as error:
            raise error.at(party=self.name) from None
        except Exception as error:
            raise _defect(error).at(party=self.name) from None

    def accept(self, caller: str, hello: control.Hello, channel: Channel) -> None:
        """Take a peer's stream for a run that both prepared."""
        self._runs.accept(caller, hello, channel)

    def close(self) -> None:
        """Stop every run and close the books."""
        self._runs.close()
        self._joints.close()
        self._books.close()

    def _reply(self, caller: str, call: control.Call) -> Message:
        reply: Message = control.Done()
        match call:
            case control.Describe(purpose=purpose):
                reply = self._describe(Asking(caller, purpose), running=self._runs.running)
            case control.Quote(requests=requests, seen=seen):
                self._books.rollback.meet(caller, seen)
                with self._runs.questions.of(caller):
                    reply = self._quote(caller, requests)
            case control.Prepare(request=request, seen=seen):
                self._books.rollback.meet(caller, seen)
                reply = self._prepare(caller, request)
            case control.Start():
                reply = self._start(caller, call)
            case control.Release(run_id=run_id):
                if self._runs.drop_prepared(run_id, caller):
                    self._books.release(run_id, "the caller gave it back")
            case control.Cancel(run_id=run_id):
                self._runs.cancel(run_id, caller)
            case control.Stop(run_id=run_id):
                self._runs.stop(run_id, caller)
            case control.Watch(run_id=run_id, since=since):
                reply = self._runs.watched(run_id, caller, since)
            case control.VerifyAudit():
                with self._runs.questions.of(caller):
                    reply = self._books.verify()
            case control.ReadAudit(most=most):
                reply = self._books.log(caller, most)
        return reply

    def _quote(self, caller: str, requests: Sequence[Request]) -> control.Quoted:
        prices, least, exact, derivations = [], [], [], []
        for request in requests:
            self._identify(caller, request)
            decided = self._decide(request)
            self._guard.judge_pooled(decided.pooled)
            prices.append(decided.price)
            least.append((*decided.reserved, *decided.first_round))
            derivations.append(decided.derivation)
            exact.append(decided.exact)
        if len({request.purpose for request in requests}) > 1:
            raise InvalidArgument("requests for several purposes in one quote", hint="ask for one purpose at a time")
        quoted = self._books.quote(Asking(caller, requests[0].purpose), prices, least, exact)
        return msgspec.structs.replace(quoted, derivations=tuple(derivations))

    def _prepare(self, caller: str, request: Request) -> control.Prepared:
        try:
            # 1. identify
            self._identify(caller, request)
            if (repeated := self._repeated(request)) is not None:
                return repeated
            # 2. decide
            decided = self._decide(request)
            if self._guard.answered(caller, decided.operation, decided.min_count):
                return control.Prepared(nonce="", digest=request.digest(), head=self._books.head())
            with self._runs.admission(caller):
                # 3. reserve
                pooled, then, exact = decided.pooled, decided.first_round, decided.exact
                check, debits = partial(self._guard.judge_pooled, pooled), decided.reserved
                self._books.reserve(caller, request, debits, then=then, exact=exact, pooled=pooled, check=check)
                run = self._runs.prepare(decided.operation, decided.min_count, decided.key_bounds)
        except Refused as error:
            log.info("%s: %s of %s refused (%s)", self.name, request.operation, caller, error.code)
            self._books.refused(caller, request, error.message)
            raise
        return control.Prepared(nonce=run.nonce, digest=run.digest, head=self._books.head())

    def _start(self, caller: str, call: control.Start) -> control.Finished:
        run_id = call.run_id
        run = self._runs.begin(run_id, caller)
        if run is None:
            return self._receipted(self._books.stored_answer(caller, run_id))
        failure: PrivsdkError | None = InternalError("the role failed")
        try:
            run.begin(call.nonces)
            if run.cancelled.is_set():
                raise Cancelled(RunCancelled(charged=False))
            peers = anchors(self.name, run.request.parties, call.heads)
            # 4. start: from here the charge stands
            self._books.start(run_id, run.session, heads=peers, request=run.request)
            run.move(RunStarted)
            log.info("%s: run %s, %s of %s, started", self.name, run_id, run.request.operation, caller)
            # 5. read the columns that were decided on, and nothing else
            given, version = self._inputs.of(self.name, run)
            # 6. run
            outcome = run.drive(run.operation.role(given), self._dial)
            run.check_screened()
            # 7. record
            answer = self._answer(run, outcome, version)
            self._books.finish(run_id, answer, [str(learned) for learned in run.operation.learns()])
            failure = None
        except Exception as error:
            failure = error if isinstance(error, PrivsdkError) else _defect(error)
            if run.cancelled.is_set() and run.state is RunState.STARTED:
                failure = Cancelled(RunCancelled(waited_for=run.waited_for))
            failure.lost = run.lost
            raise failure.at(party=self.name, run_id=run_id, phase=run.phase) from None
        finally:
            try:
                if failure is not None and run.state is RunState.STARTED:
                    self._books.fail(run_id, failure.code)
                elif failure is not None:
                    self._books.release(run_id, f"not started ({failure.code})")
            finally:
                log.info("%s: run %s %s", self.name, run_id, failure.code if failure else "finished")
                run.end(failure, self._dial)
                self._runs.ended(run_id)
        # 8. answer
        return self._receipted(answer)

    def _identify(self, caller: str, request: Request) -> None:
        if request.caller != caller:
            raise IdentityRefused(CallerMismatch(certified=caller, named=request.caller))
        if self.name not in request.parties:
            raise UnknownName.among("party", self.name, request.parties, where="in this request")
        policy.check_partners(self.name, request, self._members())

    def _repeated(self, request: Request) -> control.Prepared | None:
        """For a run id that was used before: its stored answer is ready, or it is lost. It never runs again."""
        known = self._books.known(request.run_id)
        if known is None:
            return None
        if known.digest != request.digest():
            raise InvalidArgument(f"run id {request.run_id} was used for another request", hint="make a new plan")
        if known.state != "finished":
            raise AnswerLost(AnswerGone(run_id=request.run_id, state=known.state, charged=known.state != "released"))
        return control.Prepared(nonce="", digest=known.digest, head=self._books.head())

    def _decide(self, request: Request) -> _Decided:
        operation = operation_of(request)
        operand = request.operands.get(self.name)
        if operand is not None:
            self._store.check(operand.table, operand.columns)
            schema = self._store.schema(operand.table)
            operation.fits(self.name, schema)
        needs, contributors = operation.needs().get(self.name, ()), operation.contributors()
        decision = policy.decide(
            self._policy, request, needs, party=self.name, contributors=contributors, recipients=operation.recipients()
        )
        price = operation.price().get(self.name, ())
        if operand is not None:
            policy.check_price(self.name, operand, price)
            policy.check_unit(self.name, operand, price, self._books.unit_of(operand.table), schema)
            self._joints.check(request, operand)
        self._inputs.check(self.name, request, operation.name_of_work())
        reserved, first = (debits.get(self.name, ()) for debits in (operation.reserved(), operation.per_round(1)))
        pooled, exact = policy.pooled_run(self._policy, self.name, operation), operation.figures().get(self.name)
        return _Decided(operation, price, reserved, first, exact, pooled, *decision)

    def _answer(self, run: PartyRun, outcome: Outcome, version: str) -> control.Finished:
        (alignment, until), trace = self._joints.keep(run.request, version, outcome.keep), control.Trace.of(run.told)
        answer = control.Finished(value=outcome.value, table=outcome.table, trace=trace, instalments=run.instalments)
        return msgspec.structs.replace(answer, alignment=alignment, kept_until=until)

    def _receipted(self, answer: control.Finished) -> control.Finished:
        return msgspec.structs.replace(answer, receipt=self._books.head())


def _defect(error: Exception) -> InternalError:
    """A defect of ours. Its message may hold data, so its place is told and nothing else, here and in the log."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    log.error(place)
    return InternalError(
        place, hint="please report this with the call that led to it; the party's log has the same line"
    )
