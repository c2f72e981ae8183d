"""The vocabulary of privacy decisions as values: disclosures, grants, policies, charges, budgets.

Values only: deciding is `party.policy`, pricing is `party.accounting`, storing is `party.ledger`.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum

import msgspec

from .errors import InvalidArgument


class Disclosure(StrEnum):
    """What a use of a column lets out. An owner permits a set of these for each column."""

    JOIN_KEY = "join key"  # set intersection: the partner learns which of its own keys are here too
    GROUP_KEY = "group key"  # its distinct values label the groups of an aggregate
    AGGREGATE = "aggregate"  # exact count, sum or mean over at least `min_count` keys or rows
    HE_OPERAND = "HE operand"  # enters an encrypted sum over at least `min_parties` contributors
    TRAINING_FEATURE = "training feature"  # input of a jointly trained model
    TRAINING_LABEL = "training label"  # target of a jointly trained model
    DP_RELEASE = "DP release"  # differentially private, up to `max_epsilon` a release


ANY = "*"
DEFAULT_MIN_COUNT = 10
ROWS = "rows"  # stands for the table's rows themselves where no column is used, as in a count


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One disclosure a request needs from one party: this column, in this way."""

    table: str
    column: str
    disclosure: Disclosure
    epsilon: float = 0.0


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An owner's permission to use a column in stated ways; whatever no grant allows is refused.

    Parameters
    ----------
    table, column : str
        What is granted; "*" stands for any, "rows" as a column for counting rows.
    permit : tuple of Disclosure
        The ways in which the column may be used.
    to, purpose : tuple of str
        Callers and purposes it holds for; "*" stands for any.
    min_count : int
        Fewest distinct rows or joint keys behind any exact aggregate.
    max_epsilon : float
        Largest epsilon of a single DP release.
    """

    table: str
    column: str
    permit: tuple[Disclosure, ...]
    to: tuple[str, ...] = (ANY,)
    purpose: tuple[str, ...] = (ANY,)
    min_count: int = DEFAULT_MIN_COUNT
    max_epsilon: float = 0.0

    def __post_init__(self) -> None:
        if self.min_count < 2:
            raise InvalidArgument(
                f"min_count is {self.min_count}: an aggregate of one row is that row",
                hint="use at least 2; 10 is the default",
            )
        if not (0 <= self.max_epsilon < math.inf):
            raise InvalidArgument(f"max_epsilon is {self.max_epsilon}", hint="give a finite number, 0 or more")
        if Disclosure.DP_RELEASE in self.permit and self.max_epsilon == 0:
            raise InvalidArgument(
                f"the grant on {self.table}.{self.column} permits DP releases of epsilon 0: none",
                hint="set max_epsilon, for example max_epsilon=0.5",
            )

    def __str__(self) -> str:
        """The grant as the line of Python that makes it."""
        permit = ", ".join(f"ps.Disclosure.{d.name}" for d in self.permit)
        parts = [f"table={self.table!r}", f"column={self.column!r}", f"permit=({permit},)"]
        parts += [f"to={self.to!r}"] if self.to != (ANY,) else []
        parts += [f"purpose={self.purpose!r}"] if self.purpose != (ANY,) else []
        parts += [f"min_count={self.min_count}"] if self.min_count != DEFAULT_MIN_COUNT else []
        parts += [f"max_epsilon={self.max_epsilon!r}"] if self.max_epsilon else []
        return f"ps.Grant({', '.join(parts)})"

    @property
    def toml(self) -> str:
        """The grant as an element of `grants = [...]` in party.toml."""
        fields = msgspec.to_builtins(self)
        shown = {name: value for name, value in fields.items() if name in _ALWAYS or value != _DEFAULTS[name]}
        return "{ " + ", ".join(f"{name} = {_toml(value)}" for name, value in shown.items()) + " }"


def _toml(value: object) -> str:
    """A string, number or list of strings: written as in JSON, but that TOML wants DEL escaped and no surrogates."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_ALWAYS = ("table", "column", "permit")
_DEFAULTS = {
    field.name: msgspec.to_builtins(field.default) for field in msgspec.structs.fields(Grant) if not field.required
}


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one owner allows. Default deny: an empty policy refuses everything.

    Parameters
    ----------
    operations : tuple of str
        Operations that may run at this party, such as "psi.join"; "*" stands for every one installed.
    grants : tuple of Grant
        Permitted disclosures.
    min_parties : int
        Fewest contributors to an encrypted sum or joint model, not counting anyone who sees the result.
    """

    operations: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    min_parties: int = 3

    def __post_init__(self) -> None:
        if self.min_parties < 1:
            raise InvalidArgument(f"min_parties is {self.min_parties}", hint="use at least 1; 3 is the default")


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cap of one dataset over all analysts and purposes, for the lifetime of its ledger.

    Parameters
    ----------
    epsilon, delta : float
        Cap on the composed differential-privacy loss: epsilon at this fixed delta, for adding or removing one row.
    exact : int
        How many exact disclosures (set intersections, encrypted sums, aggregates, model rounds) may be made.
    """

    epsilon: float = 1.0
    delta: float = 1e-6
    exact: int = 100

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon < math.inf and 0 < self.delta < 1 and self.exact >= 0):
            raise InvalidArgument(
                f"budget of epsilon {self.epsilon}, delta {self.delta}, {self.exact} exact disclosures",
                hint="epsilon is finite and 0 or more, delta between 0 and 1, exact 0 or more",
            )


class Exact(msgspec.Struct, frozen=True, kw_only=True, tag="exact"):
    """A charge of counted exact disclosures: `uses` of the dataset's allowance."""

    what: str
    uses: int = 1

    def __str__(self) -> str:
        return f"{self.uses} exact ({self.what})"


class DiscreteLaplace(msgspec.Struct, frozen=True, kw_only=True, tag="discrete-laplace"):
    """A charge for one release of an integer vector with discrete Laplace noise.

    Parameters
    ----------
    scale : float
        Noise parameter b of P(z) proportional to exp(-|z| / b), in the release's integer units.
    sensitivity : float
        Largest L1 change of the vector when one row is added or removed, in the same units.
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


Charge = Exact | DiscreteLaplace


class Debit(msgspec.Struct, frozen=True, kw_only=True):
    """A charge against the dataset behind one of a party's tables."""

    table: str
    charge: Charge


class Learns(msgspec.Struct, frozen=True, kw_only=True):
    """What one party, the caller or an onlooker learns from a run beyond its own input."""

    who: str
    what: str


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset's budget and what was spent of it, as its owner's ledger says."""

    dataset: str
    budget: Budget
    epsilon_spent: float
    exact_spent: int

    @property
    def epsilon_left(self) -> float:
        return max(0.0, self.budget.epsilon - self.epsilon_spent)

    @property
    def exact_left(self) -> int:
        return max(0, self.budget.exact - self.exact_spent)

    def __str__(self) -> str:
        return (
            f"{self.dataset}: epsilon {self.epsilon_left:.3g} of {self.budget.epsilon:g} left at delta "
            f"{self.budget.delta:g}, {self.exact_left} of {self.budget.exact} exact disclosures left"
        )
