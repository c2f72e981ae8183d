"""Decryption of rows: exact integers, or flooded reals, and the error of a flooded slot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ProtocolViolation
from ...protocol.roles import Entropy
from .circuit import split_row, values_of
from .crt import combined
from .flooding import error_after, flooded
from .keys import SecretContext
from .noise import NoiseEstimate, NoiseEstimator
from .presets import Preset
from .serial import Buffer


def slot_error(preset: Preset, estimate: NoiseEstimate) -> float:
    """CKKS: bound on the error of a flooded slot."""
    scale = NoiseEstimator(preset).scale_of(estimate)
    bound = (estimate.bound + estimate.error) * math.sqrt(2)
    return estimate.error + error_after(estimate.noise, preset.degree, scale=scale, bound=bound, reveals=preset.reveals)


def exactly(rows: Sequence[Buffer], key: SecretContext, *, primes: int, folded: bool = False) -> npt.NDArray[Any]:
    """Exact rows as integers, every slot of every chunk in order, or their sum over all slots."""
    limbs: list[list[npt.NDArray[np.int64]]] = [[] for _ in key.preset.rings]
    for row in rows:
        for i, part in enumerate(split_row(row, key.preset)):
            ring, decryptor = key.preset.rings[i], key.decryptors[i]
            ciphertext, plain = ring.ciphertext(part, primes), ring.new_plain()
            if not decryptor.invariant_noise_budget(ciphertext):
                raise ProtocolViolation("a ciphertext is under another key, or holds more noise than its figures say")
            decryptor.decrypt(ciphertext, plain)
            limbs[i].append(ring.decode(plain))
    if folded:
        return combined([np.concatenate(parts).sum(keepdims=True) for parts in limbs], key.preset.plain_primes)
    return np.concatenate([combined(chunk, key.preset.plain_primes) for chunk in zip(*limbs, strict=True)])


def approximately(
    rows: Sequence[Buffer], key: SecretContext, estimate: NoiseEstimate, entropy: Entropy
) -> npt.NDArray[np.float64]:
    """CKKS rows as reals, every slot of every chunk in order, flooded."""
    preset, ring = key.preset, key.preset.rings[0]
    scale, primes = NoiseEstimator(preset).scale_of(estimate), preset.primes_at(estimate.level)
    parts = []
    for row in rows:
        plain = ring.new_plain()
        key.decryptors[0].decrypt(ring.ciphertext(row, primes, scale=scale), plain)
        shown = flooded(
            ring.coefficients(plain, primes),
            scale=scale,
            bound=(estimate.bound + estimate.error) * (math.sqrt(2) if preset.packing == "complex" else 1),
            error=estimate.noise,
            reveals=preset.reveals,
            entropy=entropy,
        )
        parts.append(values_of(shown, preset))
    return np.concatenate(parts)
