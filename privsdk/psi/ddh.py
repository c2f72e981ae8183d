"""Two-party exact set intersection by double Diffie-Hellman blinding, both parties learn it.

Paper: R. Agrawal, A. Evfimievski, R. Srikant, "Information Sharing Across Private Databases", SIGMOD 2003, section 3
(intersection protocol), after B. Huberman, M. Franklin, T. Hogg, EC 1999; over ristretto255 (RFC 9496), and run once in
each direction so that both learn the result.

    A (keys x, secret a)                                 B (keys y, secret b)
    --- Blinded: {H(x)^a}, sorted ---------------------->
    <-- Blinded: {H(y)^b}, sorted -----------------------
    --- Doubled: (H(y)^b)^a, in B's order --------------->
    <-- Doubled: (H(x)^a)^b, in A's order ---------------

    Each compares its own set blinded twice with the peer's. Joint keys are numbered in the byte order of H(key)^ab,
    which both sides know and which tells nothing about the keys. The first messages also carry each owner's minimum
    count.

Learns: A and B learn which of their own keys the other holds, how many distinct keys the other has, and its minimum
count. An onlooker of
the encrypted stream learns both numbers from its length. The caller learns the size of the intersection, where it is at
least the owners' minimum count.

Assumes: decisional Diffie-Hellman in ristretto255, SHA-512 as a random oracle, semi-honest parties. H is bound to the
session, so blinded sets of two runs cannot be compared. Two parties: any collusion is of one with itself.

Cost: each party hashes n keys and does n + m multiplications; 64 bytes a key of either set each way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import DataError, ProtocolViolation
from ..messages import Message
from ..protocol import Entropy, Role, SystemEntropy, ask, hear, tell, together
from .groups import POINTS, checked, hash_all, multiply_all, random_scalar, to_table
from .keys import distinct_keys

DOMAIN = b"privsdk psi.ddh v1 "


class Blinded(Message, frozen=True, kw_only=True, tag="psi.ddh.Blinded"):
    """A party's keys, hashed to the group and raised to its secret, sorted.

    `kind` is their declared type, `min_count` the size from which the owner lets the caller know the intersection's.
    """

    SCHEMA = POINTS
    kind: str
    min_count: int
    table: pa.Table


class Doubled(Message, frozen=True, kw_only=True, tag="psi.ddh.Doubled"):
    """The peer's blinded keys raised to one's own secret too, in the order received."""

    SCHEMA = POINTS
    table: pa.Table


class Intersection(NamedTuple):
    """What a party learns.

    Attributes
    ----------
    positions : int64 array
        Positions in the party's own list of distinct keys, ordered as at the peer.
    peer_size : int
        Number of the peer's distinct keys.
    min_count : int
        The larger of both owners' minimum counts, which holds for all that is computed over the intersection.
    """

    positions: npt.NDArray[np.int64]
    peer_size: int
    min_count: int


def opener(
    keys: list[bytes], *, kind: str, peer: str, session: bytes, entropy: Entropy, min_count: int = 0
) -> Role[Intersection]:
    """Party A: `keys` are distinct."""
    secret, order, mine = yield from _blind(keys, session, entropy)
    theirs = yield from ask(peer, Blinded(kind=kind, min_count=min_count, table=to_table(mine)), Blinded)
    received = yield from _received(theirs, mine, peer)
    _same_kind(kind, theirs.kind, peer)
    positions = yield from _exchange(secret, order, received, peer)
    return Intersection(positions, len(received), max(min_count, theirs.min_count))


def responder(
    keys: list[bytes], *, kind: str, peer: str, session: bytes, entropy: Entropy, min_count: int = 0
) -> Role[Intersection]:
    """Party B: `keys` are distinct."""
    secret, order, mine = yield from _blind(keys, session, entropy)
    theirs = yield from hear(peer, Blinded)
    received = yield from _received(theirs, mine, peer)
    yield from tell(peer, Blinded(kind=kind, min_count=min_count, table=to_table(mine)))
    _same_kind(kind, theirs.kind, peer)  # after telling, so that the opener finds the same error
    positions = yield from _exchange(secret, order, received, peer)
    return Intersection(positions, len(received), max(min_count, theirs.min_count))


def _blind(
    keys: list[bytes], session: bytes, entropy: Entropy
) -> Role[tuple[bytes, npt.NDArray[np.int64], list[bytes]]]:
    secret = random_scalar(entropy)
    hashed = yield from hash_all(DOMAIN + session, keys, "hashing keys")
    blinded = yield from multiply_all(secret, hashed, "blinding")
    order = sorted(range(len(blinded)), key=blinded.__getitem__)
    return secret, np.array(order, dtype=np.int64), [blinded[i] for i in order]


def _received(theirs: Blinded, mine: list[bytes], peer: str) -> Role[list[bytes]]:
    """The peer's blinded points. One of our own among them is our own sent back, which would pass for a shared key."""
    points = yield from checked(theirs.table, peer)
    if len(set(points)) != len(points) or not set(points).isdisjoint(mine):
        raise ProtocolViolation(f"{peer} sent a point twice, or one of ours back")
    return points


def _same_kind(mine: str, theirs: str, peer: str) -> None:
    if mine != theirs:
        raise DataError(
            f"the join keys are of type {mine} here and {theirs} at {peer}: they would never match",
            hint="have one owner convert its key column to the other's type",
        )


def _exchange(
    secret: bytes, order: npt.NDArray[np.int64], received: list[bytes], peer: str
) -> Role[npt.NDArray[np.int64]]:
    """Double the peer's points, get one's own back doubled, and compare: positions of the joint keys."""
    doubled = yield from multiply_all(secret, received, "doubling")
    back = yield from ask(peer, Doubled(table=to_table(doubled)), Doubled)
    if back.table.num_rows != len(order):
        raise ProtocolViolation(f"{peer} returned {back.table.num_rows} points for {len(order)}")
    returned = yield from checked(back.table, peer)
    if len(set(returned)) != len(returned):
        raise ProtocolViolation(f"{peer} returned a point twice")
    theirs = set(doubled)
    matched = sorted((point, index) for point, index in zip(returned, order.tolist(), strict=True) if point in theirs)
    return np.array([index for _, index in matched], dtype=np.int64)


def intersect(left: pa.Array | pa.ChunkedArray, right: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Run the protocol on two local columns, both roles in this process; for learning and for tests.

    Parameters
    ----------
    left, right : Arrow arrays of string, integer or binary type
        Duplicates count once, nulls never match.

    Returns
    -------
    Arrow array
        The distinct values of `left` that occur in `right`, in the protocol's order.
    """
    a, b = distinct_keys(left), distinct_keys(right)
    entropy = SystemEntropy()
    session = entropy.draw(16)
    outputs = together(
        {
            "left": opener(a.encoded.to_pylist(), kind=a.kind, peer="right", session=session, entropy=entropy),
            "right": responder(b.encoded.to_pylist(), kind=b.kind, peer="left", session=session, entropy=entropy),
        }
    )
    return a.values.take(pa.array(outputs["left"].positions)).column(0).combine_chunks()
