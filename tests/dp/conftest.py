"""Samplers in place of OpenDP's: none, for comparison with exact statistics, and wrong ones, which tests must find."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from privsdk.dp import noise

Sampler = Callable[..., list[int]]


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
