"""A dataset's budget status: its budget in force, whether it is frozen, and since which charge its cap counts.

Only the owner's actions change it. Each is a signed row of the audit chain, from which the status can be computed
again.
"""

from __future__ import annotations

import msgspec

from ..errors import InvalidArgument
from ..governance.charges import Budget, Unit
from ..governance.events import Action, Freeze, Reset, SetBudget, Unfreeze, expect_reason


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a dataset.

    Attributes
    ----------
    budget : Budget
        In force.
    configured : Budget
        The last one that the configuration gave; a restart with the same one changes nothing.
    frozen : str
        The owner's reason; "" where it is not frozen.
    since : int
        Number of the last charge before the last reset: only later ones count against the cap.
    """

    budget: Budget
    configured: Budget
    frozen: str = ""
    since: int = 0


def status_after(status: BudgetStatus | None, action: Action, *, last_charge: int, private: bool) -> BudgetStatus:
    """The budget status that an action leads to.

    Parameters
    ----------
    status : BudgetStatus or None
        Before it; None where the dataset is new.
    last_charge : int
        Number of the ledger's last charge.
    private : bool
        Whether a differentially private charge counts against the cap.

    Raises
    ------
    InvalidArgument
        It gives no reason, or changes the privacy unit under charges that were measured in another one.
    """
    expect_reason(action.reason)
    if status is None:
        if not isinstance(action, SetBudget):
            raise InvalidArgument(f"no dataset {action.dataset!r} has a budget here", hint="set one first")
        if action.budget.unit != Unit() and private:  # charges of version 1, which knew no other unit
            raise _another_unit(action.dataset, Unit(), action.budget.unit)
        return BudgetStatus(budget=action.budget, configured=action.budget)
    match action:
        case SetBudget(budget=budget, configured=configured):
            if budget.unit != status.budget.unit and private:
                raise _another_unit(action.dataset, status.budget.unit, budget.unit)
            budgets = {"budget": budget, **({"configured": budget} if configured else {})}
            return msgspec.structs.replace(status, **budgets)
        case Freeze(reason=reason):
            return msgspec.structs.replace(status, frozen=reason)
        case Unfreeze():
            return msgspec.structs.replace(status, frozen="")
        case Reset():
            return msgspec.structs.replace(status, since=last_charge)


def _another_unit(dataset: str, before: Unit, unit: Unit) -> InvalidArgument:
    return InvalidArgument(
        f"{dataset} was charged for {before} and cannot go on for {unit}",
        hint=f"go on for {before}, or reset its budget first, with a reason: its losses were measured for that unit",
    )
