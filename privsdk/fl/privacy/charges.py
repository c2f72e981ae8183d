"""What a training with differential privacy may go with, and what it costs each party: a round, and all of it."""

from __future__ import annotations

import msgspec

from ...errors import InvalidArgument
from ...governance.charges import Gaussian, Unit, ZeroConcentrated
from ..models.training import Schedule
from . import record_level
from .levels import PartyLevel, Privacy
from .party_level import NoiseShares

MOST_ROWS = (1 << 31) - 1  # of one id


def check(privacy: Privacy, schedule: Schedule, *, hidden: bool, each: str) -> None:
    """Raise InvalidArgument where a schedule, a sum or a strategy would break the guarantee.

    Parameters
    ----------
    hidden : bool
        Whether the sum hides single updates.
    each : str
        Why the strategy must see each update; "" where it need not.
    """
    if isinstance(privacy, PartyLevel):
        if each:
            raise InvalidArgument(
                f"party-level privacy hides every update in a sum, and this strategy needs each: {each}",
                hint="use fl.RecordLevel(...), whose updates may be seen, or another strategy",
            )
        if not hidden:
            raise InvalidArgument(
                "a party's noise is only a share of what hides it, and in the clear stands alone",
                hint='use aggregation="encrypted", or fl.RecordLevel(...)',
            )
    elif schedule.epochs or not schedule.batch_size:
        raise InvalidArgument(
            "record-level privacy counts steps on batches of a public size; epochs and whole tables depend on the rows",
            hint="give local_steps, and batch_size: about sampling_rate times the rows of a party",
        )


def charge_of(
    privacy: Privacy, schedule: Schedule, *, size: int, parts: int, clients: int, fewest: int
) -> Gaussian | ZeroConcentrated:
    """What each client's dataset loses in a round; of a model of `size` weights and updates of `parts` times that."""
    if isinstance(privacy, PartyLevel):
        return NoiseShares(privacy, clients=clients, fewest=fewest, length=parts * size).charge
    return record_level.charge(privacy, batch_size=schedule.batch_size, length=size, steps=schedule.steps)


def times(charge: Gaussian | ZeroConcentrated, rounds: int) -> Gaussian | ZeroConcentrated:
    """So many rounds in one charge: they compose to the same."""
    delta = min(charge.delta * rounds, 0.5) if charge.delta else charge.delta
    if isinstance(charge, Gaussian):
        return msgspec.structs.replace(charge, steps=charge.steps * rounds, delta=delta)
    return msgspec.structs.replace(charge, rho=charge.rho * rounds, delta=delta)


def unit_of(privacy: Privacy, unit: Unit) -> Unit:
    """How many rows of one id enter: one, which is drawn by itself, or at party level all."""
    if not unit.id:
        return unit
    return Unit(id=unit.id, rows=MOST_ROWS if isinstance(privacy, PartyLevel) else 1)


def check_unit(privacy: Privacy, unit: Unit, *, where: str) -> None:
    """Raise InvalidArgument where several rows of one id would enter a record-level training."""
    if not isinstance(privacy, PartyLevel) and unit.rows > 1:
        raise InvalidArgument(
            f"{where}: {unit} would be drawn apart, and the noise is for one",
            hint="ask for one row of each id; fl.fit does",
        )
