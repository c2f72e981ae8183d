"""What a role may ask of the party that it runs at: to screen figures, charge, keep states and sign; and stand-ins.

The seam, not how a party does it: that is `party.role_input`. Checkpoints are states that a role keeps between runs, so
that what was interrupted can go on; each party keeps its own, and nothing of them travels but their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..errors import IdentityRefused

Figures = tuple[int | float | str | None, ...]  # a decimal is text


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSet:
    """Rows whose figures a role is about to let out: the guard compares them with what was let out before.

    Attributes
    ----------
    rows : int64 array
        Distinct indices into the role's table.
    measure : str
        What the figures are, such as "mean of income"; the same measure of the same rows has the same figures.
    extreme : bool
        Whether a minimum or maximum is among the figures, some row's own value.
    """

    rows: npt.NDArray[np.int64]
    measure: str
    figures: Figures
    extreme: bool = False

    @classmethod
    def counted(cls, rows: npt.NDArray[np.int64], measure: str) -> Self:
        """Rows of which their number is let out, or follows."""
        return cls(rows=rows, measure=measure, figures=(len(rows),))


@dataclass(frozen=True, slots=True)
class State:
    """What a role needs to go on.

    Attributes
    ----------
    arrays : mapping of name to array of one dimension
        Of float32, float64 or int64. Never a key, a share or a seed of noise.
    facts : mapping
        Whatever JSON can hold.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints(Protocol):
    """One party's states of one piece of work, each under the number of the step that comes next."""

    def numbers(self) -> tuple[int, ...]:
        """Of the states there are, ascending."""

    def load(self, number: int) -> State:
        """That state; raises DataError where it is damaged or not there."""

    def save(self, number: int, state: State) -> None:
        """Keep a state, on disk before it returns, and drop all but the one before it."""

    def rewind(self, number: int) -> None:
        """Drop the states after this number."""


class NoCheckpoints:
    """Keeps nothing: what ends early begins anew."""

    def numbers(self) -> tuple[int, ...]:
        """None."""
        return ()

    def load(self, number: int) -> State:
        """There is nothing to load."""
        raise LookupError(f"no state {number} was kept")

    def save(self, number: int, state: State) -> None:
        """Drop it."""

    def rewind(self, number: int) -> None:
        """There is nothing to drop."""


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
        """The figures of an exact answer to let out: asked for all its row sets, before anything of it leaves.

        A refusal for what a row holds is an answer too.

        Also of what enters a sum with others', since these know their own part. A role of exact figures that never asks
        is refused at its end; one that tells of no own rows asks for no set.

        Raises DifferencingRefused where these and earlier figures together show something of fewer than `min_count`.
        """

    def check_bits(self, entropy: Mapping[str, float]) -> None:
        """Raise DifferencingRefused where this run's bits and those of earlier ones are more than half of a column's
        entropy; nothing is charged.

        Parameters
        ----------
        entropy : mapping of column to float
            In bits, of all units' values together, for every column that the operation charges bits of.
        """

    def pay_bits(self, entropy: Mapping[str, float]) -> None:
        """The same, and charge them: when all parties have checked theirs, and before rounded figures leave."""

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

    def check_bits(self, entropy: Mapping[str, float]) -> None:
        """No bound."""

    def pay_bits(self, entropy: Mapping[str, float]) -> None:
        """For nothing."""

    def pay(self) -> None:
        """For nothing."""

    def checkpoints(self, part: str) -> Checkpoints:
        """None."""
        return NoCheckpoints()

    def stop_requested(self) -> bool:
        """Never."""
        return False


UNGUARDED = Unguarded()
