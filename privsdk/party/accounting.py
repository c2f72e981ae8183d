"""What a list of charges amounts to: composed epsilon at a fixed delta, by dp-accounting's privacy loss distributions.

Each discrete Laplace release is priced as the worst mechanism of the same pure epsilon, which for a count it is. (The
continuous Laplace event would under-count: it puts less mass on the full loss.) Where plain addition of epsilons is
smaller than the accountant's figure, it is taken; both are upper bounds. dp_accounting takes over a second to import,
so it is imported late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from ..charges import Charge, DiscreteLaplace, Exact


def composed_epsilon(charges: Sequence[Charge], delta: float) -> float:
    """Epsilon at this delta of all differentially private charges together; exact ones have none."""
    counts = Counter(charge.epsilon for charge in charges if isinstance(charge, DiscreteLaplace))
    return _composed(tuple(sorted(counts.items())), delta)


def exact_uses(charges: Sequence[Charge]) -> int:
    return sum(charge.uses for charge in charges if isinstance(charge, Exact))


@lru_cache(maxsize=256)
def _composed(counts: tuple[tuple[float, int], ...], delta: float) -> float:
    added = sum(epsilon * count for epsilon, count in counts)
    if len(counts) == 0 or (len(counts) == 1 and counts[0][1] == 1):
        return added
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant()
    for epsilon, count in counts:
        accountant.compose(dp_event.DiscreteLaplaceDpEvent(epsilon, 1), count)
    return min(added, float(accountant.get_epsilon(delta)))
