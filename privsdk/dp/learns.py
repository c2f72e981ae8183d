"""What is learned from noisy releases."""

from __future__ import annotations

from ..governance.learns import Knowledge


class NoisyFigures(Knowledge, frozen=True):
    """A release, for each of so many groups or none, with what it is computed from."""

    statistic: str
    epsilon: float
    groups: int = 0

    def __str__(self) -> str:
        each = f" of each of {self.groups} groups" if self.groups else ""
        return f"the noisy {self.statistic}{each}{_PARTS.get(self.statistic, '')}, epsilon {self.epsilon:g}"


_PARTS = {
    "mean": ", and the noisy sums and counts it is computed from",
    "variance": ", and the noisy sums, squares and counts it is computed from",
    "quantile": ", and the noisy counts of the bins it is computed from",
}


class OwnNoise(Knowledge, frozen=True):
    template = "the noise it draws, and nothing of the totals"


class TotalsWithoutNoise(Knowledge, frozen=True):
    template = "the exact totals: the noise taken off"
