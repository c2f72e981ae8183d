"""Samplers in place of OpenDP's: none, for comparison with exact statistics, and wrong ones, which tests must find; and
what each contributor to a pooled release knows of its noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from privsdk.crypto.sums.base import Vector
from privsdk.crypto.sums.encrypted import EncryptedSum
from privsdk.dp import noise
from privsdk.protocol.roles import Role


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases without noise."""
    monkeypatch.setattr(noise, "add_noise", lambda values, scale: list(values))


@pytest.fixture
def noise_times(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Releases with noise of another scale than stated."""
    honest = noise.add_noise

    def replace(factor: float) -> None:
        def sampler(values: Sequence[int], *, scale: float) -> list[int]:
            return honest(values, scale=scale * factor)

        monkeypatch.setattr(noise, "add_noise", sampler)

    return replace


@pytest.fixture
def given_in(monkeypatch: pytest.MonkeyPatch) -> dict[str, Vector]:
    """The vector that each contributor gives into the sum, by its name."""
    kept: dict[str, Vector] = {}
    contribute = EncryptedSum.contribute

    def remembered(self: EncryptedSum, name: str, parties: Sequence[str], vector: Vector, largest: int) -> Role[None]:
        kept[self._me] = vector
        yield from contribute(self, name, parties, vector, largest)

    monkeypatch.setattr(EncryptedSum, "contribute", remembered)
    return kept
