"""What refusals of a data owner say: policy, budgets and differencing."""

from __future__ import annotations

from typing import Literal

import msgspec

from .details import Detail


class OperationNotAllowed(Detail, frozen=True, kw_only=True, tag="operation"):
    party: str
    operation: str
    allowed: tuple[str, ...]


class MissingGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A use of a column that no grant allows; `largest` is the epsilon that one would, 0 for none at all, and
    `partners` are those beside whom alone it is not allowed."""

    table: str
    column: str
    disclosure: str
    epsilon: float = 0.0
    largest: float = 0.0
    partners: tuple[str, ...] = ()


class NotPartners(Detail, frozen=True, kw_only=True, tag="partners"):
    """A request names members that this party's owner does not work with."""

    party: str
    named: tuple[str, ...]


class NotGranted(Detail, frozen=True, kw_only=True, tag="grant"):
    """Uses of columns that no grant allows, the smallest grants that would, and the policy's derivation, by line."""

    party: str
    caller: str
    purpose: str
    missing: tuple[MissingGrant, ...]
    grants: tuple[str, ...]
    grants_toml: tuple[str, ...]
    derivation: tuple[str, ...]


class TooFewContributors(Detail, frozen=True, kw_only=True, tag="contributors"):
    """`contributing_recipient` sees the result and contributes to it, so it does not count."""

    party: str
    required: int
    found: int
    contributing_recipient: str = ""


class TooFewLeft(Detail, frozen=True, kw_only=True, tag="left"):
    """So few clients are `left` in a sum that `party` adds nothing to it; `missing` are the others that there were."""

    party: str
    where: str
    left: int
    fewest: int
    missing: tuple[str, ...] = ()


class MinPartiesUnstated(Detail, frozen=True, kw_only=True, tag="min-parties"):
    """A request does not say what `party`'s owner asks for, but `stated`; None: nothing at all."""

    party: str
    required: int
    stated: int | None = None


class TooFewComplete(Detail, frozen=True, kw_only=True, tag="few-complete"):
    """So few joint keys have all values that nothing is told of them."""

    parties: tuple[str, ...]
    min_count: int


class BitsExceeded(Detail, frozen=True, kw_only=True, tag="bits"):
    """More than half of a column's entropy would be told."""

    party: str
    table: str
    column: str


class TooFewKeys(Detail, frozen=True, kw_only=True, tag="few-keys"):
    """`party` brings fewer distinct keys than the `least` that `owner` asks for."""

    party: str
    owner: str
    least: int


class TooManyKeys(Detail, frozen=True, kw_only=True, tag="many-keys"):
    """`party` brings more distinct keys than the `most` that `owner` allows."""

    party: str
    owner: str
    size: int
    most: int


class TooManyGroups(Detail, frozen=True, kw_only=True, tag="many-groups"):
    """More groups of `party`'s column `by` would be told than the question pays for."""

    party: str
    by: str
    most: int


class EpsilonExceeded(Detail, frozen=True, kw_only=True, tag="epsilon"):
    """`limit` is "" for the dataset's own cap; `fitting` the largest epsilon of this kind that would pass now."""

    dataset: str
    left: float
    of: float
    delta: float
    needed: float
    limit: str = ""
    fitting: float = 0.0


class PriceLever(msgspec.Struct, frozen=True, kw_only=True):
    """A change that lowers an exact price: `governance.prices.Lever`, what to change it to, and the price then."""

    lever: str
    value: int
    price: int


class ExactExceeded(Detail, frozen=True, kw_only=True, tag="exact"):
    """As `EpsilonExceeded`, in exact disclosures; `fitting_epsilon` where the request also takes an epsilon. Each of
    `levers` would make it pass, and `noise` names what takes none of the allowance."""

    dataset: str
    left: int
    of: int
    needed: int
    limit: str = ""
    fitting: int = 0
    fitting_epsilon: float | None = None
    levers: tuple[PriceLever, ...] = ()
    noise: str = ""


class RequestTooLarge(Detail, frozen=True, kw_only=True, tag="request-epsilon"):
    dataset: str
    allowed: float
    needed: float
    fitting: float = 0.0


class Frozen(Detail, frozen=True, kw_only=True, tag="frozen"):
    dataset: str
    why: str


class BudgetReset(Detail, frozen=True, kw_only=True, tag="budget-reset"):
    dataset: str


Because = Literal["few", "undecided", "many"]


class RowsTooAlike(Detail, frozen=True, kw_only=True, tag="differencing"):
    """What exact answers would tell together: of "few" units, which was "undecided", or they are too "many"."""

    party: str
    table: str
    min_count: int
    because: Because = "few"


Unbounded = Literal["unit", "turns", "join", "claim", "bound"]


class MatchesUnbounded(Detail, frozen=True, kw_only=True, tag="matches"):
    """How far one unit of `party`'s table would move a noisy release over a join by these columns of its own is not
    known: its `id` may have several keys, keys were compared in turn, the request is not of this one join and all its
    parties, claims that a key's rows are of one unit, or bounds exact rows or no noisy ones."""

    party: str
    table: str
    id: str
    key: tuple[str, ...]
    why: Unbounded


class PartiesToldApart(Detail, frozen=True, kw_only=True, tag="parties-apart"):
    """Pooled exact results of a column of `party`'s table that together would tell of too few parties: those `named`,
    of whom there are none where that was not found out within the bounds of the search."""

    party: str
    table: str
    column: str
    named: tuple[str, ...]
