"""What a training with differential privacy may go with, what it costs each party, and what others would cost.

A forecast is epsilon at a delta of other lengths, noise and sampling rates, before anything is paid.
By Renyi divergences (RDP), so never below what parties charge, who compose more tightly (`party.budget.accounting`).
Sampled Gaussian noise: I. Mironov, K. Talwar, L. Zhang, "Renyi Differential Privacy of the Sampled Gaussian Mechanism",
arXiv:1908.10530, section 3.3, for integer orders a:

    exp((a - 1) RDP(a)) = sum over k <= a of binom(a, k) (1 - q)^(a - k) q^k exp((k^2 - k) / (2 z^2))

Without sampling a / (2 z^2); rho-zCDP has a rho. To epsilon: C. Canonne, G. Kamath, T. Steinke, "The Discrete Gaussian
for Differential Privacy", NeurIPS 2020, proposition 12. Here rather than from dp-accounting, which belongs to the
parties and takes seconds to import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from ...display.cards import Grid, grid_of
from ...errors import InvalidArgument
from ...governance.charges import Gaussian, Unit, ZeroConcentrated
from ..models.training import Schedule
from . import record_level
from .levels import PartyLevel, Privacy, RecordLevel
from .party_level import NoiseShares

MOST_ROWS = (1 << 31) - 1  # of one id
ORDERS = np.array([*range(2, 64), 128, 256, 512, 1024])  # of those of dp-accounting the integers
SHARES = (0.25, 0.5, 1.0)
FACTORS = (0.5, 1.0, 2.0)


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
            f"{where}: {unit} would be sampled independently, and the noise hides one row",
            hint="ask for one row of each id; fl.fit does",
        )


class Forecast(NamedTuple):
    """Of a training with this privacy and so many rounds; `charge` gives what a round of another would cost."""

    privacy: Privacy
    rounds: int
    charge: Callable[[Privacy], Gaussian | ZeroConcentrated]

    def table(self, delta: float) -> pa.Table:
        """Columns rounds, noise_multiplier, sampling_rate (record level) and epsilon, at most, at this delta."""
        rows = []
        for privacy in self._others():
            try:
                charge = self.charge(privacy)
            except InvalidArgument:  # too little noise or too much for the grid
                continue
            for share in SHARES:
                rounds = max(1, round(share * self.rounds))
                row: dict[str, float | int] = {"rounds": rounds, "noise_multiplier": privacy.noise_multiplier}
                if isinstance(privacy, RecordLevel):
                    row["sampling_rate"] = privacy.sampling_rate
                row["epsilon"] = epsilon(times(charge, rounds), delta)
                if row not in rows:
                    rows.append(row)
        return pa.Table.from_pylist(rows)

    def grid(self, delta: float) -> Grid:
        """The same, to look at."""
        return grid_of(self.table(delta), digits=3)

    def _others(self) -> Iterator[Privacy]:
        """This one, less and more noise, and less and more sampling."""
        for factor in FACTORS:
            yield msgspec.structs.replace(self.privacy, noise_multiplier=self.privacy.noise_multiplier * factor)
        if isinstance(self.privacy, RecordLevel):
            for factor in FACTORS:
                rate = min(1.0, self.privacy.sampling_rate * factor)
                if rate != self.privacy.sampling_rate:
                    yield msgspec.structs.replace(self.privacy, sampling_rate=rate)


def epsilon(charge: Gaussian | ZeroConcentrated, delta: float) -> float:
    """A bound on epsilon at this delta; infinite where the mechanism's own delta leaves nothing of it."""
    rest = delta - charge.delta
    if rest <= 0:
        return math.inf
    orders = ORDERS.astype(np.float64)
    if isinstance(charge, ZeroConcentrated):
        divergences = charge.rho * orders
    else:
        divergences = charge.steps * np.array([_sampled(int(order), charge) for order in ORDERS])
    bounds = divergences + np.log1p(-1 / orders) - np.log(rest * orders) / (orders - 1)
    return max(0.0, float(bounds.min()))


def _sampled(order: int, charge: Gaussian) -> float:
    """The Renyi divergence of this order of one step."""
    noise, rate = charge.noise_multiplier, charge.sampling_rate
    if rate == 1:
        return order / (2 * noise**2)
    terms = [
        math.lgamma(order + 1)
        - math.lgamma(k + 1)
        - math.lgamma(order - k + 1)
        + (order - k) * math.log1p(-rate)
        + k * math.log(rate)
        + (k * k - k) / (2 * noise**2)
        for k in range(order + 1)
    ]
    return float(np.logaddexp.reduce(terms)) / (order - 1)
