"""How far a revealed value may be from exact arithmetic."""

from __future__ import annotations

import math

from ...crypto.seal.circuit import slot_error
from ...crypto.seal.noise import NoiseEstimate
from .arrow import Meta

FLOAT_ERROR = 2.0**-50  # room for eight roundings: plain summands and divisors, units to reals, the quotient


def revealed_error(meta: Meta, estimate: NoiseEstimate) -> float:
    """Bound on the difference of a revealed value from exact arithmetic.

    SEAL's slots are the powers of 3, exponents that are 1 or 3 modulo 8. The sum of their real parts is N / 2 times the
    constant coefficient, that of the imaginary ones N / sqrt(8) times the sum of those of N / 4 and 3 N / 4. So what
    a reveal adds to the sum is a root of N / 2 times what it adds to a slot, of N where both parts hold values.
    """
    preset = meta.preset
    if preset.scheme == "exact":
        return (estimate.error + (estimate.bound * FLOAT_ERROR if _rounds(meta, estimate) else 0.0)) / meta.divisor
    slot = slot_error(preset, estimate)
    if not meta.folded:
        return slot + estimate.bound * FLOAT_ERROR
    slots, parts = preset.values_a_row, 2 if preset.packing == "complex" else 1
    shown = (slot - estimate.error) * math.sqrt(preset.degree / 2 * parts)
    return (estimate.error * slots + shown + estimate.bound * slots * FLOAT_ERROR) / meta.divisor


def shown_whole(meta: Meta, estimate: NoiseEstimate) -> bool:
    """Whether exact values are shown as int64."""
    return meta.preset.resolution == meta.divisor == 1.0 and estimate.bound + estimate.error < 2.0**63


def _rounds(meta: Meta, estimate: NoiseEstimate) -> bool:
    """Whether exact values, shown as float64, may be none; a preset's resolution is a power of two."""
    return not shown_whole(meta, estimate) and (
        meta.divisor != 1.0 or (estimate.bound + estimate.error) / meta.preset.resolution >= 2.0**53
    )
