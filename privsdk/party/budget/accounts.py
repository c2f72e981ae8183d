"""The accounts of a ledger's datasets, composed for whoever asks and kept warm between requests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from ...errors import LedgerError
from ...governance.charges import Charge
from ..budget_status import BudgetStatus
from ..ledger.ledger import Ledger
from .accounting import Account
from .caps import Asking, Caps, Scope

MOST_WARM = 64  # accounts kept: a purpose is whatever a caller says, and describing or quoting one is free


class Accounts:
    """Accounts over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._warm: dict[tuple[str, Scope], Account] = {}
        self._lock = threading.Lock()

    def of(self, dataset: str, asking: Asking) -> Caps:
        """The dataset's caps now; within a check of the ledger, at the moment of the reservation."""
        status, reserved = self.status(dataset), self._ledger.reserved(dataset)
        spent = self._ledger.spent(dataset, since=status.since)

        def account(scope: Scope) -> Account:
            if scope.lifetime:
                return self._account(dataset, scope, self._ledger.spent(dataset))
            if scope.days:
                return self._account(dataset, scope, self._ledger.spent(dataset, since=status.since, days=scope.days))
            return self._account(dataset, scope, spent)

        held = self._ledger.held(dataset, since=status.since) if reserved else Counter[Charge]()
        return Caps(self._ledger.party, dataset, status, asking, account, reserved, held)

    def account(self, dataset: str, scope: Scope) -> Account:
        """The charges of an analyst, a purpose or both since the last reset."""
        return self._account(dataset, scope, self._ledger.spent(dataset, since=self.status(dataset).since))

    def status(self, dataset: str) -> BudgetStatus:
        status = self._ledger.status(dataset)
        if status is None:
            known = ", ".join(self._ledger.datasets()) or "none"
            raise LedgerError(f"{self._ledger.party}'s ledger has no budget for {dataset!r}", hint=f"known: {known}")
        return status

    def _account(self, dataset: str, scope: Scope, spent: Mapping[tuple[str, str], Counter[Charge]]) -> Account:
        """The charges within a scope, composed; what was composed before is not composed again."""
        tally = Counter[Charge]()
        for (analyst, purpose), charges in spent.items():
            if scope.analyst in ("", analyst) and scope.purpose in ("", purpose):
                tally += charges
        with self._lock:
            known = self._warm.get((dataset, scope))
            same = next((account for account in self._warm.values() if account.tally == tally), None)
        if same is not None:  # as before, or as in another scope: one analyst's charges are often all there are
            account = same
        elif known is None or known.tally - tally:  # new, or charges left it: released, out of the window, reset
            account = Account(tally)
        else:
            account = known.plus(tally - known.tally)
        with self._lock:
            self._warm.pop((dataset, scope), None)
            self._warm[dataset, scope] = account
            while len(self._warm) > MOST_WARM:  # the one that was asked for longest ago
                del self._warm[next(iter(self._warm))]
        return account
