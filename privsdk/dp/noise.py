"""Noisy integer vectors: OpenDP's discrete Laplace noise, whole or in shares that add up to it.

Source: C. Dwork, F. McSherry, K. Nissim, A. Smith, TCC 2006, section 3.1 (Laplace mechanism), in the discrete form of
A. Ghosh, T. Roughgarden, M. Sundararajan, STOC 2009, section 2; sampled exactly by OpenDP (Canonne, Kamath, Steinke,
NeurIPS 2020, algorithm 2). Working in integers leaves no floating-point gap for an attack (Mironov, CCS 2012).

Shares. Write p = exp(-1 / scale), and NB(r) for the negative binomial law P(x) = (1 - p)^r p^x r^(x) / x!, where
r^(x) = r (r + 1) ... (r + x - 1). NB(r) + NB(s) = NB(r + s), and NB(1) is geometric. Noise of shape r is the difference
of two of NB(r): of shape 1 it is discrete Laplace, and shapes add up, so that m shares of shape 1/m are one discrete
Laplace of the full scale (S. Goryczka, L. Xiong, IEEE TDSC 2017; B. Balle, J. Bell, A. Gascon, K. Nissim, CCS 2020;
C. Harrison, P. Manurangsi, FORC 2025, the "generalized discrete Laplace").

They are sampled exactly, in integers, from OpenDP's samples and uniform numbers:

- A discrete Laplace Z gives a geometric number: max(Z, -1 - Z) is one, whichever sign Z has.
- Take a uniformly random permutation of a geometric number g of things, and each of its cycles with probability r < 1:
  the number x of things in cycles taken is NB(r). For the sum of r^(cycles) over the permutations of x things is r^(x)
  (Ewens 1972), so x of g has the probability (1 - p) p^g C(g, x) r^(x) (1 - r)^(g - x) / g!, which is that of x in
  NB(r) times that of g - x in NB(1 - r).
- Only the lengths of cycles matter. That of the cycle of any one thing is uniform over 1 to g, and what is left is a
  uniformly random permutation again: on average 1 + 1/2 + ... + 1/g cycles.

Not in constant time, as OpenDP is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..protocol.roles import Entropy, Role, checkpoint
from .release import Integers

ENTRIES_A_STEP = 5_000  # at most 0.2 s of sampling
WHOLE = Fraction(1)

Words = npt.NDArray[np.uint64]


def add_noise(values: Sequence[int], *, scale: float) -> list[int]:
    """The values with independent noise Z each, P(Z = z) proportional to exp(-|z| / scale)."""
    import opendp.prelude as opendp

    opendp.enable_features("contrib")
    space = opendp.vector_domain(opendp.atom_domain(T="i64")), opendp.l1_distance(T="i64")
    mechanism = opendp.m.make_laplace(*space, scale=scale)
    noisy: list[int] = mechanism(list(values))
    return noisy


def add_shares(values: Sequence[int], *, scale: float, shape: Fraction, entropy: Entropy) -> list[int]:
    """The values with independent noise of this scale and shape each."""
    whole, part = divmod(shape, 1)
    noisy = list(values)
    for _ in range(whole):
        noisy = add_noise(noisy, scale=scale)
    if part:
        up, down = (_negative_binomial(len(noisy), scale, part, entropy) for _ in range(2))
        noisy = [value + share for value, share in zip(noisy, (up - down).tolist(), strict=True)]
    return noisy


def noisy_vector(
    exact: Sequence[Integers], scales: Sequence[float], shape: Fraction, entropy: Entropy
) -> Role[list[int]]:
    """The components one after the other, each with noise of its own scale."""
    noisy: list[int] = []
    entries = sum(map(len, exact))
    for component, scale in zip(exact, scales, strict=True):
        for start in range(0, len(component), ENTRIES_A_STEP):
            yield from checkpoint("adding noise", len(noisy), entries)
            values = component[start : start + ENTRIES_A_STEP].tolist()
            noisy += add_shares(values, scale=scale, shape=shape, entropy=entropy)
    return noisy


def _negative_binomial(size: int, scale: float, shape: Fraction, entropy: Entropy) -> Integers:
    """So many of NB(shape), for a shape below 1: the taken cycles of geometric numbers."""
    laplace = np.array(add_noise([0] * size, scale=scale), np.int64)
    left = np.maximum(laplace, ~laplace).astype(np.uint64)
    taken = np.zeros_like(left)
    while len(at := np.flatnonzero(left)):
        cycle = _below(left[at], entropy) + np.uint64(1)
        takes = _below(np.full(len(at), shape.denominator, np.uint64), entropy) < shape.numerator
        taken[at] += cycle * takes
        left[at] -= cycle
    return taken.astype(np.int64)


def _below(bounds: Words, entropy: Entropy) -> Words:
    """Uniform integers, each from 0 to one less than its bound: bits are drawn until they are below it."""
    masks = bounds - np.uint64(1)
    for shift in (1, 2, 4, 8, 16, 32):
        masks |= masks >> np.uint64(shift)
    drawn = np.zeros_like(bounds)
    missing = np.arange(len(bounds))
    while len(missing):
        words = np.frombuffer(entropy.draw(8 * len(missing)), "<u8").astype(np.uint64) & masks[missing]
        drawn[missing] = words
        missing = missing[words >= bounds[missing]]
    return drawn
