"""Two-party exact set intersection by double Diffie-Hellman blinding; both parties learn it, or one of them.

Paper: R. Agrawal, A. Evfimievski, R. Srikant, "Information Sharing Across Private Databases", SIGMOD 2003, section 3
(intersection protocol), after B. Huberman, M. Franklin, T. Hogg, EC 1999; over ristretto255 (RFC 9496), and run once in
each direction so that both learn the result. After terms are agreed:

    A (keys x, secret a)                                 B (keys y, secret b)
    --- Blinded: {H(x)^a}, sorted ----->    <----- Blinded: {H(y)^b}, sorted ---
    --- Doubled: (H(y)^b)^a, in B's order ->  <- Doubled: (H(x)^a)^b, in A's order ---

    Each compares its own set blinded twice with the peer's. Joint keys are numbered in the byte order of H(key)^ab,
    which both sides know and which tells nothing about the keys. Where only A is to learn, A sends no Doubled.

Learns: A and B which of their own keys the other holds, beside the sizes that the terms told; where only one of them is
to learn, the other nothing more than the terms told. An eavesdropper of the encrypted stream learns both sizes from its
length, and from its direction who learns.

Assumes: decisional Diffie-Hellman in ristretto255, SHA-512 as a random oracle, semi-honest parties. H is bound to the
salt that the parties tossed, so blinded sets of two runs cannot be compared and no point can be prepared for a run. Two
parties: any collusion is of one with itself.

Cost: each party hashes n keys and does n + m multiplications; 64 bytes a key of either set each way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InvalidArgument
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, hear, tell
from ..oprf.ristretto import POINTS, check_sizes, fresh, hash_all, multiply_all, random_scalar, to_table
from .terms import SharedTerms

DOMAIN = b"privsdk psi.ddh v1 "


class Blinded(Message, frozen=True, kw_only=True, tag="psi.ddh.Blinded"):
    """A party's keys, hashed to the group and raised to its secret, sorted."""

    SCHEMA = POINTS
    table: pa.Table


class Doubled(Message, frozen=True, kw_only=True, tag="psi.ddh.Doubled"):
    """The peer's blinded keys raised to one's own secret too, in the order received."""

    SCHEMA = POINTS
    table: pa.Table


def intersection(
    keys: pa.LargeBinaryArray, *, me: str, peer: str, learner: str | None, agreed: SharedTerms, entropy: Entropy
) -> Role[npt.NDArray[np.int64]]:
    """Either party.

    Parameters
    ----------
    keys : Arrow array of large_binary
        Distinct, as many as agreed.
    learner : str or None
        The party that learns; None for both.

    Returns
    -------
    int64 array
        Positions of the shared keys in `keys`, in an order that is the same at both; none where this party is not to
        learn them.

    Raises
    ------
    DataError
        A party brings more keys than fit in a message.
    ProtocolViolation
        The peer sent another number of points than agreed, an invalid one, one twice, or one of ours back.
    """
    if learner not in (None, me, peer):
        raise InvalidArgument(f"{learner} is to learn an intersection of {me} and {peer}", hint="name one of the two")
    check_sizes(agreed.sizes)
    secret = random_scalar(entropy)
    encoded = keys.to_pylist()
    hashed = yield from hash_all(DOMAIN + agreed.salt, encoded, "hashing keys")
    blinded = yield from multiply_all(secret, hashed, "blinding")
    order = sorted(range(len(blinded)), key=blinded.__getitem__)
    mine = [blinded[i] for i in order]
    yield from tell(peer, Blinded(table=to_table(mine)))
    heard = yield from hear(peer, Blinded)
    theirs = yield from fresh(heard.table, peer, count=agreed.sizes[peer], seen=mine)
    doubled = yield from multiply_all(secret, theirs, "doubling")
    if learner != me:
        yield from tell(peer, Doubled(table=to_table(doubled)))
    if learner == peer:
        return np.array([], dtype=np.int64)
    back = yield from hear(peer, Doubled)
    returned = yield from fresh(back.table, peer, count=len(mine), seen={*mine, *theirs})
    shared = set(doubled)
    matched = sorted((point, index) for point, index in zip(returned, order, strict=True) if point in shared)
    return np.array([index for _, index in matched], dtype=np.int64)
