"""Opening a ledger file that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from privsdk.errors import LedgerError
from privsdk.party.budget.books import Books


def refusal(path: Path, party: str = "north") -> LedgerError:
    """The error on opening this ledger: it names the party and the place, and says what to do."""
    with pytest.raises(LedgerError) as refused:
        Books(party, path, budgets={}, datasets={})
    assert party in str(refused.value)
    assert str(path.parent) in str(refused.value)
    assert refused.value.hint
    return refused.value
