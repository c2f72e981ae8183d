"""A dataset's standing: its budget in force, whether it is frozen, and since which charge its cap counts.

Only the owner's actions change it. Each is a signed row of the audit chain, from which the standing can be computed
again.
"""

from __future__ import annotations

import msgspec

from ...errors import InvalidArgument
from ...governance.charges import Budget, Unit


class SetBudget(msgspec.Struct, frozen=True, kw_only=True, tag="set"):
    """Put another budget in force. `configured` marks one that came from party.toml or the notebook's argument."""

    dataset: str
    budget: Budget
    reason: str
    configured: bool = False


class Freeze(msgspec.Struct, frozen=True, kw_only=True, tag="freeze"):
    """Refuse whatever would be charged, until unfrozen."""

    dataset: str
    reason: str


class Unfreeze(msgspec.Struct, frozen=True, kw_only=True, tag="unfreeze"):
    """Allow charges again."""

    dataset: str
    reason: str


class Reset(msgspec.Struct, frozen=True, kw_only=True, tag="reset"):
    """Let the cap and its limits begin anew. The lifetime's spending stays recorded and shown."""

    dataset: str
    reason: str


Action = SetBudget | Freeze | Unfreeze | Reset


class Standing(msgspec.Struct, frozen=True, kw_only=True):
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


def after(standing: Standing | None, action: Action, *, last_charge: int, private: bool) -> Standing:
    """The standing that an action leads to.

    Parameters
    ----------
    standing : Standing or None
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
    if not action.reason.strip():
        raise InvalidArgument("an owner's action needs a reason: it is what the audit shows", hint='reason="..."')
    if standing is None:
        if not isinstance(action, SetBudget):
            raise InvalidArgument(f"no dataset {action.dataset!r} has a budget here", hint="set one first")
        if action.budget.unit != Unit() and private:  # charges of version 1, which knew no other unit
            raise _another_unit(action.dataset, Unit(), action.budget.unit)
        return Standing(budget=action.budget, configured=action.budget)
    match action:
        case SetBudget(budget=budget, configured=configured):
            if budget.unit != standing.budget.unit and private:
                raise _another_unit(action.dataset, standing.budget.unit, budget.unit)
            budgets = {"budget": budget, **({"configured": budget} if configured else {})}
            return msgspec.structs.replace(standing, **budgets)
        case Freeze(reason=reason):
            return msgspec.structs.replace(standing, frozen=reason)
        case Unfreeze():
            return msgspec.structs.replace(standing, frozen="")
        case Reset():
            return msgspec.structs.replace(standing, since=last_charge)


def _another_unit(dataset: str, before: Unit, unit: Unit) -> InvalidArgument:
    return InvalidArgument(
        f"{dataset} was charged for {before} and cannot go on for {unit}",
        hint=f"go on for {before}, or reset its budget first, with a reason: its losses were measured for that unit",
    )
