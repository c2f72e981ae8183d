"""A party's books: which dataset each table draws on, what was charged, what was answered, and the chain that proves
it.

Keeps the ledger, the budgets and the signing key together, so that a charge, its check and its audit row are one step.
Whether a request may run at all is the gate's decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from .. import calls
from ..charges import Balance, Budget, Charge, Debit, Unit
from ..errors import AnswerLost, LedgerError, UnknownName
from ..messages import Frame
from ..operations import Request
from ..privacy import ANY
from . import audit, budget
from .ledger import Entry, Ledger, RunRecord, read_audit


class Books:
    """Opens, and makes where needed, the ledger and its key; `path=None` keeps both in memory.

    Parameters
    ----------
    party : str
    path : path or None
    budgets : mapping of dataset to Budget
        "*" stands for any other; a dataset without a budget has none to spend.
    datasets : mapping of table to dataset
    """

    def __init__(
        self, party: str, path: Path | None, *, budgets: Mapping[str, Budget], datasets: Mapping[str, str]
    ) -> None:
        self._party = party
        self._budgets = dict(budgets)
        self._datasets = dict(datasets)
        if path is None:
            self._signer = audit.Signer.fresh()
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
                self._signer = audit.Signer.at(key, create=not exists)
            except LedgerError as error:
                raise error.at(party=party) from None
        self._ledger = Ledger(party, path, self._signer)

    @property
    def place(self) -> str:
        """Where the books are kept, as callers are told."""
        return "in memory only: budgets are forgotten when it closes" if self._ledger.path is None else "kept on disk"

    def dataset_of(self, table: str) -> str:
        return self._datasets[table]

    def unit_of(self, table: str) -> Unit:
        """Whose privacy the budget behind a table counts."""
        return self._budget(self._datasets[table]).unit

    def close(self) -> None:
        self._ledger.close()

    # A run's way through the books

    def known(self, run_id: str) -> RunRecord | None:
        """What became of a run id before, if it was ever reserved."""
        return self._ledger.run(run_id)

    def refused(self, caller: str, request: Request, why: str) -> None:
        self._ledger.note({"event": "refused", "caller": caller, "request": request, "why": why})

    def reserve(self, caller: str, request: Request, debits: Sequence[Debit]) -> None:
        """Reserve the debits, or raise BudgetExceeded and change nothing."""
        self._ledger.reserve(
            request.run_id,
            digest=request.digest(),
            caller=caller,
            charges=[Entry(self._datasets[d.table], d.charge) for d in debits],
            check=self._check,
            event={"event": "reserved", "caller": caller, "request": request, "charges": debits},
        )

    def release(self, run_id: str, why: str) -> None:
        """Give back a reservation of this process that was never started."""
        self._ledger.release(run_id, event={"event": "released", "run": run_id, "why": why})

    def start(self, run_id: str, session: str) -> None:
        """From here the charge stands."""
        if not self._ledger.start(run_id, event={"event": "started", "run": run_id, "session": session}):
            raise AnswerLost(f"run {run_id} is no longer reserved here", hint="call the verb again for a new run")

    def finish(self, run_id: str, answer: calls.Finished, learned: Sequence[str]) -> None:
        """Keep the answer, so that the same request gets it again without a second charge."""
        frames = [tuple(frame) for frame in calls.encode_reply(self._party, answer)]
        event = {"event": "finished", "run": run_id, "learns": learned}
        self._ledger.finish(run_id, answer=msgspec.msgpack.encode(frames), event=event)

    def fail(self, run_id: str, code: str) -> None:
        self._ledger.finish(run_id, answer=None, event={"event": "failed", "run": run_id, "code": code})

    def stored_answer(self, caller: str, run_id: str) -> calls.Finished:
        """The answer that a finished run gave.

        Raises
        ------
        AnswerLost
            It was charged and did not end with an answer.
        """
        known = self._ledger.run(run_id)
        if known is None or known.caller != caller:
            raise UnknownName(f"{self._party} has no run {run_id} of {caller}", hint="prepare it first")
        if known.answer is None:
            lost = "was not charged" if known.state == "released" else "was charged and its answer is lost"
            raise AnswerLost(f"run {run_id} {lost} ({known.state})", hint="call the verb again: a new charge")
        frames = iter(msgspec.msgpack.decode(known.answer, type=list[tuple[bytes, bytes]]))
        return calls.decode_reply(self._party, calls.Finished, lambda: Frame(*next(frames)))

    # What the books say

    def quote(self, debits: Sequence[Debit]) -> calls.Quoted:
        """Balances of the datasets the debits touch, now and after; raises BudgetExceeded as `reserve` would."""
        now, after = [], []
        for dataset in dict.fromkeys(self._datasets[d.table] for d in debits):
            existing = self._ledger.charges(dataset)
            new = [d.charge for d in debits if self._datasets[d.table] == dataset]
            self._check(dataset, existing, new)
            now.append(budget.balance(dataset, self._budget(dataset), existing))
            after.append(budget.balance(dataset, self._budget(dataset), [*existing, *new]))
        return calls.Quoted(now=tuple(now), after=tuple(after))

    def balances(self) -> tuple[Balance, ...]:
        datasets = sorted(set(self._datasets.values()))
        return tuple(budget.balance(d, self._budget(d), self._ledger.charges(d)) for d in datasets)

    def head(self) -> calls.Head:
        last = self._ledger.head()
        return calls.Head(
            rows=last.sequence,
            hash=last.hash.hex(),
            signature=last.signature.hex(),
            public_key=self._signer.public_key.hex(),
        )

    def verify(self) -> calls.AuditReport:
        rows, bad, reason = audit.verify(self._ledger.audit(), self._signer.public_key)
        return calls.AuditReport(rows=rows, first_bad=bad, reason=reason, head=self.head())

    def _budget(self, dataset: str) -> Budget:
        return self._budgets.get(dataset) or self._budgets.get(ANY) or Budget(epsilon=0, exact=0)

    def _check(self, dataset: str, existing: Sequence[Charge], new: Sequence[Charge]) -> None:
        budget.check(self._party, dataset, self._budget(dataset), existing, new)


def verify_ledger(path: Path) -> audit.Verdict:
    """Check the audit chain in a ledger file without its party."""
    public_key, rows = read_audit(path)
    return audit.verify(rows, public_key)
