"""The probability that a key-value store cannot be encoded: exactly where that is feasible, and bounds for any size.

Written from the derivation in `privsdk.psi.oprf.okvs`, twice over: in fractions, and in logarithms fit for
millions of keys.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
from scipy.special import gammaln, logsumexp

EXACT_TO = 60  # sizes of sets up to which the logarithmic bound takes the coefficients themselves


def exact_failure(keys: int, third: int, dense: int) -> Fraction:
    """The probability of dependent equations, by going through all lists of equations."""
    choices = [
        1 << a | 1 << third + b | 1 << 2 * third + c | mask << 3 * third
        for a, b, c in itertools.product(range(third), repeat=3)
        for mask in range(1 << dense)
    ]

    def independent(span: frozenset[int], left: int) -> int:
        if left == 0:
            return 1
        return sum(independent(span | {x ^ row for x in span}, left - 1) for row in choices if row not in span)

    return 1 - Fraction(independent(frozenset([0]), keys), len(choices) ** keys)


def all_even(balls: int, bins: int) -> Fraction:
    """P(every bin holds an even number), by characters: the mean over all signs of (sum of signs / bins)^balls."""
    return Fraction(
        sum(math.comb(bins, k) * (bins - 2 * k) ** balls for k in range(bins + 1)), (1 << bins) * bins**balls
    )


def exact_bound(keys: int, third: int, dense: int) -> Fraction:
    """The expected number of non-empty sets of equations that XOR to zero, for exactly uniform cells."""
    sets = sum((math.comb(keys, s) * all_even(s, third) ** 3 for s in range(1, keys + 1)), Fraction(0))
    return sets / (1 << dense)


def log2_bound(keys: int, third: int, dense: int) -> float:
    """An upper bound on log2 of the expected number, with cells selected by multiply-shift of 32 bits."""
    s = np.arange(2, keys + 1, 2)
    if not len(s):
        return -math.inf
    ways = gammaln(keys + 1) - gammaln(s + 1) - gammaln(keys - s + 1)
    even = np.minimum(log_even_above(s, third), 0.0)
    small = s[s <= EXACT_TO]
    even[: len(small)] = log_even(third)[small]
    return float(logsumexp(ways + 3 * (even + s * math.log1p(third / 2**32))) / math.log(2) - dense)


def log_even(bins: int) -> np.ndarray:
    """log p(s) for s up to EXACT_TO, from the series of cosh(x / sqrt(bins))^bins by repeated squaring."""
    series = np.zeros(EXACT_TO + 1)
    series[::2] = [1 / (bins**j * math.factorial(2 * j)) for j in range(EXACT_TO // 2 + 1)]
    power = np.eye(1, EXACT_TO + 1)[0]
    for bit in f"{bins:b}":
        power = np.convolve(power, power)[: EXACT_TO + 1]
        if bit == "1":
            power = np.convolve(power, series)[: EXACT_TO + 1]
    s = np.arange(EXACT_TO + 1)
    with np.errstate(divide="ignore"):
        return np.log(power) + gammaln(s + 1) - s / 2 * math.log(bins)


def log_even_above(s: np.ndarray, bins: int) -> np.ndarray:
    """log of s! cosh(x)^bins / (x bins)^s: any x > 0 will do, and near x tanh(x) = s / bins it is least."""
    grid = np.geomspace(1e-6, 1e4, 20_000)
    x = np.interp(s / bins, grid * np.tanh(grid), grid)
    log_cosh = x + np.log1p(np.exp(-2 * x)) - math.log(2)
    return gammaln(s + 1) + bins * log_cosh - s * (np.log(x) + math.log(bins))
