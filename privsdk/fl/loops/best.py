"""Which of a training's models it ends with: the best that is known of, by figures that the coordinator has anyway.

Where models on the way are evaluated, the one with the least mean loss on all held-out rows. Else, by the mean loss of
the training rows before each round, the last one, unless the loss had risen before: that of the last is not known.
Losses of other clients' rows are not compared: where some are lost or drawn, comparing begins anew, so that a training
that draws its clients ends with its last model. So does one with differential privacy, where a loss would have a price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..fedavg import NOTHING
from ..models.network import Vector

ROUNDING = 2.0**-20  # losses nearer than this are equal: sums are on a grid


@dataclass(slots=True)
class BestModel:
    """The last model of least loss among those of the same clients.

    Attributes
    ----------
    number : rounds behind it
    least : the least loss
    parties : whose rows it is of
    """

    number: int = 0
    least: float = math.inf
    parties: tuple[str, ...] = ()
    weights: Vector = field(default_factory=lambda: NOTHING)

    def offer(self, number: int, loss: float, parties: tuple[str, ...], weights: Vector) -> None:
        """Compare with a model after so many rounds."""
        if parties != self.parties:
            self.parties, self.least = parties, math.inf
        if loss <= self.least + ROUNDING:
            self.number, self.weights = number, weights
        self.least = min(self.least, loss)

    def instead_of(self, number: int, weights: Vector, *, known: bool) -> tuple[int, Vector]:
        """It, or the last model; `known`, whether the loss of that one is, too."""
        if not len(self.weights) or (self.number == number - 1 and not known):
            return number, weights
        return self.number, self.weights

    @classmethod
    def loaded(cls, facts: Mapping[str, Any], weights: Vector) -> BestModel:
        """What `saved` kept; nothing of a training of before."""
        return cls(**{**facts, "parties": tuple(facts.get("parties", ()))}, weights=weights)

    def saved(self) -> dict[str, Any]:
        """Its facts, for a run that goes on."""
        return {"number": self.number, "least": self.least, "parties": self.parties}
