"""How many keys two parties share, and not which: double Diffie-Hellman blinding with a shuffle between.

Papers: R. Agrawal, A. Evfimievski, R. Srikant, "Information Sharing Across Private Databases", SIGMOD 2003, section 5
(intersection size), after B. Huberman, M. Franklin, T. Hogg, EC 1999; with shuffles also in E. De Cristofaro, P. Gasti,
G. Tsudik, "Fast and Private Computation of Cardinality of Set Intersection and Union", CANS 2012, and M. Ion et al.,
"On Deploying Secure Computation: Private Intersection-Sum-with-Cardinality", EuroS&P 2020. Over ristretto255 (RFC
9496), once in each direction so that both learn the size. After terms are agreed:

    A (keys x, secret a)                                 B (keys y, secret b)
    --- BlindedSet: {H(x)^a}, sorted ----->    <----- BlindedSet: {H(y)^b}, sorted ---
    --- DoubledSet: {H(y)^ba}, sorted ----->   <----- DoubledSet: {H(x)^ab}, sorted ---

    Each counts the points that both doubled sets have. Sorting is the shuffle: the order of doubled points, which are
    new to whoever gets them, says nothing of the order in which the single ones were sent. In `psi.ddh` they come back
    in the order received; that, and nothing else, is how a party there learns which of its keys are shared.

Learns: A and B the size of the intersection, beside the sizes of the sets that the terms told. Which of the peer's
blinded points are shared each can tell too, and those are random to it. An eavesdropper of the encrypted stream learns
the sizes of both sets from its length.

Assumes: decisional Diffie-Hellman in ristretto255, SHA-512 as a random oracle, semi-honest parties. H is bound to the
salt that the parties tossed, so the sets of two runs cannot be compared, nor those of this protocol with another's. Two
parties: any collusion is of one with itself. A party that enters one key which the peer may have, and beside it only
keys which the peer cannot have, learns of that one: what is hidden is hidden among many.

Cost: as `psi.ddh`.
"""

from __future__ import annotations

import pyarrow as pa

from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, hear, tell
from ..oprf.ristretto import POINTS, check_sizes, fresh, hash_all, multiply_all, random_scalar, to_table
from .terms import SharedTerms

DOMAIN = b"privsdk psi.cardinality v1 "


class BlindedSet(Message, frozen=True, kw_only=True, tag="psi.cardinality.Blinded"):
    """A party's keys, hashed to the group and raised to its secret, sorted."""

    SCHEMA = POINTS
    table: pa.Table


class DoubledSet(Message, frozen=True, kw_only=True, tag="psi.cardinality.Doubled"):
    """The peer's blinded keys raised to one's own secret too, sorted."""

    SCHEMA = POINTS
    table: pa.Table


def cardinality(keys: pa.LargeBinaryArray, *, me: str, peer: str, agreed: SharedTerms, entropy: Entropy) -> Role[int]:
    """Either party: how many of its `keys`, distinct and as many as agreed, the peer has too.

    Raises
    ------
    DataError
        A party brings more keys than fit in a message.
    ProtocolViolation
        The peer sent another number of points than agreed, an invalid one, one twice, or one that was sent before.
    """
    check_sizes(agreed.sizes)
    secret = random_scalar(entropy)
    encoded = keys.to_pylist()
    hashed = yield from hash_all(DOMAIN + agreed.salt, encoded, "hashing keys")
    mine = sorted((yield from multiply_all(secret, hashed, "blinding")))
    yield from tell(peer, BlindedSet(table=to_table(mine)))
    heard = yield from hear(peer, BlindedSet)
    theirs = yield from fresh(heard.table, peer, count=agreed.sizes[peer], seen=mine)
    doubled = sorted((yield from multiply_all(secret, theirs, "doubling")))
    yield from tell(peer, DoubledSet(table=to_table(doubled)))
    back = yield from hear(peer, DoubledSet)
    returned = yield from fresh(back.table, peer, count=agreed.sizes[me], seen={*mine, *theirs})
    return len(set(doubled).intersection(returned))
