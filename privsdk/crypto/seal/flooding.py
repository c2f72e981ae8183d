"""Noise that lets CKKS decryptions be shown to others; without it, two of them give the secret key away.

A CKKS decryption is m + e, and who knows the ciphertext and the plaintext learns from e the key (Li, Micciancio,
EUROCRYPT 2021). Li, Micciancio, Schultz, Sorrell (CRYPTO 2022, ePrint 2022/816, section 4) add Gaussian noise that is
wide against a bound on e and show that this restores security against passive adversaries (IND-CPA-D). What is proved
here, for this implementation:

Setting. A plaintext is a polynomial with N real coefficients, in value units (SEAL's integers over the scale); its
slots are its values at N/2 of the roots z^(2k+1), z = exp(i pi / N), one of each conjugate pair. Over all N roots the
squared values add up to N ||m||^2. Hence the l2 norm of an error's coefficients is the root mean square of its slots,
and `error`, a bound on every slot's error or on their root mean square, bounds it: ||e|| <= error.

Exact result. It is the announced computation over the plaintexts as they were encoded: polynomials with integer
coefficients that the adversary of IND-CPA-D knows, from the messages it chose. What encoding rounds off is a function
of the message alone, tells nothing of the key and needs no hiding from it; nor is it hidden: inputs of equal real
results but unequal encodings may be told apart, as sums of fixed-point numbers (or of exact columns) may. So `error`
is what depends on the key and on the randomness of encryption: the noise of fresh ciphertexts, of switched keys and
of dropped primes, and what products make of it.

Mechanism. The decrypted coefficients, exact integers, are rounded to multiples of a grid g, a power of two; to each a
discrete Gaussian multiple of g of parameter sigma is added; the rest is a function of these integers. Of the exact
result, integers over the primes that were dropped, the same is made. In integers, the two are apart before the noise by
a vector of multiples of g of l2 norm at most

    D = error * scale + sqrt(N) g.

The second term is the rounding of each by at most g / 2 a coefficient. g is chosen so that it is at most 1/64 of the
first, or is 1. Decoding in floating point comes after the noise and is the business of accuracy alone: SEAL's own would
be part of D, and at scales beyond 2^50 the largest part of it.

Security. sigma = sqrt(12 reveals) 2^(s/2) D: corollary 2 of ePrint 2022/816 for (c, s) bits of computational and
statistical security, without its factor sqrt(2N), which is for noise in the canonical embedding; OpenFHE's
NOISE_FLOODING_DECRYPT has the same constants (CKKS_NOISE_FLOODING.md, note 1), but for D an estimate from a trial run.
Directly: let the ideal view hold the exact results, rounded, plus the same noise. It can be made from the public key,
the ciphertexts and the plaintexts alone, so in it only IND-CPA (ring-LWE) is left to break. One reveal differs from it
by a KL divergence of at most D^2 / (2 sigma^2) (Canonne, Kamath, Steinke 2020, proposition 5), so all reveals, however
adaptive, of however many or few ciphertexts, by 2^-s / 24 in sum. It follows

- that what happens with probability p0 in the ideal view, as guessing the key, happens in the real one with a p such
  that p ln(p / p0) - p <= 2^-s / 24: below 2^-39 for s = 30 and p0 = 2^-100;
- that no test tells the views apart with an advantage above sqrt(2^-s / 48) (Pinsker): 2^-17.8 for s = 30. This is
  what "30 bits" means for decision games in that paper, which counts the square of an advantage. Ask for s = 54 where
  the advantage itself must stay below 2^-29.

The sampler's distance from a discrete Gaussian adds less than 2^-100 a coefficient, 2^-75 for 1,024 reveals.

Not covered: ciphertexts that are not the result of honest encryptions and the announced computation (`error` does not
hold for them; only values beyond `bound` are noticed, and refusing then tells that much), `error` not holding, with
whatever probability the caller's bound has, more reveals under a key than were declared (the caller counts), and
timing. The exact results themselves are shown: this protects the key and the error, not the values.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.roles import Entropy
from ..gaussian import discrete_gaussian, width
from .presets import MAX_REVEALS

SECURITY = 30  # bits, statistical
MOST_SECURITY = 56  # wider noise would leave the range of the sampler
DEGREES = (4096, 8192, 16384, 32768)

_ROUNDING = 64  # the grid's part of the sensitivity is at most 1/64 of the rest
_FAILURE_BITS = 40
_DIRECTIONS = 16


def sigma_for(error: float, *, reveals: int, security: int = SECURITY) -> float:
    """Parameter of the noise on each coefficient for results that are at most `error` apart in l2 norm.

    Parameters
    ----------
    error : float
        In the units of the result.
    reveals : int
        How many decryptions under this key will ever be shown, 1 to 1024.
    security : int
        Bits of statistical security, as the module's text defines them.
    """
    if not 1 <= reveals <= MAX_REVEALS:
        raise InvalidArgument(
            f"{reveals} reveals under one key; 1 to {MAX_REVEALS} are possible", hint="make a new key in time"
        )
    if not 1 <= security <= MOST_SECURITY:
        raise InvalidArgument(f"{security} bits of statistical security; 1 to {MOST_SECURITY} are possible")
    if not 0 < error < math.inf:
        raise InvalidArgument(f"an error bound of {error:.6g}; a positive one is needed")
    return math.sqrt(12 * reveals) * math.pow(2, security / 2) * error


def flooded(
    coefficients: npt.NDArray[Any],
    *,
    scale: float,
    bound: float,
    error: float,
    reveals: int,
    entropy: Entropy,
    security: int = SECURITY,
) -> npt.NDArray[np.complex128]:
    """A decryption that may be shown.

    Parameters
    ----------
    coefficients : numpy.ndarray
        All N coefficients of the decrypted plaintext, exact: integers within float64's range (SEAL's have 881 bits).
    scale : float
        What a value of 1 is in them.
    bound : float
        The exact result's largest absolute value in a slot, as declared.
    error : float
        Bound on the error of every slot that depends on the key, or on their root mean square.
    reveals, security : int
        As for `sigma_for`.
    entropy : Entropy
        For the noise; never the same twice.

    Returns
    -------
    numpy.ndarray
        complex128, shape (N/2,), in SEAL's order, each slot within `error_after(...)` of the exact result.

    Raises
    ------
    ProtocolViolation
        A slot is further beyond the bound than the error allows.
    """
    degree = len(coefficients)
    grid, sensitivity = _grid(error, degree, scale)
    sigma = sigma_for(sensitivity, reveals=reveals, security=security)
    # One slot's error is at most sqrt(N / 2) times the root mean square. No comparison holds for a nan.
    spread = math.sqrt(degree / 2)
    limit = (bound + spread * error) * (1 + spread * _share(degree))
    within = np.abs(_slots(coefficients, scale)) <= limit
    if not within.all():
        raise ProtocolViolation(
            "a decryption is beyond its declared bound: a ciphertext that overflowed, or of another key"
        )
    rounded = (coefficients.astype(object) + grid // 2) // grid  # Python's integers: floor division, no overflow
    return _slots((rounded + discrete_gaussian(sigma / grid, degree, entropy)) * grid, scale)


def error_after(
    error: float, degree: int, *, scale: float, bound: float, reveals: int, security: int = SECURITY
) -> float:
    """Bound on the absolute error of a slot after flooding, for all slots together but for probability 2^-40.

    A slot's noise has in each direction of the plane the variance sigma^2 N / 2, and is subgaussian with it, as
    discrete Gaussians are with their parameter. Some of 16 evenly spread directions is within pi / 16 of where a slot
    points, so it is longer than r / cos(pi / 16) of these standard deviations with probability at most
    16 exp(-r^2 / 2); r makes this 2^-40 for N / 2 slots. The other errors are bounds on a root mean square and at most
    sqrt(N / 2) times as large in a slot; the transform to slots adds its `share` of all.
    """
    grid, sensitivity = _grid(error, degree, scale)
    sigma = grid * width(sigma_for(sensitivity, reveals=reveals, security=security) / grid) / scale
    r = math.sqrt(2 * (_FAILURE_BITS * math.log(2) + math.log(_DIRECTIONS * degree / 2)))
    noise = sigma * math.sqrt(degree / 2) * r / math.cos(math.pi / _DIRECTIONS)
    before = math.sqrt(degree / 2) * sensitivity / scale
    return noise + before + math.sqrt(degree / 2) * _share(degree) * (bound + before + noise)


def _grid(error: float, degree: int, scale: float) -> tuple[int, float]:
    """The grid of the coefficients and the l2 sensitivity D of what is rounded to it, both in integers."""
    if degree not in DEGREES:
        raise InvalidArgument(f"{degree} coefficients; a whole decryption has one of {DEGREES}")
    if not 0 < error * scale < math.inf:
        raise InvalidArgument(f"an error bound of {error:.6g}; a positive one is needed")
    grid = 1 << max(0, math.floor(math.log2(error * scale / (_ROUNDING * math.sqrt(degree)))))
    return grid, error * scale + math.sqrt(degree) * grid


def _share(degree: int) -> float:
    """Relative l2 error of the float64 transform to slots: about 6.7 log2(N) 2^-53 for an FFT (Higham 2002, theorem
    24.2), twice that and some for the twists and conversions."""
    return 16 * math.log2(degree) * 2.0**-53


@lru_cache(maxsize=len(DEGREES))
def _positions(degree: int) -> npt.NDArray[np.int64]:
    """For slot j the k with z^(3^j) = z^(2k+1): the order of SEAL (CKKSEncoder; others use powers of 5)."""
    powers, power = np.empty(degree // 2, dtype=np.int64), 1
    for j in range(degree // 2):
        powers[j], power = power, power * 3 % (2 * degree)
    return (powers - 1) // 2


@lru_cache(maxsize=len(DEGREES))
def _twists(degree: int) -> npt.NDArray[np.complex128]:
    """z^n for n = 0 .. N-1."""
    return np.asarray(np.exp(1j * np.pi * np.arange(degree) / degree))


def _slots(coefficients: npt.NDArray[Any], scale: float) -> npt.NDArray[np.complex128]:
    """The polynomial's values at z^(2k+1): a discrete Fourier transform of m_n z^n."""
    degree = len(coefficients)
    values = np.fft.ifft(coefficients.astype(np.float64) / scale * _twists(degree), norm="forward")
    return np.asarray(values[_positions(degree)])
