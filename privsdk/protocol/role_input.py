"""What a role gets and gives: its party's share of a request, the services of that party, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import IdentityRefused
from .checkpoints import Checkpoints, NoCheckpoints
from .request import Request
from .roles import Entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The rows of one party that take part in a join, by joint key.

    Attributes
    ----------
    rows : int64 array of shape (n,)
        Indices into the party's table, grouped by key.
    keys : int64 array of shape (n,)
        For each of them the joint key, numbered as at the partner.
    min_count : int
        The larger of both owners' minimum counts.
    codes : int64 array
        For each row of the party's table the number of its key, after normalisation; -1 where it has none.
    session : bytes
        The session that made it: both sides of one join have the same.
    """

    rows: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    min_count: int
    codes: npt.NDArray[np.int64]
    session: bytes


Figures = tuple[int | float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSet:
    """Rows whose figures a role is about to let out: the guard compares them with what was let out before.

    Attributes
    ----------
    rows : int64 array
        Distinct indices into the role's table.
    measure : str
        What the figures are, such as "mean of income"; the same measure of the same rows has the same figures.
    """

    rows: npt.NDArray[np.int64]
    measure: str
    figures: Figures


class Identity(Protocol):
    """A party's name as others can check it, where what it says reaches them through a third party."""

    def sign(self, statement: bytes) -> bytes:
        """A token by which others know that this party said this."""

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        """Raise IdentityRefused unless the token shows that this party said this."""


class NoIdentity:
    """Of a party that was opened without one: it neither signs nor believes anyone."""

    def sign(self, statement: bytes) -> bytes:
        """Refuse."""
        raise IdentityRefused(
            "this party has nothing to sign with",
            hint="open the federation by ps.embedded, ps.connect or party.toml, or give its gate an identity",
        )

    def check(self, party: str, statement: bytes, token: bytes) -> None:
        """Refuse."""
        raise IdentityRefused(f"nothing is known here by which {party} could be told from others")


NO_IDENTITY = NoIdentity()


class Services(Protocol):
    """What a role may ask of the party that it runs at."""

    @property
    def identity(self) -> Identity:
        """Signs for this party, and checks what others signed."""

    def screen(self, sets: Sequence[RowSet], min_count: int) -> list[Figures]:
        """The figures of an exact answer to let out: asked once, for all its row sets, before anything of it leaves.

        Raises DifferencingRefused where these and earlier figures together would tell about fewer than `min_count`.
        """

    def pay(self) -> None:
        """Charge for one more round, before anything that it pays for leaves.

        Raises BudgetExceeded or DatasetFrozen where the owner's budget has ended, and then nothing was charged.
        """

    def checkpoints(self, part: str) -> Checkpoints:
        """What is kept, for the part that the role plays, of the work that the request names; nothing if it has no
        name."""

    def stop_requested(self) -> bool:
        """Whether the caller asked for the result as it is by now."""


class Unguarded:
    """No party's services, for tests and simulations: figures leave as computed, nothing is charged, kept or signed."""

    def __init__(self, identity: Identity = NO_IDENTITY) -> None:
        self.identity = identity

    def screen(self, sets: Sequence[RowSet], min_count: int) -> list[Figures]:
        """All as computed."""
        return [each.figures for each in sets]

    def pay(self) -> None:
        """For nothing."""

    def checkpoints(self, part: str) -> Checkpoints:
        """None."""
        return NoCheckpoints()

    def stop_requested(self) -> bool:
        """Never."""
        return False


UNGUARDED = Unguarded()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleInput:
    """All that a role gets: its party's share of the request, the columns it may see, entropy, its party's services.

    Attributes
    ----------
    session : bytes
        A hash over the request and every party's nonce: fresh in each run, the same at all parties.
    keys : int64 array or None
        Whose each row is: its joint key in a joint table, else its owner in a dataset whose privacy unit is an id. A
        minimum count is one of distinct keys; None where each row counts for itself.
    joint : bytes
        The session that made the joint table; empty for a base table.
    min_parties : int
        The fewest contributors to a joint result that this party's owner asks for, not counting one who sees it.
    """

    request: Request
    party: str
    session: bytes
    table: pa.Table
    keys: npt.NDArray[np.int64] | None
    min_count: int
    entropy: Entropy
    services: Services
    joint: bytes = b""
    min_parties: int = 1

    def units(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The number of the unit of each of these rows: what a minimum count counts."""
        return rows if self.keys is None else self.keys[rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a role returns: the answer that leaves the party for the caller, and what the party keeps."""

    value: dict[str, Any] = field(default_factory=dict)
    table: pa.Table | None = None
    keep: Alignment | None = None
