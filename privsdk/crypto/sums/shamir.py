"""Shamir's secret sharing of 32-byte secrets: any `threshold` shares give the secret, fewer tell nothing at all.

Shamir: "How to share a secret", CACM 22(11), 1979. The secret is the value at 0 of a polynomial of degree
threshold - 1 with random coefficients over the integers modulo a prime just above 2^256; holder x has its value at x.
Nothing here finds a share that was forged. Python's integers do it: for ten holders a secret takes tens of
microseconds, for a thousand about 0.1 s, and drawing more is the lesser part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.roles import Entropy

SECRET_BYTES = 32
SHARE_BYTES = 33
PRIME = 2**256 + 297
DRAWN_BYTES = 49  # for each coefficient: modulo the prime within 2^-128 of uniform
MOST = 1 << 16  # holders; far below the prime, so that their numbers are distinct in the field


def split(secret: bytes, holders: Sequence[int], *, threshold: int, entropy: Entropy) -> list[bytes]:
    """A share for each holder, by its number; numbers are 1 or more and distinct.

    Raises
    ------
    InvalidArgument
        A number occurs twice or is out of range, or there are fewer holders than the threshold.
    """
    if len(secret) != SECRET_BYTES:
        raise InvalidArgument(f"a secret of {len(secret)} bytes", hint=f"share {SECRET_BYTES} bytes")
    _check(holders, threshold)
    drawn = entropy.draw(DRAWN_BYTES * (threshold - 1))
    coefficients = [int.from_bytes(secret, "big")]
    coefficients += [
        int.from_bytes(drawn[at : at + DRAWN_BYTES], "big") % PRIME for at in range(0, len(drawn), DRAWN_BYTES)
    ]
    return [value.to_bytes(SHARE_BYTES, "big") for value in evaluated(coefficients, holders, PRIME)]


def recover(shares: Iterable[tuple[int, bytes]], *, threshold: int) -> bytes:
    """The secret, from (holder's number, share) pairs; the first `threshold` of them are used.

    Raises
    ------
    InvalidArgument
        A holder occurs twice, or there are fewer than the threshold.
    ProtocolViolation
        These are not shares of one secret, as far as that can be seen.
    """
    pairs = list(shares)
    _check([number for number, _ in pairs], threshold)
    used = pairs[:threshold]
    values = [int.from_bytes(share, "big") for _, share in used]
    if any(len(share) != SHARE_BYTES for _, share in used) or any(value >= PRIME for value in values):
        raise ProtocolViolation("a share is not one of a secret")
    secret = interpolated(weights(tuple(number for number, _ in used), PRIME), values, PRIME)
    if secret >> (8 * SECRET_BYTES):
        raise ProtocolViolation("shares do not fit together")
    return secret.to_bytes(SECRET_BYTES, "big")


def evaluated(coefficients: Sequence[int], points: Sequence[int], prime: int) -> list[int]:
    """A polynomial, the constant first, at each point, by Horner's rule."""
    values = []
    for point in points:
        value = 0
        for coefficient in reversed(coefficients):
            value = (value * point + coefficient) % prime
        values.append(value)
    return values


@lru_cache(maxsize=64)  # all secrets of a sum are recovered from shares of the same holders
def weights(points: tuple[int, ...], prime: int) -> tuple[int, ...]:
    """Lagrange's weights: those of the values at these points whose sum is the value at 0."""
    found = []
    for point in points:
        above, below = 1, 1
        for other in points:
            if other != point:
                above = above * other % prime
                below = below * (other - point) % prime
        found.append(above * pow(below, -1, prime) % prime)
    return tuple(found)


def interpolated(weights: Sequence[int], values: Sequence[int], prime: int) -> int:
    """The value at 0."""
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) % prime


def _check(holders: Sequence[int], threshold: int) -> None:
    if len(set(holders)) != len(holders):
        raise InvalidArgument("a holder of shares occurs twice", hint="give each holder once")
    if not all(0 < number < MOST for number in holders):  # at 0 is the secret
        raise InvalidArgument(f"holders are numbered from 1 to {MOST - 1}")
    if not 1 <= threshold <= len(holders):
        raise InvalidArgument(f"{len(holders)} holders of shares, and {threshold} are needed to recover a secret")
