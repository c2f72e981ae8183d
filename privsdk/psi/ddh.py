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
    which both sides know and which tells nothing about the keys.

Learns: A and B learn which of their own keys the other holds, and how many distinct keys the other has. An onlooker of
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
    """A party's keys, hashed to the group and raised to its secret, sorted; `kind` is their declared type."""

    SCHEMA = POINTS
    kind: str
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
    """

    positions: npt.NDArray[np.int64]
    peer_size: int


def opener(keys: list[bytes], *, kind: str, peer: str, session: bytes, entropy: Entropy) -> Role[Intersection]:
    """Party A: `keys` are distinct."""
    secret, order, mine = yield from _blind(keys, session, entropy)
    theirs = yield from ask(peer, Blinded(kind=kind, table=to_table(mine)), Blinded)
    _same_kind(kind, theirs.kind, peer)
    received = yield from checked(theirs.table, peer)
    doubled = yield from multiply_all(secret, received, "doubling")
    back = yield from ask(peer, Doubled(table=to_table(doubled)), Doubled)
    returned = yield from _answer_to(mine, back, peer)
    return _compare(order, returned, doubled)


def responder(keys: list[bytes], *, kind: str, peer: str, session: bytes, entropy: Entropy) -> Role[Intersection]:
    """Party B: `keys` are distinct."""
    secret, order, mine = yield from _blind(keys, session, entropy)
    theirs = yield from hear(peer, Blinded)
    received = yield from checked(theirs.table, peer)
    yield from tell(peer, Blinded(kind=kind, table=to_table(mine)))
    _same_kind(kind, theirs.kind, peer)  # after telling, so that the opener finds the same error
    back = yield from hear(peer, Doubled)
    doubled = yield from multiply_all(secret, received, "doubling")
    yield from tell(peer, Doubled(table=to_table(doubled)))
    returned = yield from _answer_to(mine, back, peer)
    return _compare(order, returned, doubled)


def _blind(
    keys: list[bytes], session: bytes, entropy: Entropy
) -> Role[tuple[bytes, npt.NDArray[np.int64], list[bytes]]]:
    secret = random_scalar(entropy)
    hashed = yield from hash_all(DOMAIN + session, keys, "hashing keys")
    blinded = yield from multiply_all(secret, hashed, "blinding")
    order = sorted(range(len(blinded)), key=blinded.__getitem__)
    return secret, np.array(order, dtype=np.int64), [blinded[i] for i in order]


def _same_kind(mine: str, theirs: str, peer: str) -> None:
    if mine != theirs:
        raise DataError(
            f"the join keys are of type {mine} here and {theirs} at {peer}: they would never match",
            hint="have one owner convert its key column to the other's type",
        )


def _answer_to(sent: list[bytes], back: Doubled, peer: str) -> Role[list[bytes]]:
    if back.table.num_rows != len(sent):
        raise ProtocolViolation(f"{peer} returned {back.table.num_rows} points for {len(sent)}")
    return (yield from checked(back.table, peer))


def _compare(order: npt.NDArray[np.int64], mine: list[bytes], theirs: list[bytes]) -> Intersection:
    peers = set(theirs)
    if len(peers) != len(theirs) or len(set(mine)) != len(mine):
        raise ProtocolViolation("the peer's set holds a key twice")
    matched = sorted((point, index) for point, index in zip(mine, order.tolist(), strict=True) if point in peers)
    return Intersection(np.array([index for _, index in matched], dtype=np.int64), len(theirs))


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
            "left": opener(a.encoded, kind=a.kind, peer="right", session=session, entropy=entropy),
            "right": responder(b.encoded, kind=b.kind, peer="left", session=session, entropy=entropy),
        }
    )
    return a.values.take(pa.array(outputs["left"].positions))
