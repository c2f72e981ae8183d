"""Exact set intersection of three to 32 parties: all learn it, and nobody any pair's, nor any pair's size.

Paper: V. Kolesnikov, N. Matania, B. Pinkas, M. Rosulek, N. Trieu, "Practical Multi-party Private Set Intersection from
Symmetric-Key Techniques", CCS 2017, section 5.2 (unconditional zero-sharing, for the augmented semi-honest model),
with the programmable PRF of O. Nevo, N. Trieu, A. Yanai, "Simple, Fast Malicious Multiparty Private Set Intersection",
CCS 2021: an oblivious PRF (`oprf`) and an oblivious key-value store (`okvs`).

    leader L (keys x)                                    each other party i (keys y)
        after `terms` among all: a salt, all numbers of keys
                                                         --- Share: k_ij to each other j ----->
                                                         S_i(y) = xor over j of G(k_ij, y): all S_i add up to zero
    <== base oblivious transfers (`base_ot`), with each ==>
    for each bucket:
    --- Corrections: U, as in `kkrt` ------------------->
    <-- Programmed: a store of F(cell, y) ^ S_i(y) for y's three cells
        x is in all sets where the stores' values ^ F(cell, x) of all i add up to zero
    --- Shared: the hashes of the keys in all sets, with random ones as many as the smallest set has keys

A store has the same size whatever is in it, and looks random to L but where it knows F; there it finds S_i(x), which is
random to it unless it finds all of them. L takes no share of its own: it would know it. Joint keys are numbered in the
order of their hashes under the salt.

Learns: each party which of its own keys all others have, and every other's number of keys. An eavesdropper these
numbers, from the lengths.

Assumes: semi-honest parties; the rest as in `kkrt`. Collusion threshold t = 1. Parties that collude without L learn no
more than their outputs. L and any other party together know that one's shares, and so learn which of L's keys all the
parties outside their coalition have, whether or not the colluder has them: no more than they would by entering L's keys
as the colluder's own (the augmented model).

Cost: the leader masks its keys once for each other party, about 72 bytes a key; each of them sends 31 bytes a key, and
spends about three times what it would as the sender of `kkrt`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...crypto.aes import KEY_BYTES, Words, derived, encrypted
from ...errors import DataError, InvalidArgument, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, checkpoint, gather, hear, tell, tell_all
from ...protocol.workers.pool import Pipeline, threads
from ..oprf import base_ot, okvs
from ..oprf.blocks import blocks_of, bucketed
from ..oprf.oprf import Setting, evaluate, mask, place
from ..oprf.parameters import SHARE, Sizes, parameters, unlucky
from .kkrt import AHEAD, Corrections, Octets, binary, heard_corrections, octets_of, to_table
from .terms import SharedTerms

FEWEST, MOST = 3, 32
MOST_KEYS_OF_LEADER = 1 << 23  # for each the shares' 64 bits add up to zero by chance with 2^-64: 2^-41 in all
Positions = npt.NDArray[np.int64]


class Share(Message, frozen=True, kw_only=True, tag="psi.multiparty.Share"):
    """A key of which both ends derive the same share, so that it cancels out."""

    key: bytes


class Programmed(Octets, frozen=True, kw_only=True, tag="psi.multiparty.Programmed"):
    """A bucket's key-value store."""


class Shared(Octets, frozen=True, kw_only=True, tag="psi.multiparty.Shared"):
    """How many keys are shared, in 8 bytes, and hashes of 16 bytes, in order: of those keys, the others random.

    All of it is in the table: the digits of a number in the header would show in the message's length.
    """

    MAX_BYTES = 4 << 30


def intersection(
    keys: pa.LargeBinaryArray, *, me: str, parties: Sequence[str], agreed: SharedTerms, entropy: Entropy
) -> Role[Positions]:
    """Each party; `keys` are distinct, `parties` in the same order at all, the first of them the leader, who compares.

    Returns
    -------
    int64 array
        Positions of the keys that all have, in `keys`, ordered as at the others.
    """
    if not FEWEST <= len(parties) <= MOST:
        raise InvalidArgument(f"an intersection of {len(parties)} parties", hint=f"name {FEWEST} to {MOST}")
    leader = parties[0]
    if agreed.sizes[leader] > MOST_KEYS_OF_LEADER:
        raise DataError(
            f"{leader} leads with more than {MOST_KEYS_OF_LEADER:,} keys, the most that a leader may have",
            hint="name the party with the fewest keys first",
        )
    if 0 in agreed.sizes.values():
        return np.zeros(0, np.int64)
    others = [party for party in parties if party != leader]
    sizes = parameters(agreed.sizes[leader], *(agreed.sizes[party] for party in others))
    blocks = yield from blocks_of(keys, agreed.salt)
    hashes = encrypted(derived(agreed.salt, "shared key"), blocks)
    if me == leader:
        found = yield from _compare(blocks, sizes, others, salt=agreed.salt, entropy=entropy)
        yield from _tell_shared(hashes[found], min(agreed.sizes.values()), others, entropy)
    else:
        own = others.index(me)
        yield from _program(blocks, sizes, own, leader=leader, others=others, salt=agreed.salt, entropy=entropy)
        found = yield from _hear_shared(hashes, min(agreed.sizes.values()), leader)
    return found[_order(hashes[found])]


def _compare(blocks: Words, sizes: Sizes, others: Sequence[str], *, salt: bytes, entropy: Entropy) -> Role[Positions]:
    """The leader, up to the positions of its keys that all have."""
    seeds = {}
    for other in others:
        seeds[other] = yield from base_ot.offer(sizes.width, peer=other, salt=salt, entropy=entropy)
    shapes = _shapes(sizes)
    buckets = bucketed(blocks, sizes.buckets, sizes.receiver)
    waiting: deque[tuple[Words, Words]] = deque()
    found = []
    with Pipeline(_asked, "intersecting", total=sizes.buckets, pool=threads()) as asking:
        for number in range(sizes.buckets + AHEAD):
            if number < sizes.buckets:
                setting = Setting(salt, number, sizes.third, sizes.width)
                asking.submit(blocks.take(buckets[number], axis=0), list(seeds.values()), setting)
            if 1 <= number <= sizes.buckets:
                corrections, named, total = yield from asking.next()
                yield from tell_all(
                    {o: Corrections(table=to_table(each)) for o, each in zip(others, corrections, strict=True)}
                )
                waiting.append((named, total))
            if number >= AHEAD:
                stores = yield from gather(others, Programmed)
                named, total = waiting.popleft()
                for other, shape in zip(others, shapes, strict=True):
                    store = octets_of(stores[other].table, 8 * shape.cells, other).view(np.uint64)
                    total ^= okvs.decode(named, store, shape)
                found.append(buckets[number - AHEAD][total == 0])
    return np.concatenate(found)


def _asked(keys: Words, seeds: Sequence[base_ot.Pairs], setting: Setting) -> tuple[list[Words], Words, Words]:
    """The leader's part of a bucket: what it sends to each, its keys in the stores, and F of all others added up."""
    placed = place(setting, keys)
    masked = [mask(setting, placed, *pairs) for pairs in seeds]
    total = np.bitwise_xor.reduce([each.outputs[:, 0] for each in masked])
    named = _named(keys, setting.salt)[placed.cells // setting.third, np.arange(len(keys))]
    return [each.corrections for each in masked], named, total


def _program(
    blocks: Words,
    sizes: Sizes,
    own: int,
    *,
    leader: str,
    others: Sequence[str],
    salt: bytes,
    entropy: Entropy,
) -> Role[None]:
    """Another party, number `own` of them: let the leader find its shares of the keys it has."""
    secrets = yield from _exchanged(others[own], others, entropy)
    chosen = yield from base_ot.choose(sizes.width, peer=leader, salt=salt, entropy=entropy)
    shape = _shapes(sizes)[own]
    buckets = bucketed(blocks, sizes.buckets, sizes.senders[own])
    with Pipeline(_answered, "intersecting", total=sizes.buckets, pool=threads()) as answering:
        for number in range(sizes.buckets + 1):
            yield from checkpoint("intersecting", number, sizes.buckets)
            if number < sizes.buckets:
                corrections = yield from heard_corrections(leader, sizes)
                setting = Setting(salt, number, sizes.third, sizes.width)
                keys = blocks.take(buckets[number], axis=0)
                answering.submit(keys, corrections, chosen, secrets, shape, setting, entropy.draw(KEY_BYTES))
            if number > 0:
                store = yield from answering.next()
                yield from tell(leader, Programmed(table=to_table(store)))


def _answered(
    keys: Words,
    corrections: Words,
    chosen: base_ot.ChosenKeys,
    secrets: Sequence[bytes],
    shape: okvs.Shape,
    setting: Setting,
    seed: bytes,
) -> Words:
    """Another party's part of a bucket: its key-value store."""
    outputs = evaluate(setting, keys, corrections, chosen.bits, chosen.keys)
    values = outputs[:, :, 0].T ^ _share(keys, secrets)
    try:
        return okvs.encode(_named(keys, setting.salt).reshape(-1, 2), values.ravel(), shape, seed)
    except okvs.Unsolvable:
        raise unlucky("their key-value store could not be filled") from None


def _exchanged(me: str, others: Sequence[str], entropy: Entropy) -> Role[list[bytes]]:
    """A key in common with each of the others but the leader: of any two, the one named first draws it."""
    own = others.index(me)
    drawn = {other: entropy.draw(KEY_BYTES) for other in others[own + 1 :]}
    yield from tell_all({other: Share(key=key) for other, key in drawn.items()})
    heard = yield from gather(others[:own], Share)
    for other, share in heard.items():
        if len(share.key) != KEY_BYTES:
            raise ProtocolViolation(f"{other} sent a key of {len(share.key)} bytes where {KEY_BYTES} are due")
    return [*drawn.values(), *(share.key for share in heard.values())]


def _share(keys: Words, secrets: Sequence[bytes]) -> Words:
    """A party's share for each key: together with all others' it adds up to zero."""
    total = np.zeros(len(keys), np.uint64)
    for secret in secrets:
        total ^= encrypted(secret, keys)[:, 0]
    return total


def _named(keys: Words, salt: bytes) -> Words:
    """The keys of the stores: for each third and key, shape (3, n, 2)."""
    return np.stack([encrypted(derived(salt, f"stored {third}"), keys) for third in range(3)])


def _shapes(sizes: Sizes) -> list[okvs.Shape]:
    """Of each other party's stores. All of them together fail with probability below 2^-43."""
    share = SHARE + math.ceil(math.log2(sizes.buckets * len(sizes.senders)))
    return [okvs.shape(3 * most, share) for most in sizes.senders]


def _tell_shared(hashes: Words, smallest: int, others: Sequence[str], entropy: Entropy) -> Role[None]:
    random = np.frombuffer(entropy.draw(16 * (smallest - len(hashes))), np.uint64).reshape(-1, 2)
    padded = np.concatenate([hashes, random])
    size = np.array([len(hashes)], np.uint64)
    message = Shared(table=to_table(np.concatenate([size, padded[_order(padded)].ravel()])))
    yield from tell_all(dict.fromkeys(others, message))


def _hear_shared(hashes: Words, smallest: int, leader: str) -> Role[Positions]:
    """The positions of one's own keys among those that the leader named."""
    heard = yield from hear(leader, Shared)
    octets = octets_of(heard.table, 8 + 16 * smallest, leader)
    shared = binary(octets[8:].reshape(-1, 16))
    found: Positions = np.flatnonzero(pc.is_in(binary(hashes.view(np.uint8)), value_set=shared))
    if len(found) != octets[:8].view(np.uint64)[0]:  # neither number is in the error, which the caller sees
        raise ProtocolViolation(f"{leader} named shared keys that are not ours, or another number than it said")
    return found


def _order(hashes: Words) -> Positions:
    return np.lexsort((hashes[:, 1], hashes[:, 0]))
