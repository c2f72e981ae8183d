"""Averages with party-level differential privacy: bounded updates, and noise that no one party knows.

Papers: H. B. McMahan, D. Ramage, K. Talwar, L. Zhang, "Learning Differentially Private Recurrent Language Models", ICLR
2018, algorithm 1; P. Kairouz, Z. Liu, T. Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning
with Secure Aggregation", ICML 2021, theorem 1.

    client                                                      coordinator
    v = its whole update, scaled down to an L2 norm of `clip`
    v = its entries in units of the grid, rounded towards zero
    s = discrete Gaussian of variance sigma^2 / (m - c)
    === v + s through a sum that hides ====================>    sum of v + s, over the number of clients in it

sigma is noise_multiplier * clip; m the fewest clients that a round may end with, c the collusion bound. Whoever is in a
round, and whichever c of them know their noise, the rest of it has at least sigma: that is charged, not the more that
there usually is. Each client knows its own share and finds the sum in the next model, coordinator or not: c is at least
1. Rounding towards zero makes no entry and so no norm larger; the norm in units is checked in integers.

Neighbours. Two data sets of one party, whatever rows they hold, move the sum by at most 2 clip: both updates may have
full length, in opposite directions. So rho is that of 2 clip, four times what is found where one compares with an
update of zero ("zero-out"), and covers what a dataset's budget is about: a row or an id that is there or not changes
the whole update. Clients count equally: weights by rows would let one of few rows weigh all. Their number is public.

Guarantee. With k = m - c shares of s >= 4 units each, d entries and D = 2 clip in units, a round is 1/2 e^2-zCDP with
e^2 = min(D^2 / (k s^2) + t d / 2, (D / (sqrt(k) s) + t sqrt(d))^2), t = 10 sum over j < k of exp(-2 pi^2 s^2 j/(j+1)):
a sum of discrete Gaussians is nearly one. Further shares only process the sum. To delta (see `privacy.CERTAIN`): each
of n d samples is within 2^-100 of its law (`crypto.gaussian`), and beyond 13.31 s, where it is cut so that no total
leaves 31 bits and nothing wraps, with probability below 2^-126. Participation by a public seed amplifies nothing.

Learns: the coordinator, and by the model everyone, the noisy sum of each round. An update that is not finite counts as
zero: stopping would tell. Collusion: c clients with the coordinator, as far as the sum below hides from them (under
encryption not the one that adds up); whoever breaks that sum sees single updates with a k-th of the variance. All
parties follow the protocol: a client that draws no noise leaves its share out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...crypto.gaussian import MOST_EXCESS, discrete_gaussian
from ...crypto.sums.base import Integers, Sum
from ...errors import InvalidArgument
from ...governance.charges import ZeroConcentrated
from ...protocol.roles import Entropy, Role
from ..averages import LARGEST, Combine, Mean, Update
from ..models.network import Vector
from .levels import CERTAIN, PartyLevel

FEWEST_STEPS = 4.0  # of the grid in one share's standard deviation
FEWEST_UNITS = 1024  # of the grid in the clip: with fewer, rounding towards zero leaves little of an update
TAIL = 13.31  # standard deviations: 2 exp(-13.31^2 / 2) < 2^-126
SAMPLE = 2.0**-99  # a sample's distance from its law, cut included


class NoiseShares:
    """The grid of a training and each client's share of the noise, all from public numbers.

    Parameters
    ----------
    clients, fewest : int
        Of a whole round, and those that it needs to count.
    length : int
        Entries of an update.
    """

    def __init__(self, privacy: PartyLevel, *, clients: int, fewest: int, length: int) -> None:
        if privacy.collusion >= fewest:
            raise InvalidArgument(
                f"of {fewest} clients in a round, {privacy.collusion} may collude: no noise of others would be left",
                hint="use a smaller collusion, or let a round need more clients",
            )
        self.honest = fewest - privacy.collusion
        share = privacy.noise_multiplier / math.sqrt(self.honest)  # over the clip
        self.bound = LARGEST // clients
        self.clip_units = int((self.bound - 2) / (1 + TAIL * share * (1 + MOST_EXCESS)))
        self.sigma = share * self.clip_units
        if self.sigma < FEWEST_STEPS or self.clip_units < FEWEST_UNITS:
            raise InvalidArgument(
                f"a noise_multiplier of {privacy.noise_multiplier:g} in {self.honest} shares: the clip would be "
                f"{self.clip_units:,} grid steps and a share {self.sigma:.2g}, where at least {FEWEST_UNITS:,} grid "
                f"steps and {FEWEST_STEPS:g} grid steps are needed",
                hint="use one that is neither so small nor so large",
            )
        self.unit = privacy.clip / self.clip_units
        self._clients = clients
        self._length = length

    @property
    def charge(self) -> ZeroConcentrated:
        """What each client's dataset loses in a round."""
        ratio = 2 * self.clip_units / (math.sqrt(self.honest) * self.sigma)
        tau = 10 * sum(math.exp(-2 * (math.pi * self.sigma) ** 2 * j / (j + 1)) for j in range(1, self.honest))
        squared = min(ratio**2 + tau * self._length / 2, (ratio + tau * math.sqrt(self._length)) ** 2)
        return ZeroConcentrated(rho=squared / 2, delta=CERTAIN * self._clients * self._length * SAMPLE)

    def clipped(self, vector: Vector) -> Integers:
        """In units, of an L2 norm of at most `clip_units`; zeros where an entry is not finite."""
        reals: npt.NDArray[np.float64] = vector.astype(np.float64) / self.unit
        norm = float(np.linalg.norm(reals))
        if not math.isfinite(norm):
            return np.zeros(len(vector), np.int64)
        while True:
            if norm > self.clip_units:
                reals *= self.clip_units / norm
            units = np.trunc(reals).astype(np.int64)
            if int(units @ units) <= self.clip_units**2:
                return units
            norm = self.clip_units * (1 + 2.0**-40)  # the norm's own rounding: once more, by a little

    def noise(self, size: int, entropy: Entropy) -> Integers:
        """One client's share of the noise, cut where it might carry a total beyond its bound."""
        most = self.bound - self.clip_units
        return np.clip(discrete_gaussian(self.sigma, size, entropy), -most, most)


class NoisyOnGrid:
    """Through a sum that hides: the coordinator sees the noisy sum of bounded updates. Losses are not told."""

    def __init__(self, sum_: Sum, shares: NoiseShares, entropy: Entropy) -> None:
        self._sum = sum_
        self._shares = shares
        self._entropy = entropy

    def contribute(self, name: str, parties: Sequence[str], update: Update) -> Role[None]:
        """Bound the update and add this client's noise; its weight and loss stay here."""
        units = self._shares.clipped(update.vector)
        yield from self._sum.contribute(name, parties, units + self._shares.noise(len(units), self._entropy), LARGEST)

    def collect(self, name: str, parties: Sequence[str], length: int, combine: Combine) -> Role[Mean]:
        """Divide the noisy sum by the number of clients in it."""
        sums, present, lost = yield from self._sum.collect(name, parties, length, LARGEST)
        vector = (sums * (self._shares.unit / max(1, len(present)))).astype(np.float32)
        return Mean(vector, math.nan, math.nan, present, lost)
