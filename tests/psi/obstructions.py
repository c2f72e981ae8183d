"""An upper bound on the probability that keys cannot be placed, derived apart from `privsdk.psi.oprf.parameters`.

By Hall's theorem keys cannot be placed only if some set T of t cells contains all three cells of more than t keys. Take
a least such T with s > t keys inside. Without any one cell it would not do, so each cell has at least s-t+1 of them:
some t+1 of the keys have all their cells in T, and two or more in each. So for the expected number of such T and keys,

    E = sum over a, b, c of  C(m,a) C(m,b) C(m,c) C(n,t+1) N(t+1,a) N(t+1,b) N(t+1,c) / m^(3t+3),     t = a+b+c,

N(s,a) being the number of ways in which s keys hit each of a cells twice or more, P(no placement) <= E. From
3s >= t(s-t+1) follows s <= t+2 for t > 9. For large T that is the better bound: s keys exactly inside, with probability
C(n,s) p^s (1-p)^(n-s), p = abc/m^3, for s = t+1 and t+2.

The small T are summed up exactly. For larger ones N(s,a) <= s! f(x)^a / x^s with f(x) = e^x-1-x, for any x > 0; with
one x for all three thirds the sum over a, b, c is Vandermonde's, C(3m,t).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp

Floats = npt.NDArray[np.float64]
EXACTLY = 24  # keys inside the sets that are summed up exactly
NEVER = -math.inf
RARE = -70.0  # in nats: 2^-100


def log2_no_placement(keys: int, third: int, sizes: int = 40) -> float:
    """A bound on log2 of the probability, for so many keys and cells in each third."""
    terms = [_exact(keys, third, inside) for inside in range(4, min(keys, EXACTLY) + 1)]
    if keys > EXACTLY:
        inside = np.arange(EXACTLY + 1, keys + 1)
        # above 1,000 keys large sets need the other bound, at `sizes` of them
        larger = _vandermonde(keys, third, inside) if keys <= 1000 else _either(keys, third, inside, sizes)
        terms.append(float(logsumexp(larger)))
    return float(logsumexp(terms)) / math.log(2) if terms else NEVER


@cache
def _ways(inside: int, cells: int) -> int:
    """Ways of putting keys into cells with two or more in each: associated Stirling numbers, times cells!."""
    if cells == 0:
        return int(inside == 0)
    if inside < 2 * cells:
        return 0
    return cells * (_ways(inside - 1, cells) + (inside - 1) * _ways(inside - 2, cells - 1))


def _exact(keys: int, third: int, inside: int) -> float:
    one = [math.comb(third, a) * _ways(inside, a) if a else 0 for a in range(inside // 2 + 1)]
    two = np.convolve(np.array(one, object), np.array(one, object))
    three = sum(
        int(two[rest]) * one[inside - 1 - rest]
        for rest in range(inside)
        if inside - 1 - rest < len(one) and rest < len(two)
    )
    return math.log(three * math.comb(keys, inside)) - 3 * inside * math.log(third) if three else NEVER


def _choose(total: float, some: Floats) -> Floats:
    inner = np.minimum(some, total)
    return np.where(some > total, NEVER, gammaln(total + 1) - gammaln(inner + 1) - gammaln(total - inner + 1))


def _saddle(ratio: Floats) -> tuple[Floats, Floats]:
    """log x and log f(x) where x f'(x)/f(x) is about the ratio; every x gives a bound, this one about the best."""
    low, high = np.full_like(ratio, 1e-3), ratio + 1
    for _ in range(32):
        x = (low + high) / 2
        small = x * -np.expm1(-x) < ratio * (-np.expm1(-x) - x * np.exp(-x))
        low, high = np.where(small, x, low), np.where(small, high, x)
    return np.log(low), low + np.log(-np.expm1(-low) - low * np.exp(-low))


def _vandermonde(keys: int, third: int, inside: npt.NDArray[np.int64]) -> Floats:
    s = inside.astype(float)
    x, f = _saddle(3 * s / (s - 1))
    return (
        _choose(keys, s)
        - 3 * s * math.log(third)
        + 3 * (gammaln(s + 1) - s * x)
        + (s - 1) * f
        + _choose(3 * third, s - 1)
    )


def _either(keys: int, third: int, inside: npt.NDArray[np.int64], sizes: int) -> Floats:
    """The better of both bounds at some sizes, each standing for those up to the next."""
    sizes = sizes if keys < 20_000 else sizes // 4  # where these sets are far from counting
    spaced = np.concatenate([np.geomspace(1, len(inside), sizes), np.linspace(1, len(inside), 2 * sizes)])
    chosen = np.unique(spaced.astype(int)) - 1
    gaps, inside = np.diff([*chosen, len(inside)]), inside[chosen]
    first = _vandermonde(keys, third, inside)
    better = [
        first[i] if first[i] < RARE else min(first[i], _large_sets(keys, third, int(inside[i]) - 1))
        for i in range(len(inside))
    ]
    return np.array(better) + np.log(gaps)


def _large_sets(keys: int, third: int, cells: int, points: int = 80) -> float:
    step = max(1, cells // points)
    a = np.arange(1, cells - 1, step)
    a, b = (axis.ravel() for axis in np.meshgrid(a, a))
    a, b = a[a + b < cells], b[a + b < cells]
    c = cells - a - b
    p = np.minimum(a / third * (b / third) * (c / third), 1 - 1e-12)
    terms = []
    for inside in range(cells + 1, min(cells + 2, keys) + 1):
        most = min(third, inside // 2)
        alone = np.full(cells + 1, NEVER)
        held = np.arange(1.0, most + 1)
        x, f = _saddle(inside / held)
        alone[1 : most + 1] = (_choose(third, held) + gammaln(inside + 1) + held * f - inside * x)[:cells]
        each = alone[a] + alone[b] + alone[c] + (keys - inside) * np.log1p(-p)
        whole = float(logsumexp(each)) + 2 * math.log(step) if each.max() > NEVER else NEVER
        terms.append(whole + float(_choose(keys, np.float64(inside))) - 3 * inside * math.log(third))
    return float(logsumexp(terms))
