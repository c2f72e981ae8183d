"""What a request is charged: exact figures by the one rule of `governance.prices`, noisy ones as their mechanism is.

An operation says how many figures it tells and which noise it draws. It has no price of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, final

from ..governance.charges import Charge, Debit, Exact
from ..governance.prices import Figures

Debits = dict[str, tuple[Debit, ...]]


class Priced(ABC):
    """Mixin of operations.

    Attributes
    ----------
    by_rounds : bool
        Whether a run pays as it goes: it starts wherever what is reserved and the first round are covered.
    """

    by_rounds: ClassVar[bool] = False

    @property
    @abstractmethod
    def tables(self) -> Mapping[str, str]:
        """By party, the table that it brings."""

    @abstractmethod
    def figures(self) -> Mapping[str, Figures]:
        """By party, the exact figures about its units that reach anybody in the clear, at most."""

    def noisy(self) -> Mapping[str, tuple[Charge, ...]]:
        """By party, the charges of all that is told with noise."""
        return {}

    def noisy_round(self) -> Mapping[str, tuple[Charge, ...]]:
        """Of them those of each round, where a run pays as it goes."""
        return {}

    @final
    def price(self) -> Debits:
        """By party, the most that its datasets are charged."""
        return self._debits({p: f.charges() for p, f in self.figures().items()}, self.noisy())

    @final
    def reserved(self) -> Debits:
        """By party, what a run is charged before it starts and never gets back."""
        if not self.by_rounds:
            return self.price()
        return self._debits({party: figures.beforehand() for party, figures in self.figures().items()}, {})

    @final
    def per_round(self, number: int) -> Debits:
        """By party, the debits of call `number`, from 1, of `RoleInput.pay`."""
        if not self.by_rounds:
            return {}
        return self._debits({p: f.instalment(number) for p, f in self.figures().items()}, self.noisy_round())

    @final
    def paid(self, rounds: Mapping[str, int]) -> Debits:
        """What a run has cost by party, each of which paid for so many rounds; of the others nothing."""
        first = self.reserved()
        each = [self.per_round(number) for number in range(1, max(rounds.values(), default=0) + 1)]
        cost = {
            party: (*first.get(party, ()), *(debit for one in each[:n] for debit in one.get(party, ())))
            for party, n in rounds.items()
        }
        return {party: debits for party, debits in cost.items() if debits}

    def _debits(self, exact: Mapping[str, tuple[Exact, ...]], noisy: Mapping[str, tuple[Charge, ...]]) -> Debits:
        if any(isinstance(charge, Exact) for charges in noisy.values() for charge in charges):
            raise TypeError(f"{type(self).__name__} prices exact figures by itself")
        return {
            party: tuple(Debit(table=table, charge=c) for c in (*exact.get(party, ()), *noisy.get(party, ())))
            for party, table in self.tables.items()
            if exact.get(party) or noisy.get(party)
        }


RULE = tuple(name for name, method in vars(Priced).items() if getattr(method, "__final__", False))
