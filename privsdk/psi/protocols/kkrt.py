"""Two-party exact set intersection by a batched oblivious PRF; one party learns it or both.

Paper: V. Kolesnikov, R. Kumaresan, M. Rosulek, N. Trieu, "Efficient Batched Oblivious PRF with Applications to Private
Set Intersection", CCS 2016, section 5 and figure 5, without a stash (B. Pinkas, T. Schneider, M. Zohner, "Scalable
Private Set Intersection Based on OT Extension", TOPS 2018, section 5); in buckets. The PRF F is `oprf`, its sizes are
derived in `parameters`.

    receiver R (keys x)                                   sender S (keys y)
        after `terms`: a salt, both numbers of keys
    <== base oblivious transfers (`base_ot`) ==>           one seed of each pair
    for each bucket:
    --- Corrections: U --------------------------------->
    <-- Tags: F(cell, y) for y's three cells, shuffled ---
    --- Matches: which records matched ------------------>    where S learns it too

A bucket's cuckoo table, records and so its messages have the same size whatever is in it: records beyond the keys are
random. A record has the three tags of one key, in the order of the thirds, so that Matches does not say in which cell R
had placed its key: that depends on R's other keys. Joint keys are numbered by bucket and record.

Learns: R which of its own keys S has. S, where it is a learner, which of its own keys R has. Both the other's number of
keys (`terms`). An eavesdropper both numbers, from the lengths.

Assumes: semi-honest parties; AES as an ideal cipher, BLAKE2b as a random oracle, Diffie-Hellman in ristretto255. Two
parties: any collusion is of one with itself.

Cost: `width` base transfers; R sends about 72 bytes a key, S 31, and each a few microseconds a key of symmetric work.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...crypto.aes import KEY_BYTES, Words, shuffled, stream
from ...errors import InvalidArgument, ProtocolViolation
from ...protocol.messages import Message
from ...protocol.roles import Entropy, Role, checkpoint, hear, tell
from ...protocol.workers.pool import Pipeline, threads
from ..oprf import base_ot
from ..oprf.blocks import blocks_of, bucketed
from ..oprf.oprf import Setting, evaluate, mask, place
from ..oprf.parameters import Sizes, parameters
from .terms import SharedTerms

NO_KEY = -1
AHEAD = 3  # buckets that the receiver begins before it waits for the tags of the first
Positions = npt.NDArray[np.int64]
OCTETS = pa.schema([pa.field("octets", pa.large_binary(), nullable=False)])


class Octets(Message, frozen=True, kw_only=True):
    """Base of the messages that are an array of bytes: one row, of a length that the receiver knows beforehand."""

    SCHEMA = OCTETS
    MAX_BYTES = 32 << 20
    table: pa.Table


class Corrections(Octets, frozen=True, kw_only=True, tag="psi.kkrt.Corrections"):
    """A bucket's matrix U by columns."""


class Tags(Octets, frozen=True, kw_only=True, tag="psi.kkrt.Tags"):
    """A bucket's records of three tags."""

    MAX_BYTES = 16 << 20


class Matches(Octets, frozen=True, kw_only=True, tag="psi.kkrt.Matches"):
    """A bit for each record of all buckets."""


def to_table(array: npt.NDArray[np.uint64] | npt.NDArray[np.uint8]) -> pa.Table:
    """The array's bytes, not copied."""
    content = pa.py_buffer(np.ascontiguousarray(array))
    ends = pa.py_buffer(np.array([0, content.size], np.int64))
    return pa.table([pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, ends, content])], schema=OCTETS)


def octets_of(table: pa.Table, size: int, sender: str) -> npt.NDArray[np.uint8]:
    """The bytes of a received table; raises ProtocolViolation unless they are one row of so many."""
    (row,) = table.column("octets") if table.num_rows == 1 else (None,)
    if row is None or not row.is_valid or row.as_buffer().size != size:  # a peer may send nulls where none belong
        raise ProtocolViolation(f"{sender} sent something else than one row of the bytes that are due")
    return np.frombuffer(row.as_buffer(), np.uint8)


def intersection(
    keys: pa.LargeBinaryArray, *, me: str, peer: str, learner: str | None, agreed: SharedTerms, entropy: Entropy
) -> Role[Positions]:
    """Either party; `keys` are distinct. `learner` is who learns the result, None stands for both.

    Returns
    -------
    int64 array
        Positions of the shared keys in `keys`, ordered as at the peer; empty for one that is not to learn them.
    """
    if learner not in (None, me, peer):
        raise InvalidArgument(f"{learner} is to learn an intersection of {me} and {peer}", hint="name one of the two")
    if 0 in agreed.sizes.values():
        return np.zeros(0, np.int64)
    receiver = learner or min((me, peer), key=lambda party: (agreed.sizes[party], party))
    sizes = parameters(agreed.sizes[receiver], agreed.sizes[peer if receiver == me else me])
    blocks = yield from blocks_of(keys, agreed.salt)
    part = _receive if receiver == me else _send
    return (yield from part(blocks, sizes, peer=peer, both=learner is None, salt=agreed.salt, entropy=entropy))


def _receive(blocks: Words, sizes: Sizes, *, peer: str, both: bool, salt: bytes, entropy: Entropy) -> Role[Positions]:
    seeds = yield from base_ot.offer(sizes.width, peer=peer, salt=salt, entropy=entropy)
    buckets = bucketed(blocks, sizes.buckets, sizes.receiver)
    waiting: deque[_Expected] = deque()
    found = []
    matches = np.zeros((sizes.buckets, sizes.senders[0]), np.bool_)
    with Pipeline(_asked, "intersecting", total=sizes.buckets, pool=threads()) as asking:
        for number in range(sizes.buckets + AHEAD):
            if number < sizes.buckets:
                asking.submit(blocks, buckets[number], seeds, sizes, Setting(salt, number, sizes.third, sizes.width))
            if 1 <= number <= sizes.buckets:
                corrections, expected = yield from asking.next()
                yield from tell(peer, Corrections(table=to_table(corrections)))
                waiting.append(expected)
            if number >= AHEAD:
                heard = yield from hear(peer, Tags)
                records = octets_of(heard.table, sizes.senders[0] * 3 * sizes.tag_bytes, peer)
                record, position = _matched(records.reshape(-1, 3, sizes.tag_bytes), waiting.popleft(), peer)
                found.append(position)
                matches[number - AHEAD, record] = True
    if both:
        yield from tell(peer, Matches(table=to_table(np.packbits(matches))))
    return np.concatenate(found)


def _asked(
    blocks: Words, positions: Positions, seeds: base_ot.Pairs, sizes: Sizes, setting: Setting
) -> tuple[Words, _Expected]:
    """The receiver's part of a bucket: what it sends, and what it awaits."""
    keys = place(setting, blocks.take(positions, axis=0))
    masked = mask(setting, keys, seeds.zero, seeds.one)
    return masked.corrections, _Expected(positions, keys.cells // sizes.third, _tags(masked.outputs, sizes))


def _send(blocks: Words, sizes: Sizes, *, peer: str, both: bool, salt: bytes, entropy: Entropy) -> Role[Positions]:
    chosen = yield from base_ot.choose(sizes.width, peer=peer, salt=salt, entropy=entropy)
    buckets = bucketed(blocks, sizes.buckets, sizes.senders[0])
    key_of = np.full((sizes.buckets, sizes.senders[0]), NO_KEY, np.int64)
    with Pipeline(_answered, "intersecting", total=sizes.buckets, pool=threads()) as answering:
        for number in range(sizes.buckets + 1):
            yield from checkpoint("intersecting", number, sizes.buckets)
            if number < sizes.buckets:
                corrections = yield from heard_corrections(peer, sizes)
                setting = Setting(salt, number, sizes.third, sizes.width)
                keys = blocks.take(buckets[number], axis=0)
                answering.submit(keys, corrections, chosen, sizes, setting, entropy.draw(KEY_BYTES))
            if number > 0:
                records, places = yield from answering.next()
                key_of[number - 1, places] = buckets[number - 1]
                yield from tell(peer, Tags(table=to_table(records)))
    if not both:
        return np.zeros(0, np.int64)
    answer = yield from hear(peer, Matches)
    bits = np.unpackbits(octets_of(answer.table, -(-key_of.size // 8), peer)).view(np.bool_)
    positions: Positions = key_of.ravel()[bits[: key_of.size]]
    if bits[key_of.size :].any() or (positions == NO_KEY).any():
        raise ProtocolViolation(f"{peer} matched a record that holds no key")
    return positions


def heard_corrections(receiver: str, sizes: Sizes) -> Role[Words]:
    """A bucket's matrix U by columns, from the receiver."""
    heard = yield from hear(receiver, Corrections)
    octets = octets_of(heard.table, sizes.width * sizes.cells // 8, receiver)
    return octets.view(np.uint64).reshape(sizes.width, -1)


def _answered(
    keys: Words, corrections: Words, chosen: base_ot.ChosenKeys, sizes: Sizes, setting: Setting, seed: bytes
) -> tuple[npt.NDArray[np.uint8], Positions]:
    """The sender's part of a bucket: its records, and in which of them each key is. The other records are random."""
    outputs = evaluate(setting, keys, corrections, chosen.bits, chosen.keys)
    places = shuffled(seed, sizes.senders[0])[: len(keys)]
    records = stream(seed, 1 << 32, sizes.senders[0] * 3 * sizes.tag_bytes).reshape(sizes.senders[0], -1)
    records[places] = _tags(outputs, sizes).reshape(len(keys), records.shape[1])
    return records, places


class _Expected(NamedTuple):
    """What the receiver awaits for a bucket: its keys' positions, in which third each lies, and their tags."""

    positions: Positions
    thirds: Positions
    tags: npt.NDArray[np.uint8]


def _matched(records: npt.NDArray[np.uint8], expected: _Expected, peer: str) -> tuple[Positions, Positions]:
    """The records, in order, that have the tag of a key in the third where it lies; and the keys' positions."""
    key = np.full(len(records), -1, np.int64)
    for third in range(3):
        here = np.flatnonzero(expected.thirds == third)
        index = pc.index_in(binary(records[:, third]), value_set=binary(expected.tags[here]))
        equal = index.is_valid().to_numpy(zero_copy_only=False)
        if (key[equal] >= 0).any():
            raise ProtocolViolation(f"{peer} sent a record that matches two keys")
        key[equal] = here[index.drop_null().to_numpy()]
    record = np.flatnonzero(key >= 0)
    if np.bincount(key[record], minlength=1).max() > 1:
        raise ProtocolViolation(f"{peer} sent two records that match one key")
    return record, expected.positions[key[record]]


def _tags(outputs: Words, sizes: Sizes) -> npt.NDArray[np.uint8]:
    """The first bytes of each output."""
    return outputs.view(np.uint8)[..., : sizes.tag_bytes]


def binary(rows: npt.NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    """Rows of bytes, which Arrow looks up."""
    buffer = pa.py_buffer(np.ascontiguousarray(rows))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, buffer])
