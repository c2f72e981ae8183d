"""Products of columns that parties hold of the same joint keys, told to the caller alone and rounded.

    every party P, with the matrix U_P of its encoded columns, one row a joint key
    --- Ready: of which join, how many keys, its minimum count, whether numbers are missing ---> every other
    --- Width: how many encoded columns ---> every other
    of two parties of whom one misses numbers:  flags_A^T flags_B in shares, opened to both: the complete keys
                                                P's own products and the other's flags, in shares
    of each two parties P, Q:                   U_P^T U_Q in shares
    each party tells the caller its shares, cut to multiples of the grid, and its own products where nobody misses any

Shares are additive modulo a prime p, by `crypto.bilinear`; what they are of is bounded by V < p / 8. A party tells
floor(share / g) of each, with g the grid of the figure. The two add up to the figure over g, less what was cut off,
which lies in [0, 2): as a share is uniform modulo p, the caller gets the figure rounded to one of the two multiples of
g next to it (shifted by p mod g where the shares wrap, which it sees), at random and without bias, and nothing else. A
party that knows its own share and what the caller is told knows the figure to within g. So it is with the number of
complete keys, that both of two parties open.

Learns: the caller each figure to within its grid: sums, and sums of products, over the joint keys that are complete,
and of each column its centre and step. A party how many columns the others encode, their minimum counts, whether they
miss numbers, and of two roughly how many keys are complete where one does. By one figure nobody a key's value better
than to within the grid of k keys; `grids` says what several tell. The caller and a party together know linear equations
of the other's column with known coefficients; `services.pay_bits` bounds how many bits they are. That a column is
refused tells of it too: of the k-th largest value, where a caller chose edges; it is charged.

Assumes: semi-honest parties; any number of parties may collude against another, but for what they and the caller learn
by the figures. Asked again the same figures are rounded anew: m times tell them sqrt(m) times as well.

Source: the sums of products of linear regression over vertically divided data, Du, Han, Chen, SDM 2004 (secure
two-party matrix multiplication); statistics of what is rounded at random, Hundepool et al., "Statistical Disclosure
Control", Wiley 2012, section 5.4.3 (random rounding).

Cost: `crypto.bilinear`'s, of one query for each two parties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...crypto.bilinear.base import MatrixTerms, Products, ProductTerms, Shares
from ...crypto.bilinear.lattice import LatticeProducts
from ...crypto.bilinear.modular import times
from ...errors import DataError, PolicyRefused, ProtocolViolation, StaleJoin
from ...errors.inputs import JointMismatch, MissingNumbers
from ...errors.refusals import TooFewComplete
from ...protocol.groups import enough
from ...protocol.messages import Message
from ...protocol.operation import RoleInput
from ...protocol.roles import Entropy, Role, checkpoint, gather, hear, tell, tell_all
from ...protocol.services import RowSet
from .encoding import BITS, Encoded, encoded
from .grids import Grids, opened
from .parameters import MomentsParameters

Integers = npt.NDArray[np.int64]
LOW = (1 << BITS) - 1
PARTS = pa.schema([(name, pa.int64()) for name in ("left", "right", "part")])


class JointReady(Message, frozen=True, kw_only=True, tag="joint.Ready"):
    join: bytes
    keys: int
    min_count: int


class Width(Message, frozen=True, kw_only=True, tag="joint.Width"):
    """Of what a party has encoded: for each column whether it is a number, and whether a number is missing anywhere."""

    numbers: tuple[bool, ...]
    missing: bool


class Opened(Message, frozen=True, kw_only=True, tag="joint.Opened"):
    """A share of a figure that both parties learn, cut to its grid."""

    share: int


class ToldMoments(NamedTuple):
    """What a party answers.

    Attributes
    ----------
    keys, complete, min_count : int
        Joint keys, those at which no number is missing, and the largest of all minimum counts.
    lacking : bool
        Whether a party misses numbers.
    numbers : tuple of bool
        For every encoded column of all parties in order whether it is a number.
    facts : tuple of dict
        Of this party's columns; see `Encoded`.
    parts : Arrow table
        Of figures, by the numbers of their columns.
    """

    keys: int
    complete: int
    min_count: int
    lacking: bool
    numbers: tuple[bool, ...]
    facts: tuple[dict[str, object], ...]
    parts: pa.Table


class _Setting(NamedTuple):
    """What all parties know before they multiply."""

    grids: Grids
    columns: Mapping[str, Integers]  # by party, the numbers of its encoded columns
    lacking: bool


def moments(given: RoleInput, parameters: MomentsParameters) -> Role[ToldMoments]:
    """One party's role."""
    parties = given.request.parties
    keys, min_count = yield from _agreed(given, parameters)
    yield from checkpoint("encoding", 0, 1)
    mine = encoded(given, parameters.of(given.party), keys=keys, min_count=min_count)
    given.services.check_bits(mine.entropy)
    given.services.screen([RowSet.counted(rows, measure) for measure, rows in mine.sets], min_count)
    setting = yield from _set(given, parameters, mine, keys, min_count)
    given.services.pay_bits(mine.entropy)
    complete, parts = keys, list[pa.Table]()
    if setting.lacking:
        complete = yield from _complete(given, setting.grids, mine.present)
        if not enough(complete - setting.grids.unit, min_count):
            raise PolicyRefused(TooFewComplete(parties=parties, min_count=min_count))
        for owner in parties:
            yield from checkpoint("multiplying", len(parts), len(parties) + 1)
            parts.append((yield from _own_with_flags(given, setting, mine, owner)))
    else:
        parts.append(_own(given, setting, mine.units))
    for peer in _others(given):
        yield from checkpoint("multiplying", len(parts), len(parts) + 1)
        parts.append((yield from _with_peer(given, setting, mine.units, peer)))
    told = pa.concat_tables(parts).combine_chunks()
    return ToldMoments(keys, complete, min_count, setting.lacking, setting.grids.numbers, mine.facts, told)


def _others(given: RoleInput) -> list[str]:
    return [party for party in given.request.parties if party != given.party]


def _agreed(given: RoleInput, parameters: MomentsParameters) -> Role[tuple[int, int]]:
    """How many joint keys there are, and the largest of all minimum counts."""
    others, keys = _others(given), 0 if given.keys is None else int(given.keys.max(initial=-1)) + 1
    yield from tell_all(dict.fromkeys(others, JointReady(join=given.joint, keys=keys, min_count=given.min_count)))
    ready = yield from gather(others, JointReady)
    for party, heard in ready.items():
        if heard.join != given.joint:
            raise StaleJoin(JointMismatch(party=party, wrong="join"))
        if heard.keys != keys:
            raise ProtocolViolation(JointMismatch(party=party, wrong="keys"))
    if keys != parameters.keys:
        raise StaleJoin(JointMismatch(party=given.party, wrong="number"))
    min_count = max([given.min_count, *(heard.min_count for heard in ready.values())])
    if not enough(keys, min_count):
        raise PolicyRefused(TooFewComplete(parties=given.request.parties, min_count=min_count))
    return keys, min_count


def _set(given: RoleInput, parameters: MomentsParameters, mine: Encoded, keys: int, min_count: int) -> Role[_Setting]:
    parties, others = given.request.parties, _others(given)
    said = Width(numbers=mine.numbers, missing=mine.missing)
    yield from tell_all(dict.fromkeys(others, said))
    widths = {**(yield from gather(others, Width)), given.party: said}
    for party, width in widths.items():
        if len(width.numbers) > sum(column.groups for column in parameters.of(party)):
            raise ProtocolViolation(JointMismatch(party=party, wrong="columns"))
    lacking = tuple(party for party in parties if widths[party].missing)
    if lacking and len(parties) > 2:
        raise DataError(MissingNumbers(parties=lacking))
    numbers = tuple(number for party in parties for number in widths[party].numbers)
    starts = np.cumsum([1, *(len(widths[party].numbers) for party in parties)])
    columns = {party: np.arange(*ends) for party, ends in zip(parties, pairwise(starts), strict=True)}
    grids = Grids(keys=keys, min_count=min_count, numbers=numbers, lacking=bool(lacking))
    return _Setting(grids, columns, bool(lacking))


def _own(given: RoleInput, setting: _Setting, units: Integers) -> pa.Table:
    """A party's own figures, where all keys are complete."""
    columns = setting.columns[given.party]
    left, right = own_pairs(columns, setting.grids.numbers)
    totals = _summed(units, left, right, columns[0])
    return _rounded(setting.grids, left, right, totals, given.entropy)


def _own_with_flags(given: RoleInput, setting: _Setting, mine: Encoded, owner: str) -> Role[pa.Table]:
    """A share of an owner's own figures over the keys that are complete at its peer, too."""
    grids, columns, (peer,) = setting.grids, setting.columns[owner], _others(given)
    left, right = own_pairs(columns, grids.numbers)
    product = _Product(given, peer, grids, f"own {owner}")
    if owner == given.party:
        products = _products(mine.units, left, right, columns[0])
        share = yield from product.matrix(np.concatenate([products >> BITS, products & LOW], axis=1), vectors=1)
    else:
        share = yield from product.vectors(mine.present, columns=2 * len(left))
    high, low = share[: len(left), 0], share[len(left) :, 0]
    whole = (times(high, np.full_like(high, 1 << BITS), grids.prime) + low) % grids.prime
    return _cut(grids, left, right, whole)


def _with_peer(given: RoleInput, setting: _Setting, units: Integers, peer: str) -> Role[pa.Table]:
    """A share of the products of two parties' columns; who has more holds the matrix."""
    first, second = (party for party in given.request.parties if party in (given.party, peer))
    columns = setting.columns
    left, right = (np.ravel(each) for each in np.meshgrid(columns[first], columns[second], indexing="ij"))
    holder = first if len(columns[first]) >= len(columns[second]) else second
    product, theirs = _Product(given, peer, setting.grids, f"{first} and {second}"), len(columns[peer])
    if holder == given.party:
        share = yield from product.matrix(units, vectors=theirs)
    else:
        share = yield from product.vectors(units, columns=theirs)
    return _cut(setting.grids, left, right, np.ravel(share if holder == first else share.T))


def own_pairs(columns: Integers, numbers: Sequence[bool]) -> tuple[Integers, Integers]:
    """Which products of a party's own columns are told: each with the constant, and each two but for two categories."""
    pairs = [(0, int(j)) for j in columns]
    pairs += [(int(i), int(j)) for i in columns for j in columns if i <= j and (numbers[i - 1] or numbers[j - 1])]
    left, right = np.array(pairs, np.int64).T
    return left, right


def _complete(given: RoleInput, grids: Grids, present: Integers) -> Role[int]:
    """Roughly how many keys are complete at both of two parties, who both learn it: cut as any other figure is."""
    (peer,) = _others(given)
    product = _Product(given, peer, grids, "complete")
    first = given.request.parties[0] == given.party
    shares = yield from product.matrix(present, vectors=1) if first else product.vectors(present, columns=1)
    share = int(shares[0, 0]) // grids.unit
    yield from tell(peer, Opened(share=share))
    heard = yield from hear(peer, Opened)
    found = opened([share, heard.share], grids.unit, grids.prime)
    if found >= len(present) + grids.unit:
        raise ProtocolViolation(JointMismatch(party=peer, wrong="complete"))
    return min(found, len(present))


def _products(units: Integers, left: Integers, right: Integers, start: int) -> Integers:
    """A column for each product of a party's own columns, the constant among them."""
    products: Integers = np.where(left, units[:, np.maximum(left - start, 0)], 1) * units[:, right - start]
    return products


def _summed(units: Integers, left: Integers, right: Integers, start: int) -> Integers:
    """The sums of these columns, exact: 2^53 is beyond what 2^22 keys can reach."""
    extended = np.concatenate([np.ones((len(units), 1)), units], axis=1)
    gram: Integers = np.rint(extended.T @ extended).astype(np.int64)
    return gram[np.where(left, left - start + 1, 0), right - start + 1]


def _rounded(grids: Grids, left: Integers, right: Integers, totals: Integers, entropy: Entropy) -> pa.Table:
    """Figures of one's own as a party tells them: each to a multiple of its grid, at random and without bias."""
    steps = _steps(grids, left, right)
    up = np.frombuffer(entropy.draw(8 * len(totals)), np.uint64) % steps.astype(np.uint64)  # powers of two
    return pa.table([pa.array(left), pa.array(right), pa.array((totals + up.astype(np.int64)) // steps)], schema=PARTS)


def _cut(grids: Grids, left: Integers, right: Integers, shares: Integers) -> pa.Table:
    """One's shares of figures as a party tells them."""
    parts = shares // _steps(grids, left, right)
    return pa.table([pa.array(left), pa.array(right), pa.array(parts)], schema=PARTS)


def _steps(grids: Grids, left: Integers, right: Integers) -> Integers:
    return np.array([grids.grid(i, j) for i, j in zip(left.tolist(), right.tolist(), strict=True)], np.int64)


class _Product:
    """One product of a matrix that one of two parties holds, transposed, and the other's vectors: one's share of it."""

    def __init__(self, given: RoleInput, peer: str, grids: Grids, name: str) -> None:
        self._given, self._peer, self._grids, self._name = given, peer, grids, name

    def matrix(self, mine: Integers, *, vectors: int) -> Role[Shares]:
        """Of this party's matrix, whose entries have at most 16 bits."""
        end = self._end(self._given.party, mine, mine.shape[1], vectors)
        yield from end.set_up()
        share = yield from end.matrix(self._name, mine)
        yield from end.finish()
        return share

    def vectors(self, mine: Integers, *, columns: int) -> Role[Shares]:
        """Of this party's vectors, with a matrix of so many columns."""
        end = self._end(self._peer, mine, columns, mine.shape[1])
        yield from end.set_up()
        share = yield from end.vectors(self._name, mine % self._grids.prime)
        yield from end.finish()
        return share

    def _end(self, holder: str, mine: Integers, columns: int, vectors: int) -> Products:
        matrix = MatrixTerms(holder=holder, columns=columns, bits=16, vectors=vectors)
        terms = ProductTerms(rows=len(mine), prime_bits=self._grids.prime_bits, matrices=(matrix,))
        return LatticeProducts(me=self._given.party, peer=self._peer, terms=terms, entropy=self._given.entropy)
