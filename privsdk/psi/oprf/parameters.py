"""Sizes of tables, codes and tags for every number of keys, derived so that a run fails with probability below 2^-40.

The five events that break a run of the OPRF in `oprf` each have a share of 2^-43, divided by the number of senders:

1. A bucket overflows at the receiver, or 2. at the sender: keys fall into buckets by a random hash, so a bucket's
   number is binomial, and P(Bin(n, 1/B) > c) <= exp(-n KL((c+1)/n || 1/B)) (Chernoff), times B.
3. A bucket's keys cannot be placed. Each of n keys may lie in one cell of each third of m cells; by Hall's theorem they
   can be placed unless for some set T of cells more than |T| keys have all their cells in T. In a least such T every
   cell is hit at least twice. With a, b, c cells of T in the thirds, p = abc/m^3 and s keys inside,

       sum over a, b, c and s > a+b+c of  C(m,a) C(m,b) C(m,c) C(n,s) p^s (1-p)^(n-s) D(s,a) D(s,b) D(s,c)

   bounds the probability, D(s,a) being the one that s balls hit each of a cells twice or more:
   D(s,a) <= min over x of s! (e^x-1-x)^a / (x^s a^s). Mostly its first term counts, four keys with the same three
   cells, C(n,4) / m^9. From about 1,100 keys that lets tables be so full that sets of half their cells count too,
   unless m >= 1.25n/3 + 16. `tests/psi/test_psi_parameters.py` sums it up for every n to 1,000 and for larger ones.
4. Two keys that the parties do not share have codes of distance below 128: the codes are random functions of the key,
   so for Q evaluations the probability is Q P(Bin(width, 1/2) < 128).
5. Tags of different keys are equal: one of `pairs` pairs, each with probability 2^-bits.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from ...errors import DataError

SHARE = 43  # five events of 2^-43 are less than 2^-40
DISTANCE = 128  # bits of the secret that each value hides behind; one of Q values is hit by P guesses with PQ / 2^128
BUCKET = 1 << 17  # keys in a bucket, about: what a core's caches and a message hold well
CELLS_A_KEY = 1.25  # at 1.22 and less most large tables have a core, cells with two keys or more each
SPARE = 16  # cells in each third beyond that: without them the bound is 2^-33 for 1,228 keys


class Sizes(NamedTuple):
    """What all parties compute from all numbers of keys.

    Attributes
    ----------
    buckets : int
    receiver : int
        The most keys that the receiver has in a bucket.
    senders : tuple of int
        And each sender.
    third : int
        Cells in each third of a bucket's cuckoo table, a multiple of 64.
    width : int
        Bits of a code, a multiple of 8: also the number of base oblivious transfers.
    tag_bytes : int
        Length of the tag of one evaluation.
    """

    buckets: int
    receiver: int
    senders: tuple[int, ...]
    third: int
    width: int
    tag_bytes: int

    @property
    def cells(self) -> int:
        return 3 * self.third


@lru_cache(maxsize=64)
def parameters(receiver: int, *senders: int) -> Sizes:
    """For a receiver and one or more senders of so many keys."""
    buckets = -(-max(receiver, *senders, 1) // BUCKET)
    share = SHARE + math.log2(len(senders))
    mine, theirs = capacity(receiver, buckets, share), tuple(capacity(sender, buckets, share) for sender in senders)
    return Sizes(
        buckets=buckets,
        receiver=mine,
        senders=theirs,
        third=-(-third(mine, share + math.log2(buckets)) // 64) * 64,
        width=width(3 * sum(senders)),
        tag_bytes=math.ceil((share + math.log2(max(buckets * mine * max(theirs), 1))) / 8),
    )


def capacity(keys: int, buckets: int, share: float) -> int:
    """The least number that no bucket exceeds but with probability 2^-share."""
    if buckets == 1:
        return keys
    allowed = (share + math.log2(buckets)) * math.log(2)
    low, high = keys // buckets, keys
    while low < high:
        middle = (low + high) // 2
        if keys * _divergence((middle + 1) / keys, 1 / buckets) >= allowed:
            high = middle
        else:
            low = middle + 1
    return low


def third(keys: int, bits: float) -> int:
    """Cells in each third of a table in which so many keys can be placed but with probability 2^-bits."""
    same_cells = math.log2(max(math.comb(keys, 4), 1)) + bits + 1  # one bit for all other terms
    return max(math.ceil(CELLS_A_KEY * keys / 3) + SPARE, math.ceil(2 ** (same_cells / 9)) if keys > 3 else 1)


def width(evaluations: int) -> int:
    """Bits of a code such that so many pairs all differ in at least 128, but with probability 2^-43."""
    bits = 2 * DISTANCE
    near = sum(math.comb(bits, i) for i in range(DISTANCE))  # words of fewer than 128 ones
    while evaluations * near << SHARE > 1 << bits:
        bits += 8
        near = sum(math.comb(bits, i) for i in range(DISTANCE))
    return bits


def unlucky(what: str) -> DataError:
    """What a role raises where one of these events happens."""
    return DataError(f"{what}, which happens by chance once in 2^40 runs", hint="run it again")


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of coins with these probabilities, in nats; 0 where p is the smaller."""
    if p <= q:
        return 0.0
    if p >= 1:
        return -math.log(q)
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
