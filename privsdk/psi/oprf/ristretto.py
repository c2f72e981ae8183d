"""ristretto255 (RFC 9496) by way of libsodium: hashing to the group and multiplying whole columns of points.

Not a general group library: only what Diffie-Hellman intersection needs, with every received point checked. Columns
that take long go to the worker processes. A scalar goes with them: it is secret, and they are this user's own.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import pyarrow as pa

from ...errors import DataError, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, checkpoint
from ...protocol.workers.pool import computed

POINT = pa.binary(32)
IDENTITY = bytes(32)
BATCH = 2048  # at most 0.15 s of scalar multiplications between checkpoints
MOST_POINTS = 8_000_000  # 256 MB, what a message may hold
PIECE = 4096  # at most 0.3 s of them for a worker; what is one piece is done here


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


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raise DataError, the same at every party, where a set would not fit in a message; before anyone blinds it."""
    for party, size in sorted(sizes.items()):
        if size > MOST_POINTS:
            raise DataError(
                f"{party} brings {size:,} distinct keys; blinding by Diffie-Hellman takes up to {MOST_POINTS:,}",
                hint="let a join choose its protocol by size; count fewer keys, one part of the table at a time",
            )


def hash_to_group(domain: bytes, data: bytes) -> bytes:
    """The element derived from SHA-512(len(domain) || domain || data) by the one-way map of RFC 9496, section 4.3.4.

    With SHA-512 as a random oracle the map's output is indifferentiable from a random element (RFC 9380, section 10.1).
    """
    digest = hashlib.sha512(len(domain).to_bytes(2, "big") + domain + data).digest()
    element: bytes = libsodium().crypto_core_ristretto255_from_hash(digest)
    return element


def hash_all(domain: bytes, keys: Sequence[bytes], phase: str) -> Role[list[bytes]]:
    """`hash_to_group` of every key, with checkpoints."""
    return (yield from _in_pieces(hash_piece, domain, keys, phase))


def multiply_all(scalar: bytes, points: Sequence[bytes], phase: str) -> Role[list[bytes]]:
    """Every point times the scalar, with checkpoints."""
    return (yield from _in_pieces(multiply_piece, scalar, points, phase))


def hash_piece(domain: bytes, keys: Sequence[bytes]) -> list[bytes]:
    """A part of `hash_all`, here or in a worker."""
    return [hash_to_group(domain, key) for key in keys]


def multiply_piece(scalar: bytes, points: Sequence[bytes]) -> list[bytes]:
    """A part of `multiply_all`, here or in a worker."""
    multiply = libsodium().crypto_scalarmult_ristretto255
    return [multiply(scalar, point) for point in points]


def _in_pieces(
    fn: Callable[[bytes, Sequence[bytes]], list[bytes]], fixed: bytes, values: Sequence[bytes], phase: str
) -> Role[list[bytes]]:
    size = BATCH if len(values) <= PIECE else PIECE
    starts = range(0, len(values), size)
    if size == PIECE:
        arguments = ((fixed, values[start : start + size]) for start in starts)
        parts = yield from computed(fn, arguments, phase, total=len(starts))
    else:
        parts = []
        for done, start in enumerate(starts):
            yield from checkpoint(phase, done, len(starts))
            parts.append(fn(fixed, values[start : start + size]))
    return [value for part in parts for value in part]


POINTS = pa.schema([pa.field("point", POINT, nullable=False)])


class Points(Message, frozen=True, kw_only=True):
    """Base of the messages whose table is a column of points."""

    SCHEMA = POINTS
    table: pa.Table


def to_table(points: Sequence[bytes]) -> pa.Table:
    return pa.table({"point": pa.array(points, POINT)}, schema=POINTS)


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


def fresh(table: pa.Table, sender: str, *, count: int, seen: Collection[bytes]) -> Role[list[bytes]]:
    """The points of a received table where they are as many as announced, valid, distinct, and none of those `seen`.

    A point seen before would be one of ours sent back, which passes for a shared key, or the sender's own sent again.

    Raises
    ------
    ProtocolViolation
    """
    if table.num_rows != count:
        raise ProtocolViolation(f"{sender} sent another number of points than was agreed")
    points = yield from checked(table, sender)
    if len(set(points)) != len(points) or not set(points).isdisjoint(seen):
        raise ProtocolViolation(f"{sender} sent a point twice, or one of ours back")
    return points
