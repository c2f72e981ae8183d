"""States that a role keeps between runs, so that what was interrupted can go on: the seam, not where they are kept.

Each party keeps its own; nothing of them travels but their numbers. Where they lie is `party.checkpoints`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt


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
