"""Noisy integer vectors: OpenDP's discrete Laplace mechanism, and the exact accuracy of its noise.

Source: C. Dwork, F. McSherry, K. Nissim, A. Smith, TCC 2006, section 3.1 (Laplace mechanism), in the discrete form of
A. Ghosh, T. Roughgarden, M. Sundararajan, STOC 2009, section 2; sampled exactly by OpenDP (Canonne, Kamath, Steinke,
NeurIPS 2020, algorithm 2). Working in integers leaves no floating-point gap for an attack (Mironov, CCS 2012).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..protocol.roles import Role, checkpoint
from .release import Integers

ENTRIES_A_STEP = 10_000  # about 0.1 s of sampling


def add_noise(values: Sequence[int], *, scale: float) -> list[int]:
    """The values with independent noise Z each, P(Z = z) proportional to exp(-|z| / scale)."""
    import opendp.prelude as opendp

    opendp.enable_features("contrib")
    space = opendp.vector_domain(opendp.atom_domain(T="i64")), opendp.l1_distance(T="i64")
    mechanism = opendp.m.make_laplace(*space, scale=scale)
    noisy: list[int] = mechanism(list(values))
    return noisy


def noisy_vector(exact: Sequence[Integers], scales: Sequence[float]) -> Role[list[int]]:
    """The components one after the other, each with noise of its own scale."""
    noisy: list[int] = []
    entries = sum(map(len, exact))
    for component, scale in zip(exact, scales, strict=True):
        for start in range(0, len(component), ENTRIES_A_STEP):
            yield from checkpoint("adding noise", len(noisy), entries)
            noisy += add_noise(component[start : start + ENTRIES_A_STEP].tolist(), scale=scale)
    return noisy


def half_width(scale: float, confidence: float = 0.95) -> int:
    """The least integer a for which P(|Z| <= a) is at least `confidence`."""
    # P(|Z| > a) = 2 r^(a+1) / (1 + r) with r = exp(-1/scale)
    r = math.exp(-1 / scale)
    guess = max(0, math.ceil(scale * math.log(2 / ((1 + r) * (1 - confidence)))) - 1)
    while guess > 0 and coverage(scale, guess - 1) >= confidence:
        guess -= 1
    while coverage(scale, guess) < confidence:
        guess += 1
    return guess


def coverage(scale: float, width: int) -> float:
    """P(|Z| <= width), exactly the share of releases whose noise stays within `width`."""
    r = math.exp(-1 / scale)
    return 1 - 2 * math.exp(-(width + 1) / scale) / (1 + r)
