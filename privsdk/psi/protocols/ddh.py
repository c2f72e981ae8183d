"""Two-party exact set intersection by double Diffie-Hellman blinding, or how many keys are shared and not which.

Paper: R. Agrawal, A. Evfimievski, R. Srikant, "Information Sharing Across Private Databases", SIGMOD 2003, section 3
(intersection protocol) and section 5 (intersection size), after B. Huberman, M. Franklin, T. Hogg, EC 1999; the size by
shuffles also in E. De Cristofaro, P. Gasti, G. Tsudik, "Fast and Private Computation of Cardinality of Set Intersection
and Union", CANS 2012, and M. Ion et al., "On Deploying Secure Computation: Private Intersection-Sum-with-Cardinality",
EuroS&P 2020. Over ristretto255 (RFC 9496), and run once in each direction so that both learn the result. After terms
are agreed:

    A (keys x, secret a)                                 B (keys y, secret b)
    --- Blinded: {H(x)^a}, sorted ----->    <----- Blinded: {H(y)^b}, sorted ---
    --- Doubled: (H(y)^b)^a, in B's order ->  <- Doubled: (H(x)^a)^b, in A's order ---

Each compares its own set blinded twice with the peer's. Joint keys are numbered in the byte order of H(key)^ab,
which both sides know and which discloses nothing of the keys. Where only A is to learn, A sends no Doubled.

For the size alone BlindedSet and DoubledSet take their places, the second sorted too, and each counts the points that
both doubled sets have. Sorting is the shuffle: the order of doubled points, which are new to whoever gets them, says
nothing of the order in which the single ones were sent.

Learns: A and B which of their own keys the other holds, or how many are shared, beside the sizes that they received in
the terms; where only one of them is to learn, the other nothing more than the terms. For the size each can also see
which of the peer's blinded points are shared, and those are random to it. An eavesdropper of the encrypted stream
learns both sizes from its length, and from its direction who learns.

Assumes: decisional Diffie-Hellman in ristretto255, SHA-512 as a random oracle, semi-honest parties. H is bound to the
salt that the parties tossed and to the question, so blinded sets of two runs cannot be compared and no point can be
prepared for a run. Two parties: any collusion is of one with itself. Where the size is asked for, a party that enters
one key which the peer may have, and beside it only keys which the peer cannot have, learns of that one: what is hidden
is hidden among many.

Cost: each party hashes n keys and does n + m multiplications; 64 bytes a key of either set each way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InvalidArgument
from ...protocol.roles import Entropy, Role, hear, tell
from ..oprf.ristretto import Points, check_sizes, fresh, hash_all, multiply_all, random_scalar, to_table
from .terms import SharedTerms

DOMAIN = b"privsdk psi.ddh v1 "
SIZE_DOMAIN = b"privsdk psi.cardinality v1 "


class Blinded(Points, frozen=True, kw_only=True, tag="psi.ddh.Blinded"):
    """A party's keys, hashed to the group and raised to its secret, sorted."""


class Doubled(Points, frozen=True, kw_only=True, tag="psi.ddh.Doubled"):
    """The peer's blinded keys raised to one's own secret too, in the order received."""


class BlindedSet(Points, frozen=True, kw_only=True, tag="psi.cardinality.Blinded"):
    """As `Blinded`, where the size alone is asked for."""


class DoubledSet(Points, frozen=True, kw_only=True, tag="psi.cardinality.Doubled"):
    """The peer's blinded keys raised to one's own secret too, sorted."""


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
        The peer sent another number of points than agreed, an invalid one, one twice, or one that was sent before.
    """
    if learner not in (None, me, peer):
        raise InvalidArgument(f"{learner} is to learn an intersection of {me} and {peer}", hint="name one of the two")
    sets = yield from _blinded(keys, DOMAIN, Blinded, me=me, peer=peer, agreed=agreed, entropy=entropy)
    if learner != me:
        yield from tell(peer, Doubled(table=to_table(sets.doubled)))
    if learner == peer:
        return np.array([], dtype=np.int64)
    back = yield from hear(peer, Doubled)
    returned = yield from fresh(back.table, peer, count=len(sets.mine), seen={*sets.mine, *sets.theirs})
    shared = set(sets.doubled)
    matched = sorted((point, index) for point, index in zip(returned, sets.order, strict=True) if point in shared)
    return np.array([index for _, index in matched], dtype=np.int64)


def cardinality(keys: pa.LargeBinaryArray, *, me: str, peer: str, agreed: SharedTerms, entropy: Entropy) -> Role[int]:
    """Either party: how many of its `keys` the peer has too; keys and errors as for `intersection`."""
    sets = yield from _blinded(keys, SIZE_DOMAIN, BlindedSet, me=me, peer=peer, agreed=agreed, entropy=entropy)
    yield from tell(peer, DoubledSet(table=to_table(sorted(sets.doubled))))
    back = yield from hear(peer, DoubledSet)
    returned = yield from fresh(back.table, peer, count=len(sets.mine), seen={*sets.mine, *sets.theirs})
    return len(set(sets.doubled).intersection(returned))


class _Sets(NamedTuple):
    """Both sets blinded once, the peer's also twice, and which key each of one's own sorted points is of."""

    mine: list[bytes]
    order: list[int]
    theirs: list[bytes]
    doubled: list[bytes]


def _blinded(
    keys: pa.LargeBinaryArray,
    domain: bytes,
    kind: type[Points],
    *,
    me: str,
    peer: str,
    agreed: SharedTerms,
    entropy: Entropy,
) -> Role[_Sets]:
    """Either party's first half: blind, exchange, blind again."""
    check_sizes(agreed.sizes)
    secret = random_scalar(entropy)
    hashed = yield from hash_all(domain + agreed.salt, keys.to_pylist(), "hashing keys")
    blinded = yield from multiply_all(secret, hashed, "blinding")
    order = sorted(range(len(blinded)), key=blinded.__getitem__)
    mine = [blinded[i] for i in order]
    yield from tell(peer, kind(table=to_table(mine)))
    heard = yield from hear(peer, kind)
    theirs = yield from fresh(heard.table, peer, count=agreed.sizes[peer], seen=mine)
    doubled = yield from multiply_all(secret, theirs, "doubling")
    return _Sets(mine, order, theirs, doubled)
