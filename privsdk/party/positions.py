"""Where each dataset of a ledger stands for whoever asks: its standing, and its accounts kept warm between requests."""

from __future__ import annotations

import threading
from collections import Counter

from ..charges import Charge
from ..errors import LedgerError
from .accounting import Account
from .budget import Asking, Position, Scope
from .ledger import Ledger
from .standing import Standing


class Positions:
    """Positions over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._warm: dict[tuple[str, Scope], Account] = {}
        self._lock = threading.Lock()

    def of(self, dataset: str, asking: Asking) -> Position:
        """The dataset's position now; within a check of the ledger, at the moment of the reservation."""

        def account(scope: Scope) -> Account:
            return self.account(dataset, scope)

        reserved = self._ledger.reserved(dataset)
        return Position(self._ledger.party, dataset, self.standing(dataset), asking, account, reserved)

    def standing(self, dataset: str) -> Standing:
        standing = self._ledger.standing(dataset)
        if standing is None:
            known = ", ".join(self._ledger.datasets()) or "none"
            raise LedgerError(f"{self._ledger.party}'s ledger has no budget for {dataset!r}", hint=f"known: {known}")
        return standing

    def account(self, dataset: str, scope: Scope) -> Account:
        """The charges that count, composed; what was composed before is not composed again."""
        tally: Counter[Charge] = self._ledger.tally(dataset, scope)
        with self._lock:
            known = self._warm.get((dataset, scope))
        if known is None or known.tally - tally:  # new, or charges have left it: released, out of the window, reset
            account = Account(tally)
        else:
            more = tally - known.tally
            account = known.plus(more) if more else known
        with self._lock:
            self._warm[dataset, scope] = account
        return account
