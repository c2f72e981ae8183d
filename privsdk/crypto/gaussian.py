"""Discrete Gaussian integers of any width up to 2^50, in bulk and to 2^-100; not in constant time.

D_s gives an integer x the probability exp(-x^2 / (2 s^2)), over the sum of all. Up to s = 512 a sample is drawn by
inversion of a table for just this width. A larger one is a sum of independent such samples,

    x = k_0 x_0 + k_1 x_1 + ... + k_m x_m,    k_0 = 1,    x_i from D_base,    width base * sqrt(k_0^2 + ... + k_m^2),

the convolution of Peikert (CRYPTO 2010, theorem 3.1), for integers as in Pöppelmann, Ducas, Güneysu (CHES 2014,
lemma 1) and SampleI of Micciancio, Walter (CRYPTO 2017); theirs doubles the number of samples at each level, here
each level adds one to a sum that is as wide already. `base` is rounded up to an integer, so that the width is at
least the one asked for and at most 1/229 above it. A larger one is safe wherever noise protects: for shifts by an
integer vector of length D, KL (and every Rényi divergence) of spherical discrete Gaussians is at most a multiple of
D^2 / s^2 (Canonne, Kamath, Steinke 2020, proposition 5), which falls with s.

Statistical distance of a sample from D_s, below 2^-100:

- Tables. Thresholds are multiples of 2^-127 and end where less than 2^-127 is left; with at most T = 6820 of them
  that is (T + 1) 2^-127 < 2^-114 for each x_i, hence below 2^-111 for the at most 7 of a sum.
- Sums. Let y from D_u and x from D_base: z = y + k x has probability proportional to
  sum_x exp(-(z - k x)^2 / 2u^2 - x^2 / 2base^2) = exp(-z^2 / 2w^2) * sum_x exp(-(x - c_z)^2 / 2t^2), where
  w^2 = u^2 + k^2 base^2 and t = u base / w. By Poisson summation the last sum is t sqrt(2 pi) times a number within
  1 +- e, where e = 2 exp(-2 pi^2 t^2) / (1 - exp(-2 pi^2)), whatever c_z is. So each probability is that of D_w times
  a factor within (1 + e) / (1 - e) and its inverse: max-log distance below 2.01 e. Every level has t >= 2 (`_levels`;
  a test computes them), so e < 2^-112, for six levels below 2^-108.

The rest is ChaCha20 under a fresh key for each call. Lookups in tables depend on secrets in time: an adversary that
shares the machine is not covered.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from ..errors import InvalidArgument
from ..protocol.roles import Entropy

SMALLEST_SIGMA = 1.0
LARGEST_SIGMA = 2.0**50
LARGEST_TABLE = 512  # width up to which one table serves
MOST_EXCESS = 1 / 229  # of the width over the one asked for; none up to LARGEST_TABLE

_STEP_BITS = 7  # k_(i+1) / k_i is at most 2^7: with it base > 256, and t >= 2
_PRECISION = 127  # bits of a threshold; the 128th bit drawn is the sign
_TAIL = 13.31  # standard deviations: 2 exp(-13.31^2 / 2) < 2^-126.7 bounds twice what is left on both sides


def discrete_gaussian(sigma: float, size: int, entropy: Entropy) -> npt.NDArray[np.int64]:
    """`size` independent discrete Gaussian integers around zero, of parameter `width(sigma)`.

    Parameters
    ----------
    sigma : float
        The parameter asked for, from 1 to 2^50; the variance is its square, but for less than 1e-6.
    size : int
        How many.
    entropy : Entropy
        Gives one key of 32 bytes.

    Returns
    -------
    numpy.ndarray
        int64, shape (size,), each within +-2^55.
    """
    base, levels = _levels(sigma)
    stream = Cipher(ChaCha20(entropy.draw(32), bytes(16)), mode=None).encryptor()
    total = np.zeros(size, dtype=np.int64)
    for level in levels:
        words = np.frombuffer(stream.update(bytes(16 * size)), dtype="<u8").astype(np.uint64)
        total += level * _from_table(base, words)
    return total


def width(sigma: float) -> float:
    """The parameter of what `discrete_gaussian(sigma, ...)` draws: at least `sigma`, at most 1/229 more."""
    base, levels = _levels(sigma)
    return base * math.hypot(*levels)


def _levels(sigma: float) -> tuple[float, list[int]]:
    """The width of the table and the multipliers k_0 = 1, k_1, ...: powers of two."""
    if not SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA:
        raise InvalidArgument(f"a discrete Gaussian of parameter {sigma:.6g}; 1 to 2^50 are drawn")
    if sigma <= LARGEST_TABLE:
        return float(sigma), [1]
    for last in range(1, 64):
        steps = math.ceil(last / _STEP_BITS)
        levels = [1 << last * i // steps for i in range(steps + 1)]
        base = math.ceil(sigma / math.hypot(*levels))
        if base <= LARGEST_TABLE:
            break
    return float(base), levels


@lru_cache(maxsize=16)
def _table(sigma: float) -> tuple[npt.NDArray[np.uint64], list[int]]:
    """P(|x| <= k) for k = 0, 1, ... in units of 2^-127: the upper 64 bits as an array, and in full."""
    with localcontext(Context(prec=60)):  # so that the errors of 7,000 products stay far below 2^-127
        inverse = 1 / (Decimal(sigma) * Decimal(sigma))
        ratio, squared = (-inverse / 2).exp(), (-inverse).exp()
        weights = [Decimal(1)]  # exp(-k^2 / 2 sigma^2), by the ratio of neighbours
        weight = Decimal(2)
        for _ in range(math.ceil(_TAIL * sigma)):
            weight *= ratio
            ratio *= squared
            weights.append(weight)
        total = sum(weights)
        unit = Decimal(2) ** _PRECISION / total
        thresholds, reached = [], Decimal(0)
        for weight in weights[:-1]:
            reached += weight
            thresholds.append(int(reached * unit))
    return np.array([threshold >> 63 for threshold in thresholds], dtype=np.uint64), thresholds


def _from_table(sigma: float, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Inversion: the smallest k whose threshold is above the drawn 127 bits, with the last bit for a sign."""
    upper, thresholds = _table(sigma)
    high, low = words[0::2], words[1::2]
    found = np.searchsorted(upper, high, side="left").astype(np.int64)
    # Where the upper 64 bits are those of a threshold, the lower 63 decide: about once in 2^51 draws.
    for i in np.flatnonzero(upper[np.minimum(found, len(upper) - 1)] == high):
        drawn = int(high[i]) << 63 | int(low[i]) >> 1
        while found[i] < len(thresholds) and thresholds[found[i]] <= drawn:
            found[i] += 1
    return np.where(low & np.uint64(1), -found, found)
