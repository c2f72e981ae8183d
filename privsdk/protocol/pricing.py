"""What a request is charged: exact figures by the one rule of `governance.prices`, noisy ones as their mechanism is.

An operation says how many figures it tells and which noise it draws. It has no price of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, final

from ..governance.charges import NOISELESS, Charge, ColumnBits, Debit, Exact
from ..governance.prices import Figures

Debits = dict[str, tuple[Debit, ...]]
NO_BITS: Mapping[str, Mapping[str, int]] = MappingProxyType({})


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

    def bits(self) -> Mapping[str, Mapping[str, int]]:
        """By party, the bits that rounded figures tell of each of its columns, at most: by half of a column's entropy
        they are bounded, and its role calls `services.pay_bits` before they leave."""
        return NO_BITS

    def noisy(self) -> Mapping[str, tuple[Charge, ...]]:
        """By party, the charges of all that is told with noise."""
        return {}

    def noisy_round(self) -> Mapping[str, tuple[Charge, ...]]:
        """Of them those of each round, where a run pays as it goes."""
        return {}

    @final
    def price(self) -> Debits:
        """By party, the most that its datasets are charged."""
        return self._debits({p: f.charges() for p, f in self.figures().items()}, self.noisy(), self.bits())

    @final
    def reserved(self) -> Debits:
        """By party, what a run is charged before it starts and never gets back."""
        if not self.by_rounds:
            return self._debits({party: figures.charges() for party, figures in self.figures().items()}, self.noisy())
        return self._debits({party: figures.beforehand() for party, figures in self.figures().items()}, {})

    @final
    def bit_debits(self) -> Debits:
        """By party, the debits of `RoleInput.services.pay_bits`."""
        return self._debits({}, {}, self.bits())

    @final
    def per_round(self, number: int) -> Debits:
        """By party, the debits of call `number`, from 1, of `RoleInput.pay`."""
        if not self.by_rounds:
            return {}
        return self._debits({p: f.instalment(number) for p, f in self.figures().items()}, self.noisy_round())

    @final
    def paid(self, rounds: Mapping[str, int]) -> Debits:
        """What a run has cost by party, each of which paid for so many rounds; of the others nothing."""
        first = self.reserved() if self.by_rounds else self.price()
        each = [self.per_round(number) for number in range(1, max(rounds.values(), default=0) + 1)]
        cost = {
            party: (*first.get(party, ()), *(debit for one in each[:n] for debit in one.get(party, ())))
            for party, n in rounds.items()
        }
        return {party: debits for party, debits in cost.items() if debits}

    def _debits(
        self,
        exact: Mapping[str, tuple[Exact, ...]],
        noisy: Mapping[str, tuple[Charge, ...]],
        bits: Mapping[str, Mapping[str, int]] = NO_BITS,
    ) -> Debits:
        if any(isinstance(charge, NOISELESS) for charges in noisy.values() for charge in charges):
            raise TypeError(f"{type(self).__name__} prices exact figures by itself")
        told = {p: tuple(ColumnBits(column=c, bits=n) for c, n in of.items() if n) for p, of in bits.items()}
        found = {p: (*exact.get(p, ()), *told.get(p, ()), *noisy.get(p, ())) for p in self.tables}
        return {
            party: tuple(Debit(table=self.tables[party], charge=charge) for charge in charges)
            for party, charges in found.items()
            if charges
        }


RULE = tuple(name for name, method in vars(Priced).items() if getattr(method, "__final__", False))
