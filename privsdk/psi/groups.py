"""ristretto255 (RFC 9496) by way of libsodium: hashing to the group and multiplying whole columns of points.

Not a general group library: only what Diffie-Hellman intersection needs, with every received point checked.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import pyarrow as pa

from ..errors import ProtocolViolation
from ..protocol import Entropy, Role, checkpoint

POINT = pa.binary(32)
IDENTITY = bytes(32)
BATCH = 2048  # about 0.1 s of scalar multiplications between checkpoints


@cache
def libsodium() -> Any:
    """The module rbcl, with libsodium loaded.

    At every import rbcl writes the library to a new temporary file, of 2.8 MB, and leaves it there. Once loaded it can
    go (not on Windows, which keeps the files of loaded libraries).
    """
    import rbcl

    with suppress(OSError):
        os.unlink(sys.modules["rbcl._sodium"].lib_path)
    return rbcl


def random_scalar(entropy: Entropy) -> bytes:
    """A uniform non-zero scalar: 64 random bytes reduced modulo the group order."""
    while True:
        scalar: bytes = libsodium().crypto_core_ristretto255_scalar_reduce(entropy.draw(64))
        if scalar != bytes(32):
            return scalar


def hash_to_group(domain: bytes, data: bytes) -> bytes:
    """The element derived from SHA-512(len(domain) || domain || data) by the one-way map of RFC 9496, section 4.3.4.

    With SHA-512 as a random oracle the map's output is indifferentiable from a random element (RFC 9380, section 10.1).
    """
    digest = hashlib.sha512(len(domain).to_bytes(2, "big") + domain + data).digest()
    element: bytes = libsodium().crypto_core_ristretto255_from_hash(digest)
    return element


def hash_all(domain: bytes, keys: Sequence[bytes], phase: str) -> Role[list[bytes]]:
    """`hash_to_group` of every key, with checkpoints."""
    points: list[bytes] = []
    for start in range(0, len(keys), BATCH):
        yield from checkpoint(phase, start, len(keys))
        points += [hash_to_group(domain, key) for key in keys[start : start + BATCH]]
    return points


def multiply_all(scalar: bytes, points: Sequence[bytes], phase: str) -> Role[list[bytes]]:
    """Every point times the scalar, with checkpoints."""
    products: list[bytes] = []
    for start in range(0, len(points), BATCH):
        yield from checkpoint(phase, start, len(points))
        products += [
            libsodium().crypto_scalarmult_ristretto255(scalar, point) for point in points[start : start + BATCH]
        ]
    return products


def to_table(points: Sequence[bytes]) -> pa.Table:
    return pa.table({"point": pa.array(points, POINT)}, schema=POINTS)


POINTS = pa.schema([pa.field("point", POINT, nullable=False)])


def checked(table: pa.Table, sender: str) -> Role[list[bytes]]:
    """The points of a received table, with checkpoints.

    Raises
    ------
    ProtocolViolation
        One is null, not a canonical encoding of a group element (RFC 9496, section 4.3.1), or the identity.
    """
    points: list[bytes] = table.column("point").to_pylist()
    for index, point in enumerate(points):
        if index % (8 * BATCH) == 0:
            yield from checkpoint("checking points", index, len(points))
        if point is None or point == IDENTITY or not libsodium().crypto_core_ristretto255_is_valid_point(point):
            raise ProtocolViolation(f"{sender} sent a point that is not a valid element of ristretto255")
    return points
