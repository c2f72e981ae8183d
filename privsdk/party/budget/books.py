"""A party's books: which dataset each table draws on, what its budget covers, what was charged and answered, and the
chain that proves it.

Keeps the ledger, the accounts and the signing key together, so that a charge, its check and its audit row are one step.
Whether a request may run at all is the gate's decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import UNSET

from ...errors import AnswerLost, LedgerError, PolicyRefused, UnknownName
from ...governance.chain import Head
from ...governance.charges import Balance, Budget, Charge, Debit, Unit
from ...governance.events import (
    AnswerRepeated,
    Entry,
    FiguresDisclosed,
    LedgerEvent,
    RequestRefused,
    RunFailed,
    RunFinished,
    RunPaid,
    RunReleased,
    RunReserved,
    RunStarted,
    SetBudget,
    answer_hash,
    raw,
)
from ...governance.policy import ANY
from ...governance.prices import Figures as ExactFigures
from ...protocol import control
from ...protocol.messages import Frame
from ...protocol.operation import Request
from ...protocol.services import Figures
from ..joint_files import JointFiles
from ..ledger import requests
from ..ledger.database import Signer
from ..ledger.ledger import Ledger, RunRecord
from ..ledger.pooled_runs import PooledRun
from ..ledger.rollback import RollbackDetection
from ..ledger.row_sets import DisclosureTables
from ..ledger.verification import verify
from ..row_hashes import RowHash
from .accounting import Account
from .bits import check_bits
from .caps import Accounts, Asking
from .quotes import quoted


class Books:
    """Opens, and makes where needed, the ledger and its key; `path=None` keeps both in memory.

    Parameters
    ----------
    party : str
    path : path or None
    budgets : mapping of dataset to Budget
        As configured; "*" stands for any other; a dataset without one has nothing to spend. A budget that differs from
        what was configured before is put in force and recorded; else what the owner set in the ledger since holds.
    datasets : mapping of table to dataset
    """

    def __init__(
        self, party: str, path: Path | None, *, budgets: Mapping[str, Budget], datasets: Mapping[str, str]
    ) -> None:
        self._party = party
        self._datasets = dict(datasets)
        if path is None:
            self._signer = Signer.fresh()
        else:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LedgerError(
                    f"{party}'s ledger folder {path.parent} cannot be made: {error.strerror}", hint="give another store"
                ) from None
            key = path.with_suffix(".ed25519")
            exists = path.exists() and path.stat().st_size > 0
            if key.exists() and not exists:
                raise LedgerError(
                    f"{party}'s ledger {path} is missing or empty, and its signing key is there",
                    hint="restore the ledger from a backup; removing the key too starts anew and forgets all charges",
                )
            try:
                self._signer = Signer.at(key, create=not exists)
            except LedgerError as error:
                raise error.at(party=party) from None
        self._ledger = Ledger(party, path, self._signer)
        self.rollback = RollbackDetection(party, self._ledger, self._signer)
        self._accounts = Accounts(self._ledger)
        try:
            self._ledger.refuse_changed(self._signer.public_key)
            for dataset in dict.fromkeys(self._datasets.values()):
                self._configure(dataset, budgets.get(dataset) or budgets.get(ANY) or Budget(epsilon=0, exact=0))
        except BaseException:  # whatever it was goes on; the file must not stay open
            self._ledger.close()
            raise

    @property
    def place(self) -> str:
        """Where the books are kept, as callers are told."""
        where = "in memory only: budgets are forgotten when it closes" if self._ledger.path is None else "kept on disk"
        return f"{where}; put back from an older copy, its owner has to say so" if self.rollback.losses() else where

    def beside(self, suffix: str) -> Path | None:
        """The path beside the ledger's with this suffix; None where the books are in memory."""
        return None if self._ledger.path is None else self._ledger.path.with_suffix(suffix)

    def joint_files(self) -> JointFiles | None:
        """Where joint tables outlive the process; None where the books are in memory."""
        path = self._ledger.path
        return None if path is None else JointFiles(self._party, path, self._ledger, self._signer.derived)

    def dataset_of(self, table: str) -> str:
        return self._datasets[table]

    def unit_of(self, table: str) -> Unit:
        """Whose privacy the budget behind a table counts."""
        return self._accounts.status(self._datasets[table]).budget.unit

    def close(self) -> None:
        self._ledger.close()

    # A run's way through the books

    def known(self, run_id: str) -> RunRecord | None:
        """What became of a run id before, if it was ever reserved."""
        return self._ledger.run(run_id)

    def refused(self, caller: str, request: Request, why: str) -> None:
        summary = raw(requests.summary(request, self._party))
        self._ledger.note(RequestRefused(caller=caller, request=summary, why=requests.cut(why, requests.WHY)))

    def reserve(
        self,
        caller: str,
        request: Request,
        debits: Sequence[Debit],
        *,
        then: Sequence[Debit] = (),
        exact: ExactFigures | None = None,
        pooled: PooledRun | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Reserve the debits and keep `pooled`, or raise BudgetExceeded and change nothing, also where `then` would not
        be covered or `check` raises, which may read the books as they are then; `exact` is what the request tells."""

        def both() -> None:
            check()
            self._cover(request, (*debits, *then), exact)

        tables = tuple(sorted({debit.table for debit in debits}))
        self._ledger.reserve(
            RunReserved(caller=caller, request=self._kept(request), entries=self._entries(debits), tables=tables),
            run_id=request.run_id,
            digest=request.digest(),
            purpose=request.purpose,
            check=both,
            pooled=pooled,
        )

    def pooled(self, table: str) -> list[PooledRun]:
        """The pooled exact results that a table entered, or may enter yet."""
        return self._ledger.pooled(table)

    def release(self, run_id: str, why: str) -> None:
        """Give back a reservation of this process that was never started."""
        self._ledger.release(RunReleased(run=run_id, why=why))

    def start(
        self, run_id: str, session: str, *, heads: Mapping[str, Head] | None = None, request: Request | None = None
    ) -> None:
        """From here the charge stands. Keeps the peers' heads, and the request whole if its reservation did not."""
        whole = raw(request) if request is not None and requests.is_large(request) else UNSET
        if not self._ledger.start(RunStarted(run=run_id, session=session, heads=dict(heads or {}), request=whole)):
            raise AnswerLost(f"run {run_id} is no longer reserved here", hint="call the verb again for a new run")

    def pay(self, request: Request, debits: Sequence[Debit]) -> None:
        """Charge a run that has started for more, or raise BudgetExceeded or DatasetFrozen and change nothing.

        A round that adds nothing to the price is in the chain too, and a dataset that was frozen ends the run there.
        """
        operand = request.operands.get(self._party)

        def covered() -> None:
            if operand is not None:
                asking = Asking(request.caller, request.purpose)
                self._accounts.of(self._datasets[operand.table], asking).refuse_frozen()
            self._cover(request, debits)

        self._paid(request, debits, covered)

    def finish(self, run_id: str, answer: control.Finished, learned: Sequence[str]) -> None:
        """Keep the answer, so that the same request gets it again without a second charge."""
        frames = control.encode_reply(self._party, answer)
        stored = msgspec.msgpack.encode([(frame.header, bytes(frame.chunk)) for frame in frames])
        self._ledger.finish(RunFinished(run=run_id, learns=tuple(learned), answer=answer_hash(stored)), stored)

    def fail(self, run_id: str, code: str) -> None:
        self._ledger.finish(RunFailed(run=run_id, code=code))

    def stored_answer(self, caller: str, run_id: str) -> control.Finished:
        """The answer that a finished run gave; raises AnswerLost where it was charged and did not end with one."""
        known = self._ledger.run(run_id)
        if known is None or known.caller != caller:
            raise UnknownName(f"{self._party} has no run {run_id} of {caller}", hint="prepare it first")
        if known.answer is None:
            lost = "was not charged" if known.state == "released" else "was charged and its answer is lost"
            raise AnswerLost(f"run {run_id} {lost} ({known.state})", hint="call the verb again: a new charge")
        return self._unpacked(known.answer)

    def bits(self, request: Request, debits: Sequence[Debit], entropy: Mapping[str, float], *, pay: bool) -> None:
        """Raise DifferencingRefused where with these more than half of a column's entropy is charged; else charge them
        to the run if it is to `pay`."""

        def check() -> None:
            for debit in debits:
                check_bits(self._party, debit, self._ledger.spent(self._datasets[debit.table]).values(), entropy)

        self._paid(request, debits, check) if pay else check()

    def _paid(self, request: Request, debits: Sequence[Debit], check: Callable[[], None]) -> None:
        if not self._ledger.pay(RunPaid(run=request.run_id, entries=self._entries(debits)), check):
            raise AnswerLost(f"run {request.run_id} has ended here", hint="call the verb again for a new run")

    # Exact answers, before and after

    def hashed(self, table: str) -> RowHash:
        """How the rows of a table are hashed by which the guard knows them."""
        return self._ledger.hashed(table)

    def settle(self, run_id: str, question: str, compare: Callable[[DisclosureTables], list[Figures]]) -> list[Figures]:
        """Compare what a run would let out with what was let out before, and keep it and its question, in one step."""

        def change(tables: DisclosureTables) -> tuple[list[Figures], LedgerEvent | None]:
            figures = compare(tables)
            if question:
                tables.ask(question, run_id)
            told = tables.told(run_id)
            return figures, FiguresDisclosed(run=run_id, told=told) if told or question else None

        return self._ledger.disclose(change)

    def asked(self, shape: str) -> bool:
        """Whether a question was kept that begins like this."""
        return self._ledger.asked(shape)

    def answer_again(self, caller: str, request: Request, question: str) -> bool:
        """Give this run the answer that another gave to the same question, uncharged; False where none has."""

        def change(tables: DisclosureTables) -> tuple[bool, LedgerEvent | None]:
            found = tables.answer(question)
            if found is None:
                return False, None
            again = msgspec.msgpack.encode(found)  # the run that has it: a copy each time would be free disk
            run = {"digest": request.digest(), "caller": caller, "purpose": request.purpose}
            tables.answered(request.run_id, **run, answer=again)
            return True, AnswerRepeated(caller=caller, request=self._kept(request), answer=answer_hash(again))

        return self._ledger.disclose(change)

    def _kept(self, request: Request) -> msgspec.Raw:
        """A request as its reservation keeps it: whole, or a summary of a large one."""
        return raw(requests.summary(request, self._party) if requests.is_large(request) else request)

    def _unpacked(self, packed: bytes) -> control.Finished:
        held = msgspec.msgpack.decode(packed, type=list[tuple[bytes, bytes]] | str)
        if isinstance(held, str):
            source = self._ledger.run(held)
            if source is None or source.answer is None:
                raise AnswerLost(f"run {held} has no answer to give again", hint="call the verb again: a new charge")
            return msgspec.structs.replace(self._unpacked(source.answer), stored=True)
        frames = iter(held)
        return control.decode_reply(self._party, control.Finished, lambda: Frame(*next(frames)))

    # What the books say

    def quote(
        self,
        asking: Asking,
        requests: Sequence[Sequence[Debit]],
        least: Sequence[Sequence[Debit]] | None = None,
        exact: Sequence[ExactFigures | None] = (),
    ) -> control.Quoted:
        """What the datasets that these requests touch would have left; raises as `reserve` would for all of them.

        `least` is what must be covered for each to start, where that is less than the most that it can cost; `exact`
        what they tell.
        """
        prices = [self._by_dataset(debits) for debits in requests]
        starts = prices if least is None else [self._by_dataset(debits) for debits in least]
        return quoted(self._accounts, asking, prices, starts, exact)

    def balances(self, asking: Asking) -> tuple[Balance, ...]:
        return tuple(self._accounts.of(dataset, asking).balance() for dataset in sorted(set(self._datasets.values())))

    def head(self) -> Head:
        return self.rollback.head()

    def log(self, caller: str, most: int) -> control.AuditLog:
        """The latest rows of the chain about this caller's requests."""
        return control.AuditLog(rows=tuple(requests.latest(self._ledger, caller, most)), head=self.head())

    def verify(self) -> control.AuditReport:
        verdict = verify(self._ledger.snapshot(), self._signer.public_key)
        return control.AuditReport(
            rows=verdict.rows, first_bad=verdict.first_bad, reason=verdict.reason, head=self.head()
        )

    def _entries(self, debits: Sequence[Debit]) -> tuple[Entry, ...]:
        return tuple(Entry(self._datasets[debit.table], debit.charge) for debit in debits)

    def _cover(self, request: Request, debits: Sequence[Debit], exact: ExactFigures | None = None) -> None:
        """Raise unless the budgets cover these debits, and as one request those that its run has paid too."""
        operand = request.operands.get(self._party)
        for dataset, charges in self._by_dataset(debits).items():
            unit = self._accounts.status(dataset).budget.unit
            if operand is not None and Account(charges).private and operand.unit.id != unit.id:
                raise PolicyRefused(
                    f"{self._party}/{dataset} now counts {unit}, set by its owner just before",
                    hint="open the table again for its unit; nothing was spent",
                )
            caps = self._accounts.of(dataset, Asking(request.caller, request.purpose))
            if caps.sized:
                caps.check_size(charges + self._ledger.charged(request.run_id, dataset))
            caps.check(charges, sized=True, figures=exact)

    def _by_dataset(self, debits: Sequence[Debit]) -> dict[str, Counter[Charge]]:
        charges: dict[str, Counter[Charge]] = {}
        for debit in debits:
            charges.setdefault(self._datasets[debit.table], Counter())[debit.charge] += 1
        return charges

    def _configure(self, dataset: str, budget: Budget) -> None:
        """Put a configured budget in force where it is new or another one than was configured before."""
        status = self._ledger.status(dataset)
        if status is None or status.configured != budget:
            reason = "configured" if status is None else "the configuration changed"
            self._ledger.act(SetBudget(dataset=dataset, budget=budget, reason=reason, configured=True))
