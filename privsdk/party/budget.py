"""Whether a dataset's budget covers a request, and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence

from ..charges import Balance, Budget, Charge, DiscreteLaplace
from ..errors import BudgetExceeded
from .accounting import composed_epsilon, exact_uses

_SLACK = 1e-9  # relative, for sums of floating-point epsilons


def balance(dataset: str, budget: Budget, charges: Sequence[Charge]) -> Balance:
    return Balance(
        dataset=dataset,
        budget=budget,
        epsilon_spent=composed_epsilon(charges, budget.delta),
        exact_spent=exact_uses(charges),
    )


def check(party: str, dataset: str, budget: Budget, existing: Sequence[Charge], new: Sequence[Charge]) -> None:
    """Raise BudgetExceeded unless the cap covers the existing charges and the new ones together."""
    before = balance(dataset, budget, existing)
    after = balance(dataset, budget, [*existing, *new])
    uses = exact_uses(new)
    if after.exact_spent > budget.exact and uses:
        raise BudgetExceeded(
            f"{party}/{dataset} has {before.exact_left} of {budget.exact} exact disclosures left, this needs {uses} "
            f"(short by {after.exact_spent - budget.exact})",
            hint="ask its owner for more, or use fewer rounds",
        )
    grown = after.epsilon_spent - before.epsilon_spent
    if after.epsilon_spent > budget.epsilon * (1 + _SLACK) and any(isinstance(c, DiscreteLaplace) for c in new):
        raise BudgetExceeded(
            f"{party}/{dataset} has epsilon {before.epsilon_left:.3g} left of {budget.epsilon:g} at delta "
            f"{budget.delta:g}, this needs {grown:.3g} (short by {after.epsilon_spent - budget.epsilon:.3g})",
            hint="lower epsilon or ask the owner",
        )
