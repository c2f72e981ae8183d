"""What is paid, as values: charges, budgets with their limits, balances.

A charge is a typed event and never an epsilon, so that a better accountant can price old ones again. Pricing is
`party.budget.accounting`, storing is `party.ledger`.
"""

from __future__ import annotations

import math

import msgspec

from ..errors import InvalidArgument
from ..errors.calls import Declarative
from .policy import ANY

MOST_DAYS = 36_500  # of a window: a date before the year 1 does not exist
MOST_QUERIES = 1000  # a forecast of queries left goes no further


class Unit(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose privacy a dataset's epsilon is about: one row's, or all rows' of one id.

    Parameters
    ----------
    id : str
        Column that says whose a row is; "" where every row is protected by itself.
    rows : int
        Most rows of one id that enter a release, where its analyst asks for no other number; further ones are left out.
        The noise follows the number, so that all rows of the id stay protected.
    """

    id: str = ""
    rows: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.rows < 1 << 31 or (not self.id and self.rows != 1):
            raise InvalidArgument(
                f"a privacy unit of {self.rows} rows{' of one ' + self.id if self.id else ''}",
                hint='give an id column and at least 1 row of each, as in Unit(id="customer", rows=3)',
            )

    def __str__(self) -> str:
        return f"{self.rows} row{'s' * (self.rows > 1)} of one {self.id}" if self.id else "one row"

    @property
    def protected(self) -> str:
        """What is protected, in words: all rows of an id, though not all enter."""
        return f"all rows of one {self.id}, of which at most {self.rows} enter" if self.id else "one row"


class Limit(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit below a dataset's cap: for analysts, for purposes, for a span of time, or for these together.

    Parameters
    ----------
    analyst, purpose : str
        A name; "*" for each one separately; "" for all together.
    days : float
        What was charged longer ago does not count; 0 counts everything. A window bounds spending per window, not the
        loss over a lifetime.
    epsilon : float, optional
        Largest composed epsilon, at the budget's delta.
    exact : int, optional
        Most exact disclosures.
    """

    analyst: str = ""
    purpose: str = ""
    days: float = 0.0
    epsilon: float | None = None
    exact: int | None = None

    def __post_init__(self) -> None:
        bounds = [b for b in (self.epsilon, self.exact) if b is not None]
        if not bounds or any(not 0 <= b < math.inf for b in bounds) or not 0 <= self.days <= MOST_DAYS:
            raise InvalidArgument(
                f"a limit of epsilon {self.epsilon}, {self.exact} exact disclosures, {self.days} days",
                hint=f"give epsilon or exact or both, 0 or more, and up to {MOST_DAYS:,} days or 0 for always",
            )

    def __str__(self) -> str:
        whose = [
            f"each {kind}" if name == ANY else f"{kind} {name}"
            for kind, name in (("analyst", self.analyst), ("purpose", self.purpose))
            if name
        ]
        if self.days:
            whose.append(f"{self.days:g} days")
        return ", ".join(whose) or "everyone"

    @property
    def text(self) -> str:
        """Whose limit it is, and how much it allows."""
        bounds = [f"epsilon {self.epsilon:g}"] if self.epsilon is not None else []
        bounds += [f"{self.exact} exact"] if self.exact is not None else []
        return f"{self}: {', '.join(bounds)}"


class Budget(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cap of one dataset over all analysts and purposes, for the lifetime of its ledger, and the limits below it.

    Parameters
    ----------
    epsilon, delta : float
        Cap on the composed differential-privacy loss of one unit: epsilon at this fixed delta.
    exact : int
        How many exact disclosures (set intersections, encrypted sums, aggregates, model rounds) may be made.
    max_epsilon : float, optional
        Largest epsilon of one request; None for no such limit.
    unit : Unit
        Whose privacy is counted: one row (default), or up to so many rows of one id.
    limits : tuple of Limit
        Sub-limits; each must hold beside the cap.
    """

    epsilon: float = 1.0
    delta: float = 1e-6
    exact: int = 100
    max_epsilon: float | None = None
    unit: Unit = Unit()
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon < math.inf and 0 < self.delta < 1 and self.exact >= 0):
            raise InvalidArgument(
                f"budget of epsilon {self.epsilon}, delta {self.delta}, {self.exact} exact disclosures",
                hint="epsilon is finite and 0 or more, delta between 0 and 1, exact 0 or more",
            )
        if self.max_epsilon is not None and not 0 < self.max_epsilon < math.inf:
            raise InvalidArgument(
                f"max_epsilon is {self.max_epsilon}", hint="give a finite number above 0, or leave it out"
            )


class Exact(msgspec.Struct, frozen=True, kw_only=True, tag="exact"):
    """A charge of counted exact disclosures: `uses` of the dataset's allowance."""

    what: str
    uses: int = 1

    def __post_init__(self) -> None:
        if self.uses < 1:
            raise InvalidArgument(f"a charge of {self.uses} exact disclosures ({self.what})")

    def __str__(self) -> str:
        return f"{self.uses} exact disclosure{'s' * (self.uses != 1)} ({self.what})"


class ColumnBits(msgspec.Struct, frozen=True, kw_only=True, tag="bits"):
    """A charge of the bits that rounded figures tell of one column, in the worst case: whoever knows the rest of a sum.

    No budget bounds them: half of the column's entropy does, over the ledger's lifetime; see `Services.check_bits`.
    """

    column: str
    bits: int

    def __post_init__(self) -> None:
        if self.bits < 1:
            raise InvalidArgument(f"a charge of {self.bits} bits ({self.column})")

    def __str__(self) -> str:
        return f"{self.bits:,} bits of {self.column}"


class DiscreteLaplace(msgspec.Struct, frozen=True, kw_only=True, tag="discrete-laplace"):
    """A charge for one release of an integer vector with discrete Laplace noise.

    Parameters
    ----------
    scale : float
        Noise parameter b of P(z) proportional to exp(-|z| / b), in the release's integer units.
    sensitivity : float
        Largest L1 change of the vector when one unit is added or removed, in the same units.
    """

    scale: float
    sensitivity: float

    def __post_init__(self) -> None:
        if not (0 < self.scale < math.inf and 0 < self.sensitivity < math.inf):
            raise InvalidArgument(f"discrete Laplace charge of scale {self.scale}, sensitivity {self.sensitivity}")

    @property
    def epsilon(self) -> float:
        return self.sensitivity / self.scale

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:.4g} (discrete Laplace)"


# In JSON a mechanism's own delta is left out where there is none, and nothing else: such charges read and are written
# as in ledgers from before it.
class Gaussian(msgspec.Struct, frozen=True, kw_only=True, tag="gaussian", omit_defaults=True):
    """A charge for releases with Gaussian noise, each over a Poisson sample of the units.

    Parameters
    ----------
    noise_multiplier : float
        Standard deviation over L2 sensitivity.
    sampling_rate : float
        Probability with which a unit enters each release; 1 for all.
    steps : int
        Number of such releases.
    delta : float
        What the mechanism adds to delta by differing from this one, such as by discrete noise, over all steps.
    """

    noise_multiplier: float
    sampling_rate: float = msgspec.field(default_factory=lambda: 1.0)
    steps: int = msgspec.field(default_factory=lambda: 1)
    delta: float = 0.0

    def __post_init__(self) -> None:
        noise, rate = self.noise_multiplier, self.sampling_rate
        if not (0 < noise < math.inf and 0 < rate <= 1 and self.steps >= 1 and 0 <= self.delta < 1):
            raise InvalidArgument(
                f"Gaussian charge of multiplier {noise}, rate {rate}, {self.steps} steps, delta {self.delta}"
            )

    def __str__(self) -> str:
        sampled = f", {self.steps} steps at rate {self.sampling_rate:g}" if self.steps > 1 else ""
        return f"Gaussian noise of multiplier {self.noise_multiplier:g}{sampled}"


class ZeroConcentrated(msgspec.Struct, frozen=True, kw_only=True, tag="zcdp", omit_defaults=True):
    """A charge for a release that is rho-zCDP (Bun, Steinke, TCC 2016), such as a vector with discrete Gaussian
    noise; `delta` as in `Gaussian`."""

    rho: float
    delta: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.rho < math.inf and 0 <= self.delta < 1):
            raise InvalidArgument(f"zCDP charge of rho {self.rho}, delta {self.delta}")

    def __str__(self) -> str:
        return f"rho {self.rho:.4g} (zCDP)"


Charge = Exact | ColumnBits | DiscreteLaplace | Gaussian | ZeroConcentrated
NOISELESS = (Exact, ColumnBits)  # charges that have no epsilon


class Debit(msgspec.Struct, frozen=True, kw_only=True):
    """A charge against the dataset behind one of a party's tables."""

    table: str
    charge: Charge


class LimitBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent under one of a budget's limits, as far as it concerns the caller who asks."""

    limit: Limit
    epsilon_spent: float
    exact_spent: int

    def __str__(self) -> str:
        parts = [f"epsilon {self.epsilon_left}"] if self.epsilon_left else []
        parts += [f"{self.exact_left} exact"] if self.exact_left else []
        return f"{self.limit}: {', '.join(parts)} left"

    @property
    def epsilon_left(self) -> str:
        """Such as "0.3 of 0.5"; "" where the limit has no epsilon."""
        if self.limit.epsilon is None:
            return ""
        return f"{max(0.0, self.limit.epsilon - self.epsilon_spent):.3g} of {self.limit.epsilon:g}"

    @property
    def exact_left(self) -> str:
        """Such as "3 of 20"; "" where the limit has no exact disclosures."""
        return (
            "" if self.limit.exact is None else f"{max(0, self.limit.exact - self.exact_spent)} of {self.limit.exact}"
        )


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset's budget and what was spent of it, as its owner's ledger says.

    Attributes
    ----------
    epsilon_spent, exact_spent : float, int
        Charged since the owner last reset the budget, reservations included: what the cap is compared with.
    epsilon_lifetime, exact_lifetime : float, int
        Charged since the ledger began, whatever was reset.
    reserved : int
        Runs that have reserved and not yet ended.
    epsilon_reserved, exact_reserved : float, int
        What those are charged, composed by itself: at most so much of what is spent is theirs.
    frozen : str
        Why the owner has frozen the dataset; "" where it has not.
    limits : tuple of LimitBalance
    """

    dataset: str
    budget: Budget
    epsilon_spent: float
    exact_spent: int
    epsilon_lifetime: float = 0.0
    exact_lifetime: int = 0
    reserved: int = 0
    epsilon_reserved: float = 0.0
    exact_reserved: int = 0
    frozen: str = ""
    limits: tuple[LimitBalance, ...] = ()

    @property
    def epsilon_left(self) -> float:
        return max(0.0, self.budget.epsilon - self.epsilon_spent)

    @property
    def exact_left(self) -> int:
        return max(0, self.budget.exact - self.exact_spent)

    def __repr__(self) -> str:
        return str(self)  # what a notebook shows

    def __str__(self) -> str:
        lines = [
            f"{self.dataset}: epsilon {self.epsilon_left:.3g} of {self.budget.epsilon:g} left at delta "
            f"{self.budget.delta:g}, {self.exact_left} of {self.budget.exact} exact disclosures left"
        ]
        if self.frozen:
            lines.append(f"frozen by its owner: {self.frozen}")
        lines += map(str, self.limits)
        windows = any(balance.limit.days for balance in self.limits)
        if windows or (self.epsilon_lifetime, self.exact_lifetime) != (self.epsilon_spent, self.exact_spent):
            lines.append(
                f"lifetime: epsilon {self.epsilon_lifetime:.3g} and {self.exact_lifetime} exact disclosures spent"
            )
        return "\n".join(lines)


def attacker_certainty(epsilon: float) -> float:
    """The most that someone who gave a unit's presence a chance of 50% can believe in it after losses of epsilon.

    Bayes' rule with a likelihood ratio of at most exp(epsilon): Wasserman, Zhou, JASA 2010, section 2; with a delta,
    but for a chance of about delta.
    """
    return 1 / (1 + math.exp(-epsilon))
