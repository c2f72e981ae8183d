"""How a training is made differentially private, as values: whose privacy, how updates are bounded, how much noise.

Both levels hide all that a party says of its own rows: neither their number nor their loss is told, none are kept for
an evaluation (which of them would depend on all), and clients count equally. No value is an error, by which whoever
chooses labels, classes and lengths could ask for it: one that is not as declared is missing, and a party with few rows
or none takes part. What stays visible: who takes part, who is lost and when, and how long a step takes.
"""

from __future__ import annotations

import math

from ...errors import InvalidArgument
from ...errors.calls import Declarative

CERTAIN = 2.0**22
"""What a distance in total variation is multiplied by to bound what it adds to delta: M within t of an
(epsilon, d)-private mechanism, on every input, is (epsilon, d + (1 + e^epsilon) t)-private. So up to epsilon 15."""


class PartyLevel(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="PartyLevel"):
    """Hides all of a party's rows in the sum of a round's updates: DP-FedAvg with noise in shares.

    Parameters
    ----------
    clip : float
        Largest L2 norm of a party's update; longer ones are scaled down to it.
    noise_multiplier : float
        Standard deviation of the noise in the sum over `clip`.
    collusion : int
        So many clients may tell the coordinator what noise they drew, and the noise is still what was charged. One that
        coordinates is among them. Every client sees the models and knows its own noise: so it is at least 1, but for a
        single client.
    """

    clip: float
    noise_multiplier: float
    collusion: int = 1

    def __post_init__(self) -> None:
        _check(self.clip, self.noise_multiplier)
        if self.collusion < 0:
            raise InvalidArgument(f"a collusion of {self.collusion} clients", hint="give 0 or more")


class RecordLevel(Declarative, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="RecordLevel"):
    """Hides each row at its own party, from everyone else: DP-SGD.

    Parameters
    ----------
    clip : float
        Largest L2 norm of one row's gradient; longer ones are scaled down to it.
    noise_multiplier : float
        Standard deviation of the noise in the sum of a step's gradients over `clip`.
    sampling_rate : float
        Probability with which a row enters a step, apart from all others.
    """

    clip: float
    noise_multiplier: float
    sampling_rate: float

    def __post_init__(self) -> None:
        _check(self.clip, self.noise_multiplier)
        if not 0 < self.sampling_rate <= 1:
            raise InvalidArgument(
                f"sampling_rate is {self.sampling_rate:g}", hint="give a probability above 0, up to 1 for all rows"
            )


Privacy = PartyLevel | RecordLevel


def _check(clip: float, noise_multiplier: float) -> None:
    if not 0 < clip < math.inf:
        raise InvalidArgument(f"clip is {clip:g}", hint="give a norm above 0, such as 1.0")
    if not 0 < noise_multiplier < math.inf:
        raise InvalidArgument(f"noise_multiplier is {noise_multiplier:g}", hint="give a number above 0, such as 1.1")
