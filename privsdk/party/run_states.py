"""The states of a run, and which event may lead from which state to which: all legal transitions are in `NEXT`.

The ledger, its reconciliation with the chain and the runs in memory move by this table alone; what is not in it is
refused. A state that is added and not thought through fails closed: nothing leads out of it, and it counts as spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..errors import InternalError
from ..governance.events import (
    AnswerRepeated,
    LedgerEvent,
    RunFailed,
    RunFinished,
    RunPaid,
    RunReleased,
    RunReserved,
    RunStarted,
)


class RunState(StrEnum):
    """As the ledger's table holds it."""

    RESERVED = "reserved"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    RELEASED = "released"


NEXT: Mapping[RunState | None, Mapping[type[LedgerEvent], RunState]] = {
    None: {RunReserved: RunState.RESERVED, AnswerRepeated: RunState.FINISHED},
    RunState.RESERVED: {RunStarted: RunState.STARTED, RunReleased: RunState.RELEASED},
    RunState.STARTED: {RunPaid: RunState.STARTED, RunFinished: RunState.FINISHED, RunFailed: RunState.FAILED},
    RunState.FINISHED: {},
    RunState.FAILED: {},
    RunState.RELEASED: {},
}
OPEN = tuple(state for state, following in NEXT.items() if state is not None and following)  # the run has not ended
UNCHARGED = (RunState.RELEASED,)  # all others count as spent, whoever crashed


def moves(event: type[LedgerEvent]) -> tuple[RunState, ...]:
    """The states that an event may follow."""
    return tuple(state for state, following in NEXT.items() if state is not None and event in following)


def after(state: RunState | None, event: type[LedgerEvent]) -> RunState:
    """The state that an event leads to.

    Raises
    ------
    InternalError
        It may not follow this state.
    """
    following = NEXT.get(state, {}).get(event)
    if following is None:
        raise InternalError(f"a run that is {state or 'new'} cannot go on by {event.__name__}")
    return following
