"""What a notebook may choose of a training, for `fl.fit` and `fl.simulate`, and the parameters that become of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Literal, Self

import msgspec

from ..errors import InvalidArgument
from ..protocol.groups import Key, plain_keys
from .models.model import Model, check_model
from .parameters import Aggregation, Compressions, FitParameters, Strategies, plain_class_weights
from .privacy.levels import Privacy
from .strategies.fedavg import FedAvg

DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The arguments of `fl.fit` but for the model and the tables, as they are given there, with their defaults."""

    label: str
    rounds: int = 20
    learning_rate: float = 1.0
    local_steps: int = 1
    local_epochs: int | None = None
    batch_size: int | None = None
    strategy: Strategies | None = None
    aggregation: Aggregation = "masked"
    compression: Compressions | None = None
    participation: float = 1.0
    fewest: int | None = None
    deadline_s: float = DEADLINE_S
    held_out: float = 0.2
    class_weights: Literal["balanced"] | Mapping[Key, float] | None = None
    by: str | None = None
    groups: Sequence[Key] | None = None
    evaluate_every: int | None = None
    seed: int = 0
    coordinator: str | None = None
    name: str = ""
    privacy: Privacy | None = None

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> Self:
        """Those of them that a call has; a verb gives its `locals()`."""
        return cls(**{each.name: arguments[each.name] for each in fields(cls) if each.name in arguments})

    def parameters(self, verb: str, model: Model, *, clients: int, coordinator: str) -> FitParameters:
        """As a request carries them; raises InvalidArgument where one is not of its type, or not to be used."""
        check_model(model)
        given = {
            "model": model,
            "label": self.label,
            "strategy": FedAvg() if self.strategy is None else self.strategy,
            "schedule": {
                "epochs": self.local_epochs or 0,
                "steps": self.local_steps,
                "batch_size": self.batch_size or 0,
                "learning_rate": _plain(self.learning_rate),
            },
            "rounds": self.rounds,
            "aggregation": self.aggregation,
            "compression": self.compression,
            "coordinator": coordinator,
            "participation": _plain(self.participation),
            "fewest": clients // 2 + 1 if self.fewest is None else self.fewest,
            "deadline_s": _plain(self.deadline_s),
            "held_out": _plain(self.held_out),
            "seed": self.seed,
            "class_weights": plain_class_weights(model, self.class_weights),
            "by": self.by,
            "groups": plain_keys(self.by, self.groups),
            "evaluate_every": self.evaluate_every or 0,
            "name": self.name,
            "privacy": self.privacy,
        }
        try:  # types are looked at before values are compared with bounds; then all is as every party reads it
            typed = msgspec.convert(given, FitParameters)
            return msgspec.convert(msgspec.to_builtins(typed), FitParameters)
        except msgspec.ValidationError as error:
            raise InvalidArgument(f"{verb}: {error}", hint=f"see help({verb})") from None


def _plain(number: float) -> float:
    """A float of any real number, such as NumPy's."""
    return float(number) if isinstance(number, Real) and not isinstance(number, bool) else number
