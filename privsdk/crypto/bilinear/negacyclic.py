"""Polynomials modulo X^8192 + 1 over integers modulo 2^(16 l): exact products by floating transforms of their limbs.

A polynomial x is known by its values at w^(4k+1), w = exp(i pi / N), k < N/2: since w^((4k+1) N/2) = i, these are the
discrete Fourier transform of (x_n + i x_(n+N/2)) w^n, n < N/2. Products of values are values of the product.

Exactness. One factor is random, the public matrix or what is encrypted: limbs x in [-2^(s-1), 2^(s-1)) that are
uniform, the other is any y within 2^bits. The error of a transform with rounded twiddle factors is in l2 norm below e =
6.7 * 12 * 2^-53 of the norm of its result (Higham 2002, theorem 24.2, for 2^12 points). Of the two before a product,
each moves a coefficient of the result by at most e ||x|| ||y|| (Cauchy-Schwarz), so both of k products by 2 e k N
2^(s-1+bits). The one after it errs by at most e of the norm of the result, whose coefficients are sums of k N
independent terms: all within 10 sqrt(k N) 2^(s-1+bits) but with probability 2^-71 each (Hoeffding), which is 10 e
sqrt(k) N 2^(s-1+bits). Together below 2^(10-53) k N 2^(s-1+bits), and `limb_bits` keeps this below 1/4: rounding
gives the integer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

DEGREE = 8192
WORD_BITS = 16
GROUP = 16  # products that are added before they are rounded

Words = npt.NDArray[np.uint16]  # of shape (..., l): numbers modulo 2^(16 l), lowest word first
Limbs = npt.NDArray[np.int16]  # of shape (..., l): the same by digits in [-2^15, 2^15)
Spectrum = npt.NDArray[np.complex128]

_HALF = DEGREE // 2
_TWIST = np.exp(1j * np.pi * np.arange(_HALF) / DEGREE)
_ERROR_BITS = 10 - 53


def spectrum(polynomials: npt.NDArray[np.number]) -> Spectrum:
    """Values of polynomials, of shape (..., N)."""
    folded = np.empty((*polynomials.shape[:-1], _HALF), np.complex128)
    folded.real, folded.imag = polynomials[..., :_HALF], polynomials[..., _HALF:]
    folded *= _TWIST
    values: Spectrum = np.fft.fft(folded, axis=-1)
    return values


def integers(values: Spectrum) -> npt.NDArray[np.int64]:
    """The polynomials with these values, rounded to integers."""
    folded = np.fft.ifft(values, axis=-1)
    folded *= _TWIST.conj()
    rounded: npt.NDArray[np.int64] = np.rint(np.concatenate([folded.real, folded.imag], axis=-1)).astype(np.int64)
    return rounded


def limb_bits(bits: int) -> int:
    """How long random limbs may be in sums of GROUP products with polynomials of coefficients of at most 2^bits."""
    for size in (WORD_BITS, WORD_BITS // 2):
        if _ERROR_BITS + math.log2(GROUP * DEGREE) + size - 1 + bits <= -2:
            return size
    raise ValueError(f"coefficients of {bits} bits are too large for float64")


def balanced(words: Words) -> Limbs:
    """The same numbers by digits in [-2^15, 2^15)."""
    limbs = np.empty(words.shape, np.int16)
    carry = np.zeros(words.shape[:-1], np.int64)
    for i in range(words.shape[-1]):
        carry += words[..., i]
        limbs[..., i] = carry.astype(np.int16)  # its lowest 16 bits
        carry = (carry - limbs[..., i]) >> WORD_BITS
    return limbs


def split(limbs: Limbs, bits: int) -> npt.NDArray[np.int16]:
    """Numbers by digits of so many bits in place of 16, (..., 16 l / bits)."""
    if bits == WORD_BITS:
        return limbs
    low = limbs.astype(np.int8)
    return (
        np.stack([low, (limbs - low.astype(np.int32)) >> bits], axis=-1).astype(np.int16).reshape(*limbs.shape[:-1], -1)
    )


def joined(sums: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int64]:
    """Sums of digits of so many bits as sums of digits of 16."""
    return sums if bits == WORD_BITS else sums[..., ::2] + (sums[..., 1::2] << bits)


def carried(sums: npt.NDArray[np.int64]) -> Words:
    """Numbers modulo 2^(16 l) from sums of digits of 16 bits, of shape (..., l), each within +-2^62."""
    words = np.empty(sums.shape, np.uint16)
    carry = np.zeros(sums.shape[:-1], np.int64)
    for i in range(sums.shape[-1]):
        carry += sums[..., i]
        words[..., i] = carry & ((1 << WORD_BITS) - 1)
        carry >>= WORD_BITS
    return words


def turned(numbers: npt.NDArray[Any], height: int) -> npt.NDArray[np.int64]:
    """What coefficients of a factor are multiplied by in the coefficients height - 1, 2 height - 1, ... of a product.

    `numbers` are the other factor's coefficients, of shape (N, ...); the result has shape (N, N / height, ...).
    """
    found = np.empty((DEGREE, DEGREE // height, *numbers.shape[1:]), np.int64)
    for i in range(found.shape[1]):
        end = (i + 1) * height
        found[:end, i] = numbers[end - 1 :: -1] if end < DEGREE else numbers[::-1]
        found[end:, i] = -numbers[: end - 1 : -1].astype(np.int64)
    return found
